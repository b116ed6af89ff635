"""What a killed recorder, and one whose disk was full, leave behind. ``crash.py`` does it more often."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.storage import crash

if TYPE_CHECKING:
    from pathlib import Path


async def test_kill_minus_nine_leaves_all_that_was_whole(tmp_path: Path) -> None:
    found = await crash.kill_often(tmp_path / "data", 3, seed=3, flush_every=0.05)
    assert found.kills == 3
    assert found.frames > 0
    assert found.unfinished >= 1


async def test_a_disk_that_is_full_leaves_a_hole_that_is_marked(tmp_path: Path) -> None:
    with ExitStack() as stack:
        try:
            stack.enter_context(crash.small_disk(tmp_path, "400k"))
        except OSError as error:
            pytest.skip(str(error))
        found = await crash.fill(tmp_path)
    assert found.failure == os.strerror(28)
    assert found.events_meanwhile >= 1000
    assert found.dropped_frames > 0
    assert found.holes >= 1
    assert found.frames == found.recorded
