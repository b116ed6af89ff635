"""Did every promise hold? The verdicts on a demo, each with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from kraken_trio.cli.formatting import counted
from kraken_trio.cli.walk import walk
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, Trade
from kraken_trio.requests import Book

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.cli.walk import Key, Sent, Sides
    from kraken_trio.requests import Request

__all__ = ["Case", "Verdict", "judge"]


@attrs.frozen
class Verdict:
    """One promise, and whether it held."""

    promise: str
    held: bool
    evidence: str
    """For people: numbers if it held, the problem if it did not."""


@attrs.frozen(kw_only=True)
class Case:
    """All that is to be judged."""

    requests: Sequence[Request]
    """What the feed was opened with; books and trades are judged."""
    history: Sequence[Event]
    """Everything that the feed yielded."""
    sent: Sequence[Sent]
    """What the exchange sent and withheld, on all connections."""
    local: Mapping[str, Sides | None]
    """The feed's books at the end, by symbol; None: it could not be read."""
    remote: Mapping[str, Sides]
    """The exchange's own, to the depth that was subscribed."""
    skipped: str
    """The symbol of which an update was withheld."""
    dropped: int
    """The epoch of the connection that was dropped; 0: none was."""
    refusals: Mapping[Request, str | None]
    """What should have been refused, and in which words it was; None: it was not."""


def judge(case: Case) -> list[Verdict]:
    """All verdicts, on all promises."""
    walked = walk(case.requests, case.history, case.sent)
    return [
        Verdict("in order, none twice, none missing without a gap", not walked.problems, walked.told(walked.problems)),
        Verdict("every book was right after every message", not walked.wrong, walked.told(walked.wrong, books=True)),
        _same_in_the_end(case),
        _skip_recovered(case),
        _others_undisturbed(case),
        _drop_recovered(case),
        _refused(case),
    ]


def _same_in_the_end(case: Case) -> Verdict:
    promise = "in the end each local book is the exchange's"
    for symbol, remote in case.remote.items():
        local = case.local.get(symbol)
        if local is None:
            return Verdict(promise, held=False, evidence=f"the book of {symbol} cannot be read")
        for name, ours, theirs in zip(("bids", "asks"), local, remote, strict=True):
            if ours != theirs:
                level = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
                where = f"level {level + 1}" if level is not None else f"{len(ours)} levels instead of {len(theirs)}"
                return Verdict(promise, held=False, evidence=f"the {name} of {symbol} differ: {where}")
    sizes = [f"{symbol} {len(bids)}+{len(asks)} levels" for symbol, (bids, asks) in case.remote.items()]
    return Verdict(promise, held=bool(sizes), evidence=", ".join(sizes) or "there was none to compare")


def _recovery(history: Sequence[Event], start: int, symbol: str, after_epoch: int = 0) -> int | None:
    """Where the book's next snapshot stands."""
    for index in range(start, len(history)):
        event = history[index]
        if isinstance(event, BookSnapshot) and event.symbol == symbol and event.epoch > after_epoch:
            return index
    return None


def _mismatches(case: Case) -> list[int]:
    return [
        index
        for index, event in enumerate(case.history)
        if isinstance(event, Gap) and event.cause is Cause.CHECKSUM and event.symbol == case.skipped
    ]


def _skip_recovered(case: Case) -> Verdict:
    promise = "an update that was left out: a gap, then a fresh snapshot"
    withheld = sum(one.withheld and one.item.key == ("book", case.skipped) for one in case.sent)
    gaps = _mismatches(case)
    if not withheld:
        return Verdict(promise, held=False, evidence="none was left out")
    if not gaps:
        return Verdict(promise, held=False, evidence=f"{withheld} of {case.skipped} left out, and no gap says so")
    if any(_recovery(case.history, gap, case.skipped) is None for gap in gaps):
        return Verdict(promise, held=False, evidence=f"after a gap {case.skipped} had no snapshot any more")
    return Verdict(
        promise,
        held=True,
        evidence=f"{case.skipped}: {withheld} left out, {counted(len(gaps), 'mismatch', 'mismatches')} found",
    )


def _others_undisturbed(case: Case) -> Verdict:
    # That they came before the fresh snapshot, if they were sent before it, is part of the walk: it is their order.
    promise = "meanwhile the other symbols went on"
    others = 0
    for start in _mismatches(case):
        end = _recovery(case.history, start, case.skipped)
        for event in case.history[start:end]:
            if isinstance(event, Gap) and event.symbol != case.skipped and event.cause is not Cause.DISCONNECTED:
                return Verdict(promise, held=False, evidence=f"{event.symbol} had a gap, too ({event.cause.value})")
            others += isinstance(event, BookUpdate | BookSnapshot | Trade) and event.symbol != case.skipped
    return Verdict(promise, held=True, evidence=f"{others} of their events in the time of the resync")


def _drop_recovered(case: Case) -> Verdict:
    promise = "a dropped connection: gaps, a new connection, fresh snapshots"
    if not case.dropped:
        return Verdict(promise, held=False, evidence="no connection was dropped")
    gaps: dict[Key, int] = {}
    for index, event in enumerate(case.history):
        if isinstance(event, Gap) and event.cause is Cause.DISCONNECTED and event.epoch == case.dropped:
            for request in case.requests:
                if event.channel in (None, request.channel) and event.symbol in (None, request.symbol):
                    gaps.setdefault((request.channel or "", request.symbol or ""), index)
    books = 0
    for request in case.requests:
        if request.channel is None or request.symbol is None:
            continue
        if (request.channel, request.symbol) not in gaps:
            return Verdict(promise, held=False, evidence=f"no gap for {request.symbol} {request.channel}")
        if isinstance(request, Book):
            books += 1
            if _recovery(case.history, gaps["book", request.symbol], request.symbol, case.dropped) is None:
                return Verdict(promise, held=False, evidence=f"no fresh snapshot of {request.symbol}")
    return Verdict(promise, held=True, evidence=f"{len(gaps)} subscriptions told, {books} books verified again")


def _refused(case: Case) -> Verdict:
    promise = "a refused symbol raises SubscriptionRejected, and hurts only itself"
    for request, text in case.refusals.items():
        if text is None:
            return Verdict(promise, held=False, evidence=f"{request} was not refused")
    words = "; ".join(f"{request.symbol}: {text}" for request, text in case.refusals.items())
    return Verdict(promise, held=bool(words), evidence=words or "nothing was refused")
