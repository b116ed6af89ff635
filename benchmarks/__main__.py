"""``python -m benchmarks``: measure, show, and, if asked, publish."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import attrs

from benchmarks import results
from benchmarks.environments import ROOT
from benchmarks.suites import SUITES, Bench, Plan
from benchmarks.tables import as_text

PUBLISHED = ROOT / "benchmarks" / "results" / "published.json"
LATEST = ROOT / "benchmarks" / "results" / "latest.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, and figures that only say roughly")
    parser.add_argument(
        "--only", metavar="SUITE", action="append", choices=list(SUITES), help="may be given several times"
    )
    parser.add_argument("--rounds", type=int, help="rounds per figure, instead of the plan's")
    parser.add_argument("--no-peers", action="store_true", help="leave the other libraries out")
    parser.add_argument("--output", type=Path, default=LATEST, help="where the results go")
    parser.add_argument(
        "--publish", action="store_true", help="make the documentation's table and pictures of the results"
    )
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: make table and pictures of what was published"
    )
    options = parser.parse_args()

    if options.render:
        publish(results.load(PUBLISHED))
        return
    plan = Plan.quick() if options.quick else Plan.full()
    if options.rounds:
        plan = attrs.evolve(plan, rounds=options.rounds)
    wanted = options.only or list(SUITES)
    report = results.Report(
        machine=results.machine(),
        versions={},
        options={"plan": "quick" if options.quick else "full", **attrs.asdict(plan), "suites": wanted},
    )
    captures = Path(os.environ.get("KRAKEN_TRIO_CAPTURES") or ROOT.parent / "shared" / "captures")
    bench = Bench(plan, report, peers=not options.no_peers, captures=captures, say=lambda line: print(line, flush=True))
    started = time.monotonic()
    try:
        for name in wanted:
            print(f"{name}: {(SUITES[name].__doc__ or '').splitlines()[0]}", flush=True)
            SUITES[name](bench)
    finally:
        bench.close()
    report.machine["seconds"] = round(time.monotonic() - started)
    results.save(report, options.output)
    print(as_text(report))
    print(f"written to {options.output}")
    if options.publish:
        results.save(report, PUBLISHED)
        publish(report)


def publish(report: results.Report) -> None:
    """The fragments and pictures that the documentation includes."""
    from benchmarks import pictures, tables  # noqa: PLC0415 (matplotlib is wanted for this alone)

    folder = ROOT / "docs" / "_static" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*tables.write(report, folder), *pictures.draw(report, folder)]:
        print(f"written: {path.relative_to(ROOT)}")


main()
