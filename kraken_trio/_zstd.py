"""Zstandard: of the standard library since Python 3.14, and of its backport before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:  # pragma: no cover (one of the two runs, whichever Python it is)
    from compression import zstd

__all__ = ["zstd"]
