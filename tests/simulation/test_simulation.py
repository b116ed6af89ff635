"""Some hundreds of simulated runs, every day the same; and that a run is the same everywhere.

More of them: ``nox -s simulate``. That the oracle would notice is the business of ``test_oracle.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kraken_trio.book.core import NAME
from kraken_trio.testing.faults import Fault, Scheduled
from kraken_trio.testing.faults.network import Conditions, LinkFault
from kraken_trio.testing.strategies import fault_schedules, link_faults
from tests.simulation.__main__ import main, replay
from tests.simulation.plan import DEPTHS, KINDS, Happening, Kind, Plan, plan_of, plans_of
from tests.simulation.world import run

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SECONDS = 45.0
SEEDS = 60
SEEDS_OF_KIND = 30
CHUNK = 15


@pytest.mark.parametrize("seed", [951, 1130])
def test_a_fill_of_the_moment_in_which_a_feed_begins_is_not_awaited(seed: int) -> None:
    """Once the oracle awaited it: its time was a nanosecond later, by rounding; or some microseconds, in a burst."""
    assert run(plan_of(seed, 45.0, kind="private")).broken is None


def test_a_loss_that_only_the_next_message_shows_is_shown() -> None:
    """Once the last entries of the balances were lost, and nothing followed: nobody could know."""
    assert run(plan_of(1054, 45.0, kind="private")).broken is None


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = run(plan_of(seed, SECONDS))
        assert outcome.broken is None, f"{outcome.broken}\nreplay: {replay(seed, SECONDS / 60)}"
        assert outcome.events > 0
        assert outcome.virtual_seconds > SECONDS


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("first", range(0, SEEDS_OF_KIND, CHUNK))
def test_no_seed_breaks_a_promise_to_another_kind_of_client(first: int, kind: Kind) -> None:
    recovered = 0
    for seed in range(first, first + CHUNK):
        outcome = run(plan_of(seed, SECONDS, kind=kind))
        assert outcome.broken is None, f"{outcome.broken}\nreplay: {replay(seed, SECONDS / 60, kind)}"
        assert outcome.events > 0
        recovered += outcome.fills_recovered
    assert bool(recovered) is (kind == "private")


def test_every_fault_there_is_has_happened() -> None:
    """In the plans of the first seeds; so none of them is forgotten when they are drawn."""
    plans = [plan for seed in range(SEEDS) for plan in plans_of(seed, 600)]
    assert {plan.kind for plan in plans} == set(KINDS)
    kinds = Counter(type(happening.fault).__name__ for plan in plans for happening in plan.script)
    wanted = {kind.__name__ for kind in (*get_args(Fault), *get_args(LinkFault))}
    assert wanted <= kinds.keys()


def test_a_run_is_calm_when_nothing_goes_wrong() -> None:
    calm = next(plan for plan in (plan_of(seed, 120) for seed in range(100)) if plan.theme == "calm")
    outcome = run(calm)
    assert (outcome.broken, outcome.losses, outcome.gaps, outcome.recovered_within) == (None, 0, 0, 11.0)
    assert outcome.connects == 1


SCHEDULES = st.tuples(
    fault_schedules(*DEPTHS, seconds=30, max_faults=6),
    st.lists(st.builds(Scheduled, at=st.floats(0, 30), fault=link_faults(seconds=20)), max_size=4),
)


@given(
    schedules=SCHEDULES,
    transport=st.sampled_from(["trio-websocket", "websockets"]),
    latency=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**16),
)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=25)
def test_no_schedule_of_faults_breaks_a_promise(
    schedules: tuple[tuple[Scheduled, ...], list[Scheduled]], transport: str, latency: float, seed: int
) -> None:
    plan = plan_of(seed, 30.0)
    script = sorted((*schedules[0], *schedules[1]), key=lambda item: item.at)
    outcome = run(
        Plan(
            seed=seed,
            theme="all",
            seconds=30.0,
            transport=transport,  # type: ignore[arg-type]  # one of its names
            conditions=Conditions(latency=(latency / 2, latency)),
            settings=plan.settings,
            consumers=plan.consumers,
            script=tuple(Happening(at=item.at, fault=item.fault) for item in script),
        )
    )
    assert outcome.broken is None, outcome.broken


# The same everywhere


def pythons() -> list[str]:
    """This Python, and the others that are supported and have what the simulation needs: the machine's, and nox's."""
    names = ["python3.11", "python3.12", "python3.13"]
    found = [shutil.which(name) for name in names]
    found += [str(path) for path in sorted(REPOSITORY.glob(".nox/tests-*/bin/python"))]
    found += [str(path) for path in sorted(Path.home().glob(".pyenv/versions/3.1[1-9].*/bin/python"))]
    able: dict[str, str] = {}
    probe = "import hypothesis, trio, trio_websocket, websockets, msgspec, cattrs, sys; print(sys.version_info[:2])"
    for path in dict.fromkeys(path for path in found if path is not None):
        answer = subprocess.run([path, "-c", probe], capture_output=True, text=True, check=False, cwd=REPOSITORY)
        if answer.returncode == 0:
            able.setdefault(answer.stdout.strip(), path)
    able.pop(str(sys.version_info[:2]), None)
    return [sys.executable, *able.values()]


def digests(python: str, hash_seed: str, *, pure: str = "") -> list[str]:
    answer = subprocess.run(
        [python, "-m", "tests.simulation", "--digest", "--seeds", "3", "--minutes", "0.75", "-j", "1"],
        env={
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": str(REPOSITORY),
            "KRAKEN_TRIO_PURE": pure or os.environ.get("KRAKEN_TRIO_PURE", ""),
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.splitlines()


def _line(plan: Plan) -> str:
    return f"{plan.seed} {plan.kind} {run(plan).digest}"


def test_a_seed_gives_the_same_run_whatever_the_hash_seed() -> None:
    here = digests(sys.executable, "0")
    plans = [plan for seed in range(3) for plan in plans_of(seed, 45.0)]
    assert len({plan.kind for plan in plans}) > 2
    assert len(set(here)) == len(here) == len(plans)
    assert digests(sys.executable, "4711") == here
    assert [_line(plan) for plan in reversed(plans)] == here[::-1]


@pytest.mark.skipif(NAME == "pure", reason="there is no compiled core to compare with the pure code")
def test_a_seed_gives_the_same_run_with_the_compiled_core_and_without() -> None:
    expected = [_line(plan) for seed in range(3) for plan in plans_of(seed, 45.0)]
    assert digests(sys.executable, "0", pure="1") == expected


def test_a_seed_gives_the_same_run_on_every_python() -> None:
    here, *others = pythons()
    if not others:
        pytest.skip("no other supported Python here has the packages that the simulation needs")
    expected = digests(here, "0")
    for other in others:
        assert digests(other, "1") == expected, other


# The command


def test_the_command_counts_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--minutes", "0.5", "-j", "1"]) == 0
    shown = capsys.readouterr().out
    runs = sum(len(plans_of(seed)) for seed in range(3))
    assert shown.startswith(f"{runs} runs, ")
    assert "promises broken: none" in shown


def test_the_command_shows_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--minutes", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert "has connection 1" in shown
    assert "broken=None" in shown
