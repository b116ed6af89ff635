"""What is to be exported, and how: checked, and compared with what a recording holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import attrs

from kraken_trio import Book, Request, Trades
from kraken_trio.export.errors import ExportError
from kraken_trio.export.files import DEFAULT_DECIMALS
from kraken_trio.export.tables import CHANNELS, TABLES
from kraken_trio.export.times import shown, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.export.times import Time

__all__ = ["FORMATS", "Format", "Options", "Plan", "options_of", "plan_of", "why_empty"]

Format: TypeAlias = Literal["parquet", "csv", "tardis", "hftbacktest", "nautilus"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_TABLES_OF: Final[dict[Format, tuple[str, ...]]] = {
    "parquet": TABLES,
    "csv": TABLES,
    "tardis": ("trades", "book_updates", "book_snapshots", "quotes"),
    "hftbacktest": ("trades", "book_updates"),
    "nautilus": ("trades", "book_updates", "quotes"),
}
"""What each format can hold."""
_LEAST_INTERVAL_NS: Final = 1_000_000
"""A millisecond: 86 million rows a day."""
_SECOND_NS: Final = 10**9
_MOST_LEVELS: Final = 1000
"""As many as the deepest book has."""
_SHOWN: Final = 8
"""Requests that a message lists."""
_MOST_DECIMALS: Final = 38
"""The digits of a ``decimal128``."""


@attrs.frozen(kw_only=True)
class Options:
    """How to export. Times are in nanoseconds; ``interval_ns`` is 0 for every change."""

    to: Format = "parquet"
    tables: tuple[str, ...] = TABLES
    symbols: tuple[str, ...] | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    floats: bool = False
    decimals: int = DEFAULT_DECIMALS
    levels: int = 10
    interval_ns: int = _SECOND_NS
    depth: int | None = None
    chosen: bool = False
    """Whether the program chose tables or channels."""

    def identity(self) -> dict[str, Any]:
        """What must be the same for two exports into one folder."""
        return {
            "to": self.to,
            "tables": list(self.tables),
            "symbols": None if self.symbols is None else list(self.symbols),
            "floats": self.floats,
            "decimals": self.decimals,
            "levels": self.levels,
            "interval_ns": self.interval_ns,
            "depth": self.depth,
        }


def options_of(
    *,
    to: str = "parquet",
    tables: Iterable[str] | None = None,
    channels: Iterable[str] | None = None,
    symbols: Iterable[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    floats: bool = False,
    decimals: int = DEFAULT_DECIMALS,
    levels: int = 10,
    interval: float | None = None,
    depth: int | None = None,
) -> Options:
    """The arguments of a program, checked: raises :class:`ValueError` for what can never be right."""
    if to not in FORMATS:
        msg = f"to={to!r}: the formats are {', '.join(FORMATS)}"
        raise ValueError(msg)
    form: Format = to
    known = _TABLES_OF[form]
    if tables is not None and channels is not None:
        msg = "choose tables or channels, not both"
        raise ValueError(msg)
    chosen = _chosen(tables, channels, form)
    start_ns, end_ns = time_of(start, "start"), time_of(end, "end")
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        msg = f"there is nothing between start, {shown(start_ns)}, and end, {shown(end_ns)}"
        raise ValueError(msg)
    _whole("levels", levels, 1, _MOST_LEVELS)
    _whole("decimals", decimals, 0, _MOST_DECIMALS)
    default = 0 if to == "tardis" else _SECOND_NS
    interval_ns = default if interval is None else round(interval * _SECOND_NS)
    if interval_ns and interval_ns < _LEAST_INTERVAL_NS:
        msg = f"interval={interval!r}: at least 0.001 seconds, or 0 for every change"
        raise ValueError(msg)
    return Options(
        to=form,
        # Everything but tardis' snapshots, which are twenty columns and more on every change: ask for them.
        tables=chosen or tuple(name for name in known if (to, name) != ("tardis", "book_snapshots")),
        symbols=None if symbols is None else tuple(dict.fromkeys(Trades(symbol).symbol for symbol in _listed(symbols))),
        start_ns=start_ns,
        end_ns=end_ns,
        floats=floats,
        decimals=decimals,
        levels=levels,
        interval_ns=interval_ns,
        depth=depth,
        chosen=chosen is not None,
    )


def _listed(names: Iterable[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else tuple(names)


def _whole(name: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        msg = f"{name}={value!r}: a whole number from {least} to {most}"
        raise ValueError(msg)


def _chosen(tables: Iterable[str] | None, channels: Iterable[str] | None, to: Format) -> tuple[str, ...] | None:
    known = _TABLES_OF[to]
    if channels is not None:
        names: set[str] = {"gaps"} & set(known)
        for channel in _listed(channels):
            if channel == "level3":
                msg = "Level 3 has no tables: read its events with read_events"
                raise ValueError(msg)
            if channel not in CHANNELS:
                msg = f"{channel!r} is no channel: there are {', '.join(CHANNELS)}"
                raise ValueError(msg)
            names |= set(CHANNELS[channel]) & set(known)
            if not names & set(CHANNELS[channel]):
                msg = f"{to} has no table for the channel {channel}"
                raise ValueError(msg)
        return tuple(name for name in known if name in names)
    if tables is None:
        return None
    asked = _listed(tables)
    for name in asked:
        if name not in known:
            msg = f"{name!r} is no table of {to}: there are {', '.join(known)}"
            raise ValueError(msg)
    return tuple(name for name in known if name in asked)


@attrs.frozen
class Plan:
    """What of a recording is exported."""

    requests: tuple[Request[Any], ...]
    depths: dict[str, int]
    """Of each book."""
    symbols: tuple[str, ...]
    tables: frozenset[str]


def plan_of(recorded: Sequence[Request[Any]], options: Options) -> Plan:
    """Choose among what was recorded. Raises :class:`ExportError` if nothing is left, and says why."""
    holds = _described(recorded)
    if not recorded:
        msg = "nothing to export: nothing was recorded"
        raise ExportError(msg)
    wanted = _channels_of(options)
    fitting = [request for request in recorded if request.channel in wanted]
    if not fitting:
        what = ", ".join(options.tables)
        msg = f"nothing to export: {what} need the channel {' or '.join(sorted(wanted))}; recorded is {holds}"
        raise ExportError(msg)
    if options.symbols is not None:
        missing = set(options.symbols) - {request.symbol for request in fitting}
        if missing:
            msg = f"{', '.join(sorted(missing))} was not recorded; recorded is {_described(fitting)}"
            raise ExportError(msg)
        fitting = [request for request in fitting if request.symbol in {None, *options.symbols}]
    fitting = _one_depth_each(fitting, options.depth)
    depths: dict[str, int] = {request.symbol: request.depth for request in fitting if isinstance(request, Book)}
    symbols = tuple(dict.fromkeys(request.symbol for request in fitting if request.symbol is not None))
    return Plan(tuple(fitting), depths, symbols, frozenset(options.tables))


def why_empty(plan: Plan, options: Options, span: tuple[int, int] | None, events: int) -> str:
    """Why there is nothing, though so many events were exported; ``span`` is when the recording began and ended."""
    if events:
        tables = ", ".join(name for name in options.tables if name in plan.tables)
        what = f"nothing to export: {events} events were read, but none gives a row of {tables}"
    else:
        requests = ", ".join(sorted({str(request.channel) for request in plan.requests}))
        what = f"nothing to export: of {requests}"
        if plan.symbols:
            what += f" ({', '.join(plan.symbols[:_SHOWN])})"
        what += " there are no events"
        if options.start_ns is not None:
            what += f" from {shown(options.start_ns)}"
        if options.end_ns is not None:
            what += f" until {shown(options.end_ns)}"
    if span is not None:
        what += f"; the recording goes from {shown(span[0])} until {shown(span[1])}"
    return what


def _channels_of(options: Options) -> set[str]:
    tables = set(options.tables)
    if tables == {"gaps"}:
        return set(CHANNELS)
    wanted = {channel for channel, names in CHANNELS.items() if tables & set(names)}
    if options.to == "nautilus":
        wanted.add("instrument")  # which knows the precision of prices
    return wanted


def _one_depth_each(requests: Sequence[Request[Any]], depth: int | None) -> list[Request[Any]]:
    depths: dict[str, list[int]] = {}
    for request in requests:
        if isinstance(request, Book):
            depths.setdefault(request.symbol, []).append(request.depth)
    for symbol, found in depths.items():
        if depth is None and len(set(found)) > 1:
            said = " and ".join(map(str, sorted(set(found))))
            msg = f"the book of {symbol} was recorded with the depths {said}: choose one of them with depth"
            raise ExportError(msg)
        if depth is not None and depth not in found:
            said = " and ".join(map(str, sorted(set(found))))
            msg = f"the book of {symbol} was not recorded with depth {depth}, but with {said}"
            raise ExportError(msg)
    return [request for request in requests if not isinstance(request, Book) or depth in {None, request.depth}]


def _described(requests: Sequence[Request[Any]]) -> str:
    """What there is, for a message."""
    if not requests:
        return "nothing"
    channels: dict[str, list[str]] = {}
    for request in requests:
        if request.channel is not None:
            channels.setdefault(request.channel, []).append(request.symbol or "all symbols")
    parts = []
    for channel, symbols in channels.items():
        names = list(dict.fromkeys(symbols))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        parts.append(f"{channel} of {', '.join(names[:_SHOWN])}{more}")
    return "; ".join(parts) or "the client's states"
