"""State diagrams as SVG, and tables, for the directives of this folder.

A picture stands in the page itself, and takes its colours from the theme's variables: light or dark as the page is.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import attrs
from docutils import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Arrow", "Diagram", "table"]

LINE: Final = 22
HEAD: Final = """
<defs><marker id="{key}-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9"
  markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>
"""
STYLE: Final = """
.kt-diagram { overflow-x: auto; margin: 1.5rem 0; }
.kt-diagram svg { display: block; width: 100%; min-width: 40rem; height: auto; font-family: inherit; }
.kt-diagram text { font-size: 16px; fill: var(--color-foreground-primary, #222); }
.kt-diagram .state { fill: var(--color-background-secondary, #f4f4f4); stroke-width: 1.5;
  stroke: var(--color-foreground-muted, #777); }
.kt-diagram .good { stroke: var(--color-brand-primary, #0a4bff); stroke-width: 3; }
.kt-diagram .name { font-weight: 600; letter-spacing: 0.03em; }
.kt-diagram .arrow { fill: none; stroke: var(--color-foreground-muted, #777); stroke-width: 1.5; }
.kt-diagram .head, .kt-diagram .begin { fill: var(--color-foreground-muted, #777); }
.kt-diagram .paper { fill: var(--color-background-primary, #fff); }
"""


@attrs.frozen(kw_only=True)
class Arrow:
    """Where one arrow and its label are, in the units of the drawing."""

    points: tuple[tuple[int, int], ...]
    """From the start to the head; corners are rounded."""
    label: tuple[int, int]
    """The middle of the label's lines; with ``anchor="start"`` or ``"end"`` the middle of that edge."""
    anchor: str = "middle"
    per_line: int = 1
    """How many words are written on one line."""
    on_line: bool = False
    """Whether the label is on the line itself, which is then hidden behind it."""


@attrs.frozen(kw_only=True)
class Diagram:
    """Boxes and arrows. ``key`` distinguishes it from others on the same page."""

    key: str
    title: str
    size: tuple[int, int]
    box: tuple[int, int]
    boxes: Mapping[str, tuple[int, int]]
    """The centre of each box, by its name."""
    good: str
    """The box that stands out."""
    first: tuple[int, int]
    """The left middle of the box in which everything begins."""
    arrows: Sequence[tuple[Arrow, Sequence[str]]]
    """Each with the words of its label."""
    in_words: str
    """The diagram for those who do not see it."""

    def draw(self) -> str:
        """The picture, as HTML."""
        width, height = self.size
        x, y = self.first
        return "\n".join(
            [
                f'<div class="kt-diagram"><style>{STYLE}</style>',
                f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{self.key}-title {self.key}-text">',
                f'<title id="{self.key}-title">{escape(self.title)}</title>',
                f'<desc id="{self.key}-text">{escape(self.in_words)}</desc>',
                HEAD.format(key=self.key),
                *(line for arrow, _ in self.arrows for line in self._path(arrow.points)),
                *(line for arrow, words in self.arrows for line in _label(arrow, words)),
                *(line for name in self.boxes for line in self._box(name)),
                f'<circle class="begin" cx="{x - 34}" cy="{y}" r="6"/>',
                *self._path(((x - 28, y), (x, y))),
                "</svg></div>",
            ]
        )

    def _path(self, points: Sequence[tuple[int, int]]) -> Iterator[str]:
        moves = [f"M{points[0][0]} {points[0][1]}"]
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            begin, end = _towards(corner, before), _towards(corner, after)
            moves.append(f"L{begin} Q{corner[0]} {corner[1]} {end}")
        moves.append(f"L{points[-1][0]} {points[-1][1]}")
        yield f'<path class="arrow" d="{" ".join(moves)}" marker-end="url(#{self.key}-head)"/>'

    def _box(self, name: str) -> Iterator[str]:
        (x, y), (width, height) = self.boxes[name], self.box
        kind = "state good" if name == self.good else "state"
        yield (
            f'<rect class="{kind}" x="{x - width // 2}" y="{y - height // 2}" '
            f'width="{width}" height="{height}" rx="8"/>'
        )
        yield (
            f'<text class="name" x="{x}" y="{y}" text-anchor="middle" dominant-baseline="central">{escape(name)}</text>'
        )


def _towards(corner: tuple[int, int], other: tuple[int, int], radius: int = 14) -> str:
    """The point at a small distance from a corner of a path."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = (dx * dx + dy * dy) ** 0.5
    return f"{corner[0] + dx / length * radius:g} {corner[1] + dy / length * radius:g}"


def _label(arrow: Arrow, words: Sequence[str]) -> Iterator[str]:
    x, y = arrow.label
    lines = [" · ".join(words[i : i + arrow.per_line]) for i in range(0, len(words), arrow.per_line)]
    top = y - (len(lines) - 1) * LINE / 2
    if arrow.on_line:
        width, height = 9 * max(map(len, lines)) + 8, LINE * len(lines) + 4
        yield (
            f'<rect class="paper" x="{x - width / 2:g}" y="{y - height / 2:g}" '
            f'width="{width:g}" height="{height:g}" rx="4"/>'
        )
    for index, line in enumerate(lines):
        yield (
            f'<text x="{x}" y="{top + index * LINE:g}" text-anchor="{arrow.anchor}" '
            f'dominant-baseline="central">{escape(line)}</text>'
        )


def table(head: Sequence[str], rows: Iterable[Sequence[Sequence[nodes.Node]]], *, css: str) -> nodes.table:
    """A table, each cell of which is a list of inline nodes."""
    whole = nodes.table(classes=[css])
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    first = nodes.row()
    first += [nodes.entry("", nodes.paragraph(text=text)) for text in head]
    body = nodes.tbody()
    for cells in rows:
        row = nodes.row()
        row += [nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells]
        body += row
    group += [nodes.thead("", first), body]
    whole += group
    return whole
