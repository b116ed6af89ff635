"""Zstandard: of the standard library from Python 3.14 on, before that of its backport."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):  # pragma: no cover (a Python has one of the two: the backport ends where this begins)
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
