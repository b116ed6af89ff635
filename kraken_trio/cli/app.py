"""The command group ``kraken-trio``. Each command is a file of its own in this package."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from kraken_trio import __version__
from kraken_trio.book.core import NAME as CORE
from kraken_trio.cli.audit import audit
from kraken_trio.cli.demo import demo
from kraken_trio.cli.doctor.command import doctor_command
from kraken_trio.cli.export import export_command
from kraken_trio.cli.formatting import ASCII_FALLBACK
from kraken_trio.cli.importing import import_command
from kraken_trio.cli.info import info
from kraken_trio.cli.log import log_option
from kraken_trio.cli.output import forgiving
from kraken_trio.cli.record import record_command
from kraken_trio.cli.relay import relay_command
from kraken_trio.cli.replay import replay_command
from kraken_trio.cli.running import STOPPED, ending_well
from kraken_trio.cli.stream import stream_command
from kraken_trio.cli.verify import verify
from kraken_trio.cli.watch import watch_command

__all__ = ["cli", "run"]


def run() -> int:
    """The command line of this process. It usually exits by :class:`SystemExit`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed: then nobody wants to read it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
        elif name == "stderr":
            sys.stderr = forgiving(sys.stderr)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=ASCII_FALLBACK)
    try:
        cli(prog_name="kraken-trio")
    except KeyboardInterrupt:  # before a command could handle it, or after
        return STOPPED
    return 0


class _Commands(click.Group):
    """Lists its commands in the order in which they were added; lets all of them log, and end, alike."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params.append(log_option("text") if cmd is relay_command else log_option())
        super().add_command(cmd, name)

    def make_context(self, *args: Any, **named: Any) -> click.Context:
        with ending_well():
            return super().make_context(*args, **named)

    def invoke(self, ctx: click.Context) -> Any:
        with ending_well():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kraken-trio", message=f"%(prog)s %(version)s ({CORE} core)")
def cli() -> None:
    """Kraken market data: verified order books that survive disconnects.

    \b
    Examples:
      kraken-trio demo
      kraken-trio watch BTC/USD ETH/USD
      kraken-trio record BTC/USD --out data
      kraken-trio audit data/
      kraken-trio verify monday.cbcap

    "kraken-trio COMMAND --help" explains a command.

    Exit status: 0 done; 1 failed; 2 wrong usage, or no room for the output; 130 after Ctrl-C, 143 after SIGTERM; 141 if
    nobody reads the output any more. "audit" and "doctor" tell their verdict: 0 good, 1 not quite, 2 bad.
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)


for _command in (
    demo,
    watch_command,
    record_command,
    replay_command,
    info,
    audit,
    export_command,
    verify,
    import_command,
    doctor_command,
    relay_command,
    stream_command,
):
    cli.add_command(_command)
