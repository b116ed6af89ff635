"""The account's orders and fills: each fill once, and in order, whatever happens to the connection.

The exchange keeps nothing for a client: after a lost connection, a new snapshot has the open orders and the last 50
fills. What happened in between is found by comparing. Rules:

1. Messages are numbered. A number that is not the next one means that messages are missing: resubscribe. A protocol may
   have several streams, each with its numbers and its part of the snapshot: it begins when all parts are there.
2. A fill is identified by its ``exec_id``. The last :data:`REMEMBERED` are remembered; older ones have been delivered.
3. If a snapshot has no fill that is remembered, and is full, there may be more than it shows: REST's history is read,
   page by page, from before the last fill that was delivered. If it has all fills of the snapshot, too, nothing can be
   missing in between. REST may lag behind the stream, so it is asked again if it does not know them yet.
4. Until then nothing is delivered, so that fills come in order; but not for longer than :data:`ATTEMPTS` answers. What
   is missing after that is a gap which says from when to when.
5. Orders that are not open any more, and those of missed fills, are asked for: how they ended is told when it is known.
6. What REST says never undoes what the stream has said: it only adds what the stream did not tell.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.channels.state import ChannelState, Failure, Kept
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Cause, Event, Execution, Gap, Order, OrdersSnapshot
from kraken_trio.wire.messages import Numbered
from kraken_trio.wire.rest import PAGE, Query, ended_orders, fills

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kraken_trio.statistics import Counters
    from kraken_trio.wire.rest import Answer

__all__ = ["ATTEMPTS", "MAX_HELD", "REMEMBERED", "ExecutionState", "OpenOrders"]

REMEMBERED: Final = 200
"""The fills that are remembered."""
ATTEMPTS: Final = 18
"""How often REST is asked for what it may not know yet: every :data:`RETRY_SECONDS`, so for about 90 s."""
RETRY_SECONDS: Final = 5.0
MAX_PAGES: Final = 200
"""The pages of history that are read for one outage."""
MAX_DUE: Final = 10_000
"""The orders of which it is found out how they ended."""
MAX_HELD: Final = 10_000
"""The reports that are held back while something is being recovered."""
MAX_EARLY: Final = 100
"""The messages that wait for another stream's part of the snapshot."""
ORDERS_PER_QUERY: Final = 50
MAX_TEXT: Final = 600
"""Characters that say what could not be found out: errors of REST tell what to do about it."""
_MARGIN: Final = 1  # second: REST's times have fewer digits
_ENDED: Final = frozenset({"filled", "canceled", "expired", "rejected"})
_ORDER_FIELDS: Final = Order.__struct_fields__


class OpenOrders:
    """The open orders of the account as of the last event that a feed has received: a view."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        """By their ids."""

    def follow(self, event: Any, /) -> None:
        if isinstance(event, OrdersSnapshot):
            self.orders = {order.order_id: order for order in event.orders}
        elif isinstance(event, Execution) and not event.snapshot:
            _move(self.orders, event)

    def follow_all(self, events: Sequence[Any], latest: object, /) -> None:
        del latest
        for event in events:
            self.follow(event)

    def invalidate(self, why: str) -> None:
        """The orders stay as they were."""


def _move(orders: dict[str, Order], report: Execution) -> None:
    """Have ``orders`` follow a report."""
    order_id = report.order_id
    if report.order_status in _ENDED or report.exec_type in _ENDED or report.order_status == "unknown":
        orders.pop(order_id, None)
    elif order_id in orders or (report.exec_type != "trade" and not report.recovered):
        # A late fill does not open an order, and neither does what REST says.
        orders[order_id] = Order(**{name: getattr(report, name) for name in _ORDER_FIELDS})


def _merged(report: Execution, order: Order | None) -> Execution:
    """The report, with what it lacks from the order's earlier ones."""
    if order is None:
        return report
    missing = {
        name: value
        for name in _ORDER_FIELDS
        if getattr(report, name) is None and (value := getattr(order, name)) is not None
    }
    return msgspec.structs.replace(report, **missing) if missing else report


@attrs.define(eq=False)
class _Recovery:
    """What is being found out about the fills of an outage."""

    snapshot: OrdersSnapshot
    """The open orders after it."""
    shown: dict[str, Execution]
    """The fills of the exchange's snapshot that are not remembered."""
    found: dict[str, Execution] = attrs.Factory(dict)
    """Likewise those of REST."""
    held: list[Execution] = attrs.Factory(list)
    """What the stream has told since."""
    page: int = 0
    attempts: int = 0
    has_met: bool = False
    """Whether the pages so far have come to the fills of the snapshot: what is newer comes by the stream."""
    is_waiting: bool = False
    """Whether the last answer was not enough, so that it is asked again later."""
    seen: set[str] = attrs.Factory(set)
    """Those of the snapshot that REST knows."""
    is_complete: bool = False
    failure: str = ""
    """Why it goes no further."""


class ExecutionState(ChannelState):
    """The open orders, the last fills, and what is being found out about an outage."""

    __slots__ = (
        "_attempts",
        "_began",
        "_counters",
        "_due",
        "_early",
        "_epoch",
        "_fills",
        "_floor",
        "_is_waiting",
        "_number",
        "_orders",
        "_received_ns",
        "_recovery",
        "_sequences",
    )

    is_cumulative = True
    has_history = True
    can_conflate = False
    has_symbols = False
    asks = True

    def __init__(self, request: object, counters: Counters, codec: object) -> None:
        del request, codec
        self._counters = counters
        self._orders: dict[str, Order] = {}
        self._fills: OrderedDict[str, Execution] = OrderedDict()
        self._floor: datetime | None = None
        """When the first of the first snapshot's fills was, if it was full: those before it are not for us.

        It is not the last of them: REST's times have fewer digits, so later fills may seem to be before that.
        """
        self._began: bool = False
        """Whether there has been a snapshot."""
        self._sequences: dict[str, int] = {}
        """The number of each stream's last message; empty while the next one has to be a snapshot."""
        self._early: list[Numbered] = []
        """What waits for the other streams' parts of the snapshot: of each stream, its own part comes first."""
        self._epoch: int = 0
        self._received_ns: int = 0
        self._recovery: _Recovery | None = None
        self._due: dict[str, Order] = {}
        """Orders that have ended, nobody has said how; as they were before."""
        self._attempts: int = 0
        self._is_waiting: bool = False
        self._number: int = 0
        """How many questions have been answered."""

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        return type(event) is Execution

    @staticmethod
    def how_to_recover(first: Any, last: Any, /) -> str:
        times = [_text(getattr(event, "timestamp", None)) for event in (first, last)]
        return f"; REST's TradesHistory has the fills from {times[0]} to {times[1]}"

    @classmethod
    def view(cls, request: object) -> OpenOrders:
        del request
        return OpenOrders()

    # Messages

    def holds(self, events: Sequence[Any]) -> bool:
        """See the base class."""
        message: Numbered = events[0]
        begun = {early.stream for early in self._early}
        if self._sequences or message.snapshot is (message.stream in begun):
            return False  # it is taken as it is, or is not the next one of its stream
        if begun.union((message.stream,)) >= set(message.streams) or len(self._early) >= MAX_EARLY:
            return False
        self._early.append(message)
        return True

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        """See the base class. ``events`` are one :class:`~kraken_trio.wire.messages.Numbered`."""
        message: Numbered = events[0]
        self._epoch, self._received_ns = message.epoch, message.received_ns
        if len(message.streams) > 1 and not self._sequences:
            return self._take_parts(message)
        if message.snapshot and len(message.streams) == 1:
            self._sequences[message.stream] = message.sequence or 0
            return self._compare(message.rows), None
        before: Sequence[Event] = ()
        if not self._sequences:
            if message.sequence != 1 or self._orders or self._fills:
                return (), _too_early(message)
            # An account without orders and fills may have no snapshot; another one has lost it.
            self._sequences[message.stream] = 0
            before = self._compare(())
        told, failure = self._follow(message)
        return [*before, *told], failure

    def _take_parts(self, last: Numbered) -> tuple[Sequence[Event], Failure | None]:
        """Take the snapshot of several streams, of which this is the last part, and what came meanwhile."""
        messages, self._early = [*self._early, last], []
        parts = {message.stream: message for message in messages if message.snapshot}
        if parts.keys() != set(last.streams) or len(parts) + sum(not one.snapshot for one in messages) < len(messages):
            return (), _too_early(last)
        self._sequences = {stream: part.sequence or 0 for stream, part in parts.items()}
        told = [*self._compare([row for stream in last.streams for row in parts[stream].rows])]
        for message in messages:
            if not message.snapshot:
                more, failure = self._follow(message)
                told += more
                if failure is not None:
                    return told, failure
        return told, None

    def _follow(self, message: Numbered) -> tuple[Sequence[Event], Failure | None]:
        """Take a message after the snapshot."""
        if message.sequence is not None:
            last = self._sequences[message.stream]
            if message.sequence != last + 1:  # mutant: next message
                what = message.stream or "the orders"
                text = f"message {message.sequence} of {what} came after message {last}"
                return (), Failure(Cause.MISSED, text)
            self._sequences[message.stream] = message.sequence
        reports: Sequence[Any] = message.rows
        recovery = self._recovery
        if recovery is None:
            return self._deliver(reports), None
        recovery.held.extend(reports)
        if len(recovery.held) > MAX_HELD:
            recovery.failure = f"more than {MAX_HELD:,} reports came meanwhile"
        return self._conclude(), None

    def _deliver(self, reports: Iterable[Execution]) -> list[Event]:
        """What is delivered of reports that follow what has been delivered: known fills are left out."""
        delivered: list[Event] = []
        for raw in reports:
            report = _merged(raw, self._orders.get(raw.order_id))
            if report.exec_id is not None:
                if report.exec_id in self._fills:  # mutant: each fill once
                    continue
                self._remember(report)
            _move(self._orders, report)
            delivered.append(report)
        return delivered

    def _remember(self, fill: Execution) -> None:
        self._fills[str(fill.exec_id)] = fill
        if len(self._fills) > REMEMBERED:
            self._fills.popitem(last=False)

    # Snapshots

    def _compare(self, rows: Sequence[Any]) -> Sequence[Event]:
        """Find out what happened between what has been delivered and this snapshot."""
        orders = {row.order_id: _as_order(row) for row in rows if row.exec_id is None}
        shown = sorted((row for row in reversed(rows) if row.exec_id is not None), key=_when)
        snapshot = OrdersSnapshot(orders=tuple(orders.values()), epoch=self._epoch, received_ns=self._received_ns)
        if not self._began:
            self._began = True
            for fill in shown:
                self._remember(fill)
            self._floor = shown[0].timestamp if len(shown) >= PAGE else None
            return self._replace(snapshot)
        new = {str(fill.exec_id): fill for fill in shown if not self._is_old(fill)}
        for order_id in [*self._orders, *(fill.order_id for fill in new.values())]:
            if order_id not in orders:
                self._find_end(order_id)
        self._attempts, self._is_waiting = 0, False
        self._recovery = _Recovery(snapshot, new, is_complete=len(new) < len(shown) or len(shown) < PAGE)
        return self._conclude()

    def _is_old(self, fill: Execution) -> bool:
        """Whether it has been delivered, or was before the first snapshot."""
        if fill.exec_id in self._fills:
            return True
        when = fill.timestamp
        if when is None:
            return False
        if self._floor is not None and when <= self._floor:
            return True
        oldest = next(iter(self._fills.values())).timestamp if len(self._fills) >= REMEMBERED else None
        return oldest is not None and when < oldest

    @property
    def _latest(self) -> datetime | None:
        """When the latest fill was that has been delivered."""
        return next(reversed(self._fills.values())).timestamp if self._fills else self._floor

    def _replace(self, snapshot: OrdersSnapshot) -> list[Event]:
        self._orders = {order.order_id: order for order in snapshot.orders}
        return [snapshot]

    def _conclude(self) -> Sequence[Event]:
        """If nothing more can be found out about the fills: all of it, in order."""
        recovery = self._recovery
        if recovery is None or not (recovery.is_complete or recovery.failure):
            return ()
        self._recovery = None
        snapshot = recovery.snapshot
        ours = {"epoch": snapshot.epoch, "received_ns": snapshot.received_ns, "recovered": True}
        delivered: list[Event] = []
        # What REST found is from before the fills of the snapshot. It tells the newest first, of one moment as well.
        found = list(recovery.found.values())
        found.reverse()
        found.sort(key=_when_in_rest)
        missed = [*found, *recovery.shown.values()]
        if not recovery.is_complete:
            delivered.append(self._lost(recovery))
        delivered += self._deliver(msgspec.structs.replace(fill, **ours) for fill in missed)
        self._counters.fills_recovered += sum(isinstance(event, Execution) for event in delivered)
        return [*delivered, *self._replace(snapshot), *self._deliver(recovery.held)]

    def _lost(self, recovery: _Recovery) -> Gap:
        until = next(iter(recovery.shown.values())).timestamp
        detail = (
            f"fills between {_text(self._latest)} and {_text(until)} could not be recovered: {recovery.failure}; "
            f"REST's TradesHistory may have them"
        )
        return self._gap(detail)

    def _gap(self, detail: str) -> Gap:
        return Gap(
            symbol=None,
            cause=Cause.UNRECOVERED,
            channel="executions",
            detail=printable(detail, MAX_TEXT),
            epoch=self._epoch,
            received_ns=self._received_ns,
        )

    # Questions to REST

    def queries(self) -> Sequence[Query]:
        """See the base class: first the fills, then how orders ended."""
        if not self._sequences:
            return ()  # not while there is no connection
        recovery = self._recovery
        if recovery is not None:
            params = [("consolidate_taker", "false"), ("ofs", str(recovery.page * PAGE))]
            since = self._latest
            if since is not None:
                # From a moment before: REST's times have fewer digits.
                params.append(("start", str(int(since.timestamp()) - _MARGIN)))
            return (self._query("TradesHistory", params, is_waiting=recovery.is_waiting),)
        if self._due:
            ids = ",".join(list(self._due)[:ORDERS_PER_QUERY])
            params = [("consolidate_taker", "false"), ("trades", "true"), ("txid", ids)]
            return (self._query("QueryOrders", params, is_waiting=self._is_waiting),)
        return ()

    def _query(self, name: str, params: Sequence[tuple[str, str]], *, is_waiting: bool) -> Query:
        return Query(name, tuple(params), after=RETRY_SECONDS if is_waiting else 0.0, number=self._number)

    def answer(self, query: Query, answer: Answer) -> tuple[Sequence[Event], Failure | None]:
        """See the base class."""
        self._number += 1
        recovery = self._recovery
        failure = answer.error
        if recovery is not None:
            recovery.is_waiting = False
            if failure is None:
                try:
                    self._read_page(recovery, fills(answer.result, answer.pairs))
                except ProtocolError as error:
                    failure = str(error)
            recovery.failure = failure or recovery.failure
            return self._conclude(), None
        self._is_waiting = False
        if failure is None:
            try:
                return self._read_ends(query, ended_orders(answer.result, answer.pairs), answer.received_ns), None
            except ProtocolError as error:
                failure = str(error)
        return self._give_up(failure, answer.received_ns), None

    def _read_page(self, recovery: _Recovery, page: Sequence[Execution]) -> None:
        for fill in page:
            exec_id = str(fill.exec_id)
            if exec_id in recovery.shown:
                recovery.has_met = True
                recovery.seen.add(exec_id)
            elif recovery.has_met and not self._is_old(fill):  # mutant: newer than the snapshot
                recovery.found.setdefault(exec_id, fill)
        if len(page) == PAGE:
            recovery.page += 1
            if recovery.page >= MAX_PAGES:
                recovery.failure = f"there are more than {MAX_PAGES * PAGE:,} of them"
        elif recovery.seen == recovery.shown.keys():  # mutant: late history
            # All from before the last one that was delivered to those of the snapshot: nothing is missing.
            recovery.is_complete = True
            is_open = {order.order_id for order in recovery.snapshot.orders}
            for fill in recovery.found.values():
                if fill.order_id not in is_open:
                    self._find_end(fill.order_id)
        else:
            recovery.page, recovery.has_met = 0, False
            recovery.attempts += 1
            recovery.is_waiting = True
            if recovery.attempts >= ATTEMPTS:
                recovery.failure = f"REST did not know the latest fills, {ATTEMPTS} times"

    def _find_end(self, order_id: str) -> None:
        if len(self._due) < MAX_DUE:
            self._due.setdefault(order_id, self._orders.get(order_id) or Order(order_id=order_id))

    def _read_ends(self, query: Query, ends: Mapping[str, Execution | None], received_ns: int) -> Sequence[Event]:
        known = [end for order_id, end in ends.items() if end is not None and order_id in self._due]
        if known:
            self._attempts = 0
            return self._tell_ends(known, received_ns)
        self._attempts += 1
        self._is_waiting = True
        if self._attempts < ATTEMPTS:
            return ()
        asked = dict(query.params)["txid"].split(",")
        return self._give_up(f"REST did not know, {ATTEMPTS} times", received_ns, asked)

    def _give_up(self, why: str, received_ns: int, order_ids: Iterable[str] | None = None) -> Sequence[Event]:
        """Tell that these orders have ended; nobody says how."""
        self._attempts, self._is_waiting = 0, False
        reason = printable(f"it is not open any more; how it ended is unknown: {why}", MAX_TEXT)
        ends = [
            Execution(order_id=order_id, exec_type="unknown", order_status="unknown", reason=reason, recovered=True)
            for order_id in (self._due if order_ids is None else order_ids)
            if order_id in self._due
        ]
        return self._tell_ends(ends, received_ns)

    def _tell_ends(self, ends: Sequence[Execution], received_ns: int) -> Sequence[Event]:
        told: list[Event] = []
        self._received_ns = max(self._received_ns, received_ns)  # what is rebuilt after this is not older
        for end in sorted(ends, key=_when):
            whole = _merged(end, self._due.pop(end.order_id))
            told.append(msgspec.structs.replace(whole, epoch=self._epoch, received_ns=received_ns))
        return told

    # For feeds, and for recordings

    def start(self, request: Any) -> Sequence[Event]:
        whole = self.rebuild()
        if whole is None:
            return ()
        if not request.history:
            return (whole,)
        past = [msgspec.structs.replace(fill, snapshot=True) for fill in list(self._fills.values())[-PAGE:]]
        return [*past, whole]

    def rebuild(self) -> OrdersSnapshot | None:
        if not self._began:
            return None
        return OrdersSnapshot(orders=tuple(self._orders.values()), epoch=self._epoch, received_ns=self._received_ns)

    def keep(self) -> Kept:
        if not self._began and not self._early:
            return Kept()
        whole = self.rebuild() or OrdersSnapshot(orders=())
        due = msgspec.structs.replace(whole, orders=tuple(self._due.values()))
        events: list[Event] = [whole, due, *self._fills.values()]
        marks = {
            "began": int(self._began),
            "number": self._number,
            "attempts": self._attempts,
            "waiting": int(self._is_waiting),
            "fills": len(self._fills),
        }
        marks |= {f"sequence {stream}": sequence for stream, sequence in self._sequences.items()}
        for index, message in enumerate(self._early):
            events += cast("tuple[Execution, ...]", message.rows)
            marks |= {f"early {index} {message.stream}": message.sequence or 0, f"rows {index}": len(message.rows)}
        if self._floor is not None:
            marks["floor_us"] = (self._floor - _EPOCH) // _MICROSECOND
        recovery = self._recovery
        if recovery is not None:
            seen = [recovery.shown[exec_id] for exec_id in sorted(recovery.seen)]
            lists = {"shown": [*recovery.shown.values()], "found": [*recovery.found.values()], "seen": seen}
            events += [recovery.snapshot, *(fill for part in lists.values() for fill in part), *recovery.held]
            marks |= {name: len(part) for name, part in lists.items()}
            marks |= {"page": recovery.page, "tries": recovery.attempts}
            marks |= {"met": int(recovery.has_met), "pausing": int(recovery.is_waiting)}
        return Kept(tuple(events), marks)

    def restore(self, kept: Kept) -> None:
        if not kept.events:
            return
        marks, events = kept.marks, iter(kept.events)
        whole, due = _snapshot(events), _snapshot(events)
        self._began = bool(marks.get("began", 1))
        self._epoch, self._received_ns = whole.epoch, whole.received_ns
        self._replace(whole)
        self._due = {order.order_id: order for order in due.orders}
        for fill in _reports(events, marks.get("fills", 0)):
            self._remember(fill)
        self._sequences = {name[len(_SEQUENCE) :]: at for name, at in marks.items() if name.startswith(_SEQUENCE)}
        while (early := _early(len(self._early), events, marks)) is not None:
            snapshot = all(early.stream != other.stream for other in self._early)
            self._early.append(msgspec.structs.replace(early, snapshot=snapshot))
        self._number, self._attempts = marks.get("number", 0), marks.get("attempts", 0)
        self._is_waiting = bool(marks.get("waiting"))
        floor = marks.get("floor_us")
        self._floor = None if floor is None else _EPOCH + floor * _MICROSECOND
        if "page" in marks:
            recovery = self._recovery = _Recovery(_snapshot(events), {})
            recovery.shown = {str(fill.exec_id): fill for fill in _reports(events, marks.get("shown", 0))}
            recovery.found = {str(fill.exec_id): fill for fill in _reports(events, marks.get("found", 0))}
            recovery.seen = {str(fill.exec_id) for fill in _reports(events, marks.get("seen", 0))}
            recovery.held = list(_reports(events, MAX_HELD))
            recovery.page, recovery.attempts = marks["page"], marks.get("tries", 0)
            recovery.has_met, recovery.is_waiting = bool(marks.get("met")), bool(marks.get("pausing"))

    def reset(self) -> None:
        """The next message has to be a snapshot; what was being found out about fills will be found again."""
        self._sequences = {}
        self._early = []
        self._recovery = None

    @property
    def last_received_ns(self) -> int:
        return self._received_ns


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _snapshot(events: Iterator[Event]) -> OrdersSnapshot:
    event = next(events, None)
    if not isinstance(event, OrdersSnapshot):
        raise _not_kept(event)
    return event


def _reports(events: Iterator[Event], count: int) -> Iterator[Execution]:
    """So many of the next events, or as many as there are."""
    for event in islice(events, count):
        if not isinstance(event, Execution):
            raise _not_kept(event)
        yield event


_SEQUENCE: Final = "sequence "


def _early(index: int, events: Iterator[Event], marks: Mapping[str, int]) -> Numbered | None:
    """The message with this index of those that wait for the rest of their snapshot."""
    begin = f"early {index} "
    name = next((name for name in marks if name.startswith(begin)), None)
    if name is None:
        return None
    rows = tuple(_reports(events, marks.get(f"rows {index}", 0)))
    return Numbered(
        channel=Execution.channel, snapshot=False, sequence=marks[name], rows=rows, stream=name[len(begin) :]
    )


def _too_early(message: Numbered) -> Failure:
    return Failure(Cause.MISSED, f"message {message.sequence} of the orders came before their snapshot")


def _not_kept(event: object) -> ProtocolError:
    return ProtocolError(f"executions are kept as orders and reports, not as a {type(event).__name__}")


def _when(report: Execution) -> datetime:
    """What reports are sorted by."""
    return report.timestamp or _EPOCH


def _when_in_rest(fill: Execution) -> tuple[datetime, int]:
    """What fills of REST are sorted by: its times have few digits, and it tells the newest first."""
    return _when(fill), fill.trade_id or 0


def _text(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else moment.isoformat()


def _as_order(report: Execution) -> Order:
    return Order(**{name: getattr(report, name) for name in _ORDER_FIELDS})
