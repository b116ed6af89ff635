"""This version reads what earlier ones have recorded: event for event, as they did."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from kraken_trio.recording import records
from tests.corpus.make import CORPUS, DIGESTS, LOGS, digest
from tests.recorded import FRAMES, read as read_log

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = json.loads(DIGESTS.read_text())


def test_each_log_has_its_digest() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.name[0].isdigit()} == set(DIGEST) == set(LOGS)


@pytest.mark.parametrize("name", sorted(DIGEST))
def test_a_log_of_an_earlier_version_is_read_as_it_was(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(CORPUS / name, tmp_path / name)
    assert digest(folder) == DIGEST[name]


def test_they_have_everything_that_may_stand_in_a_log() -> None:
    """So that a kind which is added is added here."""
    said: set[str] = set()
    for name in LOGS:
        for message in read_log(CORPUS / name).messages:
            if message.channel not in FRAMES:
                entry = records.read(message.data)
                said.add("unknown" if entry is None else type(entry).__name__)
    known = {cls.__name__ for cls in records.Entry.__args__}
    assert said == known | {"unknown"}


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*.mcap")) <= 30 * 1024
