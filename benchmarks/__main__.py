"""``python -m benchmarks``: measure, show, and, if asked, publish."""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from pathlib import Path

import attrs

from benchmarks import quiet, results
from benchmarks.environments import PEERS, ROOT
from benchmarks.suites import SUITES, Bench, Plan
from benchmarks.tables import as_text

PUBLISHED = ROOT / "benchmarks" / "results" / "published.json"
TRIES = 3
LATEST = ROOT / "benchmarks" / "results" / "latest.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, and figures that only say roughly")
    parser.add_argument(
        "--only", metavar="SUITE", action="append", choices=list(SUITES), help="may be given several times"
    )
    parser.add_argument("--rounds", type=int, help="rounds per figure, instead of the plan's")
    parser.add_argument("--no-peers", action="store_true", help="leave the other libraries out")
    parser.add_argument(
        "--peer", metavar="PEER", action="append", choices=list(PEERS), help="of the other libraries, only this one"
    )
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="a checkout of a predecessor, to be measured in the same rounds"
    )
    parser.add_argument("--output", type=Path, default=LATEST, help="where the results go")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="make the documentation's tables and pictures of the results, if the machine is quiet",
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
        plan = attrs.evolve(plan, rounds=options.rounds, latency_rounds=min(options.rounds, plan.latency_rounds))
    wanted = options.only or list(SUITES)
    report = results.Report(
        machine=results.machine(),
        versions={},
        options={"plan": "quick" if options.quick else "full", **attrs.asdict(plan), "suites": wanted},
    )
    captures = Path(os.environ.get("KRAKEN_TRIO_CAPTURES") or ROOT.parent / "shared" / "captures")
    started = time.monotonic()
    bench = Bench(
        plan, report, peers=() if options.no_peers else options.peer or list(PEERS), against=options.against,
        captures=captures, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    why_not = None
    try:
        for name in wanted:
            print(f"{name}: {(SUITES[name].__doc__ or '').splitlines()[0]}", flush=True)
            begun = time.monotonic()
            run(name, bench, strict=options.publish)
            print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    except quiet.Busy as busy:
        why_not = str(busy)
    finally:
        bench.close()
    report.machine["seconds"] = round(time.monotonic() - started)
    results.save(report, options.output)
    print(as_text(report))
    print(f"written to {options.output}, after {report.machine['seconds']} s")
    if why_not:
        sys.exit(f"not published: {why_not}")
    if options.publish:
        results.save(report, PUBLISHED)
        publish(results.load(PUBLISHED))  # as it was written, so that --render gives the same


def run(name: str, bench: Bench, *, strict: bool) -> None:
    """Run a suite. To be published, it must have had the machine to itself; then it has three tries.

    Raises :class:`quiet.Busy`.
    """
    if not strict:
        SUITES[name](bench)
        return
    for _ in range(TRIES):
        quiet.wait(bench.say)
        report, before = copy.deepcopy(bench.report), quiet.look()
        SUITES[name](bench)
        others = quiet.look().others_since(before)
        bench.report.others[name] = round(others, 2)
        if others <= quiet.LIMIT:
            return
        print(f"  other processes took {others:.2f} processors meanwhile: {name} is measured again", flush=True)
        for field in attrs.fields(results.Report):
            setattr(bench.report, field.name, getattr(report, field.name))
    msg = f"other processes took more than {quiet.LIMIT} processors each time that {name} was measured"
    raise quiet.Busy(msg)


def publish(report: results.Report) -> None:
    """The fragments and pictures that the documentation includes."""
    from benchmarks import pictures, tables  # noqa: PLC0415 (matplotlib is wanted for this alone)

    folder = ROOT / "docs" / "_static" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*tables.write(report, folder), *pictures.draw(report, folder)]:
        print(f"written: {path.relative_to(ROOT)}")


main()
