"""``kraken-trio replay``: a recording in the live view, or served to any client in the exchange's own protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

import click
import trio

from kraken_trio import Balances, Executions, Lifecycle
from kraken_trio._address import parse_address
from kraken_trio._text import printable
from kraken_trio.cli.formatting import counted
from kraken_trio.cli.log import say
from kraken_trio.cli.running import exposing, metrics_option, output, plain_option, run_and_exit
from kraken_trio.cli.view.board import Board, Kind
from kraken_trio.cli.view.live import display
from kraken_trio.cli.watch import overflow_for, summary
from kraken_trio.errors import ConnectError, KrakenTrioError
from kraken_trio.replay import open_replay
from kraken_trio.requests import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio import ReplayClient, Request

__all__ = ["replay_command", "serve", "view"]

_OF_ACCOUNT: Final = (Executions, Balances)
_CAPACITY: Final = 16_384
_BATCH: Final = 1024


def _speed(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    """A positive factor; None for ``max``."""
    if value == "max":
        return None
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        msg = f"{printable(value, 40)} is no speed: a positive factor such as 10, or max"
        raise click.BadParameter(msg)
    return speed


@click.command("replay", short_help="Show a recording, or serve it to any client.")
@click.argument("folder", type=click.Path(exists=True), metavar="FOLDER")
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--start", metavar="TIME", help="Begin here: 2026-11-29T12:00:00Z.  [default: at its beginning]")
@click.option("--end", metavar="TIME", help="End before this time.  [default: at its end]")
@click.option(
    "--speed", callback=_speed, default="1", show_default=True, help="A factor; max: as fast as it is received."
)
@click.option("--serve", "url", metavar="URL", help="Serve it there, such as ws://127.0.0.1:8080 (port 0: any).")
@metrics_option
@plain_option
def replay_command(
    folder: str,
    symbols: tuple[str, ...],
    start: str | None,
    end: str | None,
    speed: float | None,
    url: str | None,
    metrics_port: int | None,
    *,
    plain: bool,
) -> None:
    """Show the recording in FOLDER as "watch" shows the exchange; or serve it.

    With --serve, any client of Kraken's v2 protocol can connect to the URL (and to its path /v2), and gets what was
    recorded as if it came from the exchange: answers, snapshots as of then, updates, and a heartbeat each second. The
    clock starts when the first clients have subscribed, and stands while nobody has. What was not recorded is refused.
    Where the recording has a gap, the client's connection is closed (code 1012), so that it connects again. With
    --speed max no data are left out for a client that is slow. At the end all connections are closed (code 1001).

    Exit status: 0 at the end of the recording; 1 if it cannot be read, or is damaged; 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio replay data/ --speed 10
      kraken-trio replay data/ BTC/USD --start 2026-11-29T12:00:00Z
      kraken-trio replay data/ --serve ws://127.0.0.1:8080 --speed max
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    stream, screen = output(plain=plain)
    if url is not None:
        if symbols:
            msg = "--serve serves everything that was recorded: a client says which symbols it wants"
            raise click.UsageError(msg)
        host, port = _listening_at(url)

    async def start_it() -> int:
        async with (
            open_replay(folder, start, end, speed, paused=url is not None) as client,
            exposing(client, metrics_port, say),
        ):
            if url is not None:
                await serve(client, host, port)
            else:
                await view(client, folder, _chosen(client, symbols), stream=stream, screen=screen)
            damage = client.replay.damage
        for one in damage:
            say(f"damaged: {printable(one, 400)}", "command_warns")
        return 1 if damage else 0

    try:
        run_and_exit(start_it)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _listening_at(url: str) -> tuple[str, int]:
    try:
        address = parse_address(url if not url.endswith(":0") else f"{url[:-1]}1")
    except ConnectError as error:
        raise click.BadParameter(str(error), param_hint="--serve") from None
    if address.secure or address.target not in ("/", "/v2"):
        msg = f"{printable(url, 200)}: only ws://HOST:PORT can be served, without encryption and at no other path"
        raise click.BadParameter(msg, param_hint="--serve")
    return address.host, 0 if url.endswith(":0") else address.port


def _chosen(client: ReplayClient, symbols: tuple[str, ...]) -> list[Request]:
    """What to show: the latest variant of each channel and symbol. Raises :class:`ValueError` if that is nothing."""
    wanted = {canonical_symbol(symbol) for symbol in symbols}
    chosen = {
        (request.channel, request.symbol): request
        for request in client.replay.requests
        if (request.symbol in wanted if wanted else request.symbol is not None or isinstance(request, _OF_ACCOUNT))
    }
    missing = wanted - {symbol for _, symbol in chosen}
    if missing or not chosen:
        there = ", ".join(sorted({request.symbol for request in client.replay.requests if request.symbol}))
        what = ", ".join(sorted(missing)) or "anything that can be shown"
        msg = f"{what} was not recorded; there is: {there or 'nothing'}"
        raise ValueError(msg)
    return list(chosen.values())


async def view(client: ReplayClient, folder: str, requests: Sequence[Request], *, stream: TextIO, screen: bool) -> None:
    """Show it until its end."""
    board = Board("replay", folder, requests)
    started = trio.current_time()
    async with client.subscribe(*requests, Lifecycle(), capacity=_CAPACITY, overflow=overflow_for(requests)) as feed:

        def refresh() -> None:
            now = client.replay.now
            board.title = f"replay {now:%Y-%m-%d %H:%M:%S} UTC" if now is not None else "replay"
            board.sample(client.statistics(), feed, trio.current_time() - started)

        try:
            async with display(board, refresh, stream, screen=screen, tell_trades=True):
                async for events in feed.batches(_BATCH):
                    board.take(events)
                board.note(Kind.NOTE, "the recording has ended")
        finally:
            stream.write(f"{summary(board, client, feed)}\n")


async def serve(client: ReplayClient, host: str, port: int) -> None:
    """Serve it until its end."""
    from kraken_trio.cli.serving.server import serving  # noqa: PLC0415 (the exchange takes long to import)

    try:
        async with serving(client, host, port) as (url, server):
            count = counted(len(client.replay.requests), "subscription")
            click.echo(f"serving {count} at {url} (Ctrl-C stops)")
            await server.ended.wait()
            await server.say_goodbye()
    except OSError as error:
        msg = f"cannot listen at {host}, port {port}: {error.strerror or error}"
        raise KrakenTrioError(msg) from error
