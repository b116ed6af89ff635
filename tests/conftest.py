"""What all tests share: how hard Hypothesis tries, and where the recordings are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# Wall-clock deadlines fail on a busy machine and say nothing about the code.
settings.register_profile("dev", max_examples=50, deadline=None)
# In CI the same commit gives the same result: the examples follow from the test's own code.
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
# For `nox -s mutants`: that a test fails is all it wants to know.
settings.register_profile("unshrunk", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate])
# Before a release, or overnight: `pytest --hypothesis-profile=thorough`.
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
# An explicit --hypothesis-profile is applied after this, and wins.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

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
