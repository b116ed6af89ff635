"""Minutes of faults over real sockets, and a summary: ``python -m tests.chaos --minutes 5 --seed 7``.

One part in six of the time goes to an exchange that is killed, the rest to a bad network. It ends with 1 if a promise
was broken. The seed decides what is done in which order; when it happens, the machine does, so the same seed need not
find the same thing again.

``--relay`` does the same to a relay, with each broker: its processes, those of the broker, and those that read are
killed and stopped, and the links between them cut.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import trio

from tests.chaos.relayed import BROKERS, RelayReport, RelayStory, kinds_of, relayed_set
from tests.chaos.story import KINDS, Report, Story, killed_set, proxied_set

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kraken_trio.transport.choice import TransportName
    from tests.chaos.summary import Summary

_Name = TypeVar("_Name", bound=str)
_Play: TypeAlias = "Callable[[_Name, int, float, str | None, bool], Awaitable[Summary]]"

TRANSPORTS: Final[tuple[TransportName, ...]] = ("websockets", "trio-websocket")
KILLED_SHARE = 1 / 6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each transport, or broker (5)")
    parser.add_argument("--seed", type=int, default=None, help="a new one each time, if none is said")
    parser.add_argument("--transport", choices=TRANSPORTS, help="both, if none is said")
    parser.add_argument("--kind", help="only this kind of fault")
    parser.add_argument("--relay", action="store_true", help="the processes between an exchange and programs")
    parser.add_argument("--broker", choices=BROKERS, help="of the relay: all, if none is said")
    parser.add_argument("--verbose", action="store_true", help="a line for each fault")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    if given.relay:
        return _each("broker", [given.broker] if given.broker else BROKERS, _relay, seed, given)
    if given.kind not in {None, *KINDS}:
        parser.error(f"--kind: one of {', '.join(KINDS)}")
    return _each("transport", [given.transport] if given.transport else TRANSPORTS, _run, seed, given)


def _each(what: str, names: Iterable[_Name], play: _Play[_Name], seed: int, given: argparse.Namespace) -> int:
    """Play with one after the other; the exit status."""
    print(f"seed {seed}, {given.minutes:g} minutes for each {what}")
    broken = 0
    for name in names:
        report = trio.run(play, name, seed, given.minutes * 60, given.kind, given.verbose)
        print(f"\n{name}:")
        for line in report.lines():
            print(f"  {line}")
        broken += len(report.broken)
    return 1 if broken else 0


async def _run(transport: TransportName, seed: int, seconds: float, kind: str | None, verbose: bool) -> Report:
    report = Report()
    choice = random.Random(seed)
    end = trio.current_time() + seconds
    killing_begins = end if kind else end - seconds * KILLED_SHARE
    began = time.monotonic()

    def told(name: str, story: Story) -> str:
        if verbose:
            print(f"{time.monotonic() - began:8.2f} s  {name}, with {story.client}", flush=True)
        return name

    def following(story: Story) -> str | None:
        if trio.current_time() >= killing_begins:
            return None
        return told(kind or choice.choice(list(KINDS)), story)

    def more(story: Story) -> bool:
        return trio.current_time() < end and bool(told("kill", story))

    while trio.current_time() < killing_begins:
        seed += 1000
        await proxied_set(report, transport, seed, following)
    while trio.current_time() < end:
        seed += 1000
        await killed_set(report, transport, seed, more)
    return report


async def _relay(name: str, seed: int, seconds: float, kind: str | None, verbose: bool) -> RelayReport:
    report, choice, began = RelayReport(), random.Random(seed), trio.current_time()
    bag: list[str] = []

    def following(story: RelayStory) -> str | None:
        at = trio.current_time() - began
        if at >= seconds:
            return None
        if not bag:  # each kind once, in any order, before one comes again
            bag.extend([kind] if kind else choice.sample(kinds := list(kinds_of(story.brokers)), len(kinds)))
        if verbose:
            print(f"{at:8.2f} s  {bag[-1]}", flush=True)
        return bag.pop()

    with BROKERS[name]() as brokers:
        await relayed_set(report, brokers, seed, following)
    return report


if __name__ == "__main__":
    sys.exit(main())
