"""A log, played: where data and decisions disagree, it is told, and no wrong data come out.

That an undamaged log yields what the session delivered is proved by ``tests/simulation/test_equality.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kraken_trio import (
    Book,
    BookSnapshot,
    BookUpdate,
    Cause,
    ConnectionState,
    Executions,
    Gap,
    Level3,
    Lifecycle,
    StateChange,
    Ticker,
    Trades,
)
from kraken_trio.encoding import encode_request
from kraken_trio.errors import ProtocolError
from kraken_trio.recording import format as fmt
from kraken_trio.recording.keyframes import client_frame, frame_of, keys_of
from kraken_trio.recording.packer import Packer
from kraken_trio.recording.player import Player
from kraken_trio.recording.records import (
    Begun,
    ClientFrame,
    KeyFrame,
    Reset,
    Resynced,
    Started,
    Stepped,
    read,
)
from kraken_trio.session import inputs
from kraken_trio.wire.codec import codec_for
from tests.session.account import Account
from tests.session.driver import BTC, Client, Market, status, ticker, trades
from tests.session.orders import Orders
from tests.session.private import Private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kraken_trio.events import Event
    from kraken_trio.recording.records import Entry
    from kraken_trio.session import Effects, Session

BOOK, TRADES, STATE = Book(BTC), Trades(BTC), Lifecycle()


class Tape:
    """The log of a session."""

    session: Session
    packer: Packer

    def keyframes(self) -> list[Entry]:
        """The session's state."""
        frames = (frame_of(self.session, key) for key in keys_of(self.session))
        return [client_frame(self.session), *(frame for frame in frames if frame is not None)]

    def taped(self) -> list[Any]:
        """Frames and records so far, in order."""
        return [
            (message[4], message[2]) if message[0] <= fmt.TEXT_MORE else read(message[4])
            for message in fmt.messages(b"".join(self.packer.take().parts))
        ]


class Taped(Client, Tape):
    """A session, and its log."""

    def __init__(self, **options: Any) -> None:
        self.packer = Packer()
        super().__init__(**options)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Effects:
        effects = super()._call(name, *args, **kwargs)
        ns = int(self.now * 1e9)
        if name == "receive":
            frames, received_ns, now = args
            self.packer.received(frames, received_ns, now, effects)
        else:
            made: dict[str, Callable[..., inputs.Input]] = {
                "open": lambda _now: inputs.Opened(),
                "connected": lambda _now: inputs.Connected(),
                "disconnected": lambda cause, detail, _now, code: inputs.Lost(cause, detail, code),
                "retry": lambda _now: inputs.Retried(),
                "add": lambda feed, requests, _now: inputs.Added(feed, requests),
                "remove": lambda feed, _now: inputs.Removed(feed),
                "tick": lambda _now: inputs.Ticked(),
                "ponged": lambda _now: inputs.Ponged(),
                "close": lambda _now: inputs.Closed(),
            }
            self.packer.told(made[name](*args, **kwargs), self.session.epoch, ns, self.now, effects)
        return effects


class Played:
    """A player with one feed."""

    def __init__(self, *wanted: Any, at_once: bool = False, protocol: str = "v2") -> None:
        self.player = Player(codec_for(protocol))
        self.player.add("feed", wanted or (BOOK,), at_once=at_once)
        self.events: list[Event] = []
        self.changes: list[StateChange] = []

    def play(self, log: Iterable[Any]) -> Played:
        for part in log:
            if isinstance(part, tuple):
                self.player.frame(*part)
            elif part is not None:
                self.player.record(part)
            effects, changes = self.player.take()
            self.events += effects.deliver.get("feed", [])
            self.changes += changes
        return self

    @property
    def kinds(self) -> list[str]:
        return [f"Gap {e.cause.value}" if isinstance(e, Gap) else type(e).__name__ for e in self.events]


def of_book() -> tuple[Taped, Market]:
    """A live book, after some updates, of which none can be left out."""
    client, market = Taped(), Market()
    client.follow_book("feed", market)
    client.receive(market.update(bids=[("99.0", "1.5")]), market.tick("2.5"))
    client.receive(market.tick("3.5"))
    return client, market


def changed(log: list[Any], find: Callable[[Any], bool], *instead: Any) -> list[Any]:
    """With something else in the place of the first part of this kind."""
    at = next(number for number, part in enumerate(log) if find(part))
    return [*log[:at], *instead, *log[at + 1 :]]


def is_update(part: Any) -> bool:
    return isinstance(part, tuple) and b'"book","type":"update"' in part[0]


def step(name: str) -> Callable[[Any], bool]:
    return lambda part: isinstance(part, Stepped) and part.step == name


def test_nothing_is_wrong_with_these() -> None:
    client, _ = of_book()
    played = Played(BOOK).play(client.taped())
    assert played.kinds == ["BookSnapshot", "BookUpdate", "BookUpdate", "BookUpdate"]
    assert played.player.disagreement_count == 0
    assert played.player.rebuild(("book", BTC)) == client.session.rebuild(("book", BTC))
    assert played.player.rebuild(("book", "ETH/USD")) is None
    assert played.player.rebuild((None, None)) is None
    assert list(played.player.requests()) == [BOOK]


def test_an_update_that_is_missing_fails_the_checksum_of_the_next() -> None:
    client, market = of_book()
    played = Played(BOOK).play(changed(client.taped(), is_update))
    assert played.kinds == ["BookSnapshot", "Gap checksum"]  # and nothing after it
    gap = played.events[-1]
    assert isinstance(gap, Gap)
    assert "the recording is damaged here, or was changed" in gap.detail
    assert gap.evidence is not None
    assert played.player.disagreement_count == 1
    client.receive(market.tick("4.5"))
    played.play(client.taped())
    assert len(played.events) == 2
    # A key frame, or a subscription that begins again, is trusted.
    played.play([*client.keyframes()])
    client.receive(market.tick("5.5"))
    played.play(client.taped())
    assert played.kinds[2:] == ["BookSnapshot", "BookUpdate"]
    assert played.player.disagreement_count == 1


def test_a_failure_that_the_data_do_not_show() -> None:
    client, market = of_book()
    log = client.taped()
    wrong, right = market.tick("9.0", spoil=1), market.tick("9.0")
    client.receive(wrong)
    after = client.taped()
    played = Played(BOOK).play([*log, *changed(after, is_update, (right.encode(), 5))])
    assert played.player.disagreement_count == 1
    assert "but they pass it" in played.player.disagreements[0]


def test_first_data_that_are_missing_or_not_announced() -> None:
    client, _ = of_book()
    log = client.taped()
    without_step = Played(BOOK).play(changed(log, step("live")))
    assert without_step.player.disagreement_count == 1
    assert BookUpdate.__name__ not in without_step.kinds
    unconfirmed = Played(BOOK).play(changed(log, step("confirmed")))
    assert unconfirmed.player.disagreement_count >= 1


def test_a_frame_that_is_no_json_and_no_decision_says_so() -> None:
    client, _ = of_book()
    played = Played(BOOK).play(changed(client.taped(), is_update, (b"{", 5)))
    assert played.player.disagreement_count >= 1
    assert played.player.counters.malformed == 1
    assert played.kinds[:2] == ["BookSnapshot", "Gap not recorded"]


def test_a_frame_that_was_malformed_then_is_malformed_again() -> None:
    client, market = of_book()
    client.receive("{")
    client.receive(market.tick("7.0"))
    played = Played(BOOK).play(client.taped())
    assert played.player.disagreement_count == 0
    assert played.kinds[-1] == "BookUpdate"


def test_what_a_subscription_is_distrusted_for_ends_when_it_begins_again() -> None:
    client, market = of_book()
    played = Played(BOOK).play(changed(client.taped(), is_update))
    for name in ("confirmed", "live"):
        played.player.record(Stepped(key=("book", BTC), step=name, because="data"))
    played.play([(market.tick("1.0").encode(), 5)])
    assert len(played.events) == 2  # still distrusted
    played.player.record(Stepped(key=("book", BTC), step="gone", because="unwanted"))
    assert list(played.player.requests()) == []


def test_a_step_that_this_version_does_not_know_takes_no_data() -> None:
    client, market = of_book()
    played = Played(BOOK).play(client.taped())
    played.play([Stepped(key=("book", BTC), step="hovering", because="whim"), (market.tick("8.0").encode(), 5)])
    assert len(played.events) == 4


def test_a_subscription_has_the_numbers_that_it_had() -> None:
    client, market = of_book()
    client.receive(market.tick("1.0", spoil=1))
    client.accept()
    client.advance(1)
    client.accept()
    client.receive(market.snapshot())
    client.advance(3)
    played = Played(BOOK).play(client.taped())
    (live,) = client.session.statistics().subscriptions.values()
    (now,) = played.player.statistics().subscriptions.values()
    assert (now.state, now.attempts, now.last_received_ns) == (live.state, live.attempts, live.last_received_ns)
    assert now.attempts == 2
    assert now.data_age is not None


def test_the_age_of_a_subscription_is_by_the_times_of_the_log() -> None:
    client, _ = of_book()
    player = Player(codec_for("v2"))
    player.add("feed", (BOOK,))
    for part in client.taped():
        if isinstance(part, tuple):
            player.frame(*part)
        elif part is not None:
            player.record(part, 10**18)
    (now,) = player.statistics(wall_ns=10**18 + 7 * 10**9).subscriptions.values()
    assert now.age == pytest.approx(7.0)


def test_decisions_about_what_is_unknown_are_ignored() -> None:
    played = Played(BOOK).play(
        [
            Stepped(key=("book", BTC), step="live", because="data"),
            Reset(key=("book", BTC)),
            Resynced(key=("book", BTC), cause="checksum"),
            Begun(request=msgspec.Raw(encode_request(BOOK))),
        ]
    )
    assert played.events == []
    assert played.player.statistics().subscriptions.keys() == {BOOK}


def test_a_key_frame_with_the_data_of_another_channel_is_damage() -> None:
    client, _ = of_book()
    (frame,) = (part for part in client.keyframes() if isinstance(part, KeyFrame))
    wrong = msgspec.structs.replace(frame, request=msgspec.Raw(encode_request(TRADES)))
    with pytest.raises(ProtocolError, match="has events of another channel"):
        Player(codec_for("v2")).record(wrong)


def test_a_key_frame_of_a_live_book_without_its_data_is_damage() -> None:
    with pytest.raises(ProtocolError, match="lacks its data"):
        Player(codec_for("v2")).record(KeyFrame(request=msgspec.Raw(encode_request(BOOK)), step="live"))


def test_a_late_feed_begins_when_everything_it_wants_is_in_force() -> None:
    client, market = of_book()
    played = Played(BOOK, TRADES).play(client.taped())
    assert played.events == []
    client.add("other", TRADES)
    client.accept()
    client.receive(trades(1), market.tick("6.0"))
    played.play(client.taped())
    assert played.kinds == ["BookSnapshot", "Trade", "BookUpdate"]
    assert isinstance(played.events[0], BookSnapshot)


def test_a_feed_of_another_variant_gets_nothing() -> None:
    client, _ = of_book()
    assert Played(Book(BTC, depth=100)).play(client.taped()).events == []


def test_what_the_program_did_not_want_any_more_is_a_gap() -> None:
    client, _ = of_book()
    client.remove("feed")
    played = Played(BOOK).play(client.taped())
    assert played.kinds[-1] == "Gap not recorded"
    assert isinstance(played.events[-1], Gap)
    assert "did not want it" in played.events[-1].detail


def test_the_state_and_the_status_of_the_client() -> None:
    client = Taped()
    client.add("feed", STATE, Ticker(BTC))
    client.accept()
    client.receive(status("online"), ticker(1, kind="snapshot"))
    played = Played(STATE, at_once=True).play(client.taped())
    assert played.kinds.count("StatusUpdate") == 1
    assert played.player.state is client.state()
    assert [change.current for change in played.changes] == [change.current for change in client.changes]
    before = len(played.events)
    played.play(client.keyframes())  # nothing new
    assert len(played.events) == before
    played.play([Started()])
    assert played.player.state is ConnectionState.DISCONNECTED
    played.play(client.keyframes())
    change = played.events[-1]
    assert isinstance(change, StateChange)
    assert (change.current, change.cause) == (client.state(), Cause.NOT_RECORDED)
    played.play([Started(), ClientFrame(state="connecting", epoch=7)])
    assert played.player.deliveries.epoch == 7
    played.player.end()
    played.play([None])
    assert played.changes[-1].cause is Cause.CLOSED


def test_restating_where_nothing_is_known_says_nothing() -> None:
    player = Player(codec_for("v2"))
    player.restate(Cause.SOUGHT, "elsewhere")
    player.end()
    assert player.take()[1] == []


def test_removing_twice_is_no_harm() -> None:
    client, _ = of_book()
    played = Played(BOOK).play(client.taped())
    played.player.remove("feed")
    played.player.remove("feed")
    assert played.player.statistics().feeds == 0


def test_data_before_the_answer_count_as_the_log_says() -> None:
    client, market = Taped(), Market()
    client.add("feed", BOOK)
    client.receive(market.snapshot())
    client.accept()
    client.receive(market.tick("2.0"))
    log = client.taped()
    played = Played(BOOK).play(log)
    assert played.player.disagreement_count == 0
    assert played.events == client.events("feed")
    assert played.kinds == ["BookSnapshot", "BookUpdate"]


@pytest.mark.parametrize("kind", [KeyFrame, Begun])
def test_a_subscription_to_what_is_none_is_damage(kind: Any) -> None:
    """Once this was an AssertionError."""
    request = {"request": msgspec.Raw(encode_request(STATE))}
    with pytest.raises(ProtocolError, match="is no subscription"):
        Player(codec_for("v2")).record(kind(**request, **({"step": "live"} if kind is KeyFrame else {})))


def test_orders_are_played_from_the_beginning_and_from_a_key_frame() -> None:
    client, market, wanted = Taped(), Orders(), Level3(BTC)
    client.follow("feed", wanted)
    client.receive(market.snapshot(), *(market.update() for _ in range(60)))
    key_frames = client.keyframes()
    first = client.taped()
    delivered = client.events("feed")
    client.receive(*(market.update() for _ in range(60)))
    rest = client.taped()
    played = Played(wanted).play([*first, *rest])
    assert played.events == [*delivered, *client.events("feed")]
    assert played.player.disagreement_count == 0
    whole = client.session.rebuild(("level3", BTC))
    assert whole is not None
    assert played.player.rebuild(("level3", BTC)) == whole
    later = Played(wanted).play([*key_frames, *rest])
    assert later.player.rebuild(("level3", BTC)) == whole
    assert later.kinds[0] == "Level3Snapshot"
    assert later.events[1:] == played.events[len(delivered) :]


class TapedAccount(Private, Tape):
    """The same of an account."""

    def __init__(self, account: Account, **options: Any) -> None:
        self.packer = Packer()
        super().__init__(account, **options)

    def tell(self, happening: inputs.Input) -> Effects:
        effects = super().tell(happening)
        self.packer.told(happening, self.session.epoch, int(self.now * 1e9), self.now, effects)
        return effects

    def receive(self, *frames: str) -> Effects:
        effects = super().receive(*frames)
        self.packer.received(frames, 1, self.now, effects)
        return effects


@pytest.mark.parametrize("protocol", ["v2", "v1"])
@pytest.mark.parametrize("lag", [0.0, 30.0, 10_000.0], ids=["at once", "late", "never"])
def test_what_was_recovered_is_played_again_from_anywhere(lag: float, protocol: str) -> None:
    """REST's answers are in the log. From a key frame in the middle of a recovery, it goes on from there."""
    account = Account(fills=200, seconds=300, seed=3)
    client = TapedAccount(account, protocol=protocol)
    client.connect()
    client.run(20)
    client.cut()
    client.now = 150.0
    client.lag = lag
    client.retry()
    client.run(170)
    key_frames, first, before = client.keyframes(), client.taped(), len(client.events)
    client.run(400)
    rest = client.taped()
    played = Played(Executions(), protocol=protocol).play([*first, *rest])
    assert played.events == client.events
    assert played.player.disagreement_count == 0
    later = Played(Executions(), protocol=protocol).play([*key_frames, *rest])
    assert later.player.disagreement_count == 0
    assert later.kinds[0] == "OrdersSnapshot"
    assert later.events[1:] == client.events[before:]
    assert len(later.events) > 50


@pytest.mark.parametrize("cut", range(5))
def test_own_orders_of_v1_are_played_from_between_the_parts_of_their_snapshot(cut: int) -> None:
    account = Account(fills=20, seconds=300, seed=3)
    client = TapedAccount(account, protocol="v1")
    client.tell(inputs.Connected())
    client.receive(client.speech.STATUS)
    frames = client.speech.accept(client.sent, account.snapshot(client.now))
    client.receive(*frames[:cut])
    key_frames, _ = client.keyframes(), client.taped()
    client.receive(*frames[cut:])
    client.run(400)
    later = Played(Executions(), protocol="v1").play([*key_frames, *client.taped()])
    assert later.player.disagreement_count == 0
    assert later.events == client.events
    assert len(later.events) > 20
