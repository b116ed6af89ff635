"""Search for inputs that break a promise, guided by which branches they reach.

``python -m tests.fuzz session --seconds 600``. It needs atheris, which has not wheels for every Python, and says so.
What it finds is kept as a file, whose name it prints; ``--replay FILE`` runs that again. Then it belongs into
``test_fuzz.py``, as an example, and the code is mended.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

TARGETS = ("wire", "wire_v1", "session", "verify", "core")
MAX_INPUT_BYTES = {"wire": 4096, "wire_v1": 4096, "session": 2048, "verify": 8192, "core": 2048}
INPUT_SECONDS = 10
"""An input that takes longer is a finding."""
MEMORY_MEGABYTES = 1024
"""So is one that needs more."""

_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_PROGRESS = re.compile(r"#(\d+).* cov: (\d+)")
_FINDING = re.compile(r"Test unit written to (\S+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all, if none is said")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--corpus", type=Path, help="keep what reached something new in this folder, and begin with it")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where findings go")
    parser.add_argument("--replay", type=Path, help="only run the target with this file")
    parser.add_argument(
        "--inside", nargs=argparse.REMAINDER, help=argparse.SUPPRESS
    )  # libFuzzer's arguments, in the process it ends
    given = parser.parse_args()
    targets: list[str] = given.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if given.replay is not None:
        import_module("tests.fuzz.survival").TARGETS[targets[0]](given.replay.read_bytes())
        print("it does no harm")
        return 0
    try:
        atheris = import_module("atheris")
    except ImportError as error:
        print(f"this needs atheris, which is not there ({error}): pip install atheris; it has wheels for Python 3.11")
        return 2
    if given.inside is not None:
        with atheris.instrument_imports(include=["kraken_trio"]):
            survival = import_module("tests.fuzz.survival")
        atheris.Setup([sys.argv[0], *given.inside], survival.TARGETS[targets[0]])
        atheris.Fuzz()  # which ends the process
    return max(_search(target, given) for target in targets)


def _search(target: str, given: argparse.Namespace) -> int:
    """Let a process search, tell what it found. Returns 1 if it found something."""
    corpus = import_module("tests.fuzz.corpus")
    given.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        seeds, words = Path(folder, "seeds"), Path(folder, "words")
        seeds.mkdir()
        for number, seed in enumerate(corpus.SEEDS[target]()):
            Path(seeds, f"{number:03}").write_bytes(seed)
        words.write_text("".join(f'"{_quoted(word)}"\n' for word in corpus.WORDS))
        kept = given.corpus / target if given.corpus is not None else Path(folder, "corpus")
        kept.mkdir(parents=True, exist_ok=True)
        arguments = [
            str(kept),
            str(seeds),
            f"-max_total_time={given.seconds}",
            f"-max_len={MAX_INPUT_BYTES[target]}",
            f"-dict={words}",
            f"-timeout={INPUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MEGABYTES}",
            f"-artifact_prefix={given.findings}/{target}-",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "tests.fuzz", target, "--inside", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        output = done.stdout + done.stderr
        progress = _PROGRESS.findall(output)
        executions = _EXECUTIONS.search(output)
        if executions is None and not progress:
            print(output[-4000:])
            sys.exit(f"{target}: the search could not begin")
        count = executions[1] if executions else progress[-1][0]
        covered = progress[-1][1] if progress else "?"
        inputs = sum(1 for _ in kept.iterdir())
        print(f"{target}: {int(count):,} executions, {covered} branches reached, {inputs} inputs kept", flush=True)
    finding = _FINDING.search(output)
    if finding is None and done.returncode == 0:
        return 0
    print(output[-4000:])
    print(f"{target}: FOUND {finding[1] if finding else f'an end with status {done.returncode}'}")
    if finding:
        print(f"again: python -m tests.fuzz {target} --replay {finding[1]}")
    return 1


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


if __name__ == "__main__":
    sys.exit(main())
