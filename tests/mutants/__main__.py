"""Break each rule of ``table.py`` in a copy of the package, and see which test notices.

``python -m tests.mutants`` takes all, ``python -m tests.mutants gap`` those with "gap" in the name. What killed them is
written to ``killed.md``. If one survives, it ends with 1.

The test that killed a mutant the last time is run first, and nearly always nothing else needs to be. As many are tried
at a time as there are processors.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tests.mutants.table import MUTANTS, Mutant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "kraken_trio"
RESULT = Path(__file__).with_name("killed.md")
COPIED = (PACKAGE, "tests", "conftest.py", "pyproject.toml")
TEST_LIMIT = 60
"""Seconds for one test. One that a mutant makes hang is ended by this, and has killed it: so it is well above what a
busy machine needs."""
HANGING_LIMIT = 20
"""Seconds for one that is known to hang."""

_PASSED, _FAILED = 0, 1
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_BEGUN = re.compile(r"^(tests/\S+::(?:(?! (?:PASSED|SKIPPED) ).)+?) *$", re.MULTILINE)  # and not ended
_HANGS = "Timeout ("  # faulthandler's first word
_HUNG = " (it hangs)"
_ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| `(.+)` \|$", re.MULTILINE)
_END_OF_TEST = re.compile(r"[\[ ].*")  # its parameters, and what happened
_HEAD = """\
# What killed each mutant

Written by `nox -s mutants`. The rules that are broken, and how: `table.py`.

| mutant | what a user would suffer | killed by |
|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Does a test notice a broken rule?")
    parser.add_argument("words", nargs="*", help="only mutants with one of these in their name")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if any(word in mutant.name for word in options.words or [""])]
    if not chosen:
        print(f"no mutant has {' or '.join(map(repr, options.words))} in its name")
        return 2
    known = _recorded()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = _copies(Path(folder), max(1, options.jobs), {test for mutant in chosen for test in mutant.tests})
        found = _try_all(copies, chosen, known)
        broken = _broken(copies, {_test(killer) for killer in found.values() if killer})
    for test in sorted(broken):
        print(f"fails without any mutant, and so kills none: {test}")
    found = {name: None if killer is None or _test(killer) in broken else killer for name, killer in found.items()}
    survivors = [name for name, killer in found.items() if killer is None]
    print(f"\n{len(found) - len(survivors)} of {len(found)} mutants killed")
    for name in survivors:
        print(f"  SURVIVED: {name}")
    _record(found)
    return 1 if survivors else 0


def _recorded() -> dict[str, str]:
    return dict(_ROW.findall(RESULT.read_text(encoding="utf-8"))) if RESULT.exists() else {}


def _test(killer: str) -> str:
    """The test function, with all of its parameters."""
    return _END_OF_TEST.sub("", killer)


def exists(test: str) -> bool:
    """Is there such a file, or such a test in such a file? As far as the text tells."""
    name, function = f"{test}::".split("::")[:2]
    path = REPOSITORY / name
    return path.is_file() and re.search(rf"\b{function}\b", path.read_text(encoding="utf-8")) is not None


def _record(found: Mapping[str, str | None]) -> None:
    """Write down what killed these, and keep what is written of the others."""
    killed = _recorded() | {name: killer and _cell(killer) for name, killer in found.items()}
    rows = [f"| {one.name} | {one.why} | `{killed[one.name]}` |\n" for one in MUTANTS if killed.get(one.name)]
    RESULT.write_text(_HEAD + "".join(rows), encoding="utf-8")


def _cell(killer: str) -> str:
    return killer.replace("|", "\\|").replace("`", "'")


def _copies(folder: Path, number: int, tests: Iterable[str]) -> list[Path]:
    """Copies of what is needed, compiled: that takes half of a short run's time."""
    first, *others = (folder / str(index) for index in range(number))
    first.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, first / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, first / name)
    status, output = _pytest(first, ["--collect-only", *sorted(tests)], keep_bytecode=True)
    if status != _PASSED:
        sys.exit(f"the tests cannot be collected:\n{output}")
    for copy in others:
        shutil.copytree(first, copy)
    return [first, *others]


def _try_all(copies: Iterable[Path], mutants: Iterable[Mutant], known: Mapping[str, str]) -> dict[str, str | None]:
    """What killed each, by its name."""
    idle: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        idle.put(copy)

    def trial(mutant: Mutant) -> tuple[str, str | None]:
        copy = idle.get()
        try:
            return mutant.name, _trial(copy, mutant, known.get(mutant.name))
        finally:
            idle.put(copy)

    with ThreadPoolExecutor(idle.qsize()) as pool:
        return dict(pool.map(trial, mutants))


def _broken(copies: Sequence[Path], killers: Iterable[str]) -> set[str]:
    """Those that fail anyway, and so have killed nothing."""
    tests = sorted(killers)
    shares = [tests[number :: len(copies)] for number in range(min(len(copies), len(tests)))]
    broken: set[str] = set()
    with ThreadPoolExecutor(len(copies)) as pool:
        for status, output in pool.map(partial(_pytest, stop=False), copies, shares):
            broken.update(_test(failure[1]) for failure in _FAILURE.finditer(output))
            if status not in {_PASSED, _FAILED}:
                sys.exit(f"what has killed mutants cannot be run without them:\n{output}")
    return broken


def _trial(copy: Path, mutant: Mutant, known: str | None) -> str | None:
    """What killed it; None if it lives."""
    path, mutated = mutant.apply(copy / PACKAGE)
    source, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutated, encoding="utf-8")
    os.utime(path, (times.st_atime, times.st_mtime + 10))  # never taken for the one that was compiled
    began = time.monotonic()
    try:
        killer = None
        if known is not None and exists(_test(known)):
            limit = HANGING_LIMIT if known.endswith(_HUNG) else TEST_LIMIT
            killer = _killer(copy, mutant.name, [_test(known)], limit)
        for is_file in (False, True):  # single tests first: pytest would take them when it comes by
            tests = [test for test in mutant.tests if is_file is ("::" not in test)]
            killer = killer or (_killer(copy, mutant.name, tests) if tests else None)
    finally:
        path.write_text(source, encoding="utf-8")
        os.utime(path, (times.st_atime, times.st_mtime))
    print(f"{time.monotonic() - began:6.1f} s  {mutant.name:<60}  {killer or 'SURVIVED'}", flush=True)
    return killer


def _killer(copy: Path, name: str, tests: Sequence[str], limit: int = TEST_LIMIT) -> str | None:
    """Which of these tests fails."""
    status, output = _pytest(copy, tests, limit=limit)
    failure, hanging = _FAILURE.search(output), _BEGUN.search(output)
    if status == _PASSED:
        return None
    if status == _FAILED and failure is not None:
        return failure[1]
    if _HANGS in output and hanging is not None:
        return f"{hanging[1]}{_HUNG}"
    sys.exit(f"{name!r}: pytest could not run (status {status}):\n{output}")


def _pytest(
    copy: Path, tests: Sequence[str], *, stop: bool = True, keep_bytecode: bool = False, limit: int = TEST_LIMIT
) -> tuple[int, str]:
    # Without recordings, and with examples that follow from the code: the same everywhere. Without the compiled core,
    # which has none of the mutants. And no bytecode of a mutant is kept.
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "" if keep_bytecode else "1",
        "HYPOTHESIS_PROFILE": "unshrunk",
        "KRAKEN_TRIO_CAPTURES": str(copy / "none"),
        "KRAKEN_TRIO_PURE": "1",
    }
    options = ["-x"] if stop else []
    options += ["-v", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={limit}"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, f"{done.stdout}\n{done.stderr}"


if __name__ == "__main__":
    sys.exit(main())
