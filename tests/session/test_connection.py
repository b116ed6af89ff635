"""The connection: is the peer alive, what happens at a loss, and what comes back after it."""

from __future__ import annotations

from math import inf, nan

import pytest

from kraken_trio.errors import ConnectError
from kraken_trio.events import Cause, ConnectionState, Gap, StateChange, Trade
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Ticker, Trades
from tests.session.driver import (
    BTC,
    BUSY,
    ETH,
    HEARTBEAT,
    SOL,
    Client,
    Market,
    acks,
    asset,
    candle,
    data,
    instruments,
    pong,
    refusal,
    status,
    ticker,
    trade,
    trades,
    words,
)

D, C, S, R = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)


def test_a_feed_that_holds_up_reading_does_so_across_a_loss() -> None:
    client = Client()
    client.hold()
    client.lose()
    client.reconnect()
    client.advance(100)
    assert client.drops == []
    client.resume()
    client.advance(client.settings.silence_limit)
    assert client.drops == [Cause.SILENCE]


# Is the peer alive?


def test_a_quiet_peer_is_asked_and_a_silent_one_given_up() -> None:
    client = Client(ping_after=5, silence_limit=10)
    client.follow("feed", Ticker(BTC))
    start = client.now
    assert client.session.deadline == start + 5
    client.advance(4.9)
    assert client.outbox == []
    client.advance(0.2)
    (ping,) = client.outbox
    assert ping["method"] == "ping"
    assert client.session.deadline == start + 10
    client.advance(4.8)
    assert client.drops == []
    client.advance(0.2)
    assert client.drops == [Cause.SILENCE]
    assert client.outbox == [ping]  # it was asked once
    client.lose(Cause.SILENCE, "nothing was received for 10 s")
    assert [(change.cause, change.detail) for change in client.changes[-1:]] == [
        (Cause.SILENCE, "nothing was received for 10 s")
    ]
    assert client.kinds("feed") == ["Gap silence"]


def test_whatever_the_exchange_pushes_is_a_sign_of_life() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    for frame in (HEARTBEAT, ticker(1), ticker(2, ETH), status("online"), '{"channel":"unknown"}'):
        client.advance(4.9)
        client.receive(frame)
    assert client.drops == []
    assert client.outbox == []
    assert client.count("heartbeats") == 1
    assert client.count("frames") == 6


def test_pings_keep_a_connection_alive_that_nothing_is_wanted_from() -> None:
    client = Client()
    assert client.state() is S
    for _ in range(20):
        client.advance(5)
        (ping,) = client.outbox
        client.outbox.clear()
        client.now += 0.125
        client.receive(pong(ping))
    assert client.session.statistics().ping_seconds == pytest.approx(0.125)
    assert client.count("pings_sent") == 20
    assert client.drops == []


def test_a_pong_answers_the_ping_with_its_number_or_without_one() -> None:
    client = Client()
    client.advance(5)
    client.receive(pong({"req_id": 4711}))  # to nothing
    assert client.session.statistics().ping_seconds is None
    client.now += 0.25
    client.receive(pong())
    assert client.session.statistics().ping_seconds == pytest.approx(0.25)
    client.receive(pong())
    assert client.session.statistics().ping_seconds == pytest.approx(0.25)


def test_a_ping_that_is_never_answered_does_not_stop_the_next_one() -> None:
    client = Client(ping_after=5, silence_limit=10)
    client.advance(5)
    client.outbox.clear()
    client.advance(11, heartbeat=1)
    client.advance(5)
    assert len(client.outbox) == 1
    assert client.drops == []


def test_a_new_connection_owes_no_pong() -> None:
    client = Client()
    client.advance(5)
    client.lose()
    client.reconnect()
    client.receive(pong())
    assert client.session.statistics().ping_seconds is None
    client.advance(5)
    assert len(client.outbox) == 1


def test_every_ping_and_request_has_a_number_of_its_own() -> None:
    client = Client()
    numbers = []
    for symbol in (BTC, ETH, SOL):
        client.add(symbol, Ticker(symbol))
        client.advance(5)
        numbers += [asked["req_id"] for asked in client.outbox]
        client.outbox.clear()
        client.receive(pong())
    assert len(set(numbers)) == len(numbers) > 5


def test_a_peer_is_not_judged_while_nobody_listens() -> None:
    client = Client(ping_after=5, silence_limit=10)
    client.follow("feed", Ticker(BTC))
    client.advance(4)
    client.hold()
    client.advance(100)
    assert client.drops == []
    assert 19 <= len(client.outbox) <= 21  # but it hears that we live
    client.resume()
    client.outbox.clear()
    client.advance(5.9)
    assert client.drops == []
    client.advance(0.2)
    assert client.drops == [Cause.SILENCE]


def test_ticks_that_come_early_do_nothing() -> None:
    client = Client()
    client.hold()
    client.advance(1)
    assert len(client.outbox) == 1
    calls = len(client.calls)
    client.tick()
    client.resume()
    client.tick()
    assert len(client.outbox) == 1
    assert len(client.calls) == calls + 3


def test_a_pong_to_an_earlier_ping_of_a_long_hold_is_no_answer() -> None:
    client = Client()
    client.hold()
    client.advance(11)
    pings = client.outbox[:]
    client.resume()
    client.receive(pong(pings[0]))
    assert client.session.statistics().ping_seconds is None
    client.receive(pong(pings[-1]))
    assert client.session.statistics().ping_seconds is not None


def test_there_is_nothing_to_do_without_a_connection() -> None:
    client = Client(connect=False)
    client.add("feed", Ticker(BTC))
    assert client.session.deadline == inf
    client.tick()
    assert client.outbox == []
    client.connect()
    assert client.session.deadline < inf
    client.lose()
    assert client.session.deadline == inf


def test_a_client_listens_from_the_moment_it_is_connected() -> None:
    client = Client(connect=False)
    client.now += 1000
    client.connect()
    client.advance(9.9)
    assert client.drops == []
    assert len(client.outbox) == 1


# Losing and connecting


def test_the_states_of_a_client_as_a_program_sees_them() -> None:
    client = Client(connect=False)
    client.follow("life", Lifecycle())
    client.connect()
    client.add("feed", Ticker(BTC))
    client.accept()
    client.lose(Cause.DISCONNECTED, "reset\x1b by peer")
    client.retry()
    client.connect_failed(ConnectError("no route"))
    client.reconnect()
    client.accept()
    client.close()
    changes = [event for event in client.events("life") if isinstance(event, StateChange)]
    assert [(change.previous, change.cause, change.current, change.epoch) for change in changes] == [
        (C, Cause.CONNECTED, S, 1),
        (S, Cause.SUBSCRIBING, R, 1),
        (R, Cause.SETTLED, S, 1),
        (S, Cause.DISCONNECTED, D, 1),
        (D, Cause.RETRY, C, 1),
        (C, Cause.CONNECT_FAILED, D, 1),
        (D, Cause.RETRY, C, 1),
        (C, Cause.CONNECTED, R, 2),
        (R, Cause.SETTLED, S, 2),
        (S, Cause.CLOSED, D, 2),
    ]
    assert changes[3].detail == r"reset\x1b by peer"
    assert changes[5].detail == "no route"
    assert client.changes[1:] == changes
    assert client.session.state is D
    assert not client.session.is_connected
    assert client.requests() == []


def test_a_loss_is_one_gap_per_subscription_and_everything_is_asked_for_again_in_order() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market, Trades(BTC), Candles(ETH), Instruments())
    client.follow("other", Ticker(SOL), Trades(BTC))
    client.lose()
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    assert [(gap.channel, gap.symbol, gap.cause, gap.epoch) for gap in gaps] == [
        ("book", BTC, Cause.DISCONNECTED, 1),
        ("trade", BTC, Cause.DISCONNECTED, 1),
        ("ohlc", ETH, Cause.DISCONNECTED, 1),
        ("instrument", None, Cause.DISCONNECTED, 1),
    ]
    assert client.kinds("other") == ["Gap disconnected"] * 2
    assert client.count("gaps") == 6
    client.reconnect()
    client.lose()  # before anything could be asked
    assert client.kinds("feed") == client.kinds("other") == []
    client.reconnect()
    assert words(client.accept()) == [
        "subscribe book BTC/USD",
        "subscribe trade BTC/USD",
        "subscribe ohlc ETH/USD",
        "subscribe instrument",
        "subscribe ticker SOL/USD",
    ]
    client.receive(market.snapshot(), candle(1, symbol=ETH), instruments([asset("BTC")], kind="snapshot"))
    assert client.kinds("feed") == ["BookSnapshot", "Candle", "InstrumentUpdate"]
    assert client.state() is S
    client.lose()
    assert client.kinds("feed") == ["Gap disconnected"] * 4


def test_events_carry_their_connections_number() -> None:
    client = Client()
    assert client.session.epoch == 1
    client.follow("feed", Ticker(BTC))
    for epoch in (1, 2, 3):
        client.receive(ticker(1))
        (event,) = client.events("feed")
        assert (event.epoch, client.session.epoch) == (epoch, epoch)
        assert event.received_ns > 0
        client.lose()
        assert [gap.epoch for gap in client.events("feed")] == [epoch]
        client.reconnect()
        client.accept()


def test_what_is_being_left_at_a_loss_is_forgotten() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    client.lose()
    assert list(client.session.subscriptions) == []
    client.reconnect()
    assert client.requests() == []
    assert client.state() is S


def test_nothing_of_the_old_connection_is_waited_for() -> None:
    client = Client()
    client.follow("book", Book(BTC))
    client.add("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    assert words(client.accept()) == ["subscribe book BTC/USD", "subscribe ticker BTC/USD"]
    client.receive(Market().snapshot(), ticker(1))
    client.advance(100, heartbeat=1)
    assert client.requests() == []
    assert client.count("unmatched_answers") == 0


def test_what_was_paused_is_asked_for_once_on_the_next_connection() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.receive(refusal(BUSY, client.request(), BTC))
    client.lose()
    client.reconnect()
    assert words(client.accept()) == ["subscribe ticker BTC/USD"]
    client.receive(ticker(1))
    client.advance(60, heartbeat=1)
    assert client.requests() == []
    assert client.session.flushed


def test_what_was_not_sent_yet_is_asked_for_in_its_turn() -> None:
    client = Client(request_burst=1, request_rate=1.0)
    for request in (Ticker(BTC), Trades(BTC), Book(BTC)):
        client.add(request, request)
    client.lose()
    assert client.session.flushed
    client.reconnect()
    client.advance(5, heartbeat=1)
    assert words(client.requests()) == ["subscribe ticker BTC/USD", "subscribe trade BTC/USD", "subscribe book BTC/USD"]


def test_trades_are_caught_up_after_a_loss() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(1, 2, 3))
    client.events("feed")
    client.lose()
    client.reconnect()
    (asked,) = client.requests()
    assert asked["params"]["snapshot"] is True
    client.receive(*acks(asked), trades(*range(1, 8), history=True), trades(8))
    gap, *caught_up = client.events("feed")
    assert isinstance(gap, Gap)
    assert [(t.trade_id, t.snapshot, t.epoch) for t in caught_up if isinstance(t, Trade)] == [
        (4, True, 2),
        (5, True, 2),
        (6, True, 2),
        (7, True, 2),
        (8, False, 2),
    ]
    assert client.count("trades_missed") == 0


def test_trades_that_cannot_be_caught_up_are_told() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(1, 2, 3))
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(trades(10, 11, history=True))
    assert client.kinds("feed") == ["Trade"] * 3 + ["Gap disconnected", "Gap missed", "Trade", "Trade"]
    assert client.count("trades_missed") == 6
    client.receive(data("trade", "update", [trade(1, qty="7.00")]))
    gap, _ = client.events("feed")
    assert isinstance(gap, Gap)
    assert (gap.missed, gap.channel, gap.symbol) == (None, "trade", BTC)
    assert "restarted its numbering" in gap.detail
    assert client.count("trades_missed") == 6


def test_caught_up_history_from_before_any_trade_is_for_those_who_asked_for_history() -> None:
    client = Client()
    client.follow("plain", Trades(BTC))
    client.lose()
    client.reconnect()
    client.add("history", Trades(BTC, snapshot=True))
    client.accept()
    client.receive(trades(1, 2, history=True), trades(3))
    assert client.kinds("plain") == ["Gap disconnected", "Trade"]
    assert client.kinds("history") == ["Trade", "Trade", "Trade"]


# When to come back


def test_a_loss_is_followed_by_a_quick_attempt_and_then_by_slower_ones() -> None:
    client = Client(jitter=1.0)
    waits = []
    client.lose()
    for _ in range(5):
        waits.append(client.session.reconnect_at - client.now)
        client.retry()
        assert client.session.reconnect_at == inf
        client.connect_failed(ConnectError("no route"))
    assert waits == pytest.approx([0.5, 1.0, 6.25, 12.5, 25.0])
    assert client.count("attempts") == 6
    assert client.count("connects") == client.count("losses") == 1


def wait_after_losses(client: Client, *, stays: float, data: bool) -> float:
    for _ in range(4):
        client.lose()
        client.reconnect()
        client.accept()
        if data:
            client.receive(ticker(1))
        client.advance(stays, heartbeat=1)
    client.lose()
    return client.session.reconnect_at - client.now


@pytest.mark.parametrize(
    ("stays", "data", "is_quick"), [(30.0, True, True), (29.0, True, False), (30.0, False, False), (0.0, True, False)]
)
def test_only_a_stable_connection_with_data_makes_the_next_attempt_quick(
    stays: float, data: bool, is_quick: bool
) -> None:
    client = Client(stable_after=30)
    client.follow("feed", Ticker(BTC))
    wait = wait_after_losses(client, stays=stays, data=data)
    assert (wait < 1) is is_quick
    assert is_quick or wait >= client.settings.retry_delay


def test_an_exchange_that_says_when_is_believed() -> None:
    client = Client(connect=False)
    client.connect_failed(ConnectError("429", status=429, retry_after=120.0))
    assert client.session.reconnect_at == client.now + 120
    client.retry()
    client.connect_failed(ConnectError("429", status=429, retry_after=0.0))
    assert client.session.reconnect_at > client.now


@pytest.mark.parametrize(
    ("asked", "wait"), [(inf, 3600.0), (1e300, 3600.0), (3601.0, 3600.0), (3599.0, 3599.0), (-5.0, 0.25), (nan, 0.25)]
)
def test_an_absurd_wish_to_wait_is_cut(asked: float, wait: float) -> None:
    client = Client(connect=False)
    client.connect_failed(ConnectError("busy", retry_after=asked))
    assert client.session.reconnect_at == client.now + wait


def test_how_long_a_wish_is_obeyed_is_a_setting() -> None:
    client = Client(connect=False, retry_after_max=86_400.0)
    client.connect_failed(ConnectError("busy", status=503, retry_after=50_000.0))
    assert client.session.reconnect_at == client.now + 50_000


@pytest.mark.parametrize(
    ("status", "first"), [(429, 60.0), (403, 60.0), (500, 15.0), (502, 15.0), (503, 15.0), (418, 0.25)]
)
def test_after_a_refusal_the_pause_is_long_and_grows(status: int, first: float) -> None:
    client = Client()
    client.lose()
    waits = []
    for _ in range(7):
        client.retry()
        client.connect_failed(ConnectError("not now", status=status))
        waits.append(client.session.reconnect_at - client.now)
    assert waits[0] == pytest.approx(first if first > 1 else 0.5)  # the second attempt after the loss
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(600.0 if first > 1 else 60.0)


def test_a_refusal_may_ask_for_more_than_the_pause_and_not_for_less() -> None:
    client = Client(connect=False)
    client.connect_failed(ConnectError("429", status=429, retry_after=7.0))
    assert client.session.reconnect_at == client.now + 60
    client.retry()
    client.connect_failed(ConnectError("429", status=429, retry_after=700.0))
    assert client.session.reconnect_at == client.now + 700


def test_only_a_stable_connection_ends_the_row_of_refusals() -> None:
    client = Client(stable_after=30)
    client.follow("feed", Ticker(BTC))
    for stays, pause in ((0, 60.0), (29, 120.0), (30, 60.0)):
        client.receive(ticker(1))
        client.advance(stays, heartbeat=1)
        client.lose()
        client.retry()
        client.connect_failed(ConnectError("429", status=429))
        assert client.session.reconnect_at - client.now == pytest.approx(pause)
        client.reconnect()
        client.accept()


def test_a_connection_whose_data_never_verifies_is_not_stable() -> None:
    client, market = Client(stable_after=30), Market()
    client.follow_book("feed", market)
    waits = []
    for _ in range(5):
        client.lose()
        waits.append(client.session.reconnect_at - client.now)
        client.reconnect()
        client.accept()
        for _ in range(60):
            client.receive(market.snapshot(spoil=1))
            client.accept()
            client.advance(1, heartbeat=1)
    assert waits == pytest.approx([0.25, 0.5, 5.0, 10.0, 20.0])


def test_an_attempt_that_waits_for_the_budget_is_counted_once_and_told_with_every_reason() -> None:
    client = Client()
    client.lose()
    state, due = client.state(), client.session.reconnect_at
    for why in ("too many", "no file"):
        client.budget_spent(why)
    assert client.warnings[-2:] == ["too many", "no file"]
    assert (client.count("budget_waits"), client.count("attempts")) == (1, 1)
    assert (client.state(), client.session.reconnect_at) == (state, due)
    client.retry()
    client.connect_failed(ConnectError("no route"))
    client.budget_spent("too many")
    assert (client.count("budget_waits"), client.count("attempts")) == (2, 2)


@pytest.mark.parametrize("wall_ns", [None, 1_800_000_000 * 10**9], ids=["unknown", "known"])
def test_when_the_next_attempt_is_due_is_told_by_the_wall_clock(wall_ns: int | None) -> None:
    client = Client()
    assert client.session.statistics(wall_ns=wall_ns, now=client.now).next_attempt is None  # it is connected
    client.session.disconnected(Cause.DISCONNECTED, "gone", client.now, wall_ns=wall_ns)
    for _ in range(2):
        due = client.session.reconnect_at - client.now
        assert due > 0
        told = client.session.statistics(wall_ns=wall_ns, now=client.now).next_attempt
        late = client.session.statistics(wall_ns=wall_ns, now=client.now + 1000).next_attempt
        if wall_ns is None:
            assert told is late is None
        else:
            assert told is not None
            assert told.timestamp() == pytest.approx(wall_ns / 1e9 + due, abs=1e-5)
            assert late is not None
            assert late.timestamp() == wall_ns / 1e9  # it is overdue
        client.session.retry(client.now)
        assert client.session.statistics(wall_ns=wall_ns, now=client.now).next_attempt is None
        effects = client.session.connect_failed(ConnectError("no route"), client.now, wall_ns=wall_ns)
        (change,) = effects.changes
        assert change.retry_at == client.session.statistics(wall_ns=wall_ns, now=client.now).next_attempt


# The end


@pytest.mark.parametrize(
    ("connects_before", "error", "is_the_end"),
    [
        (0, ConnectError("no route"), False),
        (0, ConnectError("wrong address", retryable=False), True),
        (0, ConnectError("forbidden", status=403, retryable=False), True),
        (1, ConnectError("wrong certificate", retryable=False), False),
        (1, ConnectError("forbidden", status=403, retryable=False), True),
        (1, ConnectError("busy", status=503), False),
    ],
    ids=str,
)
def test_who_cannot_connect_comes_back_unless_there_is_no_hope(
    connects_before: int, error: ConnectError, is_the_end: bool
) -> None:
    client = Client(connect=False)
    for _ in range(connects_before):
        client.connect()
        client.lose()
        client.retry()
    client.connect_failed(error)
    assert client.effects.end is (error if is_the_end else None)
    assert (client.session.reconnect_at == inf) is is_the_end
    assert client.state() is D
    assert client.changes[-1].cause is (Cause.REFUSED if is_the_end else Cause.CONNECT_FAILED)


def test_a_policy_violation_is_the_end() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Lifecycle())
    client.events("feed")
    client.lose(Cause.DISCONNECTED, "not welcome", code=1008)
    assert client.effects.end is not None
    assert "not welcome" in str(client.effects.end)
    assert not client.effects.end.retryable
    assert client.session.reconnect_at == inf
    assert client.kinds("feed") == ["StateChange", "Gap refused"]


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, None])
def test_no_other_close_code_is(code: int | None) -> None:
    client = Client()
    client.lose(code=code)
    assert client.effects.end is None
    assert client.session.reconnect_at < inf


def test_a_closed_client_stays_closed() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.close()
    assert client.state() is D
    assert client.session.reconnect_at == client.session.deadline == inf
    client.remove("feed")
    client.add("late", Ticker(ETH))
    client.close()
    assert client.requests() == []
    assert client.changes[-1].cause is Cause.CLOSED


# Statistics and status


def test_the_exchanges_own_state_is_known_and_noted_when_it_changes() -> None:
    client = Client()
    assert client.session.statistics().system_status is None
    client.notes.clear()
    client.receive(status("online"), status("online"), status("maintenance"))
    assert client.session.statistics().system_status == "maintenance"
    assert [note for note in client.notes if "status" in note] == [
        "the exchange's status is online",
        "the exchange's status is maintenance",
    ]
    assert client.state() is S


def test_statistics_are_a_moment_and_do_not_change_later() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market, Ticker(ETH))
    client.follow("second", Book(BTC))
    client.receive(market.tick("7.00"), ticker(1, ETH), HEARTBEAT, "{}")
    before = client.session.statistics()
    assert before.state is S
    assert before.epoch == before.attempts == before.connects == before.heartbeats == 1
    assert before.feeds == before.requests_sent == before.checksums_verified == 2
    assert before.events == 5
    assert before.frames == 7
    assert dict(before.unknown) == {"frame": 1}
    client.receive(market.tick("7.00"), "{}")
    client.remove("feed")
    assert before.frames == 7
    assert dict(before.unknown) == {"frame": 1}
    assert len(before.subscriptions) == 2
    assert len(client.states) == 1
    with pytest.raises(TypeError):
        before.unknown["frame"] = 2  # type: ignore[index]  # it is read-only


def test_a_subscription_says_what_it_is() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    (sub,) = client.session.subscriptions
    assert repr(sub) == "<Subscription Ticker(symbol='BTC/USD', trigger='trades') confirmed, wanted by 1>"


def test_frames_after_the_end_are_nobodys() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    before = client.count("frames")
    client.session.close(client.now)
    client.receive(market.tick("7.00"), market.tick("8.00").replace('"checksum":', '"checksum":1'))
    assert client.events("feed") == []
    assert client.count("frames") == before


# Something else speaks


V1_STATUS = '{"connectionID":8628615390848610000,"event":"systemStatus","status":"online","version":"1.9.0"}'


def test_an_endpoint_that_speaks_another_protocol_is_refused_at_once_and_for_good() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    client.receive(V1_STATUS)
    assert client.drops == [Cause.REFUSED]
    client.lose(Cause.REFUSED, client.effects.drop_detail)
    error = client.effects.end
    assert error is not None
    assert not error.retryable
    assert "'v1'" in str(error)
    assert "systemStatus" in str(error)
    assert "ws://exchange.test" in str(error)
    assert client.session.reconnect_at == inf
    assert client.state() is ConnectionState.DISCONNECTED


def test_a_single_frame_of_another_protocol_among_ours_is_malformed() -> None:
    client = Client()
    client.receive(status("online"), V1_STATUS, HEARTBEAT)
    assert client.drops == []
    assert client.count("malformed") == 1


def test_an_error_that_belongs_to_nothing_is_quoted_when_no_answer_comes() -> None:
    client = Client(attempts=1)
    client.add("feed", Ticker(BTC))
    client.receive('{"errorMessage":"Malformed request","event":"error"}')
    assert "Malformed request" in client.warnings[-1]
    while "feed" not in client.answers:
        client.outbox.clear()
        client.advance(1, heartbeat=1)
    (reason,) = client.answers["feed"].values()
    assert reason.startswith("the exchange did not answer within 10 s; it said: Malformed request")


def test_a_text_that_is_no_json_is_a_notice_and_no_fault() -> None:
    """Cloudflare's proxy says so just before it closes."""
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.receive("CloudFlare WebSocket proxy restarting")
    assert client.count("malformed") == 0
    assert client.events("feed") == []
    assert "CloudFlare WebSocket proxy restarting" in client.warnings[-1]
