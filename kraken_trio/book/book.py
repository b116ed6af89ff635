"""The order book: what a message does to it, and how the result is verified.

The rules (see docs/reference/protocol.md, books and checksum):

1. A snapshot replaces everything. An update's levels are applied in their order in the message; of a repeated price the
   last one counts; quantity zero removes; an empty side is unchanged.
2. After the whole message each side is cut to ``depth``: the exchange does not report levels that are pushed out of the
   window.
3. Then the CRC32 of the ten best levels must match the checksum of the message. The digits of the wire are hashed.

The order book is either *available*, and then exactly what the last message made it, or *unavailable*, and then
nothing of it can be read. Only a snapshot that verifies makes it available.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Context, Decimal
from operator import gt
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from zlib import crc32

from kraken_trio._digits import MAX_DIGITS, wire_digits
from kraken_trio.book import core
from kraken_trio.book.row import AMOUNTS_KEPT, ZEROS, amounts, price_rows
from kraken_trio.book.side import CHECKED_LEVELS, Side
from kraken_trio.book.verified import VerifiedBook, symbol_text
from kraken_trio.errors import ProtocolError
from kraken_trio.events import BookSnapshot, BookUpdate, Gap, Level, hold_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from kraken_trio.book.core import Core
    from kraken_trio.events import Event

__all__ = ["CHECKED_LEVELS", "OrderBook"]

_EXACT = Context(prec=100)  # so that the program's decimal context does not round a spread
_HALF = Decimal("0.5")
_ONE_BY_ONE = 1000
"""Updates with more levels per side are sorted as a whole: inserting a million one by one would take minutes."""
_FEW: Final = 8
"""Following so many updates, and one for every four levels of depth, takes as long as loading a whole snapshot."""
MAX_LEVELS = 10_000
"""The most levels per side in one message: ten times the deepest book."""


class OrderBook(VerifiedBook):
    """One symbol's bids and asks, verified after every message.

    Pure and usable alone: feed it the :class:`~kraken_trio.BookSnapshot`, :class:`~kraken_trio.BookUpdate` and
    :class:`~kraken_trio.Gap` events of one symbol, in order.

    ``depth`` is the subscribed depth in levels per side; deeper levels are dropped after each message.
    Every property but ``depth``, ``symbol``, ``available`` and ``verified`` raises
    :class:`~kraken_trio.BookUnavailable` while there is no verified state.

    Not safe to share between threads; nothing in it waits.
    """

    __slots__ = (
        "_asks_view",
        "_bids_view",
        "_timestamp",
        "_told",
        "_until_core",
        "carried",
        "core",
    )

    kind: ClassVar[str] = "book"
    _unit: ClassVar[str] = "levels"
    _snapshot: ClassVar[type[BookSnapshot]] = BookSnapshot
    _update: ClassVar[type[BookUpdate]] = BookUpdate

    def __init__(self, depth: int) -> None:
        super().__init__(depth)
        self._bids: Side = Side()
        self._asks: Side = Side()
        self._told: int | None = None  # by the last event, and found or known to be right
        self.carried: bool = False
        """Whether a snapshot of this book has had a checksum, so that one without is no proof.

        :meta private:
        """
        self._timestamp: datetime | None = None
        self._bids_view: tuple[Level, ...] | None = None
        self._asks_view: tuple[Level, ...] | None = None
        self.core: Core | None = None
        """The compiled core that has the levels; then nothing of them, and of the last event, is here.

        :meta private:
        """
        self._until_core: int = 0
        """How many updates before a core is tried again; 0 if it is not."""

    # Changing it

    def apply(self, event: BookSnapshot | BookUpdate | Gap) -> None:
        """Apply ``event`` and verify the book.

        An event that fails its check makes the book unavailable, and raises :class:`~kraken_trio.ChecksumMismatch` with
        the evidence, or :class:`~kraken_trio.ProtocolError` for an invalid level, or for more than 10,000 levels of one
        side.

        A :class:`~kraken_trio.Gap` of this book makes it unavailable, too. A gap of another channel, or with an unknown
        symbol, changes nothing: if this book lost a message, its next checksum fails.

        An update to an unavailable book raises :class:`~kraken_trio.BookUnavailable` and changes nothing. An event of
        another symbol raises :class:`ValueError` and changes nothing.

        A message without a checksum is accepted by a book that never had one, which is then not :attr:`verified`.
        Otherwise it raises :class:`~kraken_trio.ProtocolError` and makes the book unavailable: an update if a checksum
        has come since the last snapshot, a snapshot if an earlier snapshot of this book had one.
        """
        if event.__class__ is not BookUpdate:
            self._change(event, verify=True)
            return
        if self.core is not None:
            if self.core.apply(event):
                return
            self._leave_core()
        if self._unavailable is not None:
            raise self._refusal()
        if event.symbol != self.symbol:
            raise self._wrong_symbol(event)
        expected = event.checksum
        try:
            if event.bids:
                self._bids_view = None  # mutant: view of bids
                self._merge(self._bids, event.bids, 1)
            if event.asks:
                self._asks_view = None
                self._merge(self._asks, event.asks, -1)
            if expected is not None:
                if self._crc() != expected:  # mutant: checksum of updates
                    self._doubt(event, expected)
                self._verified = True
            elif self._verified:  # mutant: update without a checksum
                raise self._unproven(event)
        except ProtocolError as error:
            raise self._failed(error) from None
        except (AttributeError, TypeError):
            self._mend(event)
            self.apply(event)  # what has been applied of it is applied again, which changes nothing
            return
        self._timestamp = event.timestamp
        self._epoch = event.epoch
        self._received_ns = event.received_ns
        self._told = expected
        if self._until_core:
            self._count_down()

    def follow(self, event: BookSnapshot | BookUpdate | Gap) -> None:
        """Like :meth:`apply`, for an event that another book has verified; it is not verified again."""
        if event.__class__ is not BookUpdate:
            self._change(event, verify=False)
            return
        if self.core is not None:
            if self.core.follow(event):
                return
            self._leave_core()
        if self._unavailable is not None:
            raise self._refusal()
        if event.symbol != self.symbol:
            raise self._wrong_symbol(event)
        try:
            if event.bids:
                self._bids_view = None
                self._merge_known(self._bids, event.bids, 1)
            if event.asks:
                self._asks_view = None
                self._merge_known(self._asks, event.asks, -1)
        except ProtocolError as error:
            raise self._failed(error) from None
        except (AttributeError, TypeError):
            self._mend(event)
            self.follow(event)
            return
        self._timestamp = event.timestamp
        self._epoch = event.epoch
        self._received_ns = event.received_ns
        self._told = event.checksum
        if event.checksum is not None:
            self._verified = True
        if self._until_core:
            self._count_down()

    def follow_all(self, events: Sequence[BookSnapshot | BookUpdate | Gap], latest: Callable[[], Event | None]) -> None:
        """Follow these events, at least one; by way of ``latest``, the state after the last of them, if that is faster.

        It is taken only if the checksum and the times say that it is that state.

        :meta private:
        """
        if self.core is None and len(events) >= _FEW + self.depth // 4:
            state, last = latest(), events[-1]
            if isinstance(state, BookSnapshot) and not isinstance(last, Gap) and _is_after(state, last):
                self.follow(state)
                return
        for event in events:
            self.follow(event)

    def invalidate(self, why: str) -> None:
        """See :class:`VerifiedBook`."""
        self._drop_core()
        super().invalidate(why)
        self._bids_view = self._asks_view = None

    def _change(self, event: Any, *, verify: bool) -> None:
        if self._is_done(event):
            return
        expected = event.checksum
        try:
            if verify and expected is None and self.carried:  # mutant: snapshot without a checksum
                raise self._unproven(event)
            self._load(event)
            if verify and expected is not None and self._crc() != expected:  # mutant: checksum of snapshots
                self._doubt(event, expected)
        except ProtocolError as error:
            raise self._failed(error) from None
        except (AttributeError, TypeError):
            self._mend(event)
            self._change(event, verify=verify)
            return
        self._timestamp, self._epoch, self._received_ns = event.timestamp, event.epoch, event.received_ns
        self._told = expected
        self._verified = expected is not None
        self.carried = self.carried or self._verified
        self._unavailable = None
        self._enter_core()

    def _mend(self, event: BookSnapshot | BookUpdate) -> None:
        """Convert integers in the event's levels, as decoders leave them, to texts.

        Raises what a program's own mistake deserves if something there is no level at all.
        """
        try:
            found = hold_texts((*event.bids, *event.asks))
        except ProtocolError as error:
            raise self._failed(error) from None
        assert found  # levels of texts raise neither AttributeError nor TypeError

    def _failed(self, error: ProtocolError) -> ProtocolError:
        self.invalidate("it failed a check, and its next snapshot has not come yet")  # mutant: failed book
        return error

    def _unproven(self, event: BookSnapshot | BookUpdate) -> ProtocolError:
        if isinstance(event, BookUpdate):
            what = "an update without a checksum, though one has come since the last snapshot"
        else:
            what = "a snapshot without a checksum, though an earlier one had it"
        return ProtocolError(f"{symbol_text(event.symbol)}: {what}")

    def _load(self, event: BookSnapshot) -> None:
        self._drop_core()
        self._replace(event.bids, event.asks)
        self.symbol = event.symbol

    def _replace(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Replace all levels by these."""
        self._bids_view = self._asks_view = None
        self._bids.load([], [], [])  # mutant: snapshot replaces
        self._asks.load([], [], [])
        self._decimals = 0
        self._fill(self._bids, bids, 1)
        self._fill(self._asks, asks, -1)

    def _merge(self, side: Side, levels: Sequence[Level], sign: int) -> None:
        """Apply an update's levels to one side.

        This takes most of an update's time, so it is one loop without Python calls.
        """
        if len(levels) > _ONE_BY_ONE:
            self._fill(side, levels, sign)
            return
        keys, tokens, held = side.keys, side.tokens, side.levels
        if tokens is None:
            tokens = side.worked_out_tokens()
        start, places = side.start, self._decimals
        for level in levels:  # mutant: order of levels
            key, decimals, token = price_rows[level.price_text]
            qty = level.qty_text
            if qty in ZEROS:
                amount = ""
            else:
                amount = qty.replace(".", "", 1)  # as `amounts` does it, without a call: most quantities are new
                if amount.isdecimal() and amount.isascii() and len(qty) <= MAX_DIGITS:
                    amount = amount.lstrip("0")  # mutant: zeros
                    amounts[qty] = amount
                else:
                    amount = amounts[qty]
            token = token + amount if amount else ""  # mutant: quantity zero
            if decimals != places:
                key *= self._widening(decimals)
                keys, places = side.keys, self._decimals
            key *= sign
            index = bisect_left(keys, key, start)
            if index < len(keys) and keys[index] == key:
                if len(keys) - index <= CHECKED_LEVELS:  # mutant: tenth level
                    side.touched = True
                if token:
                    tokens[index] = token
                    held[index] = level
                else:
                    del keys[index], tokens[index], held[index]
            elif token:  # otherwise an unknown price is removed, which changes nothing
                if len(keys) - index < CHECKED_LEVELS:
                    side.touched = True
                keys.insert(index, key)
                tokens.insert(index, token)
                held.insert(index, level)
        if len(keys) - side.start > self.depth:  # mutant: truncation
            side.truncate(self.depth)
        if len(amounts) > AMOUNTS_KEPT:
            amounts.clear()

    def _merge_known(self, side: Side, levels: Sequence[Level], sign: int) -> None:
        """The same for levels that another book has just applied. What they add to the checksum is left for later."""
        if len(levels) > _ONE_BY_ONE:
            self._fill(side, levels, sign)
            return
        keys, held = side.keys, side.levels
        start, places = side.start, self._decimals
        side.tokens, side.touched = None, True
        for level in levels:
            key, decimals, _ = price_rows[level.price_text]
            if decimals != places:
                key *= self._widening(decimals)
                keys, places = side.keys, self._decimals
            key *= sign
            index = bisect_left(keys, key, start)
            if index < len(keys) and keys[index] == key:
                if amounts[level.qty_text]:
                    held[index] = level
                else:
                    del keys[index], held[index]
            elif amounts[level.qty_text]:
                keys.insert(index, key)
                held.insert(index, level)
        if len(keys) - start > self.depth:
            side.truncate(self.depth)

    def _fill(self, side: Side, levels: Sequence[Level], sign: int) -> None:
        """Apply many levels at once: the same result as one by one, but sorted only at the end."""
        if len(levels) > MAX_LEVELS:
            msg = f"a message with {len(levels)} levels of one side: at most {MAX_LEVELS}"
            raise ProtocolError(msg)
        rows = [price_rows[level.price_text] for level in levels]
        found = [amounts[level.qty_text] for level in levels]
        for decimals in {row[1] for row in rows}:
            self._widening(decimals)
        places = self._decimals
        keys = [sign * (key if decimals == places else key * 10 ** (places - decimals)) for key, decimals, _ in rows]
        side.drop_the_cut()
        if side.keys or not all(found) or not all(map(gt, keys, keys[1:])):
            merged = dict(zip(side.keys, side.levels, strict=True))
            for key, amount, level in zip(keys, found, levels, strict=True):
                if amount:
                    merged[key] = level
                else:
                    merged.pop(key, None)
            keys = sorted(merged)
            side.load(keys, None, [merged[key] for key in keys])
        else:  # a regular snapshot: best first, and no price twice
            side.load(keys[::-1], None, list(levels[::-1]))
        side.truncate(self.depth)

    def _widening(self, decimals: int) -> int:
        """The factor for a price with ``decimals``. If they are more than before, the sides are rescaled."""
        if decimals > self._decimals:
            factor = 10 ** (decimals - self._decimals)
            self._bids.rescale(factor)
            self._asks.rescale(factor)
            self._decimals = decimals
        return int(10 ** (self._decimals - decimals))

    # The compiled core

    def _enter_core(self) -> None:
        """Have the compiled core keep the levels, if there is one, and it takes them."""
        if core.load is None:
            return
        self._until_core = self.depth  # so that, per update, trying again costs no more than a few levels
        if self._unavailable is None and self._verified and not self.crossed:
            bids, asks = self.bids, self.asks
            self.core = core.load(
                self.symbol, self.depth, bids, asks, self._told, self._timestamp, self._epoch, self._received_ns
            )
            if self.core is not None:
                self._until_core = 0
                self._replace((), ())

    def _count_down(self) -> None:
        self._until_core -= 1
        if not self._until_core:
            self._enter_core()

    def _leave_core(self) -> None:
        """Take back the levels, for something that the core has not taken."""
        left = self.core
        assert left is not None
        self._drop_core()
        self._replace(left.bids, left.asks)
        self._until_core = self.depth

    def _drop_core(self) -> None:
        """Take back all but the levels."""
        left, self.core = self.core, None
        if left is not None:
            left.leave()
            self._told = left.checksum
            self._timestamp, self._epoch, self._received_ns = left.timestamp, left.epoch, left.received_ns

    def __getstate__(self) -> object:
        if self.core is not None:  # a copy begins without one
            self._leave_core()
        nothing, slots = cast("tuple[None, dict[str, object]]", super().__getstate__())
        # Not shared, not even with a shallow copy: it would lose its levels when a core takes them from this book.
        return nothing, slots | {"_bids": self._bids.copied(), "_asks": self._asks.copied()}

    # Verifying it

    def _doubt(self, event: BookSnapshot | BookUpdate, expected: int) -> None:
        """The digits of the wire do not match ``expected``: raise, unless padded digits do."""
        # Numbers may have been abbreviated on the way (1e-05, or 0.5 for 0.50).
        if crc32(_padded(self._asks, self._bids).encode()) != expected:
            when = None if event.timestamp is None else event.timestamp.isoformat()
            raise self._mismatch(event, expected, when, _shown)

    # Reading it

    @property
    def bids(self) -> tuple[Level, ...]:
        """All bids, highest price first; at most ``depth``."""
        self._require()
        if self.core is not None:
            return self.core.bids
        if self._bids_view is None:
            self._bids_view = self._bids.best_first()
        return self._bids_view

    @property
    def asks(self) -> tuple[Level, ...]:
        """All asks, lowest price first; at most ``depth``."""
        self._require()
        if self.core is not None:
            return self.core.asks
        if self._asks_view is None:
            self._asks_view = self._asks.best_first()
        return self._asks_view

    @property
    def best_bid(self) -> Level | None:
        """The highest bid; None when there are no bids."""
        self._require()
        return self._bids.best() if self.core is None else self.core.best_bid

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask; None when there are no asks."""
        self._require()
        return self._asks.best() if self.core is None else self.core.best_ask

    @property
    def spread(self) -> Decimal | None:
        """Best ask minus best bid, exactly; None when a side is empty. Not positive when the book is crossed."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else _EXACT.subtract(ask.price, bid.price)

    @property
    def mid(self) -> Decimal | None:
        """The midpoint between best bid and best ask, exactly; None when a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else _EXACT.multiply(_EXACT.add(bid.price, ask.price), _HALF)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask. In a verified book this is the exchange's own state."""
        if self._unavailable is not None:
            raise self._refusal()
        bids, asks = self._bids, self._asks  # empty while a core has them: it is never crossed
        is_two_sided = len(bids.keys) > bids.start and len(asks.keys) > asks.start
        return is_two_sided and bids.keys[-1] >= -asks.keys[-1]

    @property
    def timestamp(self) -> datetime | None:
        """The exchange's time of the last message, if it had one."""
        self._require()
        return self._timestamp if self.core is None else self.core.timestamp

    @property
    def received_ns(self) -> int:
        """When the bytes of the last message were read (see :mod:`kraken_trio.events`); 0 before the first."""
        return self._received_ns if self.core is None else self.core.received_ns

    def checksum(self) -> int:
        """The CRC32 of the ten best levels of each side, as Kraken defines it (32 bits, unsigned)."""
        self._require()
        if self.core is not None:
            return self.core.checksum
        return self._crc() if self._told is None else self._told

    def snapshot(self) -> BookSnapshot:
        """The book as one event: with the timestamp, epoch and receive time of its last message.

        It has the checksum if the book is :attr:`verified`.
        """
        self._require()
        assert self.symbol is not None  # an available book has had a snapshot
        return BookSnapshot(
            symbol=self.symbol,
            bids=self.bids,
            asks=self.asks,
            checksum=self.checksum() if self._verified else None,
            timestamp=self.timestamp,
            epoch=self._epoch if self.core is None else self.core.epoch,
            received_ns=self.received_ns,
        )

    def __repr__(self) -> str:
        name = f"OrderBook {'?' if self.symbol is None else symbol_text(self.symbol)} depth={self.depth}"
        if self._unavailable is not None:
            return f"<{name} unavailable: {self._unavailable}>"
        bid, ask = self.best_bid, self.best_ask
        sides = " / ".join(f"{level.qty} @ {level.price}" if level else "none" for level in (bid, ask))
        return f"<{name} {sides}{' crossed' if self.crossed else ''}>"


def _is_after(state: BookSnapshot, last: BookSnapshot | BookUpdate) -> bool:
    """Whether ``last`` is the event that led to this state."""
    return (
        state.checksum is not None
        and state.checksum == last.checksum
        and state.timestamp == last.timestamp
        and (state.epoch, state.received_ns) == (last.epoch, last.received_ns)
    )


def _shown(level: Level) -> str:
    return f"{level.price_text}:{level.qty_text}"


def _padded(asks: Side, bids: Side) -> str:
    """The string to hash if every number is written with as many decimals as the longest of its kind."""
    levels = asks.best_first(CHECKED_LEVELS) + bids.best_first(CHECKED_LEVELS)
    prices = [wire_digits(level.price) for level in levels]
    quantities = [wire_digits(level.qty) for level in levels]
    places = [max((decimals for _, decimals in column), default=0) for column in (prices, quantities)]
    return "".join(
        (digits + "0" * (wanted - decimals)).lstrip("0")
        for row in zip(prices, quantities, strict=True)
        for (digits, decimals), wanted in zip(row, places, strict=True)
    )
