"""``kraken-trio stream``: what a relay publishes, in the view of ``watch``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from kraken_trio import Trades
from kraken_trio._text import printable
from kraken_trio.cli.brokers import broker_options, in_words_of_options
from kraken_trio.cli.log import say
from kraken_trio.cli.running import live_options, metrics_option, output, run_and_exit
from kraken_trio.cli.watch import show
from kraken_trio.relay.sources import parse_channels
from kraken_trio.requests import canonical_symbol
from kraken_trio.stream import open_stream

if TYPE_CHECKING:
    from kraken_trio import Request
    from kraken_trio.cli.brokers import Broker

__all__ = ["in_words", "requests_of", "stream_command"]

_USUAL: Final = "book:10,trades"


def requests_of(symbols: tuple[str, ...], channels: tuple[str, ...], *, history: bool) -> list[Request[Any]]:
    """The requests of a command line. ``history``: begin with the latest trades. Raises :class:`ValueError`."""
    wanted = parse_channels(channels or (_USUAL,))
    names = list(dict.fromkeys(map(canonical_symbol, symbols)))
    found = [one.request(name) for name in names for one in wanted if one.has_symbols]
    if not history:
        found = [Trades(request.symbol) if isinstance(request, Trades) else request for request in found]
    return [*found, *(one.request(None) for one in wanted if not one.has_symbols)]


_REQUEST: Final = re.compile(r"(\w+)\((?:symbol='([^']*)')?(?:(?:, )?\w+=('?)([^',()]*)\3)?\)")
_NAMES: Final = {
    "Book": "book", "Trades": "trades", "Ticker": "ticker", "Candles": "candles", "Level3": "level3",
    "Instruments": "instruments",
}  # fmt: skip


def in_words(text: str) -> str:
    """What there is instead, as it is written on a command line: ``book:10 of BTC/USD``."""

    def written(match: re.Match[str]) -> str:
        name, symbol, _, variant = match.groups()
        if name not in _NAMES:
            return match[0]
        of = f" of {symbol}" if symbol else ""
        return f"{_NAMES[name]}{'' if variant in {None, 'True', 'False'} else f':{variant}'}{of}"

    return _REQUEST.sub(written, text)


@click.command("stream", short_help="Watch what a relay publishes to NATS or Kafka.")
@broker_options("URL")
@click.argument("symbols", nargs=-1, metavar="SYMBOL...", required=True)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="NAME[:VARIANT],…",
    help="book:DEPTH, trades, ticker[:bbo], candles:MINUTES, level3:DEPTH, instruments; may be repeated.  "
    f"[default: {_USUAL}]",
)
@metrics_option
@live_options
def stream_command(
    broker: Broker,
    symbols: tuple[str, ...],
    channels: tuple[str, ...],
    seconds: float | None,
    metrics_port: int | None,
    *,
    plain: bool,
) -> None:
    """Watch SYMBOLs live that a relay publishes to the broker at URL ("kraken-trio relay").

    Every book that is shown is verified: its checksum is checked here again, after every message. What was lost on the
    way is shown as a gap. What nobody publishes is refused, with what is published.

    \b
    The login of the broker comes from the environment, or from files that it names:
      KRAKEN_BROKER_USER and _PASSWORD; _TOKEN; _NKEY_FILE; _CREDS_FILE

    Exit status: 0 after --seconds; 1 if the broker cannot be reached or nothing of that is published; 2 for a usage
    error; 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio stream nats://localhost BTC/USD
      kraken-trio stream kafka://broker/kraken BTC/USD ETH/USD --channel book:100,ticker
      kraken-trio stream nats://localhost BTC/USD --channel trades --plain --seconds 60
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    stream, screen = output(plain=plain)
    try:
        requests = requests_of(symbols, channels, history=screen)
    except ValueError as error:
        raise click.UsageError(printable(error)) from None
    engine = broker.engine()
    say(f"connecting to {broker.url} (Ctrl-C stops)")

    async def start() -> int:
        with in_words_of_options():
            return await show(
                open_stream(engine),
                requests,
                "stream",
                broker.url,
                seconds=seconds,
                stream=stream,
                screen=screen,
                metrics_port=metrics_port,
                peer="the broker",
                in_words=in_words,
            )

    run_and_exit(start, "this stream has not")
