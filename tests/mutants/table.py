"""Rules that are broken on purpose, one at a time: what the tests must notice.

``nox -s mutants`` applies each to a copy of the package, runs the tests that are named here, and rewrites
``killed.md``. A mutant that survives is a rule that nobody would miss: write the test.

``text`` stands exactly once in its file, so that the list cannot rot: ``test_table.py`` looks. Take the shortest text
that says which rule it is. When a rule moves, move its mutant with it; when a rule is given up, drop it here.
"""

from __future__ import annotations

import attrs

__all__ = ["MUTANTS", "Mutant"]

BOOK = ("tests/book/test_order_book.py", "tests/book/test_exchange.py", "tests/book/test_model.py")
FEEDS = ("tests/session/test_feeds.py",)
STATEFUL = ("tests/session/test_stateful.py",)
CLIENT = ("tests/client/test_regressions.py", "tests/client/test_recovery.py")


@attrs.frozen
class Mutant:
    """One broken rule."""

    name: str
    file: str
    """In the package."""
    text: str
    replacement: str
    why: str
    """What a user would suffer."""
    tests: tuple[str, ...]
    """What must fail: files, or ``file::test``. Run in this order, until the first failure."""


MUTANTS: tuple[Mutant, ...] = (
    # -- the book ----------------------------------------------------------------------------------------------------
    Mutant(
        "skip truncation",
        "book/book.py",
        "        if len(keys) - side.start > self.depth:",
        "        if False:",
        "levels that were pushed out of the window stay, and come back as the best",
        BOOK,
    ),
    Mutant(
        "apply in reverse",
        "book/book.py",
        "        for level in levels:\n            if known:",
        "        for level in reversed(levels):\n            if known:",
        "of a repeated price the first one holds, not the last",
        BOOK,
    ),
    Mutant(
        "skip the checksum of updates",
        "book/book.py",
        "        if not known and expected is not None",
        "        if False and expected is not None",
        "a lost update is never noticed",
        BOOK,
    ),
    Mutant(
        "skip the checksum of snapshots",
        "book/book.py",
        "        if verify and expected is not None",
        "        if False and expected is not None",
        "a damaged snapshot is shown as a verified book",
        BOOK,
    ),
    Mutant(
        "hash the bids before the asks",
        "book/book.py",
        "crc32(asks.top())\n            self._checksum = crc32(bids.top(), self._asks_crc)",
        "crc32(bids.top())\n            self._checksum = crc32(asks.top(), self._asks_crc)",
        "no checksum of the exchange is ever right",
        BOOK,
    ),
    Mutant(
        "hash all levels",
        "book/side.py",
        "tokens[: -CHECKED_LEVELS - 1 : -1] if whole",
        "tokens[: self.start - len(tokens) - 1 : -1] if whole",
        "every book that is deeper than ten levels is thrown away",
        BOOK,
    ),
    Mutant(
        "forget that the tenth level counts",
        "book/book.py",
        "                if len(keys) - index <= CHECKED_LEVELS:",
        "                if len(keys) - index < CHECKED_LEVELS:",
        "the kept checksum is stale after a change of the tenth level",
        BOOK,
    ),
    Mutant(
        "keep leading zeros",
        "book/book.py",
        '                    amount = amount.lstrip("0")',
        '                    amount = amount if amount.strip("0") else ""',
        "every quantity below one spoils the checksum",
        BOOK,
    ),
    Mutant(
        "drop trailing zeros",
        "book/book.py",
        '                    amount = amount.lstrip("0")',
        '                    amount = amount.strip("0")',
        "the digits that are hashed are not those of the wire",
        BOOK,
    ),
    Mutant(
        "keep a level of quantity zero",
        "book/book.py",
        '                token = token + amount if amount else ""',
        "                token = token + amount",
        "what the exchange has removed can still be traded against, it seems",
        BOOK,
    ),
    Mutant(
        "merge a snapshot into what was",
        "book/book.py",
        "        self._bids.load([], [], [])",
        "        self._bids.touched = True",
        "bids of before the loss survive it",
        BOOK,
    ),
    Mutant(
        "show the bids of before",
        "book/book.py",
        "            if event.bids:\n                self._bids_view = None",
        "            if event.bids:\n                pass",
        "whoever has read the bids once reads the old ones for ever",
        BOOK,
    ),
    Mutant(
        "show a book that has failed",
        "book/book.py",
        '        self.invalidate("it failed a check, and its next snapshot has not come yet")',
        "        self._bids_view = self._asks_view = None",
        "a program trades on a book that is known to be wrong",
        BOOK,
    ),
    Mutant(
        "show a book after its gap",
        "book/book.py",
        '            self.invalidate(f"events are missing',
        '            str(f"events are missing',
        "a program trades on a book that is known to be old",
        BOOK,
    ),
    Mutant(
        "take what is no number",
        "_digits.py",
        "    if value.is_finite() and len(str(value)) <= _MAX_TEXT:",
        "    if not value.is_finite():\n        return value\n    if len(str(value)) <= _MAX_TEXT:",
        "NaN as a price: every comparison with it is false",
        ("tests/test_digits.py", "tests/wire/test_hostile.py"),
    ),
    # -- the wire ----------------------------------------------------------------------------------------------------
    Mutant(
        "read a frame of any length",
        "wire/v2.py",
        "        if len(frame) > MAX_FRAME_BYTES:",
        "        if False:",
        "a peer holds up the whole program with one frame",
        ("tests/wire/test_hostile.py",),
    ),
    Mutant(
        "let deep nesting through",
        "wire/v2.py",
        "ArithmeticError, RecursionError)",
        "ArithmeticError)",
        "a thousand brackets end the program with RecursionError",
        ("tests/wire/test_hostile.py",),
    ),
    Mutant(
        "count every unknown name",
        "wire/v2.py",
        "len(self.unknown) < _MAX_UNKNOWN_NAMES",
        "True",
        "a peer that invents names fills the memory",
        ("tests/wire/test_hostile.py", "tests/wire/test_channels.py"),
    ),
    Mutant(
        "take any answer for a yes",
        "wire/v2.py",
        '        if tree.get("success") is True and',
        '        if tree.get("success", True) and',
        "a refusal is the only place where it is said, and it is taken for a confirmation",
        ("tests/wire/test_answers.py",),
    ),
    Mutant(
        "take a rate limit for the last word",
        "wire/v2.py",
        '    ("Exceeded msg rate", RefusalKind.RATE_LIMITED),',
        '    ("Exceeded msg rate", RefusalKind.FINAL),',
        "a busy moment loses a subscription for good",
        ("tests/wire/test_answers.py",),
    ),
    Mutant(
        "take a time without a zone",
        "wire/v2.py",
        "        elif isinstance(value, datetime) and value.tzinfo is None:",
        "        elif False:",
        "the first program that subtracts it from the time of day dies of TypeError",
        ("tests/wire/test_hostile.py", "tests/wire/test_channels.py"),
    ),
    # -- subscriptions -----------------------------------------------------------------------------------------------
    Mutant(
        "forget one resubscription",
        "session/registry.py",
        "        for sub in self.subscriptions.values():\n            self._ask(sub)",
        "        for sub in list(self.subscriptions.values())[1:]:\n            self._ask(sub)",
        "after a reconnect one symbol never comes back",
        ("tests/session/test_connection.py", "tests/session/test_asking.py"),
    ),
    Mutant(
        "lose a refused subscription",
        "session/registry.py",
        "            self._denied(sub, Cause.REFUSED, text)",
        "            self._mark(sub)",
        "subscribe waits for ever for an answer that has come",
        ("tests/session/test_asking.py",),
    ),
    Mutant(
        "ignore req_id",
        "session/flights.py",
        "        if req_id is not None:\n            return req_id if",
        "        if False:\n            return req_id if",
        "an answer is taken for that of another request",
        ("tests/session/test_asking.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "believe answers to old requests",
        "session/registry.py",
        " and sub.req_id == number else None",
        " else None",
        "a late answer confirms what was asked again since",
        ("tests/session/test_asking.py", "tests/session/test_resync.py", *STATEFUL),
    ),
    Mutant(
        "leave for everyone when one leaves",
        "session/registry.py",
        "            if not sub.wanted_by:\n                self._alarms.clear(key)\n                if sub.step",
        "            if True:\n                self._alarms.clear(key)\n                if sub.step",
        "one feed that is closed takes the data of all others with it",
        (*FEEDS, *STATEFUL),
    ),
    Mutant(
        "send no gap",
        "session/registry.py",
        "        if sub.confirmed_once and not sub.gapped:",
        "        if False:",
        "what is lost is lost silently",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "send a gap for each failure of one outage",
        "session/registry.py",
        "        if sub.confirmed_once and not sub.gapped:",
        "        if sub.confirmed_once:",
        "programs that count losses count too many",
        ("tests/session/test_resync.py", "tests/session/test_connection.py"),
    ),
    Mutant(
        "resync without leaving first",
        "session/registry.py",
        "            self._leave(sub, Step.WAITING)",
        "            sub.go(Step.LEAVING)\n            self._go(sub, Step.WAITING)\n            self._ask(sub)",
        "the exchange says that it is already subscribed, and no snapshot ever comes",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "resync for ever",
        "session/registry.py",
        "            self._park(sub, text, now)\n        elif sub.attempts == 1:",
        "            self._leave(sub, Step.WAITING)\n        elif sub.attempts == 1:",
        "a symbol that always mismatches uses up every request",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "wait for a snapshot for ever",
        "session/registry.py",
        "            self._patience.set(sub.key, self._clock.at(now) + self._settings.snapshot_timeout)",
        "            sub.gapped = sub.gapped",
        "a subscription that was confirmed and never served stays so",
        ("tests/session/test_resync.py", "tests/session/test_connection.py"),
    ),
    Mutant(
        "wait for an answer for ever",
        "session/flights.py",
        "        self._patience.set(number, self._clock.at(now) + patience)",
        "        self._patience.clear(number)",
        "a request that the exchange forgot is never made again",
        ("tests/session/test_asking.py",),
    ),
    Mutant(
        "ask for no history",
        "wire/v2.py",
        "            extras=_snapshot,  # whether",
        '            extras=lambda request: {"snapshot": request.snapshot},  # whether',
        "trades that the exchange would have repeated stay missing",
        ("tests/wire/test_writing.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "send as fast as one likes",
        "session/timing.py",
        "        if self.ready_at(now) > now:",
        "        if self._paused_until > now:",
        "the exchange answers with Exceeded msg rate",
        ("tests/session/test_timing.py", "tests/session/test_asking.py"),
    ),
    # -- the connection ----------------------------------------------------------------------------------------------
    Mutant(
        "judge silence while held up",
        "session/timing.py",
        "        if self._since is None:\n            self._since = now",
        "        pass",
        "a slow consumer is taken for a dead exchange",
        ("tests/session/test_timing.py", "tests/session/test_connection.py"),
    ),
    Mutant(
        "never judge silence",
        "session/session.py",
        "            self._out.drop = Cause.SILENCE",
        "            self._out.notes.append(Cause.SILENCE.value)",
        "a connection that died without a word is never made again",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "ignore the pong",
        "session/session.py",
        "            if self._ping is not None and message.req_id in (None, self._ping[0]):",
        "            if False:",
        "the time to the exchange is never known",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "never reset the backoff",
        "session/session.py",
        "            self._backoff.reset()",
        "            self._backoff.next_delay()",
        "after a year of good service a loss takes a minute",
        ("tests/session/test_connection.py", "tests/session/test_timing.py"),
    ),
    Mutant(
        "reset the backoff by every connection",
        "session/session.py",
        "        if live_since is not None and now - live_since >= self._settings.stable_after:",
        "        if True:",
        "an exchange that accepts and drops at once is called ten times a second, until it bans us",
        ("tests/session/test_connection.py", "tests/session/test_timing.py"),
    ),
    Mutant(
        "let the backoff never grow",
        "session/timing.py",
        "        self.failures += 1",
        "        self.failures = 1",
        "an exchange in maintenance is called until it bans us",
        ("tests/session/test_timing.py",),
    ),
    Mutant(
        "come back after a policy violation",
        "session/session.py",
        "        if code == _POLICY_VIOLATION:",
        "        if False:",
        "an exchange that has said never again is called again",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "ignore Retry-After",
        "session/session.py",
        "error.retry_after or 0.0",
        "0.0",
        "an exchange that says when to come back is called before",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "take data after the connection is over",
        "session/session.py",
        "            return self._done()  # it came while the program left",
        "            pass",
        "data of an old epoch is delivered as if it were of now",
        ("tests/session/test_connection.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "be settled by hope",
        "session/lifecycle.py",
        "    Cause.CHECKSUM: (_x, _x, _R, _o),",
        "    Cause.CHECKSUM: (_x, _x, _o, _o),",
        "the state says that all is well while a book is not",
        ("tests/session/test_lifecycle.py", "tests/session/test_resync.py"),
    ),
    # -- data --------------------------------------------------------------------------------------------------------
    Mutant(
        "never check whether a book is crossed",
        "session/session.py",
        "            if is_crossed:",
        "            if False:",
        "a book that cannot be is handed on",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "resync a market that is crossed, again and again",
        "session/session.py",
        "                    follower.crossed_accepted = True",
        "                    follower.crossed_accepted = False",
        "a book that the exchange itself shows as crossed is never shown",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "apply updates of before the snapshot",
        "session/session.py",
        "            if not fresh and sub.step is not _LIVE:",
        "            if False:",
        "late data of the past is taken for the present",
        ("tests/session/test_resync.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "take data of what is being left",
        "session/subscription.py",
        "        return self.step in (Step.LIVE, Step.CONFIRMED, Step.ASKED)",
        "        return True",
        "what belongs to a past that is over is delivered",
        ("tests/session/test_data.py", "tests/session/test_resync.py", *STATEFUL),
    ),
    Mutant(
        "reuse an old snapshot",
        "session/followers.py",
        '        self.book.invalidate("events are missing; its next snapshot has not come yet")',
        "        self.crossed_accepted = False",
        "a feed that is opened during an outage starts with the book of before it",
        ("tests/session/test_followers.py", "tests/session/test_feeds.py"),
    ),
    Mutant(
        "start a second feed with nothing",
        "session/session.py",
        "                self._start((feed,), sub)",
        "                pass",
        "a second subscriber waits for a snapshot that never comes",
        FEEDS,
    ),
    Mutant(
        "drop one event",
        "session/session.py",
        "            for feed in audience:\n                deliver[feed].append(event)",
        "            for feed in audience if counters.events % 50 != 7 else ():\n"
        "                deliver[feed].append(event)",
        "an event is missing, and nothing says so",
        (*STATEFUL, "tests/client/test_promises.py"),
    ),
    Mutant(
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
    Mutant(
        "send the gap before what came before it",
        "session/session.py",
        "            self._deliver((feed,), gap)",
        "            self._out.deliver[feed].insert(0, gap)",
        "events that were not missing seem to be of after the gap",
        ("tests/session/test_resync.py", "tests/session/test_malformed.py", *STATEFUL),
    ),
    Mutant(
        "deliver trades twice",
        "session/followers.py",
        "            if identity in recent:",
        "            if False:",
        "after a reconnect the volume is wrong",
        ("tests/session/test_followers.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "say nothing of missing trades",
        "session/session.py",
        "                if after is not None:",
        "                if False:",
        "the volume is wrong, and nothing says so",
        ("tests/session/test_data.py",),
    ),
    Mutant(
        "let a poisoned frame pass",
        "session/session.py",
        "        channel, symbol = v2.salvage(frame)",
        "        channel, symbol = None, None",
        "a book goes on without the update that could not be read",
        ("tests/session/test_malformed.py",),
    ),
    Mutant(
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
        "feed.py",
        "                self._backlog.extend(waiting)",
        "                list(waiting)",
        "the rest of a batch that was larger than the channel is lost",
        ("tests/client/test_blocks.py", *CLIENT, "tests/client/test_promises.py"),
    ),
    Mutant(
        "read on while a feed is full",
        "actor.py",
        "                while self._stalled:",
        "                while False:",
        "the backlog of a slow consumer grows without a bound",
        ("tests/client/test_blocks.py", *CLIENT, "tests/client/test_promises.py"),
    ),
    Mutant(
        "wait for a slow consumer for ever",
        "actor.py",
        "        with trio.move_on_after(limit) as scope:",
        "        with trio.CancelScope() as scope:",
        "one feed that is never read stops all others",
        CLIENT,
    ),
    Mutant(
        "send the last connection's requests",
        "actor.py",
        "                    self._outbox.clear()",
        "                    self._outbox.extend(())",
        "what was to be said to a dead connection is said to the new one",
        CLIENT,
    ),
    Mutant(
        "keep the connection that was given up",
        "actor.py",
        "        if effects.drop is not None:",
        "        if False:",
        "a silent connection is known to be dead, and kept",
        CLIENT,
    ),
    Mutant(
        "keep a feed's book readable after its gap",
        "feed.py",
        "            self._books[event.symbol].follow(event)  # which makes",
        "            pass  # which makes",
        "feed.book() shows a book that is known to be old",
        ("tests/client/test_recovery.py", "tests/client/test_promises.py"),
    ),
    # -- the transport, the command ----------------------------------------------------------------------------------
    Mutant(
        "read no further while nobody receives",
        "transport/sans_io.py",
        "                await self._stand_in()",
        "                await self._leaving.wait()",
        "a PING is not answered while a consumer is slow, and the peer hangs up",
        ("tests/transport/test_sans_io.py", "tests/transport/test_misbehaving_peers.py"),
    ),
    Mutant(
        "take a message of any length",
        "transport/sans_io.py",
        '        elif not is_control and size + len(self._fragments or b"") > self._limits.max_frame_bytes:',
        "        elif False:",
        "a peer fills the memory with one frame",
        ("tests/transport/test_sans_io.py",),
    ),
    Mutant(
        "count what could not be checked as good",
        "cli/verification.py",
        "        report.unchecked += 1",
        "        report.verified += 1",
        "verify says that a recording is right of which it has checked half",
        ("tests/cli/test_verify.py",),
    ),
)
