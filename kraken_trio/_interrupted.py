"""Ctrl-C while the command ``kraken-trio`` is still being imported, or has just ended: one line, as at any other time.

It stands below everything else, because the package is imported before any of the command's own code can run. In all
other programs it changes nothing.
"""

from __future__ import annotations

import itertools
import os
import sys

TYPE_CHECKING = False  # typing takes a while to import, in which this would not be there yet
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Final

__all__ = ["STOPPED", "ignore_from_now_on", "is_command", "tell_in_one_line"]

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


def tell_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What is done about an exception that nobody has handled, in the place of ``sys.excepthook``."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    try:
        os.write(2, b"stopped\n")
    finally:
        os._exit(STOPPED)


def ignore_from_now_on() -> None:
    """The command has ended; what Python tidies up then is nobody's to stop, and would be told with a traceback."""
    if _IS_COMMAND:
        import signal  # noqa: PLC0415 (see above)

        signal.signal(signal.SIGINT, signal.SIG_IGN)


_IS_COMMAND: Final = is_command(getattr(sys, "argv", ()), sys.orig_argv)
if _IS_COMMAND:
    sys.excepthook = tell_in_one_line
