"""Level 3 of the fake exchange: its requests, limits and faults."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kraken_trio.testing import ExchangeCore, Market, MarketSpec, ReferenceBook
from kraken_trio.testing.exchange.actions import Send
from kraken_trio.testing.exchange.budget import MAX_SYMBOLS
from kraken_trio.testing.exchange.hosts import PATHS, Host
from kraken_trio.testing.exchange.tokens import INVALID_SESSION, Tokens
from kraken_trio.testing.faults import DeepSnapshot, Exponents, ReorderQueue, SkipUpdate, SwapUpdates, UnknownOrder
from tests.testing.level3_reader import SIDES, Level3Reader, LostSynchronisation

START_NS = 1_785_644_622 * 10**9
BTC, ETH = "BTC/USD", "ETH/USD"
SPECS = (
    MarketSpec(symbol=BTC, price_precision=1, qty_precision=8, start_price="64525.0", levels=40, typical_qty="0.35"),
    MarketSpec(symbol=ETH, price_precision=2, qty_precision=8, start_price="1877.30", levels=40, typical_qty="4"),
)


class Talk:
    """Connections to a core, and a token."""

    def __init__(self, specs: tuple[MarketSpec, ...] = SPECS, *, host: Host = Host.ALL, **settings: Any) -> None:
        self.core = ExchangeCore(
            Market(specs, seed=1, rate=0, start_ns=START_NS), now=0.0, epoch_ns=START_NS, **settings
        )
        self.number, _ = self.core.connect(0.0, host=host)
        self.token: str | None = self.core.tokens.issue(0.0)

    def texts(self, actions: Any) -> list[str]:
        return [action.text for action in actions if isinstance(action, Send)]

    def ask(self, method: str = "subscribe", *, now: float = 0.0, req_id: int = 7, **params: Any) -> list[Any]:
        params = {"channel": "level3", "symbol": [BTC], "token": self.token} | params
        params = {name: value for name, value in params.items() if value is not None}
        request = {"method": method, "params": params, "req_id": req_id}
        return self.texts(self.core.receive(self.number, json.dumps(request), now))

    def errors(self, *args: Any, **params: Any) -> list[str | None]:
        return [json.loads(text).get("error") for text in self.ask(*args, **params) if '"method"' in text]

    def publish(self, updates: int = 1, symbol: str = BTC) -> list[str]:
        return self.texts(self.core.publish(updates, 0.0, symbol))


def reader(symbol: str = BTC, depth: int = 10) -> Level3Reader:
    return Level3Reader(depth, 1 if symbol == BTC else 2, 8)


def test_every_symbol_gets_its_answer_and_its_snapshot() -> None:
    talk = Talk()
    ack, other, snapshot, second = map(json.loads, talk.ask(symbol=[BTC, ETH], depth=100))
    assert ack["result"] == {"channel": "level3", "depth": 100, "snapshot": True, "symbol": BTC}
    assert (other["result"]["symbol"], other["req_id"]) == (ETH, 7)
    assert (snapshot["type"], snapshot["data"][0]["symbol"]) == ("snapshot", BTC)
    assert list(snapshot["data"][0]["bids"][0]) == ["order_id", "limit_price", "order_qty", "timestamp"]
    assert second["data"][0]["symbol"] == ETH


def test_level3_and_the_book_of_one_connection_agree() -> None:
    talk = Talk()
    orders, book = reader(), ReferenceBook(10)
    frames = talk.ask() + talk.ask(channel="book", token=None)
    for _ in range(200):
        for text in frames:
            if text.startswith('{"channel":"level3"'):
                assert orders.feed(text)
            elif text.startswith('{"channel":"book"'):
                assert book.feed(text)
        for name in SIDES:
            ours = [(price, f"{qty:f}") for price, qty in orders.quantities(name)]
            assert ours == getattr(book, name)
        frames = talk.publish()


def test_without_a_subscription_nothing_is_computed() -> None:
    talk = Talk()
    talk.ask()
    assert talk.core.market.symbols[BTC].orders.watched == {10}
    (ended,) = map(json.loads, talk.ask("unsubscribe"))
    assert ended["result"] == {"channel": "level3", "depth": 10, "symbol": BTC}
    assert not talk.core.market.symbols[BTC].orders.watched
    assert talk.publish(20) == []


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_the_token_is_checked(method: str) -> None:
    talk = Talk()
    good = talk.token
    if method == "unsubscribe":
        talk.ask()
    assert talk.errors(method, token=None) == ["Token(s) not found"]
    assert talk.errors(method, token="stranger") == ["EAPI:Invalid token"]
    assert talk.errors(method, token="stranger", depth=11) == (
        ["Subscription depth not supported"] if method == "subscribe" else ["EAPI:Invalid token"]
    )
    assert talk.errors(method, token=good) == [None]


def test_a_token_dies_with_its_last_subscription() -> None:
    talk = Talk(tokens=Tokens(refusal=INVALID_SESSION))
    assert talk.errors(symbol=[BTC, ETH]) == [None, None]
    assert talk.errors("unsubscribe") == [None]
    assert talk.errors() == [None]
    assert talk.errors("unsubscribe", symbol=[BTC, ETH]) == [None, None]
    assert talk.errors() == [INVALID_SESSION]
    talk.token = talk.core.tokens.issue(0.0)
    talk.ask()
    talk.core.disconnect(talk.number)
    talk.number, _ = talk.core.connect(0.0)
    assert talk.errors() == [INVALID_SESSION]


def test_snapshots_have_a_budget() -> None:
    talk = Talk()
    assert talk.errors(depth=1000, symbol=[BTC]) == [None]
    assert talk.errors("unsubscribe", depth=1000) == [None]
    talk.token = talk.core.tokens.issue(0.0)
    assert talk.errors(depth=1000, symbol=[BTC], now=0.5) == [None]
    (text,) = talk.ask(symbol=[ETH], now=0.9, req_id=12)
    assert json.loads(text) == {
        "channel": "level3",
        "error": "Rate limit for snapshot requests exceeded, when trying to subscribe to ETH/USD level3 snapshot",
        "method": "subscribe",
        "req_id": 12,
        "status": "error",
        "success": False,
        "time_in": "2026-08-02T04:23:42.900000Z",
        "time_out": "2026-08-02T04:23:42.900040Z",
    }
    assert talk.errors(symbol=[ETH], now=1.0) == [None]


def test_symbols_have_a_limit() -> None:
    specs = tuple(
        MarketSpec(symbol=f"S{number}/USD", price_precision=1, qty_precision=1, start_price="9", levels=1, history=0)
        for number in range(MAX_SYMBOLS + 1)
    )
    talk = Talk(specs, snapshot_points=10**6)
    errors = talk.errors(symbol=[spec.symbol for spec in specs])
    assert errors == [None] * MAX_SYMBOLS + ["Symbol limit exceeded"]


@pytest.mark.parametrize(
    ("host", "channels"),
    [
        (Host.PUBLIC, {"book"}),
        (Host.LEVEL3, {"level3"}),
        (Host.PRIVATE, {"executions", "balances"}),
        (Host.ALL, {"book", "level3", "executions", "balances"}),
    ],
    ids=lambda value: value.name if isinstance(value, Host) else "",
)
def test_a_host_serves_its_own_channels(host: Host, channels: set[str]) -> None:
    assert PATHS[host.value] == ("v2", host)
    for channel in ("book", "level3", "executions", "balances"):
        talk = Talk(host=host)
        symbol = [BTC] if channel in ("book", "level3") else None
        wanted = [None] if channel in channels else ["Subscription name invalid"]
        assert talk.errors(channel=channel, symbol=symbol) == wanted


# Faults


def subscribed(*faults: Any) -> tuple[Talk, Level3Reader]:
    talk = Talk(faults=faults)
    orders = reader()
    (_, snapshot) = talk.ask()
    assert orders.feed(snapshot)
    return talk, orders


def outcomes(orders: Level3Reader, texts: list[str]) -> list[object]:
    """Of each message: whether its checksum fits, or what does not."""
    found: list[object] = []
    for text in texts:
        try:
            found.append(orders.feed(text))
        except LostSynchronisation:
            found.append("lost")
    return found


def test_a_skipped_message_is_noticed() -> None:
    talk, orders = subscribed(SkipUpdate(channel="level3"))
    updates = talk.publish(40)
    assert set(outcomes(orders, updates)) != {True}
    assert talk.core.frames_withheld == 1


def test_swapped_messages_come_in_the_other_order() -> None:
    plain, _ = subscribed()
    talk, _ = subscribed(SwapUpdates(symbol=BTC))
    honest, swapped = plain.publish(10), talk.publish(10)
    assert swapped[:2] == honest[1::-1]
    assert swapped[2:] == honest[2:]


def test_an_unknown_order_is_changed() -> None:
    talk, orders = subscribed(UnknownOrder())
    assert outcomes(orders, talk.publish(1))[0] == "lost"


def test_a_snapshot_may_be_deeper_than_asked() -> None:
    talk = Talk(faults=[DeepSnapshot(levels=4)])
    _, snapshot = talk.ask()
    assert len({order["limit_price"] for order in json.loads(snapshot)["data"][0]["bids"]}) == 14
    orders = reader()
    assert orders.feed(snapshot)
    assert all(outcomes(orders, talk.publish(50)))


def test_a_reordered_queue_does_not_fit_its_checksum() -> None:
    talk = Talk(faults=[ReorderQueue()])
    assert outcomes(reader(), talk.ask()[1:]) == [False]
    assert talk.core.frames_withheld == 1


def test_exponents_are_only_another_way_to_write_numbers() -> None:
    talk = Talk(faults=[Exponents(times=None)])
    orders = reader()
    texts = talk.ask()[1:] + talk.publish(50)
    assert sum("e-0" in text for text in texts) > 10
    assert all(outcomes(orders, texts))
