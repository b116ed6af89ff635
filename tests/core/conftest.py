"""These tests compare the compiled core with the pure code, so they need it."""

from __future__ import annotations

import pytest

from kraken_trio.book import core


@pytest.fixture(autouse=True, scope="session")
def _built() -> None:
    if core.load is None:
        pytest.skip("the compiled core is not here: it was not built, or KRAKEN_TRIO_PURE is set")
