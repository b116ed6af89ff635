"""The command group ``kraken-trio``. Each command is a file of its own in this package."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

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
from kraken_trio.cli.record import record_command
from kraken_trio.cli.replay import replay_command
from kraken_trio.cli.running import STOPPED, leave
from kraken_trio.cli.verify import verify
from kraken_trio.cli.watch import watch_command

__all__ = ["cli", "run"]

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def run() -> int:
    """The command line of this process. It usually exits by :class:`SystemExit`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed: then nobody wants to read it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=ASCII_FALLBACK)
    try:
        cli(prog_name="kraken-trio")
    except KeyboardInterrupt:  # before a command could handle it, or after
        return STOPPED
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
        # What Python's buffer still holds would fail again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return click.UsageError.exit_code  # a verdict of audit and doctor is another one
    return 0


class _Commands(click.Group):
    """Lists its commands in the order in which they were added, and lets all of them end alike after Ctrl-C."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # else click says "Aborted!", with another status
            leave(STOPPED)


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
):
    cli.add_command(_command)
