"""Rows of cells in a given width. Cells that do not fit are left out and counted, never truncated."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import attrs
from rich.text import Text

from kraken_trio.cli.formatting import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cell", "Column", "columns", "first_fit", "fitted"]

Cell: TypeAlias = tuple[str | Decimal, str]
"""A text or a number, and a style."""


@attrs.frozen
class Column:
    """A column of cells: its name, its alignment, and its width in characters."""

    name: str
    width: int
    """0 if no cell has content."""
    least: int | None = None
    """The narrowest width that is still useful, because numbers get a unit in it; None: no less than ``width``."""
    align: str = ">"


def first_fit(width: int, *candidates: str) -> str:
    """The first of ``candidates`` that is not longer than ``width``, or nothing."""
    return next((text for text in candidates if len(text) <= width), "")


def fitted(value: Decimal, width: int) -> str:
    """``value``, right-aligned in ``width`` characters; a dot if it does not fit."""
    return (shortened(value, width) or "·").rjust(width)  # mutant: whole numbers


def columns(wanted: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> tuple[list[Text], int]:
    """The rows as lines, and how many columns were left out. The first columns matter most."""
    granted: list[tuple[int, Column]] = []
    left_out = 0
    for index, column in enumerate(wanted):
        size = min(column.width, width)
        if size < (column.width if column.least is None else column.least):
            left_out += 1
        elif size:
            granted.append((index, attrs.evolve(column, width=size)))
            width -= size + 1
    return [Text(" ").join(_cell(*row[index], column) for index, column in granted) for row in rows], left_out


def _cell(content: str | Decimal, style: str, column: Column) -> Text:
    if isinstance(content, Decimal):
        return Text(fitted(content, column.width), style)
    return Text(f"{first_fit(column.width, content, '·'):{column.align}{column.width}}", style)
