"""pyarrow, which is an extra: the one place that imports it."""

from __future__ import annotations

from typing import Any

try:
    import pyarrow  # noqa: ICN001 (`pa` is the name with a type)
    import pyarrow.parquet
except ImportError as _error:  # pragma: no cover (the tests take it away from a process of its own)
    _msg = "kraken_trio.export needs pyarrow: pip install 'kraken-trio[export]'"
    raise ImportError(_msg) from _error

__all__ = ["pa", "pq"]

pa: Any = pyarrow
"""It has no types."""
pq: Any = pyarrow.parquet
