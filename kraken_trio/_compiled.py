"""The compiled modules beside pure ones, where they were built.

They are missing where the package was built without a C compiler, or for a free-threaded Python. The environment
variable ``KRAKEN_TRIO_PURE=1`` turns them off. A program cannot tell which code runs, but by its speed, and by
``Client.statistics().core``.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

__all__ = ["compiled"]

_IS_TURNED_OFF: Final = os.environ.get("KRAKEN_TRIO_PURE", "") not in ("", "0")


def compiled(name: str) -> Any:
    """The compiled module of this name; None if there is none, or it is not to be used."""
    if _IS_TURNED_OFF:
        return None
    try:
        return import_module(name)
    except ImportError:
        return None
