"""``kraken-trio demo``: its options, and its report. The demo itself is in :mod:`.play`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click
from rich.table import Table
from rich.text import Text

from kraken_trio.cli.formatting import counted
from kraken_trio.cli.running import Output, output, plain_option, positive_duration, run_and_exit

if TYPE_CHECKING:
    from kraken_trio.cli.play import Outcome

__all__ = ["demo", "report"]

SECONDS = (3.0, 600.0)
"""The shortest demo with all faults; and the longest, because a demo keeps everything in memory."""


@click.command(short_help="See recovery from faults, without a network.")
@click.option(
    "--seconds",
    type=click.FloatRange(*SECONDS),
    default=20.0,
    metavar="SECONDS",
    callback=positive_duration,
    help=f"Duration: {SECONDS[0]:g} to {SECONDS[1]:g} seconds.  [default: 20]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the market: same seed, same prices.")
@plain_option
def demo(seconds: float, seed: int, *, plain: bool) -> None:
    """Show recovery from faults, against a fake exchange inside this program.

    The exchange listens on a loopback socket, and a client subscribes to three order books and their trades. The
    exchange then refuses a symbol, leaves out an update, and drops the connection. At the end, everything the
    exchange sent is compared with everything the client yielded.

    Exit status: 0 if every promise held, 1 if one was broken, 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio demo
      kraken-trio demo --seconds 60 --seed 7
      kraken-trio demo --plain > demo.txt
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    from kraken_trio.cli.play import run_demo  # noqa: PLC0415 (the exchange takes long to import, and only this needs it)

    stream, screen = output(plain=plain)

    async def start() -> int:
        outcome = await run_demo(seconds=seconds, seed=seed, stream=stream, screen=screen)
        report(outcome, stream)
        return 0 if outcome.held else 1

    run_and_exit(start)


def report(outcome: Outcome, stream: TextIO) -> None:
    """The numbers, and each promise with its evidence."""
    now, verdicts = outcome.statistics, outcome.verdicts
    console = Output(file=stream)
    numbers = (
        f"{outcome.board.elapsed:.0f} s: {counted(now.events, 'event')} over {counted(now.connects, 'connection')}",
        f"{counted(now.checksums_verified, 'checksum')} verified",
        counted(now.checksum_failures, "mismatch", "mismatches"),
        counted(now.gaps, "gap"),
    )
    console.print(Text(", ".join(numbers), "bold"))
    table = Table.grid(padding=(0, 2, 0, 0))
    for verdict in verdicts:
        word = Text("  held", "bold green") if verdict.held else Text("  BROKEN", "bold red")
        table.add_row(word, Text.assemble(verdict.promise, "\n", (verdict.evidence, "bright_black")))
    console.print(table)
    broken = sum(not verdict.held for verdict in verdicts)
    if broken:
        console.print(Text(f"{broken} of {counted(len(verdicts), 'promise')} broken", "bold red"))
    else:
        console.print(Text("every promise held", "bold green"))
