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
    DropNow,
    Never,
    Operator,
    Plus,
    Put,
    Reverse,
    SkipFirst,
    Swap,
    Without,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MUTANTS", "Mutant"]

BOOK = ("tests/book/test_order_book.py", "tests/book/test_exchange.py", "tests/book/test_model.py")
FEEDS = ("tests/session/test_feeds.py",)
STATEFUL = ("tests/session/test_stateful.py",)
LIVENESS = ("tests/session/test_liveness.py",)
FEED = (
    "tests/runtime/test_feed.py",
    "tests/runtime/test_iterating.py",
    "tests/runtime/test_sender.py",
    "tests/runtime/test_feed_properties.py",
)
REFUSALS = (
    "tests/session/test_refusals_of_many.py::test_a_first_subscribe_names_only_what_is_refused",
    "tests/session/test_refusals_of_many.py::test_where_all_are_refused_in_the_same_words_two_requests_are_enough",
    "tests/session/test_refusals_of_many.py",
)
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
    """What must fail: tests, ``file::test``, and files. Tests are run before files, until the first failure."""

    def apply(self, package: Path) -> tuple[Path, str]:
        """The file, and its text with the rule broken."""
        [place] = [place for place in find_places(package) if place.marker == self.marker]
        return place.path, place.mutated(self.operator)


MUTANTS: tuple[Mutant, ...] = (
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
        "take an update without a checksum",
        "update without a checksum",
        Never(),
        "a book that has lost an update stays readable",
        ("tests/book/test_order_book.py", "tests/channels/test_states.py"),
    ),
    Mutant(
        "take a snapshot without a checksum",
        "snapshot without a checksum",
        Never(),
        "a damaged snapshot is shown as a good book",
        ("tests/book/test_order_book.py", "tests/channels/test_states.py"),
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
    Mutant(
        "take a time without a zone",
        "time zone",
        Becomes("$target = datetime"),
        "the first program that subtracts it from the time of day dies of TypeError",
        ("tests/wire/test_hostile.py", "tests/wire/test_channels.py"),
    ),
    # -- subscriptions -----------------------------------------------------------------------------------------------
    Mutant(
        "forget one resubscription",
        "asked again",
        SkipFirst(),
        "after a reconnect one symbol never comes back",
        ("tests/session/test_connection.py", "tests/session/test_asking.py"),
    ),
    Mutant(
        "lose a refused subscription",
        "refused",
        Drop(),
        "subscribe waits for ever for an answer that has come",
        ("tests/session/test_asking.py",),
    ),
    Mutant(
        "take a doubtful refusal for all",
        "doubtful refusal",
        Never(),
        "one bad symbol costs all that were asked for with it",
        REFUSALS,
    ),
    Mutant(
        "never believe that all are refused",
        "probe",
        Never(),
        "a refusal of a thousand symbols takes a thousand requests",
        REFUSALS,
    ),
    Mutant(
        "take any refusal for that of all",
        "probe",
        Without(2),
        "after a reconnect one bad symbol costs the good ones",
        REFUSALS,
    ),
    Mutant(
        "ask for one half only",
        "halves",
        Drop(),
        "what was refused together with a bad symbol is never asked for again",
        REFUSALS,
    ),
    Mutant(
        "ignore req_id",
        "number of an answer",
        Never(),
        "an answer is taken for that of another request",
        ("tests/session/test_asking.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "believe answers to old requests",
        "latest request",
        Without(2),
        "a late answer confirms what was asked again since",
        ("tests/session/test_asking.py", "tests/session/test_resync.py", *STATEFUL),
    ),
    Mutant(
        "overlook an unsubscribe that nobody asked for",
        "unasked unsubscribe",
        Never(),
        "a book that the exchange has dropped stays readable, and stands still",
        ("tests/session/test_liveness.py::test_an_unsubscribe_that_nobody_asked_for_is_a_loss", *LIVENESS),
    ),
    Mutant(
        "keep an unmatched refusal to oneself",
        "unmatched refusal",
        Drop(),
        "whoever connects to the wrong endpoint is told that nobody answered",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "take a late answer for an unasked one",
        "unasked unsubscribe",
        Without(2),
        "a late answer costs a subscription that is in force",
        ("tests/session/test_liveness.py::test_what_may_be_another_ones_unsubscribe_is_ignored", *LIVENESS),
    ),
    Mutant(
        "leave for everyone when one leaves",
        "last one leaves",
        Always(),
        "one feed that is closed takes the data of all others with it",
        (*FEEDS, *STATEFUL),
    ),
    Mutant(
        "never unsubscribe",
        "nobody wants it",
        Put(3, "_FORGET"),
        "the exchange goes on sending what nobody reads",
        (*FEEDS, *STATEFUL),
    ),
    Mutant(
        "send no gap",
        "gap of an outage",
        Never(),
        "what is lost is lost silently",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "send a gap for each failure of one outage",
        "gap of an outage",
        Without(1),
        "programs that count losses count too many",
        ("tests/session/test_resync.py", "tests/session/test_connection.py"),
    ),
    Mutant(
        "resync without leaving first",
        "left first",
        Put(3, "_SUBSCRIBE"),
        "the exchange says that it is already subscribed, and no snapshot ever comes",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "resync for ever",
        "last attempt",
        Never(),
        "a symbol that always mismatches uses up every request",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "park for ever",
        "rest is over",
        Put(7, "_o"),
        "a symbol that failed too often never comes back",
        ("tests/session/test_resync.py",),
    ),
    Mutant(
        "let a new feed wait for what is parked",
        "wanted again",
        Put(7, "_o"),
        "a feed that is opened for a parked symbol waits for a quarter of an hour",
        ("tests/session/test_asking.py",),
    ),
    Mutant(
        "wait for a snapshot for ever",
        "first data",
        Drop(),
        "a subscription that was confirmed and never served stays so",
        ("tests/session/test_resync.py", "tests/session/test_connection.py"),
    ),
    Mutant(
        "never suspect a subscription that stands still",
        "stale is refreshed",
        Drop(),
        "a book that the exchange forgot looks calm for ever",
        ("tests/session/test_liveness.py",),
    ),
    Mutant(
        "wait for an answer for ever",
        "answer timeout",
        Drop(),
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
    Mutant(
        "ask for no tokenized assets",
        "tokenized assets",
        Never(),
        "the multiplier of an xStock never comes",
        ("tests/wire/test_writing.py",),
    ),
    Mutant(
        "send as fast as one likes",
        "pacing",
        Never(),
        "the exchange answers with Exceeded msg rate",
        ("tests/session/test_timing.py", "tests/session/test_asking.py"),
    ),
    # -- the connection ----------------------------------------------------------------------------------------------
    Mutant(
        "judge silence while held up",
        "clock stands still",
        Never(),
        "a slow consumer is taken for a dead exchange",
        ("tests/session/test_timing.py", "tests/session/test_connection.py"),
    ),
    Mutant(
        "never judge silence",
        "silence",
        Drop(),
        "a connection that died without a word is never made again",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "take a pong for life",
        "pushed",
        Becomes("$target = True"),
        "a peer that answers pings and pushes nothing is listened to for ever",
        (
            "tests/session/test_liveness.py::test_a_peer_that_only_answers_is_given_up_while_something_is_confirmed",
            *LIVENESS,
        ),
    ),
    Mutant(
        "count silence while a feed is full",
        "exposed",
        Without(1),
        "a slow consumer is taken for a dead exchange",
        (
            "tests/session/test_connection.py::test_a_peer_is_not_judged_while_nobody_listens",
            *LIVENESS,
            "tests/session/test_connection.py",
        ),
    ),
    Mutant(
        "count silence while nothing has to come",
        "exposed",
        Without(0),
        "the first subscription after a quiet hour costs a live connection",
        LIVENESS,
    ),
    Mutant(
        "never ask the WebSocket",
        "websocket ping",
        Drop(),
        "a live connection whose peer hears us is given up every half minute, and nothing was asked",
        LIVENESS,
    ),
    Mutant(
        "believe in a peer that does not hear us",
        "no pong",
        Drop(),
        "data comes, and nothing that is asked is ever answered",
        LIVENESS,
    ),
    Mutant(
        "judge a pong that lies unread",
        "unread pong",
        Drop(),
        "a slow consumer costs the connection",
        LIVENESS,
    ),
    Mutant(
        "wait for the first data of books only",
        "owed data",
        Becomes("return self.must_verify"),
        "candles that were accepted and are silent stay so for ever",
        LIVENESS,
    ),
    Mutant(
        "renew for ever what has nothing to say",
        "stays subscribed",
        Never(),
        "the candles of a pair that hardly trades are parked, and the first one is lost",
        LIVENESS,
    ),
    Mutant(
        "stay subscribed in silence",
        "gap without data",
        Drop(),
        "a program takes missing data for a quiet market",
        LIVENESS,
    ),
    Mutant(
        "stay with a book that has no snapshot",
        "stays subscribed",
        Without(1),
        "a book that was accepted and never served stays so",
        LIVENESS,
    ),
    Mutant(
        "suspect no standstill",
        "stale",
        Never(),
        "a book stands still for ever while its symbol trades",
        LIVENESS,
    ),
    Mutant(
        "suspect a quiet market",
        "stale",
        Without(0),
        "every quiet symbol is subscribed anew, over and over",
        LIVENESS,
    ),
    Mutant(
        "suspect the same again as soon as before",
        "stale again",
        Drop(),
        "a symbol that is right to stand still is asked for for ever",
        LIVENESS,
    ),
    Mutant(
        "take a price for a trade",
        "price or trade",
        Always(),
        "trades are suspected because somebody moved an order",
        LIVENESS,
    ),
    Mutant(
        "ignore the pong",
        "pong",
        Never(),
        "the time to the exchange is never known",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "never reset the backoff",
        "backoff begins anew",
        Drop(),
        "after a year of good service a loss takes a minute",
        ("tests/session/test_connection.py", "tests/session/test_timing.py"),
    ),
    Mutant(
        "reset the backoff by every connection",
        "stable connection",
        Always(),
        "an exchange that accepts and drops at once is called ten times a second, until it bans us",
        ("tests/session/test_connection.py", "tests/session/test_timing.py"),
    ),
    Mutant(
        "let the backoff never grow",
        "backoff grows",
        Becomes("$target = 1"),
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
    Mutant(
        "hurry while the exchange rests",
        "engine at rest",
        Never(),
        "an exchange in maintenance is called as if it had lost a packet",
        ("tests/session/test_status.py",),
    ),
    Mutant(
        "come back after a policy violation",
        "policy violation",
        Never(),
        "an exchange that has said never again is called again",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "ignore Retry-After",
        "retry after",
        Without(0),
        "an exchange that says when to come back is called before",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "take data after the connection is over",
        "after the end",
        Drop(),
        "data of an old epoch is delivered as if it were of now",
        ("tests/session/test_connection.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "be settled by hope",
        "all settled",
        Never(),
        "the state says that all is well while a book is not",
        ("tests/session/test_lifecycle.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "resync what nobody wants",
        "nothing wanted",
        Never(),
        "a client without subscriptions says that it resyncs",
        ("tests/session/test_connection.py", "tests/session/test_lifecycle.py"),
    ),
    # -- data --------------------------------------------------------------------------------------------------------
    Mutant(
        "never check whether a book is crossed",
        "crossed without a checksum",
        Never(),
        "a book that cannot be is handed on",
        ("tests/channels/test_states.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "resync a market that is crossed, again and again",
        "crossed once",
        Drop(),
        "a book that the exchange itself shows as crossed is never shown",
        ("tests/channels/test_states.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "doubt a crossed book whose checksum is right",
        "crossed with a checksum",
        Never(),
        "a book that the exchange itself shows as crossed is never shown",
        ("tests/channels/test_states.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "deliver a snapshot as it was sent",
        "canonical snapshot",
        Becomes("$receiver.append(event)"),
        "a snapshot holds what the book does not",
        ("tests/channels/test_states.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "apply updates of before the snapshot",
        "begins",
        Without(2),
        "late data of the past is taken for the present",
        ("tests/session/test_resync.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "take data of what is being left",
        "takes data",
        Always(),
        "what belongs to a past that is over is delivered",
        ("tests/session/test_data.py", "tests/session/test_resync.py", *STATEFUL),
    ),
    Mutant(
        "reuse an old snapshot",
        "old snapshot",
        Drop(),
        "a feed that is opened during an outage starts with the book of before it",
        ("tests/channels/test_states.py", "tests/session/test_feeds.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "start a second feed with nothing",
        "late feed",
        Drop(),
        "a second subscriber waits for a snapshot that never comes",
        FEEDS,
    ),
    Mutant(
        "drop one event",
        "delivery",
        DropNow(50),
        "an event is missing, and nothing says so",
        (*STATEFUL, "tests/client/test_promises.py"),
    ),
    Mutant(
        "send the gap after the snapshot",
        "place of a gap",
        Becomes(
            "globals().setdefault('_held', {}).setdefault(feed, []).append($argument) if isinstance($argument, Gap)"
            " else $receiver.extend([$argument, *globals().setdefault('_held', {}).pop(feed, [])])"
        ),
        "a program throws the new book away, and keeps the old one",
        ("tests/session/test_connection.py", "tests/session/test_resync.py"),
    ),
    Mutant(
        "send the gap before what came before it",
        "place of a gap",
        Becomes("$receiver.insert(0 if isinstance($argument, Gap) else len($receiver), $argument)"),
        "events that were not missing seem to be of after the gap",
        ("tests/session/test_resync.py", "tests/session/test_malformed.py", *STATEFUL),
    ),
    Mutant(
        "deliver trades twice",
        "repeated trade",
        Never(),
        "after a reconnect the volume is wrong",
        ("tests/channels/test_states.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "say nothing of missing trades",
        "missing trades",
        Never(),
        "the volume is wrong, and nothing says so",
        ("tests/channels/test_states.py", "tests/session/test_data.py"),
    ),
    Mutant(
        "take trades with new numbers for old ones",
        "numbers begin anew",
        Never(),
        "after the exchange has begun to number anew, trades are missing, and nothing says so",
        ("tests/channels/test_states.py", "tests/session/test_trades.py"),
    ),
    Mutant(
        "let a poisoned frame pass",
        "poisoned frame",
        Becomes("$target = None, None"),
        "a book goes on without the update that could not be read",
        ("tests/session/test_malformed.py",),
    ),
    Mutant(
        "take one stray frame for another protocol",
        "stray frame",
        Never(),
        "one odd frame ends the client for good",
        ("tests/session/test_connection.py",),
    ),
    Mutant(
        "bear nonsense for ever",
        "nonsense in a row",
        Becomes("$target = 1"),
        "a peer that speaks another language is listened to for ever",
        ("tests/session/test_malformed.py",),
    ),
    # -- the feed, the actor -----------------------------------------------------------------------------------------
    Mutant(
        "drop the backlog",
        "rest of a batch",
        SkipFirst(),
        "the rest of a batch that was larger than the channel is lost",
        (*FEED, "tests/client/test_blocks.py", *CLIENT, "tests/client/test_promises.py"),
    ),
    Mutant(
        "give twice what changes hands at the end",
        "end while an event changes hands",
        Always(),
        "a program gets an event twice when its client is left at the wrong moment",
        FEED,
    ),
    Mutant(
        "wait for a feed that has ended",
        "end before the wait",
        Never(),
        "a client that is left at the wrong moment fails with an error that is nobody's",
        FEED,
    ),
    Mutant(
        "give a closed feed's events out",
        "closed while receiving",
        Never(),
        "a program gets events from a feed that it has closed",
        FEED,
    ),
    Mutant(
        "say nothing of a slow consumer",
        "slow consumer in the log",
        Drop(),
        "an operator does not learn why a feed has ended",
        ("tests/client/test_overflow.py",),
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
        (*FEED, *CLIENT),
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
        (*FEED, "tests/client/test_recovery.py", "tests/client/test_promises.py"),
    ),
    Mutant(
        "keep a book readable after a gap that is iterated over",
        "book of a step",
        Becomes('if not hasattr(event, "cause"): $value'),
        "feed.book() shows a book that is known to be old",
        FEED,
    ),
    Mutant(
        "let no other task run while there are events",
        "long run of steps",
        Without(1),
        "a program that iterates over a busy feed does nothing else any more, and reads nothing",
        FEED,
    ),
    Mutant(
        "let a slow loop have all of its 64 events",
        "steps of a slow body",
        Without(2),
        "a deadline in a loop that takes 10 ms for each event is noticed after more than half a second",
        FEED,
    ),
    Mutant(
        "look for cancellation with the full checkpoints only",
        "cancelled between two steps",
        Drop(),
        "a loop goes on after it has cancelled its own scope",
        FEED,
    ),
    Mutant(
        "let two tasks receive if one of them iterates",
        "step while another task receives",
        Drop(),
        "the events of a book come to its tasks out of order",
        FEED,
    ),
    Mutant(
        "let Ctrl-C come between taking an event and returning it",
        "ctrl c within a step",
        Becomes("(lambda self: self)"),
        "a program that saves its work on Ctrl-C has lost an event, and its book is as of nobody knows when",
        FEED,
    ),
    Mutant(
        "let Ctrl-C come between taking a batch and returning it",
        "ctrl c within a call",
        Becomes("(lambda self: self)"),
        "a program that saves its work on Ctrl-C has lost a batch, and its book is as of nobody knows when",
        FEED,
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
        "read the number of a closed socket",
        "closed socket",
        Never(),
        "bytes of another file of the process are taken for frames",
        ("tests/transport/test_reading.py",),
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
    Mutant(
        "watch nothing because one symbol is refused",
        "some are left",
        Always(),
        "one bad symbol ends the command for all",
        ("tests/cli/test_watch.py",),
    ),
    Mutant(
        "cut a number that does not fit",
        "whole numbers",
        Becomes("return str(value)[:width].rjust(width)"),
        "a price of 11,640 is shown as 11",
        ("tests/cli/test_screen.py", "tests/cli/test_board.py"),
    ),
)
