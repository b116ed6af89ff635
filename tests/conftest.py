"""What all tests share: where the recordings are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real Kraken recordings, which is no part of the repository.

    It is looked for at ``$KRAKEN_TRIO_CAPTURES``, then beside the repository.
    """
    folder = Path(os.environ.get("KRAKEN_TRIO_CAPTURES") or REPOSITORY.parent / "shared" / "captures")
    if not folder.is_dir():
        pytest.skip(f"the recordings are not here: there is no folder {folder} (set KRAKEN_TRIO_CAPTURES)")
    return folder
