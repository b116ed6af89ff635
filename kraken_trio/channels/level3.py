"""Level 3: single orders, of which only verified events are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from kraken_trio.book import Level3Book
from kraken_trio.book.level3 import OrderUnknown, PrecisionUnknown
from kraken_trio.channels.state import Failure, Kept
from kraken_trio.channels.verified import VerifiedState
from kraken_trio.errors import ChecksumMismatch, ProtocolError
from kraken_trio.events import Cause, Event, Level3Snapshot, Level3Update, OrderEventKind
from kraken_trio.wire.rest import Query, precisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.events import OrderEvent, RestingOrder
    from kraken_trio.requests import Level3
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.rest import Answer

__all__ = ["Level3State"]

PAIRS: Final = Query("AssetPairs", (), private=False)
"""Without a symbol, so that all subscriptions of a client ask the same."""
_NO_CHECKSUM: Final = "a message without a checksum"
_MAX_PRECISION: Final = 40
_DELETE: Final = OrderEventKind.DELETE
_set: Final = msgspec.structs.force_setattr


class Level3State(VerifiedState):
    """The verified book of single orders.

    It says of each order that is gone why that is so, as far as the exchange's data tell: the kind of a deletion is set
    here, in the event that has just been decoded.

    A number with an exponent (``1e-05``) is hashed with all of its digits. How many these are follows from the other
    numbers of the book. Where it does not, or where the checksum then fails, the exchange is asked for the symbol's
    precision. Until the answer is there, such a message is a failure like any other: nothing that is not verified is
    delivered, and the subscription is resubscribed.
    """

    __slots__ = ("_lacks_precision", "_symbol")

    asks: ClassVar[bool] = True

    def __init__(self, request: Level3, counters: Counters, codec: object) -> None:
        del codec
        self.book: Level3Book = Level3Book(request.depth)
        self._symbol = request.symbol
        self._counters = counters
        self._lacks_precision = False

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        return type(event) is Level3Update

    @staticmethod
    def begins(event: Any, /) -> bool:
        return type(event) is Level3Snapshot

    @classmethod
    def view(cls, request: Any) -> Level3Book:
        return Level3Book(request.depth)

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        book, counters = self.book, self._counters
        taken: list[Event] = []
        for event in events:
            if event.checksum is None:
                return taken, self._malformed(_NO_CHECKSUM)
            try:
                if type(event) is Level3Update:
                    self._tell_why(event.bids)
                    self._tell_why(event.asks)
                book.apply(event)
            except ProtocolError as error:
                return taken, self._failure(error)
            counters.checksums_verified += 1
            # The book's own snapshot, not the event: the event may be unsorted, or hold more than the book keeps.
            taken.append(event if type(event) is Level3Update else book.snapshot())
        return events if type(events[0]) is Level3Update else taken, None

    def _tell_why(self, events: Sequence[OrderEvent]) -> None:
        """Find out why orders are gone."""
        for event in events:
            if event.kind is _DELETE:
                held = self.book.told(event.order_id)
                if held is not None:  # otherwise the book refuses it
                    _set(event, "kind", _why_gone(held, event))

    def _failure(self, error: ProtocolError) -> Failure:
        self._lacks_precision = isinstance(error, PrecisionUnknown) or (
            self.book.guessed and isinstance(error, ChecksumMismatch)
        )
        if isinstance(error, OrderUnknown):
            self._counters.checksum_failures += 1
            return Failure(Cause.CHECKSUM, str(error))
        return super()._failure(error)

    # The precision

    def queries(self) -> Sequence[Query]:
        return (PAIRS,) if self._lacks_precision else ()

    def answer(self, query: Query, answer: Answer) -> tuple[Sequence[Event], Failure | None]:
        """Take the precision from the exchange's reference data.

        If it is not in there, it is asked for again when it is needed again.
        """
        del query
        self._lacks_precision = False
        places = precisions(answer.result).get(self._symbol)
        if places is not None and all(0 <= number <= _MAX_PRECISION for number in places):
            self.book.set_precision(*places)
        return (), None

    # Keeping

    @staticmethod
    def _marks_of(book: Any) -> Mapping[str, int]:
        return {} if book.precision is None else dict(zip(_MARKS, book.precision, strict=True))

    def keep(self) -> Kept:
        return self._kept(self._marks_of(self.book))

    def restore(self, kept: Kept) -> None:
        price, qty = (kept.marks.get(name) for name in _MARKS)
        if price is not None and qty is not None:
            self.book.set_precision(price, qty)
        super().restore(kept)


_MARKS: Final = ("price_precision", "qty_precision")


def _why_gone(held: RestingOrder | OrderEvent, event: OrderEvent) -> OrderEventKind:
    """Why the order ``held`` is gone, by the exchange's ``event``.

    A deletion tells the time when it happened, and what was left: nothing of a filled order. When an order is amended,
    it tells the time of the order itself.
    """
    if event.timestamp_text == held.timestamp_text:
        return OrderEventKind.AMEND if event.qty else OrderEventKind.DELETE
    if event.timestamp_ns < held.timestamp_ns:
        return OrderEventKind.DELETE
    if not event.qty:
        return OrderEventKind.FILL
    return OrderEventKind.CANCEL if event.qty == held.qty else OrderEventKind.DELETE
