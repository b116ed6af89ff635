"""Play many frames with the compiled core and by the pure code: for a build with sanitizers, and for a long night.

``python -m tests.core.stress --frames 200000 --seed 1``. The stories are those of ``test_twins.py``; between them,
frames that are nearly right are read one by one. It raises where the two differ, and prints the seed of that story.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from kraken_trio.book import core
from tests.core.direct import Direct
from tests.core.market import Market, Tape, mutated
from tests.core.twins import play_books, play_sessions

STORY_BYTES = 2_000
MUTANTS = 200
"""Frames that are nearly right, per story."""


def read_mutants(data: bytes, frames: int = MUTANTS) -> Counter[str]:
    """Have a table read frames that are nearly right. Raises :class:`AssertionError` where it takes one wrongly."""
    tape, counts = Tape(data), Counter[str]()
    market = Market(tape, "A/B", 25)
    direct = Direct(market.snapshot())
    if direct.books["A/B"].core is None:
        return counts
    frame = market.update(tape)
    while not tape.is_over and counts["mutants"] < frames:
        counts["mutants"] += 1
        if direct.takes(mutated(frame, tape)):
            counts["mutants taken"] += 1
            direct.renew()
    assert direct.are_as_they_were()
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.core.stress", description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000, help="how many, at least (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first story (%(default)s)")
    options = parser.parse_args()
    if core.load is None:
        print("the compiled core is not here")
        return 2
    counts, seed, began = Counter[str](), options.seed, time.monotonic()
    while counts["frames"] + counts["mutants"] + counts["events"] < options.frames:
        rng = random.Random(seed)
        try:
            counts += play_sessions(rng.randbytes(STORY_BYTES)).counts
            counts += Counter({"events": play_books(rng.randbytes(STORY_BYTES // 2)).counts["events"]})
            for _ in range(3):
                counts += read_mutants(rng.randbytes(STORY_BYTES // 2))
        except BaseException:
            print(f"seed {seed}", file=sys.stderr)
            raise
        counts["stories"] += 1
        seed += 1
    print(f"{time.monotonic() - began:.0f} s: {dict(sorted(counts.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
