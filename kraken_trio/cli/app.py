"""The commands of ``kraken-trio``: their options, their help and their exit statuses.

Exit statuses: 0 all is well; 1 it is not, and one line on standard error (or the report) says why; 2 the command was
not understood; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import math
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click
import trio
from rich.console import Console

from kraken_trio.cli.live import run_until_signal, wants_screen
from kraken_trio.cli.verify import STDIN, verify_files
from kraken_trio.cli.watch import CHANNELS, requests_for, watch
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.errors import ConnectError, KrakenTrioError, SubscriptionRejected, printable
from kraken_trio.requests import DEPTHS, INTERVALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["cli", "run"]

STOPPED = 128 + signal.SIGINT
DEMO_SECONDS = (3.0, 600.0)
"""The shortest demo in which everything can happen; and the longest, because a demo remembers all of it."""


def run() -> int:
    """The command line of this process. It leaves by :class:`SystemExit`, mostly."""
    try:
        cli(prog_name="kraken-trio")
    except KeyboardInterrupt:  # before a command could take care of it, or after
        return STOPPED
    return 0


def _seconds(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        msg = f"{value} is no length of time"
        raise click.BadParameter(msg)
    return value


_plain = click.option("--plain", is_flag=True, help="Print lines, even on a terminal.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kraken-trio", prog_name="kraken-trio")
def cli() -> None:
    """Kraken market data: verified order books that survive disconnects.

    \b
    Examples:
      kraken-trio demo                             see it recover from faults, without a network
      kraken-trio watch BTC/USD ETH/USD            live books and trades from Kraken
      kraken-trio verify monday.cbcap              check every checksum of a recording
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)


@cli.command()
@click.option("--seconds", type=click.FloatRange(*DEMO_SECONDS), default=20.0, show_default=True, callback=_seconds)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the market: the same one moves the same way.")
@_plain
def demo(seconds: float, seed: int, *, plain: bool) -> None:
    """Show recovery at work, against an exchange inside this program.

    A fake exchange on a real loopback socket, and a client of it. While you watch three order books, the exchange
    refuses a symbol, leaves out an update, and drops the connection. At the end everything that the exchange
    sent is compared with everything that the client said.

    Exit status: 0 if every promise held, 1 if one was broken (which one is said), 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio demo
      kraken-trio demo --seconds 60 --seed 7
      kraken-trio demo --plain > demo.txt
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    from kraken_trio.cli.demo import run_demo  # noqa: PLC0415 (the exchange is for this command only)

    stream, screen = _output(plain=plain)

    async def start() -> int:
        return await run_demo(seconds=seconds, seed=seed, stream=stream, screen=screen)

    _trio(start)


@cli.command("watch")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...")
@click.option(
    "--channel",
    "channels",
    type=click.Choice(CHANNELS),
    multiple=True,
    default=("book", "trades"),
    help="What to watch; may be given several times.  [default: book, trades]",
)
@click.option(
    "--depth",
    type=click.Choice([str(depth) for depth in DEPTHS]),
    default="10",
    show_default=True,
    help="Levels per side of the books.",
)
@click.option(
    "--interval",
    type=click.Choice([str(minutes) for minutes in INTERVALS]),
    default="1",
    show_default=True,
    help="Minutes per candle.",
)
@click.option("--url", default=PUBLIC_V2.url, show_default=True, help="Any server that speaks Kraken's v2 protocol.")
@click.option("--seconds", type=float, callback=_seconds, help="Stop after so long.  [default: at Ctrl-C]")
@_plain
def watch_command(
    symbols: tuple[str, ...],
    channels: tuple[str, ...],
    depth: str,
    interval: str,
    url: str,
    seconds: float | None,
    *,
    plain: bool,
) -> None:
    """Watch SYMBOLs live: order books, trades, tickers, candles.

    Every book that is shown is verified: its checksum was checked after every message. A lost connection is made
    again, and what was missed is said.

    Exit status: 0 after --seconds, 1 if it cannot begin or go on, 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio watch BTC/USD
      kraken-trio watch BTC/USD ETH/USD --depth 100
      kraken-trio watch BTC/EUR --channel ticker --channel candles --interval 5
      kraken-trio watch BTC/USD --channel trades --plain --seconds 60
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    stream, screen = _output(plain=plain)
    try:
        requests = requests_for(symbols, channels, depth=int(depth), interval=int(interval), history=screen)
    except ValueError as error:
        raise click.BadParameter(printable(error), param_hint="SYMBOL") from None
    click.echo(f"connecting to {printable(url.partition('?')[0])} (Ctrl-C stops)", err=True)

    async def start() -> int:
        return await watch(requests, url, seconds=seconds, stream=stream, screen=screen)

    _trio(start)


@cli.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="FILE..."
)
@click.option(
    "--depth",
    type=click.Choice([str(depth) for depth in DEPTHS]),
    help="Of books whose subscription is not in the recording.  [default: the smallest that the snapshot fits in]",
)
def verify(files: tuple[str, ...], depth: str | None) -> None:
    """Check every checksum in recordings of Kraken's v2 protocol.

    Each frame of each FILE goes through the decoding and checking of a live client. A FILE is a .cbcap, or has one
    frame per line, with or without its time before it ("1785644622.17: {...}"); - is the standard input.

    Exit status: 0 if every checksum was verified; 1 if one was not, if a frame makes no sense, if a file is cut
    off, or if there is no checksum in it.

    \b
    Examples:
      kraken-trio verify monday.cbcap tuesday.cbcap
      kraken-trio verify --depth 100 frames.jsonl
      zcat frames.jsonl.gz | kraken-trio verify -
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    try:
        good = verify_files(files, depth=None if depth is None else int(depth), out=Console(), err=Console(stderr=True))
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(STOPPED)
    sys.exit(0 if good else 1)


def _output(*, plain: bool) -> tuple[TextIO, bool]:
    stream = sys.stdout
    return stream, not plain and wants_screen(stream)


def _trio(start: Callable[[], Awaitable[int]]) -> Any:
    """Run it, and leave with its status; what can go wrong becomes one line."""
    try:
        status = trio.run(run_until_signal, start)
    except KeyboardInterrupt:
        status = STOPPED
    except SubscriptionRejected as error:
        msg = f"{_refused(error)}. Check the spelling, and that the exchange trades it."
        raise click.ClickException(msg) from None
    except ConnectError as error:
        raise click.ClickException(str(error)) from None
    except KrakenTrioError as error:
        raise click.ClickException(str(error)) from None
    if status == STOPPED:
        click.echo("stopped", err=True)
    sys.exit(status)


def _refused(error: SubscriptionRejected) -> str:
    channels: dict[tuple[str, str], list[str]] = {}
    for request, text in error.reasons.items():
        channels.setdefault((request.symbol or "", printable(text)), []).append(request.channel or "")
    parts = (f"{symbol} ({', '.join(names)}): {text}" for (symbol, text), names in channels.items())
    return f"the exchange refused {'; '.join(parts)}"


assert STDIN == "-"  # what click calls it
