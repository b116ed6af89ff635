"""Runs as many simulations as one likes: ``python -m tests.simulation --seeds 2000 --minutes 10 -j 2``.

A run that breaks a promise is named with its seed, and with the command that replays it; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING

from tests.simulation.plan import KINDS, Kind, plan_of, plans_of
from tests.simulation.world import Outcome, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def simulate(seed: int, minutes: float, kind: Kind | None) -> list[Outcome]:
    """One seed, quietly: its clients of all kinds, each with a run of its own, or those of one kind."""
    seconds = minutes * 60
    plans = plans_of(seed, seconds) if kind is None else [plan_of(seed, seconds, kind=kind)]
    return [run(plan) for plan in plans]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many runs (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="virtual minutes with faults, a run (%(default)s)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--seed", type=int, help="one run, with everything that happens in it")
    parser.add_argument(
        "--kind", choices=KINDS, help="only clients of this kind (of all that a seed has; of a --seed: public)"
    )
    parser.add_argument("--digest", action="store_true", help="print each run's digest, and nothing else")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        plan = plan_of(options.seed, options.minutes * 60, kind=options.kind or "public")
        outcome = run(plan, show=not options.digest)
        print(outcome.digest if options.digest else f"\n{outcome}")
        return 1 if outcome.broken else 0
    seeds = range(options.first, options.first + options.seeds)
    began = perf_counter()
    outcomes = []
    with ProcessPoolExecutor(options.jobs) as pool:
        doing = map if options.jobs == 1 else pool.map
        every = len(seeds)
        for number, of_seed in enumerate(doing(simulate, seeds, [options.minutes] * every, [options.kind] * every), 1):
            for outcome in of_seed:
                outcomes.append(outcome)
                if options.digest:
                    print(outcome.seed, outcome.kind, outcome.digest)
                elif outcome.broken:
                    print(f"seed {outcome.seed} ({outcome.kind}, {outcome.theme}): {outcome.broken}")
                    print(f"  replay: {replay(outcome.seed, options.minutes, outcome.kind)}", flush=True)
            if number % 100 == 0 and not options.digest:
                print(f"{number} of {every} …", file=sys.stderr)
    if not options.digest:
        print("\n".join(summary(outcomes, perf_counter() - began)))
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def replay(seed: int, minutes: float, kind: Kind = "public") -> str:
    """The command that shows this run again."""
    return f"nox -s simulate -- --minutes {minutes:g}{'' if kind == 'public' else f' --kind {kind}'} --seed {seed}"


def summary(outcomes: Sequence[Outcome], seconds: float) -> Iterable[str]:
    """What was done, in numbers."""

    def total(name: str) -> int:
        return sum(getattr(outcome, name) for outcome in outcomes)

    faults = sum((outcome.faults for outcome in outcomes), Counter[str]())
    themes = Counter(outcome.theme for outcome in outcomes)
    hours = sum(outcome.virtual_seconds for outcome in outcomes) / 3600
    slowest = max(outcomes, key=lambda outcome: outcome.real_seconds)
    latest = max(outcomes, key=lambda outcome: outcome.recovered_within)
    width = max(map(len, faults), default=0)
    yield (
        f"{len(outcomes)} runs, {hours:.1f} virtual hours, in {seconds:.0f} s; the slowest took "
        f"{slowest.real_seconds:.1f} s"
    )
    kinds = Counter(outcome.kind for outcome in outcomes)
    yield f"clients: {', '.join(f'{name} {count}' for name, count in kinds.most_common())}"
    yield f"themes: {', '.join(f'{name} {count}' for name, count in themes.most_common())}"
    yield f"faults injected: {faults.total() - faults['Clear']}"
    for name, count in faults.most_common():
        if name != "Clear":
            yield f"  {name:<{width}} {count:>7}"
    yield (
        f"clients {total('clients')}, connections {total('connects')}, of which lost {total('losses')}; "
        f"consumers that were too slow {total('too_slow')}"
    )
    yield f"frames received {total('frames')}, events yielded {total('events')}, gaps {total('gaps')}"
    yield (
        f"gaps after which it went on {total('recoveries')}; after the end of all faults everything was well within "
        f"{latest.recovered_within:.1f} s (seed {latest.seed})"
    )
    yield f"fills recovered {total('fills_recovered')}, fills that only a gap told of {total('fills_lost')}"
    broken = sorted({outcome.seed for outcome in outcomes if outcome.broken})
    yield f"promises broken: {len(broken) or 'none'}{f', by seeds {broken}' if broken else ''}"


if __name__ == "__main__":
    sys.exit(main())
