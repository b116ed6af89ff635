"""A recording is as good as the exchange: what is replayed is what was delivered, whatever went wrong meanwhile.

A simulated program is recorded into a folder, client after client, while the exchange and the network misbehave. A tap
beside the recorder notes what the session delivers to each feed. Then the folder is played:

1. from its beginning, with each feed opened where it was opened then: all its events are equal, by ``==`` and ``repr``;
2. from some moments in the middle: each feed that was open then gets the same from there on, after a snapshot. A feed
   that still waited for a subscription's first data then gets the history of its trades at the beginning instead.

``python -m tests.simulation.equality --seeds 2000 -j 2`` runs as many as one likes.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio

import kraken_trio as kt
from kraken_trio.encoding import decode_request
from kraken_trio.recording.records import Told
from kraken_trio.recordings import record
from kraken_trio.runtime.actor import Actor
from kraken_trio.runtime.recorder import in_line
from kraken_trio.session import inputs
from kraken_trio.storage.playback import Playback
from kraken_trio.testing.network.virtual_time import run_virtual
from tests.simulation.plan import KINDS, Kind, Plan, plan_of
from tests.simulation.trace import Trace
from tests.simulation.world import World, silence

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from kraken_trio.events import Event
    from kraken_trio.requests import Request
    from kraken_trio.session import Effects, Session

MOMENTS = 3
"""In the middle of each client's life, from which is played."""


@attrs.define
class Moment:
    """A moment, and how many events had been delivered before it to each feed that was open then."""

    at_ns: int
    feeds: dict[int, tuple[tuple[Request[Any], ...], int]]
    waiting: dict[int, set[str | None]]
    """The feeds that waited for first data, and the symbols of the trades among these."""


class Notes:
    """What one client was given, and delivered."""

    def __init__(self, session: Session, moments: Sequence[float]) -> None:
        self._session = session
        self.delivered: defaultdict[int, list[Event]] = defaultdict(list)
        """By the number of the feed."""
        self.moments: list[Moment] = []
        self._due = list(moments)
        self._waiting: defaultdict[int, set[str | None]] = defaultdict(set)
        self._last_ns = 0
        self._feeds: dict[Hashable, int] = {}
        self._open: dict[int, tuple[Request[Any], ...]] = {}
        self._answered: set[int] = set()

    def _note(self, what: inputs.Input | None, at_ns: int, now: float, effects: Effects) -> None:
        if self._due and now >= self._due[0] and at_ns > self._last_ns:  # or more has the same time, and comes before
            del self._due[0]
            feeds = {feed: (wanted, len(self.delivered[feed])) for feed, wanted in self._open.items()}
            answered = {feed: feeds[feed] for feed in feeds.keys() & self._answered}
            self.moments.append(Moment(at_ns, answered, self._waiting))
        if isinstance(what, inputs.Added):
            self._open[self._number(what.feed)] = what.requests
        elif isinstance(what, inputs.Removed):
            self._open.pop(self._number(what.feed), None)
        for feed, events in effects.deliver.items():
            self.delivered[self._number(feed)] += events
        self._last_ns = at_ns
        self._waiting = defaultdict(set)
        for sub in self._session.subscriptions:
            for feed in sub.newcomers if sub.request.channel == "trade" else ():
                self._waiting[self._number(feed)].add(sub.request.symbol)
        self._answered.update(self._number(feed) for feed, refused in effects.answers if not refused)

    def _number(self, feed: Hashable) -> int:
        """As the packer numbers them: in the order in which they come."""
        return self._feeds.setdefault(feed, len(self._feeds) + 1)

    def received(self, _frames: Sequence[str | bytes], received_ns: int, now: float, effects: Effects) -> None:
        self._note(None, received_ns, now, effects)

    def told(self, happening: inputs.Input, at_ns: int, now: float, effects: Effects) -> None:
        self._note(happening, at_ns, now, effects)


class RecordedWorld(World):
    """A simulation whose clients are recorded, one after the other, into one folder."""

    def __init__(self, plan: Plan, folder: str) -> None:
        super().__init__(plan, Trace(show=False))
        self.folder = folder
        self.notes: list[Notes] = []
        self.draw = random.Random(plan.seed)

    async def use(self, client: kt.Client) -> None:
        actor = client._shell
        assert isinstance(actor, Actor)
        now = trio.current_time()
        notes = Notes(actor.session, sorted(now + self.draw.uniform(0, self.plan.seconds) for _ in range(MOMENTS)))
        async with record(
            client,
            self.folder,
            keyframe_every=self.draw.choice([0.5, 5.0, 20.0]),
            flush_every=self.draw.choice([0.1, 1.0, 7.0]),
            max_segment_bytes=self.draw.choice([16, 64, 4096]) * 1024,
            work=in_line,
        ):
            actor.tap(notes)
            self.notes.append(notes)
            try:
                await super().use(client)
            finally:
                actor.untap(notes)


@attrs.frozen
class Result:
    """What a seed has shown."""

    seed: int
    events: int
    moments: int
    problems: tuple[str, ...]


def check(seed: int, seconds: float, kind: Kind = "public") -> Result:
    """Simulate, record, replay, compare."""
    plan = plan_of(seed, seconds, kind=kind)
    with tempfile.TemporaryDirectory() as folder:
        world = RecordedWorld(plan, folder)
        with silence():
            run_virtual(world.run, seed=seed)
        problems = compare(world.folder, world.notes)
    events = sum(len(events) for notes in world.notes for events in notes.delivered.values())
    moments = sum(len(notes.moments) for notes in world.notes)
    return Result(seed, events, moments, tuple(f"seed {seed} ({kind}): {problem}" for problem in problems))


def compare(folder: str, all_notes: Sequence[Notes]) -> list[str]:
    """Play the recording of these clients, from its beginning and from their moments. Returns what differs."""
    problems: list[str] = []
    bases = _compare_all(folder, all_notes, problems)
    for notes, base in zip(all_notes, bases, strict=False):
        for moment in notes.moments:
            _compare_from(folder, notes, base, moment, problems)
    return problems


def _compare_all(folder: str, all_notes: Sequence[Notes], problems: list[str]) -> list[int]:
    """Play from the beginning. Returns what is added to the epochs of each client."""
    bases: list[int] = []
    got: list[defaultdict[int, list[Event]]] = []
    with Playback(folder) as playback:
        player = playback.player
        recorder, feeds = "", list[int]()
        while (item := playback.ahead()) is not None:
            if item.recorder != recorder:
                recorder = item.recorder
                for feed in feeds:
                    player.remove(feed)
                feeds.clear()
                bases.append(player.epoch_base)
                got.append(defaultdict(list))
            what = item.what
            if isinstance(what, Told) and what.what == "Added" and what.feed is not None:
                feeds.append(what.feed)
                player.add(what.feed, [decode_request(request) for request in what.requests])
            elif isinstance(what, Told) and what.what == "Removed" and what.feed is not None:
                _gather(playback, got[-1])
                player.remove(what.feed)
            playback.play()
            _gather(playback, got[-1])
        problems += [f"damage: {damage}" for damage in playback.damage]
        problems += [f"disagreement: {words}" for words in player.disagreements]
    if len(got) != len(all_notes):
        problems.append(f"{len(all_notes)} clients were recorded, {len(got)} are replayed")
        return bases
    for notes, base, of_client in zip(all_notes, bases, got, strict=True):
        for feed in notes.delivered.keys() | of_client.keys():
            _compare(f"feed {feed}", of_client[feed], _shifted(notes.delivered[feed], base), problems)
    return bases


def _gather(playback: Playback, got: defaultdict[int, list[Event]]) -> None:
    effects, _ = playback.player.take()
    for feed, events in effects.deliver.items():
        assert isinstance(feed, int)
        got[feed] += events


def _compare_from(folder: str, notes: Notes, base: int, moment: Moment, problems: list[str]) -> None:
    """Play from a moment to the end of this client's recording."""
    got: defaultdict[int, list[Event]] = defaultdict(list)
    with Playback(folder) as playback:
        player = playback.player
        playback.seek(moment.at_ns)
        player.take()
        for feed, (wanted, _) in moment.feeds.items():
            player.add(feed, wanted, at_once=True)
        _gather(playback, got)
        recorder = None
        while (item := playback.ahead()) is not None and recorder in (None, item.recorder):
            recorder = item.recorder
            if isinstance(item.what, Told) and item.what.what == "Removed" and item.what.feed is not None:
                player.remove(item.what.feed)
            playback.play()
            _gather(playback, got)
        problems += [f"damage from {moment.at_ns}: {damage}" for damage in playback.damage]
        problems += [f"disagreement from {moment.at_ns}: {words}" for words in player.disagreements]
    for feed, (_, before) in moment.feeds.items():
        expected = _shifted(notes.delivered[feed][before:], base)
        events = got[feed]
        if feed in moment.waiting:
            expected, events = (_without_history(one, moment.waiting[feed]) for one in (expected, events))
        beginning = events[: len(events) - len(expected)]
        rest = events[len(beginning) :]
        _compare(f"feed {feed} from {moment.at_ns}", rest, expected, problems)
        problems += [
            f"feed {feed} from {moment.at_ns} begins with {event!r}"
            for event in beginning
            if not getattr(event, "is_snapshot", True) or isinstance(event, kt.Gap | kt.BookUpdate | kt.StateChange)
        ]


def _without_history(events: Sequence[Event], symbols: set[str | None]) -> list[Event]:
    return [
        event for event in events if not (isinstance(event, kt.Trade) and event.snapshot and event.symbol in symbols)
    ]


def _shifted(events: Sequence[Event], base: int) -> list[Event]:
    return [msgspec.structs.replace(event, epoch=event.epoch + base) for event in events]


def _compare(name: str, got: Sequence[Event], expected: Sequence[Event], problems: list[str]) -> None:
    if len(got) == len(expected) and all(
        one == other and repr(one) == repr(other) for one, other in zip(got, expected, strict=True)
    ):
        return
    at = next(
        (number for number, (one, other) in enumerate(zip(got, expected, strict=False)) if repr(one) != repr(other)),
        min(len(got), len(expected)),
    )
    problems.append(
        f"{name}: {len(got)} events instead of {len(expected)}; event {at} is {str(got[at : at + 1])[:500]} instead of "
        f"{str(expected[at : at + 1])[:500]}"
    )


def main() -> int:
    """Do what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.equality", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many runs (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--seconds", type=float, default=45.0, help="virtual seconds with faults, a run (%(default)s)")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--kind", choices=KINDS, default="public", help="of the clients (%(default)s)")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        results = list(pool.map(partial(check, seconds=options.seconds, kind=options.kind), seeds, chunksize=4))
    for result in results:
        for problem in result.problems:
            print(problem)
    events, moments = sum(result.events for result in results), sum(result.moments for result in results)
    bad = sum(bool(result.problems) for result in results)
    print(f"{len(results)} seeds: {events} events replayed, and again from {moments} moments; {bad} seeds differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
