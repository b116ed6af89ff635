"""A walk: what the exchange says that it sent, against what a feed says that it got.

The rules, which use nothing of the client's own decoding, checking or bookkeeping:

* The exchange's journal, with what it withheld put back in its place, is what there was to know: one stream per
  connection, one after the other. Connection and epoch have the same number.
* A feed's events, in their order, are a walk along it. Each is the next one of its subscription. Only after a
  :class:`~kraken_trio.Gap` may some be passed over, and none of a connection made after it.
* A withheld update may be passed over without a gap only if the book shows no difference afterwards: then the next
  message has undone it, and no client can know of it.
* After each event of a book, the book made of the events is the book that the exchange had at that moment.
* The trades of a snapshot repeat what was. They may fill a gap; nobody has to yield them, and no trade comes twice.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio.cli.formatting import counted
from kraken_trio.events import BookSnapshot, BookUpdate, Event, Gap, Trade
from kraken_trio.requests import Book
from kraken_trio.testing import ReferenceBook
from kraken_trio.testing.reference_book import parse_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.testing import ConnectionJournal

__all__ = ["BookItem", "Item", "Key", "Sent", "Sides", "TradeItem", "Walk", "item_of", "sent_by", "walk"]

Key: TypeAlias = tuple[str, str]
"""A channel and a symbol."""
Levels: TypeAlias = tuple[tuple[str, str], ...]
Sides: TypeAlias = tuple[Levels, Levels]
"""The bids and the asks of a book, best first, as the texts of the wire."""

_TOLD: Final = 3
"""Problems of one sort that are told; the others are counted."""


@attrs.frozen(kw_only=True)
class BookItem:
    """A snapshot or an update, in the digits of the wire."""

    symbol: str
    snapshot: bool
    bids: Levels
    asks: Levels
    checksum: int | None
    timestamp: datetime | None

    @property
    def key(self) -> Key:
        return ("book", self.symbol)

    def __str__(self) -> str:
        return f"{self.symbol} {'snapshot' if self.snapshot else 'update'} of {self.timestamp}"


@attrs.frozen(kw_only=True)
class TradeItem:
    """A trade, in the digits of the wire."""

    symbol: str
    trade_id: int
    side: str
    price: str
    qty: str

    @property
    def key(self) -> Key:
        return ("trade", self.symbol)

    def __str__(self) -> str:
        return f"{self.symbol} trade {self.trade_id}"


Item: TypeAlias = BookItem | TradeItem


@attrs.frozen
class Sent:
    """Something that the exchange sent, or kept back."""

    item: Item
    epoch: int
    withheld: bool = False
    history: bool = False
    """A trade of a snapshot: it repeats what was, and is owed to nobody."""

    @property
    def owed(self) -> bool:
        return not self.withheld and not self.history


# From frames and events to items


def sent_by(journals: Iterable[ConnectionJournal]) -> list[Sent]:
    """What the exchange's connections were sent, with what was withheld in its place."""
    stream: list[Sent] = []
    for journal in journals:
        kept = deque(journal.withheld)
        for position, frame in enumerate([*journal.sent, None]):
            while kept and kept[0].position <= position:
                stream += _read(kept.popleft().text, journal.connection, withheld=True)
            if frame is not None:
                stream += _read(frame, journal.connection, withheld=False)
    return stream


def _read(frame: str, epoch: int, *, withheld: bool) -> list[Sent]:
    message = parse_frame(frame)
    is_snapshot = message["type"] == "snapshot"
    if message["channel"] == "book":
        return [Sent(_book_item(data, snapshot=is_snapshot), epoch, withheld) for data in message["data"]]
    if message["channel"] == "trade":
        return [Sent(_trade_item(data), epoch, withheld, history=is_snapshot) for data in message["data"]]
    return []


def _book_item(data: dict[str, Any], *, snapshot: bool) -> BookItem:
    return BookItem(
        symbol=data["symbol"],
        snapshot=snapshot,
        bids=tuple((level["price"], level["qty"]) for level in data["bids"]),
        asks=tuple((level["price"], level["qty"]) for level in data["asks"]),
        checksum=int(data["checksum"]) if "checksum" in data else None,
        timestamp=datetime.fromisoformat(data["timestamp"]) if "timestamp" in data else None,
    )


def _trade_item(data: dict[str, Any]) -> TradeItem:
    return TradeItem(
        symbol=data["symbol"],
        trade_id=int(data["trade_id"]),
        side=data["side"],
        price=data["price"],
        qty=data["qty"],
    )


def item_of(event: BookSnapshot | BookUpdate | Trade) -> Item:
    """What the exchange must have sent for this event."""
    if isinstance(event, Trade):
        return TradeItem(
            symbol=event.symbol,
            trade_id=event.trade_id,
            side=event.side.value,
            price=f"{event.price:f}",
            qty=f"{event.qty:f}",
        )
    return BookItem(
        symbol=event.symbol,
        snapshot=isinstance(event, BookSnapshot),
        bids=tuple((f"{level.price:f}", f"{level.qty:f}") for level in event.bids),
        asks=tuple((f"{level.price:f}", f"{level.qty:f}") for level in event.asks),
        checksum=event.checksum,
        timestamp=event.timestamp,
    )


# The walk


@attrs.define
class _Track:
    """One subscription's part of the walk."""

    places: list[int]
    """Where its items stand in the stream."""
    next: int = 0
    """Index into ``places``."""
    gap_epoch: int | None = None
    """Since a gap of this epoch nothing has come."""
    mine: ReferenceBook | None = None
    """The book made of the events."""
    true: ReferenceBook | None = None
    """The book made of everything that was sent or withheld."""
    last_trade: int = -1


@attrs.define
class Walk:
    """What a walk has found."""

    problems: list[str] = attrs.Factory(list)
    """Against order and completeness."""
    wrong: list[str] = attrs.Factory(list)
    """Books that were not the exchange's."""
    events: int = 0
    book_events: int = 0
    gaps: int = 0
    passed_over: int = 0
    """Items for which a gap stands."""
    undone: int = 0
    """Withheld items that made no difference."""

    def told(self, problems: Sequence[str], *, books: bool = False) -> str:
        """The evidence."""
        if problems:
            more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
            return "; ".join(problems[:_TOLD]) + more
        if books:
            return counted(self.book_events, "message")
        undone = f", {self.undone} withheld and undone by the next" if self.undone else ""
        return f"{counted(self.events, 'event')}; {counted(self.gaps, 'gap')}, for {self.passed_over} missing{undone}"


def walk(requests: Iterable[Request], history: Iterable[Event], sent: Sequence[Sent]) -> Walk:
    """Walk along what was sent with what was yielded."""
    found = Walk()
    tracks: dict[Key, _Track] = {}
    for request in requests:
        if request.channel in ("book", "trade") and request.symbol is not None:
            depth = request.depth if isinstance(request, Book) else None
            book, true = (ReferenceBook(depth), ReferenceBook(depth)) if depth else (None, None)
            tracks[request.channel, request.symbol] = _Track([], mine=book, true=true)
    for place, one in enumerate(sent):
        if one.item.key in tracks:
            tracks[one.item.key].places.append(place)
    last_place = -1
    for event in history:
        if isinstance(event, Gap):
            found.gaps += 1
            for (channel, symbol), track in tracks.items():
                if event.channel in (None, channel) and event.symbol in (None, symbol):
                    track.gap_epoch = max(event.epoch, track.gap_epoch or 0)
        elif isinstance(event, BookSnapshot | BookUpdate | Trade):
            found.events += 1
            item = item_of(event)
            if item.key not in tracks:
                found.problems.append(f"{item} was never asked for")
                continue
            stands = _step(found, tracks[item.key], item, event.epoch, sent)
            if stands is not None and stands <= last_place:
                found.problems.append(f"{item} came after something that was sent later")
            last_place = last_place if stands is None else max(stands, last_place)
    for (channel, symbol), track in tracks.items():
        left = [sent[place] for place in track.places[track.next :]]
        lost = [one for one in left if one.owed and one.epoch > (track.gap_epoch or 0)]
        if lost:
            found.problems.append(f"{len(lost)} of {symbol} {channel}, from {lost[0].item} on, never came")
    return found


def _step(found: Walk, track: _Track, item: Item, epoch: int, sent: Sequence[Sent]) -> int | None:
    """Go to where the item stands. Returns that place, or None if it is nowhere ahead."""
    index = _where(track, item, epoch, sent)
    if isinstance(item, TradeItem):
        if item.trade_id <= track.last_trade:
            index = None
        track.last_trade = max(track.last_trade, item.trade_id)
    if index is None:
        was_sent = any(sent[place].item == item and not sent[place].withheld for place in track.places)
        found.problems.append(f"{item} {'came twice, or too late' if was_sent else 'was never sent'} (epoch {epoch})")
        return None
    passed = [sent[place] for place in track.places[track.next : index]]
    gap = track.gap_epoch
    missing = [one for one in passed if one.owed and (gap is None or one.epoch > gap)]
    if missing:
        found.problems.append(f"{len(missing)} missing without a gap before {item}, the first: {missing[0].item}")
    elif gap is None:
        found.undone += sum(one.withheld for one in passed)
    else:
        found.passed_over += sum(not one.history for one in passed)
    if gap is not None and isinstance(item, BookItem) and not item.snapshot:
        found.problems.append(f"{item} came after a gap, before a snapshot")
    place = track.places[index]
    if track.mine is not None and track.true is not None:
        found.book_events += 1
        _apply(track.mine, item)
        for one in (*passed, sent[place]):
            _apply(track.true, one.item)
        if track.mine != track.true:
            found.wrong.append(f"after {item} the book was not the exchange's")
    track.next = index + 1
    track.gap_epoch = None
    return place


def _where(track: _Track, item: Item, epoch: int, sent: Sequence[Sent]) -> int | None:
    """The next place of the item on that connection: an index into ``track.places``."""
    for index in range(track.next, len(track.places)):
        one = sent[track.places[index]]
        if one.item == item and one.epoch == epoch and not one.withheld:
            return index
    return None


def _apply(book: ReferenceBook, item: Item) -> None:
    assert isinstance(item, BookItem)  # a book's track has nothing else
    (book.load if item.snapshot else book.apply)(bids=item.bids, asks=item.asks)
