"""A `Session` in the hands of a test: wishes, frames and the time go in, and what comes out is kept and looked at."""

from __future__ import annotations

import itertools
import json
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from kraken_trio.endpoint import Endpoint
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, ConnectionState, Event, Gap, StateChange
from kraken_trio.requests import Book
from kraken_trio.session import Effects, Session
from kraken_trio.settings import Settings
from kraken_trio.telemetry.log import LogLines
from kraken_trio.testing import ReferenceBook
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.errors import ConnectError
    from kraken_trio.requests import Depth, Request
    from kraken_trio.session.records import Record
    from kraken_trio.statistics import SubscriptionState

Asked: TypeAlias = dict[str, Any]
"""A frame of the client, as the exchange reads it."""
Levels: TypeAlias = "list[tuple[str, str]]"
"""Price and quantity, with the digits of the wire."""

HEARTBEAT = '{"channel":"heartbeat"}'
BARE_RATE_LIMIT = '{"Error":"Exceeded msg rate"}'
RATE_LIMIT = "Exceeded msg rate"
UNKNOWN_PAIR = "Currency pair not supported"
BUSY = "EService:Busy"
ALREADY = "Already subscribed"
ABSENT = "Subscription Not Found"
NONSENSE = "{nonsense"

BTC, ETH, SOL = "BTC/USD", "ETH/USD", "SOL/USD"


# Frames of the exchange


def ack(asked: Asked, symbol: str | None = None, **changes: Any) -> str:
    """The exchange accepts ``asked``, for one symbol."""
    result = {key: value for key, value in asked["params"].items() if key != "symbol"}
    if symbol is not None:
        result["symbol"] = symbol
    answer = {"method": asked["method"], "result": result, "success": True, "req_id": asked["req_id"]} | changes
    return json.dumps({key: value for key, value in answer.items() if value is not None})


def acks(asked: Asked) -> list[str]:
    """The exchange accepts ``asked``, for each symbol."""
    return [ack(asked, symbol) for symbol in asked["params"].get("symbol", [None])]


def refusal(error: str, asked: Asked | None = None, symbol: str | None = None) -> str:
    """The exchange refuses ``asked``, for one symbol or for all."""
    answer = {"error": error, "success": False, "symbol": symbol}
    if asked is not None:
        answer |= {"method": asked["method"], "req_id": asked["req_id"]}
    return json.dumps({key: value for key, value in answer.items() if value is not None})


def pong(ping: Asked | None = None) -> str:
    return json.dumps({"method": "pong"} | ({} if ping is None else {"req_id": ping["req_id"]}))


def data(channel: str, kind: str, entries: Iterable[str]) -> str:
    return f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(entries)}]}}'


def trade(trade_id: int, symbol: str = BTC, *, qty: str = "0.10") -> str:
    """One entry of a trade frame."""
    return (
        f'{{"symbol":"{symbol}","side":"buy","price":100.5,"qty":{qty},"ord_type":"limit",'
        f'"trade_id":{trade_id},"timestamp":"2026-05-14T15:06:09.020392Z"}}'
    )


def trades(*trade_ids: int, symbol: str = BTC, history: bool = False) -> str:
    return data("trade", "snapshot" if history else "update", (trade(number, symbol) for number in trade_ids))


def ticker(last: int, symbol: str = BTC, *, kind: str = "update") -> str:
    entry = f'{{"symbol":"{symbol}","bid":1.0,"bid_qty":2.0,"ask":1.5,"ask_qty":3.0,"last":{last}}}'
    return data("ticker", kind, [entry])


def candle(minute: int, close: int = 1, symbol: str = BTC, *, kind: str = "update") -> str:
    begin = f"2026-05-14T15:{minute:02}:00.000000000Z"
    entry = (
        f'{{"symbol":"{symbol}","open":1.0,"high":9.0,"low":1.0,"close":{close},"trades":1,"volume":1.0,"vwap":1.0,'
        f'"interval_begin":"{begin}","interval":1}}'
    )
    return data("ohlc", kind, [entry])


def pair(symbol: str, status: str = "online") -> Asked:
    base, quote = symbol.split("/")
    return {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "status": status,
        "price_precision": 1,
        "qty_precision": 8,
    }


def asset(name: str, status: str = "enabled") -> Asked:
    return {"id": name, "status": status, "precision": 8, "precision_display": 4}


def instruments(assets: Iterable[Asked] = (), pairs: Iterable[Asked] = (), *, kind: str = "update") -> str:
    content = {"assets": list(assets), "pairs": list(pairs)}
    return json.dumps({"channel": "instrument", "type": kind, "data": content})


def status(system: str, **more: Any) -> str:
    entry = {"system": system, "version": "2.0.10", "api_version": "v2"} | more
    return data("status", "update", [json.dumps(entry)])


class Market:
    """The exchange's own book of one symbol, and its frames."""

    def __init__(self, symbol: str = BTC, *, depth: Depth = 10) -> None:
        self.symbol = symbol
        self.depth = depth
        self.book = ReferenceBook(None)
        self.change(bids=[("100.0", "1.00"), ("99.5", "2.50")], asks=[("100.5", "3.00"), ("101.0", "0.25")])

    def change(self, bids: Levels = [], asks: Levels = []) -> None:  # noqa: B006 (never changed)
        self.book.apply(bids=bids, asks=asks)

    def top(self) -> tuple[Levels, Levels]:
        """Bids and asks, best first, cut to the depth."""
        return self.book.bids[: self.depth], self.book.asks[: self.depth]

    @property
    def checksum(self) -> int:
        return self.book.cut(self.depth).checksum()

    def snapshot(self, *, spoil: int = 0) -> str:
        return self._frame("snapshot", *self.top(), spoil=spoil)

    def update(self, bids: Levels = [], asks: Levels = [], *, spoil: int = 0) -> str:  # noqa: B006 (never changed)
        """Change the book, and tell it. With ``spoil`` the checksum is wrong."""
        self.change(bids, asks)
        return self._frame("update", bids, asks, spoil=spoil)

    def tick(self, qty: str, *, spoil: int = 0) -> str:
        """The quantity at one bid becomes ``qty``."""
        return self.update(bids=[("99.5", qty)], spoil=spoil)

    def _frame(self, kind: str, bids: Levels, asks: Levels, *, spoil: int) -> str:
        sides = [",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels) for levels in (bids, asks)]
        checksum = self.checksum ^ spoil
        entry = f'{{"symbol":"{self.symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum}}}'
        return data("book", kind, [entry])


# The client


def _is_ping(asked: Asked) -> bool:
    return "ping" in (asked.get("method"), asked.get("event"))


class Client:
    """A session, its shell, and what all of its feeds have seen."""

    heartbeat: ClassVar[str] = HEARTBEAT

    def __init__(self, *, connect: bool = True, jitter: float = 0.0, protocol: str = "v2", **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.jitter = jitter
        endpoint = Endpoint("ws://exchange.test", protocol)
        self.session = Session(self.settings, lambda: self.jitter, codec_for(protocol), endpoint)
        self.log = LogLines("test", self.settings)
        self.now: float = 1000.1
        self.received_ns = itertools.count(1)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any], Effects | None]] = []
        """Every call, and what it gave."""
        self.effects = Effects()
        """The latest."""
        self.seen: defaultdict[object, list[Event]] = defaultdict(list)
        """Per feed, since it was last looked at."""
        self.answers: dict[object, dict[Request, str]] = {}
        self.outbox: list[Asked] = []
        """What the exchange has not read."""
        self.sent_at: dict[int, float] = {}
        """When requests (no pings) were sent, by their numbers."""
        self.changes: list[StateChange] = []
        self.records: list[Record] = []
        self.notes: list[str] = []
        """Log lines of the level INFO."""
        self.warnings: list[str] = []
        """Log lines of the level WARNING."""
        self.drops: list[Cause] = []
        self.keepalives: list[float] = []
        """When WebSocket PINGs were sent."""
        self.is_ponged: bool = True
        """Are they answered, at once?"""
        self.open()
        if connect:
            self.connect()

    # What a shell does

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Effects:
        deadline = self.session.deadline
        effects = getattr(self.session, name)(*args, **kwargs)
        self.calls.append((name, args, kwargs, effects))
        if effects is None:
            return Effects()
        assert isinstance(effects, Effects)
        assert effects.rearm or self.session.deadline >= deadline, "a shell would wake too late"
        self.effects = effects
        for feed, events in effects.deliver.items():
            self.seen[feed] += events
        for feed, reasons in effects.answers:
            assert feed not in self.answers, f"{feed} is answered twice"
            self.answers[feed] = reasons
        for frame in effects.send:
            asked = json.loads(frame)
            self.outbox.append(asked)
            if not _is_ping(asked):
                self.sent_at[asked.get("req_id", asked.get("reqid"))] = self.now
        self.changes += effects.changes
        self.records += effects.records
        for line in self.log.lines(effects.records, self.now):
            (self.warnings if line.level == logging.WARNING else self.notes).append(line.text)
        if effects.drop is not None:
            self.drops.append(effects.drop)
        if effects.ping:
            self.keepalives.append(self.now)
            if self.is_ponged:
                self.pong()
        return effects

    def open(self) -> Effects:
        return self._call("open", self.now)

    def connect(self) -> Effects:
        return self._call("connected", self.now)

    def connect_failed(self, error: ConnectError) -> Effects:
        return self._call("connect_failed", error, self.now)

    def lose(self, cause: Cause = Cause.DISCONNECTED, detail: str = "gone", *, code: int | None = None) -> Effects:
        """The connection is lost; what it did not read is lost, too."""
        self.outbox.clear()
        return self._call("disconnected", cause, detail, self.now, code=code)

    def budget_spent(self, why: str) -> Effects:
        return self._call("budget_spent", why, self.now)

    def retry(self) -> Effects:
        """Wait as long as the session wants to, and try."""
        self.now = max(self.now, self.session.reconnect_at)
        return self._call("retry", self.now)

    def reconnect(self) -> Effects:
        """Wait as long as the session wants to, and succeed."""
        self.retry()
        return self.connect()

    def close(self) -> Effects:
        return self._call("close", self.now)

    def add(self, feed: object, *requests: Request) -> Effects:
        return self._call("add", feed, requests, self.now)

    def remove(self, feed: object) -> Effects:
        return self._call("remove", feed, self.now)

    def receive(self, *frames: str | bytes) -> Effects:
        return self._call("receive", frames, next(self.received_ns), self.now)

    def hold(self) -> None:
        self._call("hold", self.now)

    def resume(self) -> None:
        self._call("resume", self.now)

    def pong(self) -> None:
        """The WebSocket's, not the application's."""
        self._call("ponged", self.now)

    def tick(self) -> Effects:
        return self._call("tick", self.now)

    def advance(self, seconds: float, *, heartbeat: float | None = None) -> None:
        """Let time pass, as a shell with an exact clock does. With ``heartbeat`` one comes every so many seconds."""
        end = self.now + seconds
        beat = self.now + heartbeat if heartbeat is not None else float("inf")
        in_vain = 0
        while True:
            due = min(self.session.deadline, beat)
            if due > end:
                break
            in_vain = 0 if due > self.now else in_vain + 1
            assert in_vain < 10, "the session's deadline does not move on"
            self.now = max(self.now, due)
            if due == beat and heartbeat is not None:
                beat += heartbeat
                self.receive(self.heartbeat)
            else:
                self.tick()
            if self.drops and self.effects.drop is not None:
                break
        self.now = end

    # What a test wants to know

    def state(self) -> ConnectionState:
        return self.session.state

    def events(self, feed: object) -> list[Event]:
        """What has come since the last look."""
        return self.seen.pop(feed, [])

    def kinds(self, feed: object) -> list[str]:
        """The same as words: the class, and for gaps the cause."""
        return [f"Gap {e.cause.value}" if isinstance(e, Gap) else type(e).__name__ for e in self.events(feed)]

    def requests(self) -> list[Asked]:
        """What the exchange now reads: subscribes and unsubscribes."""
        read, self.outbox = self.outbox, []
        return [asked for asked in read if not _is_ping(asked)]

    def request(self) -> Asked:
        """The only one."""
        (asked,) = self.requests()
        return asked

    def accept(self) -> list[Asked]:
        """The exchange reads everything, and says yes to it."""
        asked = self.requests()
        for one in asked:
            self.receive(*acks(one))
        return asked

    def follow(self, feed: object, *requests: Request) -> Effects:
        """Add a feed; the exchange says yes."""
        self.add(feed, *requests)
        self.accept()
        assert self.answers[feed] == {}
        return self.effects

    def follow_book(self, feed: object, market: Market, *others: Request) -> None:
        """Add a feed with a live book."""
        self.follow(feed, Book(market.symbol, depth=market.depth), *others)
        self.receive(market.snapshot())
        assert self.kinds(feed)[-1] == "BookSnapshot"

    @property
    def states(self) -> dict[Request, SubscriptionState]:
        """How far each wanted subscription has come."""
        return {request: now.state for request, now in self.session.statistics().subscriptions.items()}

    def count(self, name: str) -> int:
        value = getattr(self.session.statistics(log_lines_left_out=self.log.left_out), name)
        assert isinstance(value, int)
        return value


def words(asked: Iterable[Asked]) -> list[str]:
    """Requests as short texts: ``subscribe book BTC/USD ETH/USD``."""
    return [" ".join([a["method"], a["params"]["channel"], *a["params"].get("symbol", [])]) for a in asked]


def books(events: Iterable[Event]) -> list[BookSnapshot | BookUpdate]:
    return [event for event in events if isinstance(event, BookSnapshot | BookUpdate)]
