"""Frames that make no sense: who is told, who is made anew, and when the connection is given up."""

from __future__ import annotations

import pytest

from kraken_trio.events import Cause, ConnectionState, Gap
from kraken_trio.requests import Book, Candles, Instruments, Ticker, Trades
from tests.session.driver import (
    BTC,
    ETH,
    HEARTBEAT,
    NONSENSE,
    Client,
    Market,
    asset,
    data,
    instruments,
    pair,
    ticker,
    trade,
    trades,
    words,
)


def broken(frame: str) -> str:
    """The frame, cut off before its end."""
    return frame[:-1]


def gaps(client: Client, feed: object) -> list[tuple[str | None, str | None, Cause]]:
    events = client.events(feed)
    assert all(isinstance(event, Gap) for event in events)
    return [(event.channel, event.symbol, event.cause) for event in events if isinstance(event, Gap)]


def test_a_frame_of_nobody_may_have_been_anybodys() -> None:
    client, market = Client(), Market()
    client.follow_book("book", market)
    client.follow("others", Ticker(ETH), Trades(ETH))
    client.receive(NONSENSE)
    assert gaps(client, "book") == gaps(client, "others") == [(None, None, Cause.MALFORMED)]
    client.receive(market.tick("7.00"))  # the checksum says that it was not for this book
    assert client.kinds("book") == ["BookUpdate"]
    assert client.state() is ConnectionState.SUBSCRIBED
    assert client.count("malformed") == 1
    assert "could not be decoded" in client.warnings[-1]


def test_a_frame_of_a_symbol_concerns_its_feeds_and_reference_data() -> None:
    client = Client()
    for request in (Ticker(BTC), Trades(ETH), Instruments()):
        client.follow(request, request)
    client.receive('{"symbol":"ETH/USD"')
    assert gaps(client, Ticker(BTC)) == []
    assert gaps(client, Trades(ETH)) == [("trade", ETH, Cause.MALFORMED)]
    assert gaps(client, Instruments()) == [("instrument", None, Cause.MALFORMED)]


def test_a_frame_of_a_symbol_may_have_been_its_book() -> None:
    client, market = Client(), Market()
    client.follow_book("book", market)
    client.receive(f'{{"symbol":"{market.symbol}"')
    assert gaps(client, "book") == [("book", market.symbol, Cause.MALFORMED)]
    assert client.state() is ConnectionState.RESYNCING


def test_a_frame_of_a_channel_concerns_its_feeds() -> None:
    client = Client()
    for request in (Ticker(BTC), Trades(ETH)):
        client.follow(request, request)
    client.receive('{"channel":"trade","type":"update"')
    assert gaps(client, Ticker(BTC)) == []
    assert gaps(client, Trades(ETH)) == [("trade", None, Cause.MALFORMED)]


def test_a_frame_of_a_subscription_concerns_its_feeds_alone() -> None:
    client = Client()
    for request in (Ticker(BTC), Ticker(ETH), Trades(ETH)):
        client.follow(request, request)
    client.receive(broken(trades(1, symbol=ETH)))
    assert gaps(client, Ticker(BTC)) == gaps(client, Ticker(ETH)) == []
    assert gaps(client, Trades(ETH)) == [("trade", ETH, Cause.MALFORMED)]
    assert client.requests() == []
    assert client.state() is ConnectionState.SUBSCRIBED


def test_reference_data_has_symbols_in_it_but_is_nobodys_in_particular() -> None:
    client = Client()
    client.follow("feed", Instruments(), Ticker(BTC))
    client.receive(broken(instruments([], [pair(BTC)])))
    assert gaps(client, "feed") == [("instrument", None, Cause.MALFORMED)]


@pytest.mark.parametrize("frame", [broken(instruments([], [pair(BTC)])), '{"channel":"instrument","type":"update"'])
def test_damaged_reference_data_is_fetched_anew(frame: str) -> None:
    """Regression: a feed that came later was told the state before the damage, and not that it was old."""
    client = Client()
    client.follow("feed", Instruments())
    client.receive(instruments([], [pair(BTC)], kind="snapshot"), frame)
    client.add("later", Instruments())
    assert client.events("later") == []
    assert words(client.accept() + client.accept()) == ["unsubscribe instrument", "subscribe instrument"]
    client.receive(instruments([], [pair(ETH)], kind="snapshot"))
    assert client.kinds("later") == ["InstrumentUpdate"]


def test_after_a_damaged_frame_a_latecomer_is_not_told_the_state_before_it() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.receive(ticker(1), broken(ticker(2)))
    client.follow("later", Ticker(BTC))
    assert client.events("later") == []
    client.receive(ticker(3))
    assert client.kinds("later") == ["TickerUpdate"]


def test_a_book_whose_frame_was_damaged_is_made_anew() -> None:
    client, market, other = Client(), Market(), Market(ETH)
    client.follow_book("feed", market)
    client.follow_book("other", other)
    frame = market.tick("7.00")
    client.receive(broken(frame), market.tick("8.00"), other.tick("7.00"))
    assert gaps(client, "feed") == [("book", BTC, Cause.MALFORMED)]
    assert client.kinds("other") == ["BookUpdate"]
    assert client.changes[-1].cause is Cause.MALFORMED
    assert client.state() is ConnectionState.RESYNCING
    assert words(client.accept() + client.accept()) == ["unsubscribe book BTC/USD", "subscribe book BTC/USD"]
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["BookSnapshot"]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_a_book_with_a_level_that_is_none_is_made_anew() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.receive(
        data("book", "update", ['{"symbol":"BTC/USD","bids":[{"price":0,"qty":1.0}],"asks":[],"checksum":1}'])
    )
    assert gaps(client, "feed") == [("book", BTC, Cause.MALFORMED)]
    assert words(client.requests()) == ["unsubscribe book BTC/USD"]
    assert client.count("malformed") == 1


def test_what_belongs_to_a_past_that_is_over_is_no_ones_loss() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.receive(market.tick("7.00", spoil=1))
    assert client.kinds("feed") == ["Gap checksum"]
    client.receive(broken(market.tick("8.00")), NONSENSE)
    assert client.events("feed") == []
    assert client.count("resyncs") == 1


def test_other_channels_are_no_ones_loss() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.receive('{"channel":"heartbeat"', '{"channel":"something"')
    assert client.events("feed") == []
    assert client.count("malformed") == 2


def test_too_many_in_a_row_end_the_connection() -> None:
    client = Client(malformed_limit=3)
    client.follow("feed", Ticker(BTC))
    client.receive(NONSENSE, NONSENSE)
    client.receive(HEARTBEAT)  # a frame that makes sense
    client.receive(NONSENSE, NONSENSE)
    assert client.drops == []
    client.receive(NONSENSE, ticker(1))
    assert client.drops == [Cause.PROTOCOL]
    client.lose(Cause.PROTOCOL)
    assert client.kinds("feed")[-2:] == ["TickerUpdate", "Gap protocol"]
    for _ in range(3):
        client.reconnect()
        client.receive(NONSENSE, NONSENSE)
        client.lose()
    assert client.drops == [Cause.PROTOCOL]


def test_nothing_is_sent_on_a_connection_that_is_given_up() -> None:
    client, market = Client(malformed_limit=1), Market()
    client.follow_book("feed", market)
    client.receive(market.tick("7.00", spoil=1), NONSENSE)
    assert client.drops == [Cause.PROTOCOL]
    assert client.requests() == []


def test_what_nobody_knows_is_counted_and_hurts_nobody() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Candles(BTC))
    client.receive(
        '{"channel":"level4","type":"update","data":[]}',
        '{"method":"dance","success":true,"result":{}}',
        "{}",
        ticker(1).replace('"bid":1.0', '"mood":"good","bid":1.0'),
    )
    assert client.kinds("feed") == ["TickerUpdate"]
    assert client.session.statistics().unknown == {
        "channel level4": 1,
        "method dance": 1,
        "frame": 1,
        "field ticker.mood": 1,
    }
    assert client.count("malformed") == 0


@pytest.mark.parametrize("symbol", ["XXX/YYY", "btc/usd"])
def test_data_of_nobody_is_late(symbol: str) -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Trades(BTC), Book(BTC))
    client.receive(
        ticker(1, symbol),
        trades(1, 2, symbol=symbol),
        Market(symbol).snapshot(),
        instruments([asset("BTC")]),
        data("trade", "update", [trade(1, symbol), trade(1, BTC)]),
    )
    assert client.kinds("feed") == ["Trade"]
    assert client.count("late") == 6
