"""Promise by promise, with human-readable evidence: the judgement on a run with known faults.

A run is one client with one feed of books and trades, in which an update of one book is withheld, one connection is
dropped, and something is refused. Its whole history is checked at the end by a :class:`FeedOracle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, Trade
from kraken_trio.requests import Book
from kraken_trio.testing.oracle.broken import BrokenPromise
from kraken_trio.testing.oracle.feed import FeedOracle
from kraken_trio.testing.oracle.sent import Sent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.testing.exchange.journal import ConnectionJournal
    from kraken_trio.testing.oracle.sent import Key, Levels

__all__ = ["Case", "Sides", "Verdict", "judge"]

Sides: TypeAlias = "tuple[Levels, Levels]"
"""The bids and the asks of a book, best first, as the texts of the wire."""

_ORDER = "in order, none twice, none missing without a gap"
_BOOKS = "every book was right after every message"


@attrs.frozen
class Verdict:
    """One promise, and whether it held."""

    promise: str
    held: bool
    evidence: str
    """Human-readable: numbers if it held, the problem if it did not."""


@attrs.frozen(kw_only=True)
class Case:
    """All that is to be judged."""

    requests: Sequence[Request]
    """The requests of the feed: books and trades."""
    opened_ns: int
    """When the feed was opened, by the exchange's clock: nanoseconds since 1970."""
    history: Sequence[Event]
    """Everything that the feed yielded."""
    journals: Sequence[ConnectionJournal]
    """What the exchange sent and withheld. The client's first connection is its first."""
    local: Mapping[str, Sides | None]
    """The feed's books at the end, by symbol; None if unavailable."""
    remote: Mapping[str, Sides]
    """The exchange's own books, to the subscribed depth."""
    skipped: str
    """The symbol of which an update was withheld."""
    dropped: int
    """The epoch of the connection that was dropped; 0: none was."""
    refusals: Mapping[Request, str | None]
    """What should have been refused, and the text of the refusal; None if it was not."""


def judge(case: Case) -> list[Verdict]:
    """All verdicts, on all promises."""
    sent = _sent(case)
    return [
        *_walked(case, sent),
        _same_in_the_end(case),
        _skip_recovered(case, sent),
        _others_undisturbed(case),
        _drop_recovered(case),
        _refused(case),
    ]


def _counted(number: int, what: str, plural: str | None = None) -> str:
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def _sent(case: Case) -> Sent:
    depths = {request.symbol: request.depth for request in case.requests if isinstance(request, Book)}
    sent = Sent(case.journals, depths)
    for journal in case.journals:
        sent.connected(journal.connection).read()
    return sent


def _walked(case: Case, sent: Sent) -> list[Verdict]:
    """Order and books: the feed's history compared with what was sent."""
    numbers = {number: number for number in sent.connections}
    feed = FeedOracle("the feed", case.requests, sent, numbers, opened_ns=case.opened_ns)
    broken: BrokenPromise | None = None
    try:
        for event in case.history:
            feed.saw(event)
        missing = feed.behind(sent.latest) if sent.connections else "nothing was sent"
        if missing is not None:
            broken = BrokenPromise(2, missing)
    except BrokenPromise as error:
        broken = error
    gaps = sum(isinstance(event, Gap) for event in case.history)
    books = sum(isinstance(event, BookSnapshot | BookUpdate) for event in case.history)
    events = _counted(sum(isinstance(event, BookSnapshot | BookUpdate | Trade) for event in case.history), "event")
    if broken is None:
        told = f"{events}; {_counted(gaps, 'gap')}, after which it went on {_counted(feed.recoveries, 'time')}"
        checked = _counted(books, "message")
        return [Verdict(_ORDER, held=True, evidence=told), Verdict(_BOOKS, held=True, evidence=checked)]
    where = f"{broken.seen} (event {feed.events})"
    not_judged = f"not judged after event {feed.events}"
    in_books = broken.promise == 1
    return [
        Verdict(_ORDER, held=False, evidence=not_judged if in_books else where),
        Verdict(_BOOKS, held=not in_books, evidence=where if in_books else not_judged),
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
    """The position of the book's next snapshot."""
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


def _skip_recovered(case: Case, sent: Sent) -> Verdict:
    promise = "an update that was left out: a gap, then a fresh snapshot"
    withheld = sum(connection.withheld[case.skipped] for connection in sent.connections.values())
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
        evidence=f"{case.skipped}: {withheld} left out, {_counted(len(gaps), 'mismatch', 'mismatches')} found",
    )


def _others_undisturbed(case: Case) -> Verdict:
    # That they came before the fresh snapshot, if they were sent before it, is judged already: it is their order.
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
    told = "; ".join(f"{request.symbol}: {text}" for request, text in case.refusals.items())
    return Verdict(promise, held=bool(told), evidence=told or "nothing was refused")
