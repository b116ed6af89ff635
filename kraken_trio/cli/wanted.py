"""What ``watch`` and ``record`` are asked for on the command line: requests, the endpoint that serves them, the key.

One connection serves market data, single orders (Level 3), or an account: a command line asks for one of these.
"""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs
import click

from kraken_trio import (
    LEVEL3_V2,
    PRIVATE_V1,
    PRIVATE_V2,
    PUBLIC_V1,
    PUBLIC_V2,
    Balances,
    Book,
    Candles,
    Credentials,
    Endpoint,
    Executions,
    Instruments,
    Level3,
    SubscriptionState,
    Ticker,
    Trades,
)
from kraken_trio._text import printable
from kraken_trio.requests import DEPTHS, INTERVALS, LEVEL3_DEPTHS, canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kraken_trio import Client, Request
    from kraken_trio.requests import Depth, Interval, Level3Depth

    _Decorator: TypeAlias = Callable[[Callable[..., object]], Callable[..., object]]

__all__ = ["CHANNELS", "Wanted", "are_refused", "read_credentials", "requests_for", "wanted_options"]

CHANNELS: Final = ("book", "trades", "ticker", "candles")
_USUAL: Final = ("book", "trades")
_SYMBOLS: Final = "SYMBOL"


@attrs.frozen(kw_only=True)
class Wanted:
    """What a command line asks for."""

    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    """Those that were named; none for the usual ones."""
    level3: bool
    executions: bool
    balances: bool
    depth: int
    interval: int
    protocol: str
    url: str | None
    rest: str | None
    key_file: str | None

    @property
    def is_private(self) -> bool:
        """Whether it is about an account."""
        return self.executions or self.balances

    def check(self) -> None:
        """Raise :class:`click.UsageError` for what does not go together."""
        if self.is_private and (self.symbols or self.channels or self.level3):
            msg = (
                "--executions and --balances are of the whole account, and come over a connection of their own: "
                "leave out SYMBOLs, --level3 and --channel"
            )
            raise click.UsageError(msg)
        if self.level3 and self.channels:
            msg = "--level3 comes over a connection of its own: leave out --channel"
            raise click.UsageError(msg)
        if self.level3 and self.depth not in LEVEL3_DEPTHS:
            offered = ", ".join(map(str, LEVEL3_DEPTHS))
            msg = f"Kraken offers single orders for {offered} prices per side, not for {self.depth}"
            raise click.BadParameter(msg, param_hint="--depth")
        if self.level3 and self.protocol == "v1":
            msg = "v1 has no single orders: leave out --level3 or --protocol"
            raise click.UsageError(msg)
        if not (self.symbols or self.is_private):
            raise click.MissingParameter(param_type="argument", param_hint=f"'{_SYMBOLS}...'")
        if not self.endpoint.needs_token:
            if self.rest is not None or self.key_file is not None:
                msg = "--rest and --key-file are for --level3, --executions and --balances: nothing else needs a key"
                raise click.UsageError(msg)
        elif self.url is not None and self.rest is None:
            msg = "--url needs --rest, too: from there comes the token that is sent to the URL"
            raise click.UsageError(msg)

    @property
    def endpoint(self) -> Endpoint:
        """Where to connect to."""
        if self.level3:
            endpoint = LEVEL3_V2
        elif self.is_private:
            endpoint = PRIVATE_V1 if self.protocol == "v1" else PRIVATE_V2
        else:
            endpoint = PUBLIC_V1 if self.protocol == "v1" else PUBLIC_V2
        if self.url is not None:
            endpoint = attrs.evolve(endpoint, url=self.url)
        return endpoint if self.rest is None else attrs.evolve(endpoint, rest=self.rest)

    def requests(self, *, history: bool) -> list[Request]:
        """The requests. ``history``: begin with the latest trades, or fills. Raises :class:`click.BadParameter`."""
        if self.is_private:
            executions = [Executions(history=history)] if self.executions else []
            return [*executions, *([Balances()] if self.balances else [])]
        channels = ["level3"] if self.level3 else list(self.channels or _USUAL)
        try:
            found = requests_for(
                self.symbols,
                [channel for channel in channels if channel != "instruments"],
                depth=cast("Depth", self.depth),  # click has checked them
                interval=cast("Interval", self.interval),
                history=history,
            )
        except ValueError as error:
            raise click.BadParameter(printable(error), param_hint=_SYMBOLS) from None
        return [*found, *([Instruments()] if "instruments" in channels else [])]

    def credentials(self) -> Credentials | None:
        """The API key, if one is needed. Raises :class:`click.ClickException`."""
        return read_credentials(self.key_file) if self.endpoint.needs_token else None


def read_credentials(key_file: str | None) -> Credentials:
    """The API key of Kraken in this file, or in the environment. Raises :class:`click.ClickException`."""
    try:
        if key_file is not None:
            return Credentials.from_file(Path(key_file).expanduser())
        return Credentials.from_env()
    except OSError as error:
        msg = f"the key file {printable(key_file)} cannot be read: {error.strerror or printable(error)}"
        raise click.ClickException(msg) from None
    except ValueError as error:
        msg = str(error) if key_file is not None else f"{error} (or name a file with the key: --key-file)"
        raise click.ClickException(msg) from None


def are_refused(client: Client, requests: Iterable[Request]) -> bool:
    """Whether the exchange refuses all of these, which the client wants."""
    wanted = client.statistics().subscriptions
    return all(request in wanted and wanted[request].state is SubscriptionState.REFUSED for request in requests)


def requests_for(
    symbols: Iterable[str], channels: Iterable[str], *, depth: Depth, interval: Interval, history: bool
) -> list[Request]:
    """The requests of a command line, without duplicates. ``history``: begin with the latest trades.

    Raises :class:`ValueError` for what is not a symbol.
    """
    wanted: dict[Request, None] = {}
    for symbol in dict.fromkeys(map(canonical_symbol, symbols)):
        for channel in channels:
            if channel == "book":
                wanted[Book(symbol, depth)] = None
            elif channel == "level3":
                wanted[Level3(symbol, cast("Level3Depth", depth))] = None
            elif channel == "trades":
                wanted[Trades(symbol, snapshot=history)] = None
            elif channel == "ticker":
                wanted[Ticker(symbol)] = None
            else:
                wanted[Candles(symbol, interval)] = None
    return list(wanted)


def wanted_options(verb: str, *channels: str) -> _Decorator:
    """Give a command the argument ``SYMBOL...`` and the options that say what to ``verb``, and from where.

    The command is called with ``wanted``, which has been checked.
    """
    parts: list[_Decorator] = [
        click.argument("symbols", nargs=-1, metavar=f"[{_SYMBOLS}...]"),
        click.option(
            "--channel",
            "channels",
            type=click.Choice(channels),
            multiple=True,
            help=f"What to {verb}; may be repeated.  [default: {', '.join(_USUAL)}]",
        ),
        click.option("--level3", is_flag=True, help="The single orders of the SYMBOLs instead. Needs an API key."),
        click.option("--executions", is_flag=True, help="Own orders and fills. Needs an API key."),
        click.option("--balances", is_flag=True, help="Own balances. Needs an API key."),
        _number("--depth", DEPTHS, 10, "Levels per side of the books."),
        _number("--interval", INTERVALS, 1, "Minutes per candle."),
        click.option(
            "--key-file",
            metavar="FILE",
            help="A file with an API key, which only you can read.  [default: the environment variables "
            "KRAKEN_API_KEY and KRAKEN_API_SECRET]",
        ),
        click.option(
            "--protocol",
            type=click.Choice(["v2", "v1"]),
            default="v2",
            show_default=True,
            help="Kraken's protocol: v1 is the older one.",
        ),
        click.option("--url", metavar="URL", help="A server that speaks this protocol.  [default: Kraken's]"),
        click.option("--rest", metavar="URL", help="The REST interface that takes the API key.  [default: Kraken's]"),
    ]

    def decorate(command: Callable[..., object]) -> Callable[..., object]:
        @wraps(command)
        def call(**given: Any) -> object:
            fields = {field.name: given.pop(field.name) for field in attrs.fields(Wanted)}
            wanted = Wanted(**{**fields, "depth": int(fields["depth"]), "interval": int(fields["interval"])})
            wanted.check()
            return command(wanted=wanted, **given)

        decorated: Callable[..., object] = call
        for part in reversed(parts):
            decorated = part(decorated)
        return decorated

    return decorate


def _number(name: str, values: Iterable[int], default: int, words: str) -> _Decorator:
    kind = click.Choice([str(value) for value in values])
    return click.option(name, type=kind, default=str(default), show_default=True, help=words)
