"""Rules that are broken on purpose, one at a time: what the tests must notice.

``nox -s mutants`` applies each to a copy of the package, runs the tests that are named here, and rewrites
``killed.md``. A mutant that survives is a rule that nobody would miss: write the test.

A mutant is found by a comment in the package, ``# mutant: MARKER``, which stays with its statement when that is moved
or its names change (``markers.py``). What happens to the statement is said in terms of syntax (``operators.py``). So
when a rule moves, take its marker with it; when it is given up, drop its mutant here. ``test_table.py`` looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.mutants.markers import find_places
from tests.mutants.operators import (
    Always,
    Becomes,
    Boundary,
    Drop,
    Never,
    Operator,
    Plus,
    Reverse,
    SkipFirst,
    Swap,
    Without,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MUTANTS", "Mutant", "TextMutant"]

BOOK = ("tests/book/test_order_book.py", "tests/book/test_exchange.py", "tests/book/test_model.py")
FEEDS = ("tests/session/test_feeds.py",)
STATEFUL = ("tests/session/test_stateful.py",)
LIVENESS = ("tests/session/test_liveness.py",)
CLIENT = ("tests/client/test_regressions.py", "tests/client/test_recovery.py")


@attrs.frozen
class Mutant:
    """One broken rule."""

    name: str
    marker: str
    """Of the statement that is the rule. Stands in the package once."""
    operator: Operator
    """What is done to it."""
    why: str
    """What a user would suffer."""
    tests: tuple[str, ...]
    """What must fail: files, or ``file::test``. Run in this order, until the first failure."""

    def apply(self, package: Path) -> tuple[Path, str]:
        """The file, and its text with the rule broken."""
        [place] = [place for place in find_places(package) if place.marker == self.marker]
        return place.path, place.mutated(self.operator)


@attrs.frozen
class TextMutant:
    """One broken rule that is found by its exact text, until it has a marker."""

    name: str
    file: str
    """In the package."""
    text: str
    replacement: str
    why: str
    """What a user would suffer."""
    tests: tuple[str, ...]
    """What must fail: files, or ``file::test``. Run in this order, until the first failure."""

    def apply(self, package: Path) -> tuple[Path, str]:
        """The file, and its text with the rule broken."""
        path = package / self.file
        source = path.read_text(encoding="utf-8")
        assert source.count(self.text) == 1, f"the text of {self.name!r} is to stand in {self.file} once"
        return path, source.replace(self.text, self.replacement)


MUTANTS: tuple[Mutant | TextMutant, ...] = (
    # -- the book ----------------------------------------------------------------------------------------------------
    Mutant(
        "skip truncation",
        "truncation",
        Never(),
        "levels that were pushed out of the window stay, and come back as the best",
        BOOK,
    ),
    Mutant(
        "apply in reverse",
        "order of levels",
        Reverse(),
        "of a repeated price the first one holds, not the last",
        BOOK,
    ),
    Mutant(
        "skip the checksum of updates",
        "checksum of updates",
        Never(),
        "a lost update is never noticed",
        BOOK,
    ),
    Mutant(
        "skip the checksum of snapshots",
        "checksum of snapshots",
        Never(),
        "a damaged snapshot is shown as a verified book",
        BOOK,
    ),
    Mutant(
        "hash the bids before the asks",
        "asks before bids",
        Swap(),
        "no checksum of the exchange is ever right",
        BOOK,
    ),
    Mutant(
        "hash all levels",
        "ten levels",
        Plus(1000),
        "every book that is deeper than ten levels is thrown away",
        BOOK,
    ),
    Mutant(
        "forget that the tenth level counts",
        "tenth level",
        Boundary(),
        "the kept checksum is stale after a change of the tenth level",
        BOOK,
    ),
    Mutant(
        "keep leading zeros",
        "zeros",
        Becomes('$target = $receiver if $receiver.strip("0") else ""'),
        "every quantity below one spoils the checksum",
        BOOK,
    ),
    Mutant(
        "drop trailing zeros",
        "zeros",
        Becomes('$target = $receiver.strip("0")'),
        "the digits that are hashed are not those of the wire",
        BOOK,
    ),
    Mutant(
        "keep a level of quantity zero",
        "quantity zero",
        Always(),
        "what the exchange has removed can still be traded against, it seems",
        BOOK,
    ),
    Mutant(
        "merge a snapshot into what was",
        "snapshot replaces",
        Drop(),
        "bids of before the loss survive it",
        BOOK,
    ),
    Mutant(
        "show the bids of before",
        "view of bids",
        Drop(),
        "whoever has read the bids once reads the old ones for ever",
        BOOK,
    ),
    Mutant(
        "show a book that has failed",
        "failed book",
        Drop(),
        "a program trades on a book that is known to be wrong",
        BOOK,
    ),
    Mutant(
        "show a book after its gap",
        "book after gap",
        Drop(),
        "a program trades on a book that is known to be old",
        BOOK,
    ),
    Mutant(
        "take what is no number",
        "no number",
        Becomes("return $argument"),
        "NaN as a price: every comparison with it is false",
        ("tests/test_digits.py", "tests/wire/test_hostile.py"),
    ),
    # -- the wire ----------------------------------------------------------------------------------------------------
    Mutant(
        "read a frame of any length",
        "longest frame",
        Never(),
        "a peer holds up the whole program with one frame",
        ("tests/wire/test_hostile.py",),
    ),
    Mutant(
        "let deep nesting through",
        "deep nesting",
        Without(-1),
        "a thousand brackets end the program with RecursionError",
        ("tests/wire/test_hostile.py",),
    ),
    Mutant(
        "count every unknown name",
        "unknown names",
        Always(),
        "a peer that invents names fills the memory",
        ("tests/wire/test_hostile.py", "tests/wire/test_channels.py"),
    ),
    Mutant(
        "take any answer for a yes",
        "clear success",
        Without(0),
        "a refusal is the only place where it is said, and it is taken for a confirmation",
        ("tests/wire/test_refusals.py",),
    ),
    Mutant(
        "take a rate limit for the last word",
        "rate limit",
        Drop(),
        "a busy moment loses a subscription for good",
        ("tests/wire/test_refusals.py",),
    ),
    Mutant(
        "read a refusal with its case",
        "case of a refusal",
        Becomes("$target = error"),
        "a refusal that is written a little differently loses a subscription for good",
        ("tests/wire/test_refusals.py",),
    ),
    Mutant(
        "find no symbol in a refusal's words",
        "symbol in words",
        Drop(),
        "one bad symbol costs all that were asked for with it",
        ("tests/wire/test_refusals.py",),
    ),
    Mutant(
        "take another protocol for news of this one",
        "another protocol",
        Never(),
        "whoever connects to the wrong endpoint is told that nobody answered",
        ("tests/wire/test_foreign.py",),
    ),
    Mutant(
        "take a damaged frame for words",
        "damaged frame",
        Without(1),
        "a lost update of a book is passed over as a notice",
        ("tests/wire/test_foreign.py",),
    ),
    TextMutant(
        "take a time without a zone",
        "events.py",
        "Timestamp: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]",
        "Timestamp: TypeAlias = datetime",
        "the first program that subtracts it from the time of day dies of TypeError",
        ("tests/wire/test_hostile.py", "tests/wire/test_channels.py"),
    ),
    # -- subscriptions -----------------------------------------------------------------------------------------------
    TextMutant(
        "forget one resubscription",
        "session/registry.py",
        "        for sub in self.subscriptions.values():\n            self._ask(sub)",
        "        for sub in list(self.subscriptions.values())[1:]:\n            self._ask(sub)",
        "after a reconnect one symbol never comes back",
        ("tests/session/test_connection.py", "tests/session/test_asking.py"),
    ),
    TextMutant(
        "lose a refused subscription",
        "session/registry.py",
        "            self._denied(sub, Cause.REFUSED, text)",
        "            self._mark(sub)",
        "subscribe waits for ever for an answer that has come",
        ("tests/session/test_asking.py",),
    ),
    TextMutant(
        "ignore req_id",
        "session/flights.py",
        "        if req_id is not None:\n            return req_id if",
        "        if False:\n            return req_id if",
        "an answer is taken for that of another request",
        ("tests/session/test_asking.py", "tests/session/test_resync.py"),
    ),
    TextMutant(
        "believe answers to old requests",
        "session/registry.py",
        " and sub.req_id == number else None",
        " else None",
        "a late answer confirms what was asked again since",
        ("tests/session/test_asking.py", "tests/session/test_resync.py", *STATEFUL),
    ),
    TextMutant(
        "leave for everyone when one leaves",
        "session/registry.py",
        "            if not sub.wanted_by:\n                self._alarms.clear(key)\n                if sub.step",
        "            if True:\n                self._alarms.clear(key)\n                if sub.step",
        "one feed that is closed takes the data of all others with it",
        (*FEEDS, *STATEFUL),
    ),
    TextMutant(
        "send no gap",
        "session/registry.py",
        "        if sub.confirmed_once and not sub.gapped:",
        "        if False:",
        "what is lost is lost silently",
        ("tests/session/test_connection.py",),
    ),
    TextMutant(
        "send a gap for each failure of one outage",
        "session/registry.py",
        "        if sub.confirmed_once and not sub.gapped:",
        "        if sub.confirmed_once:",
        "programs that count losses count too many",
        ("tests/session/test_resync.py", "tests/session/test_connection.py"),
    ),
    TextMutant(
        "resync without leaving first",
        "session/registry.py",
        "            self._leave(sub, Step.WAITING)",
        "            sub.go(Step.LEAVING)\n            self._go(sub, Step.WAITING)\n            self._ask(sub)",
        "the exchange says that it is already subscribed, and no snapshot ever comes",
        ("tests/session/test_resync.py",),
    ),
    TextMutant(
        "resync for ever",
        "session/registry.py",
        "            self._park(sub, text, now)\n        elif sub.attempts == 1:",
        "            self._leave(sub, Step.WAITING)\n        elif sub.attempts == 1:",
        "a symbol that always mismatches uses up every request",
        ("tests/session/test_resync.py",),
    ),
    TextMutant(
        "wait for a snapshot for ever",
        "session/registry.py",
        "            self._patience.set(sub.key, self._clock.at(now) + self._settings.snapshot_timeout)",
        "            sub.gapped = sub.gapped",
        "a subscription that was confirmed and never served stays so",
        ("tests/session/test_resync.py", "tests/session/test_connection.py"),
    ),
    TextMutant(
        "never suspect a subscription that stands still",
        "session/session.py",
        "            for sub, detail in self._watch.sweep(",
        "            for sub, detail in () and self._watch.sweep(",
        "a book that the exchange forgot looks calm for ever",
        ("tests/session/test_liveness.py",),
    ),
    TextMutant(
        "wait for an answer for ever",
        "session/flights.py",
        "        self._patience.set(number, self._clock.at(now) + patience)",
        "        self._patience.clear(number)",
        "a request that the exchange forgot is never made again",
        ("tests/session/test_asking.py",),
    ),
    Mutant(
        "ask for no history",
        "history of trades",
        Becomes('lambda request: {"snapshot": request.snapshot}'),
        "trades that the exchange would have repeated stay missing",
        ("tests/wire/test_writing.py", "tests/session/test_data.py"),
    ),
    TextMutant(
        "send as fast as one likes",
        "session/timing.py",
        "        if self.ready_at(now) > now:",
        "        if self._paused_until > now:",
        "the exchange answers with Exceeded msg rate",
        ("tests/session/test_timing.py", "tests/session/test_asking.py"),
    ),
    # -- the connection ----------------------------------------------------------------------------------------------
    TextMutant(
        "judge silence while held up",
        "session/timing.py",
        "        if self._since is None:\n            self._since = now",
        "        pass",
        "a slow consumer is taken for a dead exchange",
        ("tests/session/test_timing.py", "tests/session/test_connection.py"),
    ),
    TextMutant(
        "never judge silence",
        "session/session.py",
        '            self._give_up(Cause.SILENCE, f"nothing',
        '            self._note(f"nothing',
        "a connection that died without a word is never made again",
        ("tests/session/test_connection.py",),
    ),
    TextMutant(
        "never ask the WebSocket",
        "session/session.py",
        "            self._out.ping = True",
        "            self._out.ping = False",
        "a live connection whose peer hears us is given up every half minute, and nothing was asked",
        LIVENESS,
    ),
    TextMutant(
        "believe in a peer that does not hear us",
        "session/session.py",
        '            self._give_up(Cause.SILENCE, f"a WebSocket',
        '            self._note(f"a WebSocket',
        "data comes, and nothing that is asked is ever answered",
        LIVENESS,
    ),
    TextMutant(
        "judge a pong that lies unread",
        "session/session.py",
        "            self._pong_wanted_from = now  # it may",
        "            pass  # it may",
        "a slow consumer costs the connection",
        LIVENESS,
    ),
    TextMutant(
        "wait for the first data of books only",
        "session/subscription.py",
        "        return not isinstance(self.follower, TradeFollower) or self.follower.last is not None",
        "        return self.is_book",
        "candles that were accepted and are silent stay so for ever",
        LIVENESS,
    ),
    TextMutant(
        "suspect no standstill",
        "session/watch.py",
        "        return standing.trades >= settings.stale_trades and",
        "        return False and",
        "a book stands still for ever while its symbol trades",
        LIVENESS,
    ),
    TextMutant(
        "suspect a quiet market",
        "session/watch.py",
        "        return standing.trades >= settings.stale_trades and",
        "        return True and",
        "every quiet symbol is subscribed anew, over and over",
        LIVENESS,
    ),
    TextMutant(
        "suspect the same again as soon as before",
        "session/watch.py",
        "                    standing.standstills += 1",
        "                    pass",
        "a symbol that is right to stand still is asked for for ever",
        LIVENESS,
    ),
    TextMutant(
        "take a price for a trade",
        "session/watch.py",
        "    return sub.is_book or not is_of_prices",
        "    return True",
        "trades are suspected because somebody moved an order",
        LIVENESS,
    ),
    TextMutant(
        "ignore the pong",
        "session/session.py",
        "            if self._ping is not None and message.req_id in (None, self._ping[0]):",
        "            if False:",
        "the time to the exchange is never known",
        ("tests/session/test_connection.py",),
    ),
    TextMutant(
        "never reset the backoff",
        "session/session.py",
        "            self._backoff.reset()",
        "            self._backoff.next_delay()",
        "after a year of good service a loss takes a minute",
        ("tests/session/test_connection.py", "tests/session/test_timing.py"),
    ),
    TextMutant(
        "reset the backoff by every connection",
        "session/session.py",
        "        if live_since is not None and now - live_since >= self._settings.stable_after:",
        "        if True:",
        "an exchange that accepts and drops at once is called ten times a second, until it bans us",
        ("tests/session/test_connection.py", "tests/session/test_timing.py"),
    ),
    TextMutant(
        "let the backoff never grow",
        "session/timing.py",
        "        self.failures += 1",
        "        self.failures = 1",
        "an exchange in maintenance is called until it bans us",
        ("tests/session/test_timing.py",),
    ),
    Mutant(
        "connect without a budget",
        "connect budget",
        Never(),
        "Kraken bans the address",
        ("tests/admission/test_window.py", "tests/admission/test_clients.py"),
    ),
    Mutant(
        "spend the connect budget on this machine",
        "this machine is exempt",
        Never(),
        "the tests of a program are held up after 120 connections to a fake exchange",
        ("tests/admission/test_process.py",),
    ),
    Mutant(
        "take every address for this machine",
        "this machine is exempt",
        Always(),
        "Kraken bans the address",
        ("tests/admission/test_process.py",),
    ),
    Mutant(
        "believe one clock",
        "two clocks",
        Becomes("$target = $argument"),
        "after the host's clock is set, its processes connect too often, or not at all",
        ("tests/admission/test_ledger.py", "tests/admission/test_host.py"),
    ),
    TextMutant(
        "hurry while the exchange rests",
        "session/session.py",
        "        return self._settings.retry_delay if self.system_status in _AT_REST else 0.0",
        "        return 0.0",
        "an exchange in maintenance is called as if it had lost a packet",
        ("tests/session/test_status.py",),
    ),
    TextMutant(
        "come back after a policy violation",
        "session/session.py",
        "        if code == _POLICY_VIOLATION:",
        "        if False:",
        "an exchange that has said never again is called again",
        ("tests/session/test_connection.py",),
    ),
    TextMutant(
        "ignore Retry-After",
        "session/session.py",
        "error.retry_after or 0.0",
        "0.0",
        "an exchange that says when to come back is called before",
        ("tests/session/test_connection.py",),
    ),
    TextMutant(
        "take data after the connection is over",
        "session/session.py",
        "            return self._done()  # it came while the program left",
        "            pass",
        "data of an old epoch is delivered as if it were of now",
        ("tests/session/test_connection.py", "tests/session/test_data.py"),
    ),
    TextMutant(
        "be settled by hope",
        "session/lifecycle.py",
        "    Cause.CHECKSUM: (_x, _x, _R, _o),",
        "    Cause.CHECKSUM: (_x, _x, _o, _o),",
        "the state says that all is well while a book is not",
        ("tests/session/test_lifecycle.py", "tests/session/test_resync.py"),
    ),
    # -- data --------------------------------------------------------------------------------------------------------
    TextMutant(
        "never check whether a book is crossed",
        "session/session.py",
        "            if is_crossed:",
        "            if False:",
        "a book that cannot be is handed on",
        ("tests/session/test_resync.py",),
    ),
    TextMutant(
        "resync a market that is crossed, again and again",
        "session/session.py",
        "                    follower.crossed_accepted = True",
        "                    follower.crossed_accepted = False",
        "a book that the exchange itself shows as crossed is never shown",
        ("tests/session/test_resync.py",),
    ),
    TextMutant(
        "apply updates of before the snapshot",
        "session/session.py",
        "            if not fresh and sub.step is not _LIVE:",
        "            if False:",
        "late data of the past is taken for the present",
        ("tests/session/test_resync.py", "tests/session/test_data.py"),
    ),
    TextMutant(
        "take data of what is being left",
        "session/subscription.py",
        "        return self.step in (Step.LIVE, Step.CONFIRMED, Step.ASKED)",
        "        return True",
        "what belongs to a past that is over is delivered",
        ("tests/session/test_data.py", "tests/session/test_resync.py", *STATEFUL),
    ),
    TextMutant(
        "reuse an old snapshot",
        "session/followers.py",
        '        self.book.invalidate("events are missing; its next snapshot has not come yet")',
        "        self.crossed_accepted = False",
        "a feed that is opened during an outage starts with the book of before it",
        ("tests/session/test_followers.py", "tests/session/test_feeds.py"),
    ),
    TextMutant(
        "start a second feed with nothing",
        "session/session.py",
        "                self._start((feed,), sub)",
        "                pass",
        "a second subscriber waits for a snapshot that never comes",
        FEEDS,
    ),
    TextMutant(
        "drop one event",
        "session/session.py",
        "            for feed in audience:\n                deliver[feed].append(event)",
        "            for feed in audience if counters.events % 50 != 7 else ():\n"
        "                deliver[feed].append(event)",
        "an event is missing, and nothing says so",
        (*STATEFUL, "tests/client/test_promises.py"),
    ),
    TextMutant(
        "send the gap after the snapshot",
        "session/session.py",
        "        effects, self._out = self._out, Effects()",
        "        for feed, events in self._out.deliver.items():\n"
        "            held = self.__dict__.setdefault('held', {}).setdefault(feed, [])\n"
        "            held += [event for event in events if isinstance(event, Gap)]\n"
        "            events[:] = [event for event in events if not isinstance(event, Gap)]\n"
        "            if any(isinstance(event, BookSnapshot) for event in events):\n"
        "                events += held\n"
        "                held.clear()\n"
        "        effects, self._out = self._out, Effects()",
        "a program throws the new book away, and keeps the old one",
        ("tests/session/test_connection.py", "tests/session/test_resync.py"),
    ),
    TextMutant(
        "send the gap before what came before it",
        "session/session.py",
        "            self._deliver((feed,), gap)",
        "            self._out.deliver[feed].insert(0, gap)",
        "events that were not missing seem to be of after the gap",
        ("tests/session/test_resync.py", "tests/session/test_malformed.py", *STATEFUL),
    ),
    TextMutant(
        "deliver trades twice",
        "session/followers.py",
        "            if identity in recent:",
        "            if False:",
        "after a reconnect the volume is wrong",
        ("tests/session/test_followers.py", "tests/session/test_data.py"),
    ),
    TextMutant(
        "say nothing of missing trades",
        "session/session.py",
        "                if after is not None:",
        "                if False:",
        "the volume is wrong, and nothing says so",
        ("tests/session/test_data.py",),
    ),
    TextMutant(
        "let a poisoned frame pass",
        "session/session.py",
        "        channel, symbol = v2.salvage(frame)",
        "        channel, symbol = None, None",
        "a book goes on without the update that could not be read",
        ("tests/session/test_malformed.py",),
    ),
    TextMutant(
        "bear nonsense for ever",
        "session/session.py",
        "        self._malformed_in_row += 1",
        "        self._malformed_in_row = 1",
        "a peer that speaks another language is listened to for ever",
        ("tests/session/test_malformed.py",),
    ),
    # -- the feed, the actor -----------------------------------------------------------------------------------------
    Mutant(
        "drop the backlog",
        "rest of a batch",
        SkipFirst(),
        "the rest of a batch that was larger than the channel is lost",
        ("tests/client/test_blocks.py", *CLIENT, "tests/client/test_promises.py"),
    ),
    Mutant(
        "conflate a book as if it were a ticker",
        "conflated book",
        Always(),
        "a slow program's book lacks the updates that were left out",
        ("tests/runtime/test_overflow.py", "tests/client/test_overflow.py"),
    ),
    Mutant(
        "drop without telling",
        "gap for the dropped",
        Drop(),
        "a slow program loses events silently",
        ("tests/runtime/test_overflow.py", "tests/client/test_overflow.py"),
    ),
    Mutant(
        "keep the rest of a book of which the oldest was dropped",
        "rest of a dropped book",
        Never(),
        "updates come that nobody can apply",
        ("tests/runtime/test_overflow.py", "tests/client/test_overflow.py"),
    ),
    Mutant(
        "send no snapshot after a hole",
        "snapshot after a hole",
        Never(),
        "after an overflow a book never comes back",
        ("tests/runtime/test_overflow.py", "tests/client/test_overflow.py"),
    ),
    Mutant(
        "let a buffer grow",
        "bound of the buffer",
        Never(),
        "a program that never reads fills the memory",
        ("tests/runtime/test_overflow.py", "tests/client/test_overflow.py"),
    ),
    Mutant(
        "read on while a feed is full",
        "full feed holds up reading",
        Never(),
        "the backlog of a slow consumer grows without a bound",
        ("tests/client/test_blocks.py", *CLIENT, "tests/client/test_promises.py"),
    ),
    Mutant(
        "wait for a slow consumer for ever",
        "stall limit",
        Becomes("$target = trio.CancelScope()"),
        "one feed that is never read stops all others",
        CLIENT,
    ),
    Mutant(
        "send the last connection's requests",
        "requests of the last connection",
        Drop(),
        "what was to be said to a dead connection is said to the new one",
        CLIENT,
    ),
    Mutant(
        "keep the connection that was given up",
        "connection given up",
        Never(),
        "a silent connection is known to be dead, and kept",
        CLIENT,
    ),
    Mutant(
        "keep a feed's book readable after its gap",
        "book of a feed",
        Becomes('if not hasattr(event, "cause"): $value'),
        "feed.book() shows a book that is known to be old",
        ("tests/client/test_recovery.py", "tests/client/test_promises.py"),
    ),
    # -- the transport, the command ----------------------------------------------------------------------------------
    Mutant(
        "read no further while nobody receives",
        "reading ahead",
        Drop(),
        "a PING is not answered while a consumer is slow, and the peer hangs up",
        ("tests/transport/test_websockets.py", "tests/transport/test_misbehaving_peers.py"),
    ),
    Mutant(
        "take a message of any length",
        "length of a message",
        Never(),
        "a peer fills the memory with one frame",
        ("tests/transport/test_protocol.py",),
    ),
    Mutant(
        "wait for the answer to a request that never left",
        "request that never left",
        Never(),
        "an attempt that was reset at once takes ten seconds",
        ("tests/transport/test_connecting.py",),
    ),
    Mutant(
        "count control frames as waiting messages",
        "payload of messages",
        Becomes("$target = True"),
        "a connection with PINGs stops reading ahead after weeks",
        ("tests/transport/test_trio_websocket.py", "tests/transport/test_misbehaving_peers.py"),
    ),
    Mutant(
        "count what could not be checked as good",
        "unchecked",
        Drop(),
        "verify says that a recording is right of which it has checked half",
        ("tests/cli/test_verify.py",),
    ),
)
