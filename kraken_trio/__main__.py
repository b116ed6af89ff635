"""The command ``kraken-trio``, and ``python -m kraken_trio``. What it does is in :mod:`kraken_trio.cli`."""

from __future__ import annotations

import sys

from kraken_trio._interrupted import STOPPED, has_ended, is_imported

__all__ = ["main"]

_EXTRA = ("click", "rich")


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        return _run()
    finally:
        has_ended()


def _run() -> int:
    try:
        from kraken_trio.cli.app import run  # noqa: PLC0415 (what it needs is an extra, which may be missing)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        print(f"kraken-trio: {missing} is not installed: pip install 'kraken-trio[cli]'", file=sys.stderr)  # noqa: T201 (click may be missing)
        return 2
    except KeyboardInterrupt:  # importing takes a while
        print("stopped", file=sys.stderr)  # noqa: T201 (click may be missing)
        return STOPPED
    is_imported()
    return run()


if __name__ == "__main__":
    sys.exit(main())
