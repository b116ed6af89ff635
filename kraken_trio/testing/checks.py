"""Validation of the arguments of this package's functions and classes.

A check takes the name and the value of an argument. It raises :class:`TypeError` for a value of the wrong type, and
:class:`ValueError` for any other invalid value; the message says what is valid. :func:`valid` makes it a validator
of attrs fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import attrs

__all__ = [
    "CHANNELS",
    "HOST",
    "Check",
    "any_of",
    "boolean",
    "connection",
    "count",
    "decimal_text",
    "epoch_ns",
    "function",
    "instance",
    "integer",
    "items",
    "number",
    "one_of",
    "optional",
    "port",
    "seconds",
    "seed",
    "span",
    "symbol",
    "text",
    "times",
    "valid",
    "wrong_type",
    "wrong_value",
]

Check: TypeAlias = Callable[[str, object], None]

CHANNELS: Final = ("book", "trade", "ticker", "ohlc", "instrument", "spread", "level3", "executions", "balances")
"""The channels of the fake exchange, of both protocols."""

_SYMBOL: Final = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
HOST: Final = re.compile(r"[^\s/]+")
"""The name or address of a host."""
_LONGEST: Final = 100


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def wrong_type(name: str, value: object, wanted: str) -> TypeError:
    """The error for a value of the wrong type."""
    return TypeError(f"{name}={_shown(value)}: {wanted}, and not {type(value).__name__}")


def wrong_value(name: str, value: object, wanted: str) -> ValueError:
    """The error for an invalid value."""
    return ValueError(f"{name}={_shown(value)}: {wanted}")


def _bounds(least: float, most: float, above: float | None) -> str:
    if above is not None:
        return f"more than {above:g}" + (f", at most {most:g}" if most < inf else "")
    if most < inf:
        return f"from {least:g} to {most:g}"
    return f"at least {least:g}" if least > -inf else "finite"


def number(*, least: float = -inf, most: float = inf, above: float | None = None) -> Check:
    """A finite number within these bounds."""
    wanted = f"a number, {_bounds(least, most, above)}"

    def check(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(name, value, wanted)
        if not (isfinite(value) and least <= value <= most and (above is None or value > above)):
            raise wrong_value(name, value, wanted)

    return check


def integer(*, least: int | None = None, most: int | None = None) -> Check:
    """A whole number within these bounds."""
    low, high = -inf if least is None else least, inf if most is None else most
    bounds = "" if low == -inf and high == inf else f", {_bounds(low, high, None)}"
    wanted = f"a whole number{bounds}"

    def check(name: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, value, wanted)
        if not low <= value <= high:
            raise wrong_value(name, value, wanted)

    return check


def text(wanted: str = "text", *, pattern: re.Pattern[str] | None = None) -> Check:
    """A ``str``, which matches the pattern as a whole."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, str):
            raise wrong_type(name, value, wanted)
        if pattern is not None and not pattern.fullmatch(value):
            raise wrong_value(name, value, wanted)

    return check


def decimal_text(*, decimals: int | None = None) -> Check:
    """A positive decimal number as text, with a limited number of decimals."""
    limit = "" if decimals is None else f" with at most {decimals} decimals"
    wanted = f'a positive decimal number{limit}, as text: "64525.0"'

    def check(name: str, value: object) -> None:
        if not isinstance(value, str):
            raise wrong_type(name, value, wanted)
        if not _DECIMAL.fullmatch(value) or not Decimal(value):
            raise wrong_value(name, value, wanted)
        places = len(value.rstrip("0").partition(".")[2]) if "." in value else 0
        if decimals is not None and places > decimals:
            raise wrong_value(name, value, wanted)

    return check


def boolean(name: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong_type(name, value, "True or False")


def one_of(*values: object) -> Check:
    """One of these values, and of the same type: 1 is not True."""
    wanted = "one of " + ", ".join(map(repr, values))

    def check(name: str, value: object) -> None:
        if not isinstance(value, tuple({type(allowed) for allowed in values})):
            raise wrong_type(name, value, wanted)
        if not any(type(value) is type(allowed) and value == allowed for allowed in values):
            raise wrong_value(name, value, wanted)

    return check


def instance(*kinds: type, wanted: str) -> Check:
    """An instance of one of these types."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, kinds):
            raise wrong_type(name, value, wanted)

    return check


def function(name: str, value: object) -> None:
    """A callable."""
    if not callable(value):
        raise wrong_type(name, value, "a function")


def optional(check: Check) -> Check:
    """None, or a value that the check allows."""

    def check_optional(name: str, value: object) -> None:
        if value is not None:
            try:
                check(name, value)
            except (TypeError, ValueError) as error:
                msg = f"{error}; or None"
                raise type(error)(msg) from None

    return check_optional


def any_of(*checks: Check) -> Check:
    """A value that one of the checks allows; the message is that of the last one."""

    def check_any(name: str, value: object) -> None:
        for check in checks[:-1]:
            try:
                check(name, value)
            except (TypeError, ValueError):
                continue
            return
        checks[-1](name, value)

    return check_any


def items(name: str, values: object, check: Check, wanted: str) -> tuple[Any, ...]:
    """An iterable (not a text) of items that the check allows."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong_type(name, values, wanted)
    found = tuple(values)
    for index, item in enumerate(found):
        check(f"{name}[{index}]", item)
    return found


def span(check: Check, wanted: str) -> Check:
    """Two values that the check allows, the least and the most."""

    def check_span(name: str, value: object) -> None:
        if not isinstance(value, tuple):
            raise wrong_type(name, value, wanted)
        if len(value) != 2:
            raise wrong_value(name, value, wanted)
        for item in value:
            try:
                check(name, item)
            except (TypeError, ValueError) as error:
                msg = f"{name}={_shown(value)}: {wanted}"
                raise type(error)(msg) from None
        if value[0] > value[1]:
            raise wrong_value(name, value, wanted)

    return check_span


# Used in several places

seconds: Final = number(least=0)
count: Final = integer(least=0)
times: Final = optional(integer(least=1))
"""The number of times a fault happens; None: until it is cleared."""
connection: Final = optional(integer(least=1))
"""A connection's number."""
seed: Final = integer()
epoch_ns: Final = integer(least=0, most=250_000_000_000 * 10**9)
"""A wall clock's nanoseconds since 1970."""
port: Final = integer(least=0, most=65535)
symbol: Final = text('a symbol like "BTC/USD"', pattern=_SYMBOL)


def valid(check: Check) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    """The check as a validator of an attrs field."""

    def validate(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        check(attribute.name, value)

    return validate
