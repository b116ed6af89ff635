"""Ctrl-C while the command ``kraken-trio`` is still being imported, or has just ended: one line, as at any other time.

It stands below everything else, because the package is imported before any of the command's own code can run. In all
other programs it changes nothing.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys

TYPE_CHECKING = False  # typing takes a while to import, in which this would not be there yet
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

__all__ = ["STOPPED", "has_ended", "is_command", "is_imported", "stop_at_once"]

STOPPED: Final = 128 + 2
"""The exit status after Ctrl-C."""


def is_command(argv: Sequence[str], of_python: Sequence[str]) -> bool:
    """Whether this is ``kraken-trio``, or ``python -m kraken_trio``, by ``sys.argv`` and ``sys.orig_argv``."""
    if not argv:
        return False
    if argv[0] == "-m":  # while the package is imported
        module = next((after for before, after in itertools.pairwise(of_python) if before == "-m"), "")
        return module == "kraken_trio"
    name = os.path.basename(argv[0])  # noqa: PTH119 (pathlib would have to be imported first)
    return name.removesuffix(".exe").removesuffix("-script.py") == "kraken-trio"


def stop_at_once(*_: object) -> None:
    """What Ctrl-C does while the command is imported: there is nothing to tidy up, and nobody to catch an exception."""
    try:
        os.write(2, b"stopped\n")
    finally:
        os._exit(STOPPED)


def is_imported() -> None:
    """From now on Ctrl-C raises :class:`KeyboardInterrupt`, as ever."""
    if signal.getsignal(signal.SIGINT) is stop_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def has_ended() -> None:
    """What Python tidies up after the command is nobody's to stop, and would be told with a traceback."""
    if _IS_COMMAND:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


_IS_COMMAND: Final = is_command(getattr(sys, "argv", ()), sys.orig_argv)
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as by nohup
    signal.signal(signal.SIGINT, stop_at_once)
