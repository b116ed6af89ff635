"""Break rules of the compiled core, one at a time, and see that ``tests/core`` notices.

``python -m tests.mutants.compiled`` takes all, ``python -m tests.mutants.compiled undo`` those with "undo" in the name.
Each is compiled anew, which takes most of the time: it needs Cython and a C compiler. A mutant that ends Python, as an
assertion of a debug build does, is killed. If one survives, the command ends with 1.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Final

import attrs

__all__ = ["MUTANTS", "SOURCE", "CompiledMutant"]

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = Path("kraken_trio/book/_core.pyx")
COPIED: Final = ("kraken_trio", "tests", "conftest.py", "pyproject.toml")
TEST_SECONDS: Final = 120
FRAMES, TWINS, LEAKS = (f"tests/core/test_{name}.py" for name in ("frames", "twins", "leaks"))
UNDO: Final = (f"{FRAMES}::test_how_many_levels_may_enter_and_leave_at_once", f"{TWINS}::test_full_windows", LEAKS)


@attrs.frozen
class CompiledMutant:
    """One broken rule."""

    name: str
    why: str
    """What a user would suffer."""
    old: str
    """Stands in the source once."""
    new: str
    tests: tuple[str, ...]
    """What must fail; the first one that does ends the trial."""


MUTANTS: Final = (
    CompiledMutant(
        "undo no insertion",
        "a level of a message that was refused stays in the book",
        "            if change.kind == INSERTED:\n                _remove(side, change.at)\n",
        "            if change.kind == INSERTED:\n                continue\n",
        UNDO,
    ),
    CompiledMutant(
        "undo no removal",
        "a level that a refused message removed, or pushed out of the window, is missing",
        "                _insert(side, change.at, change.key, &change.old)\n                continue\n",
        "                continue\n",
        UNDO,
    ),
    CompiledMutant(
        "undo no replacement",
        "a level has the quantity of a message that was refused",
        "                _replace(side, change.at, &change.old)\n            Py_DECREF(level)\n",
        "                continue\n            Py_DECREF(level)\n",
        UNDO,
    ),
    CompiledMutant(
        "tenth level inserted unnoticed",
        "a right checksum is taken for a wrong one, or the other way round",
        "    side.held[side.first + at] = held[0]\n    side.touched |= at < CHECKED\n\n\ncdef void _replace",
        "    side.held[side.first + at] = held[0]\n    side.touched |= at < CHECKED - 1\n\n\ncdef void _replace",
        (f"{FRAMES}::test_which_levels_the_checksum_covers",),
    ),
    CompiledMutant(
        "tenth level replaced unnoticed",
        "the same",
        "    side.held[side.first + at] = held[0]\n    side.touched |= at < CHECKED\n\n\ncdef void _remove",
        "    side.held[side.first + at] = held[0]\n    side.touched |= at < CHECKED - 1\n\n\ncdef void _remove",
        (f"{FRAMES}::test_which_levels_the_checksum_covers",),
    ),
    CompiledMutant(
        "tenth level removed unnoticed",
        "the same",
        "    side.count -= 1\n    side.touched |= at < CHECKED\n",
        "    side.count -= 1\n    side.touched |= at < CHECKED - 1\n",
        (f"{FRAMES}::test_which_levels_the_checksum_covers",),
    ),
    CompiledMutant(
        "short search ends early",
        "a level is put in the wrong place",
        "        high = 8  #",
        "        high = 7  #",
        (f"{TWINS}::test_full_windows",),
    ),
    CompiledMutant(
        "one level too many is kept",
        "levels that the exchange does not report any more are shown",
        "        while side.count > self.depth:",
        "        while side.count > self.depth + 1:",
        (f"{TWINS}::test_full_windows", TWINS),
    ),
    CompiledMutant(
        "equal best prices are not crossed",
        "a crossed book says that it is not",
        "~bids.keys[bids.first] >= asks.keys[asks.first]",
        "~bids.keys[bids.first] > asks.keys[asks.first]",
        (f"{TWINS}::test_long_stories_of_two_books", TWINS),
    ),
    CompiledMutant(
        "any six characters are microseconds",
        "a malformed frame raises, or is taken",
        " or moment.micro < 0:",
        ":",
        (f"{FRAMES}::test_timestamps",),
    ),
    CompiledMutant(
        "every fourth year is a leap year",
        "a date that does not exist raises",
        "moment.year % 4 == 0 and (moment.year % 100 != 0 or moment.year % 400 == 0)",
        "moment.year % 4 == 0",
        (f"{FRAMES}::test_timestamps",),
    ),
    CompiledMutant(
        "twenty digits",
        "a number overflows, and another price is changed",
        "            if at - begin == MAX_DIGITS:",
        "            if at - begin == MAX_DIGITS + 1:",
        (f"{FRAMES}::test_the_numbers_that_are_taken",),
    ),
    CompiledMutant(
        "scaling overflows",
        "another price is changed",
        " or row.price > (<uint64_t> -1) / _powers[places]:",
        ":",
        (f"{FRAMES}::test_the_prices_that_are_taken",),
    ),
    CompiledMutant(
        "leading zeros are hashed",
        "no checksum of a price below 1 is right",
        "            size += number != 0\n",
        "            size += 1\n",
        (f"{TWINS}::test_most_updates_of_a_story_are_compiled", TWINS),
    ),
    CompiledMutant(
        "zero is no removal if it has decimals",
        "removed levels stay in the book",
        "row.removes = value == 0",
        "row.removes = value == 0 and decimals == 0",
        (f"{FRAMES}::test_one_byte_is_another", LEAKS),
    ),
    CompiledMutant(
        "leading zeros of a checksum",
        "what is no JSON is taken",
        " or (begin[0] == c'0' and at - begin > 1):",
        ":",
        (f"{FRAMES}::test_checksums",),
    ),
    CompiledMutant(
        "a core that was left is used",
        "a book is applied to that nobody reads any more",
        " and not (<Core> kept).is_left:",
        ":",
        (f"{FRAMES}::test_a_core_that_its_book_has_left_is_not_used_again",),
    ),
    CompiledMutant(
        "old view of bids",
        "a program reads an old book",
        "        if bids:\n            self.bids_view = None",
        "        if asks:\n            self.bids_view = None",
        (f"{TWINS}::test_what_can_be_read_is_kept_until_it_changes",),
    ),
    CompiledMutant(
        "replaced levels are never freed",
        "memory grows with every update",
        "            if _changes[index].kind != INSERTED:\n",
        "            if _changes[index].kind == REMOVED:\n",
        (f"{LEAKS}::test_nothing_is_left_behind",),
    ),
    CompiledMutant(
        "unsorted levels are loaded",
        "levels cannot be found again",
        "            if index and key <= side.keys[side.first + index - 1]:",
        "            if index and key < side.keys[side.first + index - 1]:",
        (f"{LEAKS}::test_nothing_is_left_behind",),
    ),
)


def compile_core(copy: Path) -> None:
    """Compile the source that is there, with assertions, as quickly as can be."""
    code = (copy / SOURCE).with_suffix(".c")
    subprocess.run([sys.executable, "-m", "cython", "-3", str(copy / SOURCE), "-o", str(code)], check=True)
    module = (copy / SOURCE).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-shared", "-fPIC", "-O0", "-UNDEBUG", "-w", f"-I{sysconfig.get_path('include')}"]
    subprocess.run([*compiler, *flags, str(code), "-o", str(module)], check=True)


def failure(copy: Path, tests: tuple[str, ...]) -> str | None:
    """What fails of these; None if nothing does."""
    environment = os.environ | {"PYTHONPATH": str(copy), "HYPOTHESIS_PROFILE": "unshrunk", "KRAKEN_TRIO_PURE": ""}
    for test in tests:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", test]
        command += ["-o", f"faulthandler_timeout={TEST_SECONDS}"]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        if " skipped" in done.stdout and " passed" not in done.stdout:
            sys.exit(f"{test} does not run:\n{done.stdout}")
        if done.returncode > 1:
            sys.exit(f"{test} cannot be run:\n{done.stdout}{done.stderr}")
        if done.returncode:
            names = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED")]
            return names[0] if names else f"{test} (ends with {done.returncode})"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.compiled", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name")
    words = parser.parse_args().words or [""]
    chosen = [mutant for mutant in MUTANTS if any(word in mutant.name for word in words)]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = REPOSITORY / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.c")
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy2(source, copy / name)
        right = (copy / SOURCE).read_text(encoding="utf-8")
        compile_core(copy)
        if found := failure(copy, tuple({test: None for mutant in chosen for test in mutant.tests})):
            sys.exit(f"fails without any mutant, and so kills none: {found}")
        for mutant in chosen:
            began = time.monotonic()
            (copy / SOURCE).write_text(right.replace(mutant.old, mutant.new), encoding="utf-8")
            compile_core(copy)
            killer = failure(copy, mutant.tests)
            survivors += [mutant.name] * (killer is None)
            print(f"{time.monotonic() - began:6.1f} s  {mutant.name:<55}  {killer or 'SURVIVED'}", flush=True)
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
