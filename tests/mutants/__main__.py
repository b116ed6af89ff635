"""Break each rule of ``table.py`` in a copy of the package, and see which test notices.

``python -m tests.mutants`` takes all, ``python -m tests.mutants gap`` those with "gap" in the name. What killed them is
written to ``killed.md``, unless one survives: then it ends with 1.
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
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.table import MUTANTS, Mutant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).with_name("killed.md")
COPIED = ("kraken_trio", "tests", "conftest.py", "pyproject.toml")
TEST_LIMIT = 120
"""Seconds for one test. One that a mutant makes hang is ended by this, and has killed it: so it is well above what a
busy machine needs."""

_PASSED, _FAILED = 0, 1
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_BEGUN = re.compile(r"^(tests/\S+::(?:(?! (?:PASSED|SKIPPED) ).)+?) *$", re.MULTILINE)  # and not ended
_HANGS = "Timeout ("  # faulthandler's first word
_ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| `(.+)` \|$", re.MULTILINE)
_HEAD = """\
# What killed each mutant

Written by `nox -s mutants`. The rules that are broken, and how: `table.py`.

| mutant | what a user would suffer | killed by |
|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Does a test notice a broken rule?")
    parser.add_argument("word", nargs="?", default="", help="only mutants with this in their name")
    word = parser.parse_args().word
    chosen = [mutant for mutant in MUTANTS if word in mutant.name]
    if not chosen:
        print(f"no mutant has {word!r} in its name")
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = _copy(Path(folder))
        _check_baseline(copy, chosen)
        killers = {mutant: _trial(copy, mutant) for mutant in chosen}
    survivors = [mutant.name for mutant, killer in killers.items() if killer is None]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants killed")
    for name in survivors:
        print(f"  SURVIVED: {name}")
    if not survivors:
        _record({mutant.name: killer for mutant, killer in killers.items() if killer is not None})
    return 1 if survivors else 0


def _record(killers: dict[str, str]) -> None:
    """Write down what killed these, and keep what is written of the others."""
    known = RESULT.read_text(encoding="utf-8") if RESULT.exists() else ""
    killed = dict(_ROW.findall(known)) | {name: _cell(killer) for name, killer in killers.items()}
    rows = [f"| {one.name} | {one.why} | `{killed[one.name]}` |\n" for one in MUTANTS if one.name in killed]
    RESULT.write_text(_HEAD + "".join(rows), encoding="utf-8")


def _cell(killer: str) -> str:
    return killer.replace("|", "\\|").replace("`", "'")


def _copy(folder: Path) -> Path:
    copy = folder / "checkout"
    copy.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


def _check_baseline(copy: Path, mutants: Iterable[Mutant]) -> None:
    """A test that fails anyway kills nothing."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    status, output = _pytest(copy, tests)
    if status != _PASSED:
        sys.exit(f"the tests fail without any mutant:\n{output}")


def _trial(copy: Path, mutant: Mutant) -> str | None:
    """What killed it; None if it lives."""
    path = copy / "kraken_trio" / mutant.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.text) != 1:
        sys.exit(f"{mutant.name!r}: its text stands {source.count(mutant.text)} times in {mutant.file}, not once")
    path.write_text(source.replace(mutant.text, mutant.replacement), encoding="utf-8")
    began = time.monotonic()
    try:
        status, output = _pytest(copy, mutant.tests)
    finally:
        path.write_text(source, encoding="utf-8")
    seconds = time.monotonic() - began
    failure, hanging = _FAILURE.search(output), _BEGUN.search(output)
    if status == _PASSED:
        killer = None
    elif status == _FAILED and failure is not None:
        killer = failure[1]
    elif _HANGS in output and hanging is not None:
        killer = f"{hanging[1]} (it hangs)"
    else:
        sys.exit(f"{mutant.name!r}: pytest could not run (status {status}):\n{output}")
    print(f"{seconds:6.1f} s  {mutant.name:<50}  {killer or 'SURVIVED'}", flush=True)
    return killer


def _pytest(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    # Without recordings, and with examples that follow from the code: the same everywhere. And no bytecode is kept that
    # could be taken for that of the next mutant.
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "unshrunk",
        "KRAKEN_TRIO_CAPTURES": str(copy / "none"),
    }
    options = ["-x", "-v", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={TEST_LIMIT}"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, f"{done.stdout}\n{done.stderr}"


if __name__ == "__main__":
    sys.exit(main())
