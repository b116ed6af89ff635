"""The lifecycle's diagram and table, made from :mod:`kraken_trio.session.lifecycle` when the documentation is built.

``lifecycle-diagram`` draws one arrow for every ordered pair of states that the table connects, and writes the causes
on it. Where the states and the arrows stand is said here, by hand. A pair of states that has no place here is an
error, and so is a place for a pair that the table does not connect: the picture cannot say anything but the table.

The SVG stands in the page itself, and takes its colours from the theme's variables: light or dark as the page is.
"""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from kraken_trio import Cause, ConnectionState
from kraken_trio.session import lifecycle
from kraken_trio.session.lifecycle import TRANSITIONS, StateMachine, Verdict, edges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]

_D, _C, _S, _R = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)


@attrs.frozen(kw_only=True)
class Arrow:
    """Where one arrow and its label stand, in the units of the drawing."""

    start: tuple[int, int]
    end: tuple[int, int]
    label: tuple[int, int]
    """The middle of the label's lines; with ``anchor="start"`` the middle of its left edge."""
    anchor: str = "middle"
    per_line: int = 1
    """How many causes are written on one line."""


WIDTH: Final = 860
TOP: Final = 34
HEIGHT: Final = 476
BOX: Final = (176, 56)
LINE: Final = 22
CENTRES: Final = {_D: (134, 92), _C: (726, 92), _S: (134, 456), _R: (726, 456)}
ARROWS: Final = {
    (_D, _C): Arrow(start=(222, 76), end=(638, 76), label=(430, 58), per_line=3),
    (_C, _D): Arrow(start=(638, 108), end=(222, 108), label=(430, 127), per_line=3),
    (_C, _R): Arrow(start=(726, 120), end=(726, 428), label=(738, 274), anchor="start"),
    (_R, _S): Arrow(start=(638, 472), end=(222, 472), label=(430, 491), per_line=3),
    (_S, _R): Arrow(start=(222, 440), end=(638, 440), label=(430, 410), per_line=3),
    (_S, _D): Arrow(start=(134, 428), end=(134, 120), label=(146, 274), anchor="start"),
    (_C, _S): Arrow(start=(656, 120), end=(204, 428), label=(580, 172)),
    (_R, _D): Arrow(start=(656, 428), end=(204, 120), label=(430, 274), per_line=2),
}

HEAD: Final = """
<marker id="kt-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9"
  markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker>
"""
STYLE: Final = """
.kt-lifecycle { overflow-x: auto; margin: 1.5rem 0; }
.kt-lifecycle svg { display: block; width: 100%; min-width: 34rem; height: auto; font-family: inherit; }
.kt-lifecycle text { font-size: 16px; fill: var(--color-foreground-primary, #222); }
.kt-lifecycle .state { fill: var(--color-background-secondary, #f4f4f4); stroke-width: 1.5;
  stroke: var(--color-foreground-muted, #777); }
.kt-lifecycle .good { stroke: var(--color-brand-primary, #0a4bff); stroke-width: 3; }
.kt-lifecycle .name { font-weight: 600; letter-spacing: 0.03em; }
.kt-lifecycle .arrow { fill: none; stroke: var(--color-foreground-muted, #777); stroke-width: 1.5; }
.kt-lifecycle .head, .kt-lifecycle .begin { fill: var(--color-foreground-muted, #777); }
.kt-lifecycle .paper { fill: var(--color-background-primary, #fff); }
"""


def causes_by_pair() -> dict[tuple[ConnectionState, ConnectionState], list[Cause]]:
    """The table, as an arrow sees it. Raises if the drawing has no place for it."""
    found: dict[tuple[ConnectionState, ConnectionState], list[Cause]] = defaultdict(list)
    for source, cause, target in edges():
        found[source, target].append(cause)
    if wrong := set(found) ^ set(ARROWS):
        pairs = ", ".join(f"{source.name} to {target.name}" for source, target in wrong)
        msg = f"the lifecycle's table and the places of its diagram do not agree on: {pairs}"
        raise ExtensionError(msg)
    if set(CENTRES) != set(ConnectionState):
        msg = "the lifecycle's diagram has no place for a state"
        raise ExtensionError(msg)
    return found


def draw() -> str:
    """The diagram, as SVG."""
    pairs = causes_by_pair()
    parts = [
        f'<div class="kt-lifecycle"><style>{STYLE}</style>',
        f'<svg viewBox="0 {TOP} {WIDTH} {HEIGHT}" role="img" aria-labelledby="kt-lifecycle-title kt-lifecycle-text">',
        '<title id="kt-lifecycle-title">The states of a client, and what leads from one to another</title>',
        f'<desc id="kt-lifecycle-text">{escape(in_words(pairs))}</desc>',
        f"<defs>{HEAD}</defs>",
    ]
    for pair, causes in pairs.items():
        parts.extend(draw_arrow(ARROWS[pair], causes))
    for state, (x, y) in CENTRES.items():
        width, height = BOX
        left, top = x - width // 2, y - height // 2
        kind = "state good" if state is _S else "state"
        parts += [
            f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="8"/>',
            f'<text class="name" x="{x}" y="{y}" text-anchor="middle" dominant-baseline="central">{state.name}</text>',
        ]
    x, y = CENTRES[StateMachine().state]
    x -= BOX[0] // 2
    parts += [
        f'<circle class="begin" cx="{x - 34}" cy="{y}" r="6"/>',
        f'<path class="arrow" d="M{x - 28} {y} L{x} {y}" marker-end="url(#kt-head)"/>',
        "</svg></div>",
    ]
    return "\n".join(parts)


def draw_arrow(arrow: Arrow, causes: Sequence[Cause]) -> Iterable[str]:
    (x1, y1), (x2, y2), (x, y) = arrow.start, arrow.end, arrow.label
    yield f'<path class="arrow" d="M{x1} {y1} L{x2} {y2}" marker-end="url(#kt-head)"/>'
    words = [cause.value for cause in causes]
    lines = [" · ".join(words[i : i + arrow.per_line]) for i in range(0, len(words), arrow.per_line)]
    top = y - (len(lines) - 1) * LINE / 2
    if arrow.anchor == "middle" and min(y1, y2) < y < max(y1, y2):  # it stands on its own line
        width = 9 * max(map(len, lines)) + 8
        height = LINE * len(lines) + 8
        yield (
            f'<rect class="paper" x="{x - width / 2:g}" y="{y - height / 2:g}" '
            f'width="{width:g}" height="{height:g}" rx="4"/>'
        )
    for index, line in enumerate(lines):
        yield (
            f'<text x="{x}" y="{top + index * LINE:g}" text-anchor="{arrow.anchor}" '
            f'dominant-baseline="central">{escape(line)}</text>'
        )


def in_words(pairs: dict[tuple[ConnectionState, ConnectionState], list[Cause]]) -> str:
    """The diagram for those who do not see it."""
    return " ".join(
        f"From {source.value} to {target.value}: {', '.join(cause.value for cause in causes)}."
        for (source, target), causes in pairs.items()
    )


class LifecycleDiagram(SphinxDirective):
    """Draw the table."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(lifecycle.__file__)
        self.env.note_dependency(__file__)
        return [nodes.raw("", draw(), format="html")]


class LifecycleTable(SphinxDirective):
    """Write the table: a row per cause, a column per state."""

    columns: ClassVar[tuple[ConnectionState, ...]] = (_D, _C, _S, _R)

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(lifecycle.__file__)
        table = nodes.table(classes=["kt-lifecycle-table"])
        group = nodes.tgroup(cols=1 + len(self.columns))
        group += [nodes.colspec(colwidth=1) for _ in range(1 + len(self.columns))]
        head = nodes.row()
        head += [nodes.entry("", nodes.paragraph(text=text)) for text in ("cause", *(s.name for s in self.columns))]
        body = nodes.tbody()
        body += [self.row(trigger) for trigger in lifecycle.Trigger]
        group += [nodes.thead("", head), body]
        table += group
        return [table]

    def row(self, trigger: lifecycle.Trigger) -> nodes.row:
        row = nodes.row()
        cause = trigger.cause
        name = nodes.literal(text=cause.name)
        link = pending_xref(
            "",
            name,
            refdomain="py",
            reftype="attr",
            reftarget=f"kraken_trio.Cause.{cause.name}",
            refdoc=self.env.docname,
            refwarn=True,
        )
        when = " (nothing wanted)" if trigger is lifecycle.Trigger.CONNECTED_IDLE else ""
        row += nodes.entry("", nodes.paragraph("", "", link, nodes.Text(when)))
        for state in self.columns:
            verdict = TRANSITIONS[state, trigger]
            text: nodes.Node
            if isinstance(verdict, ConnectionState):
                text = nodes.strong(text=f"→ {verdict.name}")
            else:
                text = nodes.inline(text="stays" if verdict is Verdict.STAYS else "—")
            row += nodes.entry("", nodes.paragraph("", "", text))
        return row


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("lifecycle-diagram", LifecycleDiagram)
    app.add_directive("lifecycle-table", LifecycleTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
