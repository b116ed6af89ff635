"""Texts that a peer may send and a terminal must not get."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

import attrs
import msgspec
from hypothesis import strategies as st

NASTY = (
    "\x1b[2J\x1b[31m",  # clears the screen, and paints
    "\x1b]0;title\x07",  # sets the window's title
    "\x9b2J",  # the same as the first, with C1's introducer
    "one\r\ntwo\x0bthree",  # forges a line of a log
    "\u202egnp.exe\u2066",  # turns the direction of reading
    "\u2028\u2029\x85",  # ends lines, for some
    "\x00\x08\x7f",
    "[bold red]x[/]",  # rich's markup
    "\u200b\ufeff\U000e0041",  # cannot be seen
    "x" * 5_000,
)
"""One of each sort."""

texts = st.lists(
    st.sampled_from(NASTY) | st.text(st.characters(blacklist_categories=["Cs"]), max_size=5), min_size=1, max_size=4
).map("".join)
"""Any, with those among them."""

LONGEST = 1_000
"""Nothing that is said to a person is longer."""


def said(value: object) -> Iterator[str]:
    """Every text in a value: events, errors, statistics, whatever they hold."""
    if isinstance(value, Enum):
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseException):
        yield str(value)
        yield from said(vars(value))
        yield from "".join(traceback.format_exception(value)).split("\n")
    elif isinstance(value, Mapping):
        yield from said(list(value.keys()))
        yield from said(list(value.values()))
    elif isinstance(value, Iterable):
        for one in value:
            yield from said(one)
    elif isinstance(value, msgspec.Struct):
        yield from said([getattr(value, name) for name in value.__struct_fields__])
        yield str(value)
        yield repr(value)
    elif attrs.has(type(value)):
        fields = attrs.fields(type(value))  # type: ignore[arg-type]  # mypy forgets what the line above says
        yield from said([getattr(value, field.name) for field in fields])
        yield str(value)
        yield repr(value)


def check(value: object) -> None:
    """All of it may be printed."""
    for text in said(value):
        assert text.isprintable(), ascii(text)
