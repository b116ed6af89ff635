"""The version of the installed package, looked up when it is asked for: that is slow, and rarely needed."""

from __future__ import annotations

__all__ = ["version"]


def version() -> str:
    """The version; ``unknown`` in a source tree that was never installed."""
    from importlib.metadata import PackageNotFoundError, version as of  # noqa: PLC0415 (see above)

    try:
        return of("kraken-trio")
    except PackageNotFoundError:
        return "unknown"
