"""What all tests share: where the recordings are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kraken_trio._compiled import compiled

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Stop where compiled modules are of older sources: an editable install does not build them anew by itself."""
    for name in ("kraken_trio.book._core", "kraken_trio.transport._frames"):
        module = compiled(name)
        source = module and Path(module.__file__).with_name(f"{name.rpartition('.')[2]}.pyx")
        if source and source.is_file() and source.stat().st_mtime > Path(module.__file__).stat().st_mtime:
            pytest.exit(f"{module.__file__} is older than {source.name}: run pip install -e '.[dev]' again", 2)


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of real Kraken recordings, which is no part of the repository.

    It is looked for at ``$KRAKEN_TRIO_CAPTURES``, then beside the repository.
    """
    folder = Path(os.environ.get("KRAKEN_TRIO_CAPTURES") or REPOSITORY.parent / "shared" / "captures")
    if not folder.is_dir():
        pytest.skip(f"the recordings are not here: there is no folder {folder} (set KRAKEN_TRIO_CAPTURES)")
    return folder


@pytest.fixture(scope="session")
def recorded_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small recording: see :mod:`tests.day`. To be read only."""
    from tests import day

    folder = tmp_path_factory.mktemp("day")
    day.make(folder)
    return folder
