"""Every check of the project. `nox` runs them all; `nox --list` names them; `nox -s tests-3.12 -- -k book` runs one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
# A Python that is not installed is skipped, and nox says so.
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
FUZZABLE = "3.11"
"""atheris has wheels for this one and 3.12."""
BENCHMARKS = ("matplotlib>=3.9",)
"""What the benchmarks need on top; each peer is installed in an environment of its own."""
PEERS_SIDES = "benchmarks/sides/(cryptofeed|kraken_sdk|ccxt|nautilus)"
READERS = {"hftbacktest": "hftbacktest==2.4.4", "nautilus": "nautilus_trader==1.231.0"}
"""Who opens what was exported, each in an environment of its own."""
CODE = ("kraken_trio", "tests", "benchmarks", "docs", "conftest.py", "hatch_build.py", "noxfile.py")
PURE = (
    "kraken_trio/session/*",
    "kraken_trio/channels/*",
    "kraken_trio/recording/*",
    "kraken_trio/wire/*",
    "kraken_trio/book/*",
    "kraken_trio/broker/catalog.py",
    "kraken_trio/broker/lease.py",
    "kraken_trio/broker/group.py",
    "kraken_trio/broker/messages.py",
    "kraken_trio/broker/options.py",
    "kraken_trio/broker/outbox.py",
    "kraken_trio/broker/partitioning.py",
    "kraken_trio/broker/position.py",
    "kraken_trio/broker/progress.py",
    "kraken_trio/broker/publisher.py",
    "kraken_trio/broker/reader.py",
    "kraken_trio/broker/sharding.py",
    "kraken_trio/broker/states.py",
    "kraken_trio/broker/subjects.py",
    "kraken_trio/broker/tracking.py",
    "kraken_trio/admission/window.py",
    "kraken_trio/admission/ledger.py",
    "kraken_trio/auth/answers.py",
    "kraken_trio/auth/concealed.py",
    "kraken_trio/auth/permissions.py",
    "kraken_trio/auth/signature.py",
    "kraken_trio/settings.py",
    "kraken_trio/statistics.py",
    "kraken_trio/endpoint.py",
    "kraken_trio/evidence.py",
    "kraken_trio/_request.py",
    "kraken_trio/_text.py",
    "kraken_trio/_zstd.py",
    "kraken_trio/events.py",
    "kraken_trio/requests.py",
    "kraken_trio/errors.py",
    "kraken_trio/_digits.py",
    "kraken_trio/_instants.py",
    "kraken_trio/runtime/overflow.py",
    "kraken_trio/runtime/pace.py",
    "kraken_trio/runtime/timings.py",
    "kraken_trio/metrics/merging.py",
    "kraken_trio/relay/lines.py",
    "kraken_trio/relay/planning.py",
    "kraken_trio/relay/sources.py",
    "kraken_trio/relay/supervision.py",
    "kraken_trio/tracing/spans.py",
    "kraken_trio/telemetry/lines.py",
    "kraken_trio/telemetry/trouble.py",
    "kraken_trio/_address.py",
    "kraken_trio/_proxy.py",
    "kraken_trio/cli/doctor/checks.py",
    "kraken_trio/cli/doctor/relay_checks.py",
    "kraken_trio/cli/doctor/findings.py",
    "kraken_trio/cli/doctor/formats.py",
)
"""Bytes and values in, values out: nothing there is hard to reach, so every branch is reached."""
PURE_CORE = {"KRAKEN_TRIO_PURE": "1"}
"""Run without the compiled core, be it there or not."""
COVERED = {**PURE_CORE, "HYPOTHESIS_PROFILE": "covered"}
ASK_CORE = "from kraken_trio.book.core import NAME; print(NAME); raise SystemExit(NAME != '{}')"
STRESS = "import sys; sys.path.append('.'); from tests.core.stress import main; sys.exit(main())"
"""The tests of this folder, with the package that is installed."""
OWN_TESTS = [
    "tests/book",
    "tests/wire",
    "tests/recording",
    "tests/storage",
    "tests/session",
    "tests/channels",
    "tests/broker/pure",
    "tests/relay/pure",
    "tests/metrics/test_shards.py",
    "tests/telemetry",
    "tests/admission",
    "tests/auth",
    "tests/runtime",
    "tests/tracing",
    "tests/cli/doctor/test_doctor_checks.py",
    "tests/cli/doctor/test_doctor_relay.py",
    "tests/simulation/test_equality.py",
    *sorted(map(str, Path("tests").glob("test_*.py"))),
]
"""The tests of the pure layers."""

# flake8-async: all rules are on, the optional ASYNC9xx as well, but for these.
ASYNC_OFF = (
    "ASYNC127",  # httpx2 in place of httpx: httpx is what others have installed, and one module of ours knows it
    "ASYNC114",  # a list of all functions with a task_status; ASYNC113 finds what it can without
    "ASYNC122",  # for Trio before 0.27, which is not supported
)
ASYNC_OFF_INSIDE = (
    # What users await always passes a checkpoint, so that their loops can be cancelled. Inside, what need not
    # wait may return at once: that is what makes reading a batch of frames cheap.
    "ASYNC910",
)
ASYNC_OFF_IN_TESTS = (
    "ASYNC124",  # a test is async to run in Trio
    "ASYNC401",  # a group may be just what a test expects, and looks into
    "ASYNC9",  # nobody awaits a test, and fixtures are generators
)
ASYNC_WORDS = re.compile(r"\b(async|await|trio|anyio|asyncio|BaseException|(Base)?ExceptionGroup|except:|except\*)")
"""Each rule is about one of these. Many modules have none, and finding nothing in one takes as long as in any other."""
ASYNC_PUBLIC = ("client.py", "feed.py", "recordings.py", "replay.py", "stream.py")


def offer_all_of_pyenv() -> None:
    """Let pyenv's `python3.x` run each of our versions that it has: they refuse all but the selected one."""
    pyenv = shutil.which("pyenv")
    if pyenv is None or "PYENV_VERSION" in os.environ:
        return

    def ask(*question: str) -> str:
        return subprocess.run([pyenv, *question], capture_output=True, text=True, check=False).stdout.strip()

    ours = [name for name in ask("versions", "--bare").split() if name.rpartition(".")[0] in PYTHONS]
    os.environ["PYENV_VERSION"] = ":".join([ask("version-name") or "system", *ours])


offer_all_of_pyenv()


def tools(group: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, group))


def trio_files() -> tuple[list[Path], list[Path], list[Path]]:
    """The package's modules that users await, its other modules, and the tests: those that flake8-async can judge."""

    def judged(folder: str) -> list[Path]:
        return [path for path in Path(folder).rglob("*.py") if ASYNC_WORDS.search(path.read_text(encoding="utf-8"))]

    package = judged("kraken_trio")
    public = [path for path in package if path.name in ASYNC_PUBLIC]
    return public, [path for path in package if path not in public], judged("tests")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every Python that is supported and installed, on two processors."""
    session.install("-e", ".[dev]")
    session.run("pytest", *(session.posargs or ["-n", "2"]))


@nox.session
def pure(session: nox.Session) -> None:
    """Run the tests without the compiled core, on two processors (`-- others`: those that `coverage` does not run)."""
    session.install("-e", ".[dev]")
    chosen = session.posargs or ["-n", "2"]
    if chosen == ["others"]:
        chosen = ["-n", "2", *(f"--ignore={path}" for path in OWN_TESTS)]
    session.run("pytest", *chosen, env=PURE_CORE)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure branch coverage: 100 % of the pure layers, by their own tests (`-- tests` runs and reports all)."""
    session.install("-e", ".[dev]")
    session.run("coverage", "erase")
    try:
        session.run("coverage", "run", "-m", "pytest", "-n", "2", *(session.posargs or OWN_TESTS), env=COVERED)
    finally:
        session.run("coverage", "combine", "-q")
    if session.posargs:
        session.run("coverage", "report")
    session.run("coverage", "report", f"--include={','.join(PURE)}", "--fail-under=100")


@nox.session
def brokers(session: nox.Session) -> None:
    """Run the tests that need a real Kafka or a cluster of NATS servers, or take minutes."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-o", "faulthandler_timeout=600", *(session.posargs or ["-m", "brokers", "-n", "2"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style (ruff), and Trio's rules (flake8-async)."""
    session.install(*tools("lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    public, internal, tests = (sorted(map(str, files)) for files in trio_files())
    session.run("flake8-async", f"--disable={','.join(ASYNC_OFF)}", *public)
    session.run("flake8-async", f"--disable={','.join(ASYNC_OFF + ASYNC_OFF_INSIDE)}", *internal)
    session.run("flake8-async", f"--disable={','.join(ASYNC_OFF + ASYNC_OFF_IN_TESTS)}", *tests)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types: the code's (mypy --strict), and those that users see (pyright --verifytypes)."""
    session.install(".[dev]", *tools("types"), *BENCHMARKS)
    session.run("mypy")
    session.run("mypy", "benchmarks", f"--exclude={PEERS_SIDES}")  # what peers' libraries look like is theirs
    session.run("python", "-m", "tests.typing.blocks")  # of README.md and docs/
    session.run("pyright", "tests/typing/api.py")
    # From elsewhere, so that it sees the package as it is installed.
    with session.chdir(session.create_tmp()):
        session.run("pyright", "--verifytypes", "kraken_trio", "--ignoreexternal")


@nox.session
def contracts(session: nox.Session) -> None:
    """Check that imports point downwards only, and that the pure layers are pure."""
    session.install("-e", ".", *tools("contracts"))
    session.run("lint-imports", "--no-cache")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; every warning is an error."""
    session.install(".[cli,export,kafka,metrics,nats,testing,tracing]", *tools("docs"))
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-q", "-E", "-b", "html", "docs", "docs/_build/html")


@nox.session(default=False)
def picture(session: nox.Session) -> None:
    """Play the demo and draw its last screen into docs/_static/demo.svg, for the README."""
    session.install(".[cli]")
    session.run("python", "docs/picture.py")


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Break rules on purpose, and see that a test notices each (`-- WORD …`: those with a word in their names)."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session(default=False)
def core_mutants(session: nox.Session) -> None:
    """The same with the rules of the compiled core, which is compiled anew for each. Needs a C compiler."""
    session.install("-e", ".[dev]", "cython~=3.3", env={"KRAKEN_TRIO_BUILD": "skip"})
    session.run("python", "-m", "tests.mutants.compiled", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Break the network and the exchange, over real sockets: `-- --minutes 5 --seed 7`; `-- --relay`: a relay."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session(default=False, python=FUZZABLE)
def fuzz(session: nox.Session) -> None:
    """Search for inputs that break a promise: `-- session --seconds 600`; targets: wire, session, verify, core."""
    session.install("-e", ".[dev]")
    # It has wheels for these Pythons only, and needs a compiler elsewhere: if it is not there, the command says so.
    session.install("--only-binary=:all:", "atheris", success_codes=[0, 1, 2])
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session(default=False)
def sanitize(session: nox.Session) -> None:
    """Test the compiled core under ASan and UBSan. Needs GCC."""
    # Installed as a wheel: what an editable install leaves in the tree would need the libraries in every program.
    session.install(".[dev]", env={"KRAKEN_TRIO_BUILD": "require", "KRAKEN_TRIO_BUILD_DEBUG": "sanitize"})
    under = {
        "PYTHONSAFEPATH": "1",  # not the source that lies here
        "LD_PRELOAD": str(session.run("gcc", "-print-file-name=libasan.so", external=True, silent=True)).strip(),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
        "PYTHONMALLOC": "malloc",  # so that ASan sees each allocation
    }
    session.run("python", "-c", ASK_CORE.format("compiled"), env=under)
    session.run("pytest", *(session.posargs or ["tests/core"]), env=under)
    if not session.posargs:
        session.run("python", "-c", STRESS, "--frames", "100000", env=under)


@nox.session(default=False)
@nox.parametrize("core", ["compiled", "pure"])
def wheels(session: nox.Session, core: str) -> None:
    """Build the sdist; from it a wheel without Cython, or without a compiler; install that, and ask for its core."""
    folder = session.create_tmp()
    session.install("build", "hatchling", "setuptools")
    session.run("python", "-m", "build", "--sdist", "--outdir", folder, silent=True)
    (sdist,) = Path(folder).glob("*.tar.gz")
    environment = {"compiled": {"KRAKEN_TRIO_BUILD": "require"}, "pure": {"CC": "/nonexistent"}}[core]
    session.install("--no-build-isolation", str(sdist), env=environment)
    with session.chdir(folder):
        session.run("python", "-c", ASK_CORE.format(core))


@nox.session(name="export-readers", python="3.12")
@nox.parametrize("reader", list(READERS))
def export_readers(session: nox.Session, reader: str) -> None:
    """Open exports with the real hftbacktest and NautilusTrader, and compare what they read with the events."""
    session.install(".[export,testing]", READERS[reader], env={"KRAKEN_TRIO_BUILD": "skip"})
    session.run("python", "-m", f"tests.export.readers.{reader}_reader", session.create_tmp())


@nox.session(default=False)
def simulate(session: nox.Session) -> None:
    """Simulate seeds that CI does not: `-- --seeds 2000 --minutes 10 -j 2`; `-- --minutes 10 --seed N` replays one."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.simulation", *session.posargs)


@nox.session
def equality(session: nox.Session) -> None:
    """Replay what simulated clients recorded, and compare; `-- --seeds 2000` for more than CI's 300 seeds."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.simulation.equality", *session.posargs)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure the speed, beside the peers; `-- --quick`, or `-- --publish` for the documentation's figures."""
    session.install("-e", ".[dev]", *BENCHMARKS)
    session.run("python", "-m", "benchmarks", *session.posargs)
