"""Every failure that is known of Kraken, of its other clients, and of WebSocket libraries has a test. Here is the list.

A row is what happened, and the tests that hold us to surviving it. That each of them exists, and is run, is checked by
reading the files.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent

KRAKEN: Final[dict[str, tuple[str, ...]]] = {
    "levels that were pushed out of the window were kept": (
        "book/test_order_book.py::test_what_is_pushed_out_of_the_window_is_forgotten",
        "book/test_order_book.py::test_the_window_is_cut_after_the_whole_message",
        "book/test_model.py::test_any_sequence_of_updates",
        "book/test_recordings.py::test_v1",
    ),
    "numbers were parsed as floats": (
        "wire/test_channels.py::test_the_digits_of_the_wire_survive",
        "wire/test_fast_path.py::test_trailing_zeros_survive",
        "book/test_exchange.py::test_abbreviated_numbers_verify_and_hide_no_wrong_digit",
    ),
    "a message with both sides was misread": (
        "client/test_incidents.py::test_frames_of_v1_are_not_misread",
        "book/test_order_book.py::test_a_side_that_is_not_mentioned_is_unchanged",
        "book/test_model.py::test_any_sequence_of_updates",
        "book/test_recordings.py::test_v1",
    ),
    "the same price twice in a message": (
        "book/test_order_book.py::test_the_last_of_a_repeated_price_holds",
        "book/test_order_book.py::test_the_last_of_a_repeated_price_holds_in_a_snapshot_too",
        "book/test_exchange.py::test_reversed_levels_of_a_repeated_price_are_found",
    ),
    "fewer than ten levels, and odd precisions": (
        "client/test_incidents.py::test_books_of_fewer_than_ten_levels_and_of_any_precision",
        "client/test_incidents.py::test_an_illiquid_symbol_that_never_verifies_takes_nobody_down_and_is_not_asked_for_over_and_over",
        "client/test_recovery.py::test_a_symbol_that_never_gets_its_book_is_parked_and_the_others_go_on",
        "book/test_order_book.py::test_a_book_of_less_than_ten_levels_checks_those",
    ),
    "numbers were formatted by the locale": (
        "test_locale.py::test_a_book_is_the_same_in_every_locale",
        "test_locale.py::test_nothing_asks_for_the_locale",
        "book/test_order_book.py::test_the_context_of_the_program_does_not_matter",
    ),
    "a resubscribe storm": (
        "client/test_incidents.py::test_a_resubscribe_storm_is_one_resubscribe",
        "client/test_incidents.py::test_a_storm_in_a_resync_that_takes_long_is_one_resubscribe",
        "session/test_resync.py::test_one_resync_at_a_time",
        "session/test_resync.py::test_attempts_come_slower_and_slower_and_then_it_is_parked",
    ),
    "a burst of subscribes after a reconnect, partly refused": (
        "client/test_incidents.py::test_a_burst_of_subscribes_after_a_reconnect_is_confirmed_whole",
        "client/test_incidents.py::test_symbols_share_a_request",
        "session/test_asking.py::test_requests_are_paced",
        "session/test_asking.py::test_rate_limited_symbols_are_asked_again_and_the_others_stay",
    ),
    "a subscription that is confirmed and silent": (
        "client/test_recovery.py::test_a_symbol_that_never_gets_its_book_is_parked_and_the_others_go_on",
        "session/test_resync.py::test_a_first_snapshot_that_never_comes_is_asked_for_again",
    ),
    "resets, ends without a close, 1001": (
        "client/test_promises.py::test_after_a_drop_comes_a_gap_then_a_snapshot",
        "transport/test_misbehaving_peers.py::test_resets_the_connection",
        "transport/test_misbehaving_peers.py::test_ends_the_stream_without_close",
        "transport/test_misbehaving_peers.py::test_sends_close",
        "session/test_connection.py::test_no_other_close_code_is",
    ),
    "HTTP 429 or 403 at the upgrade": (
        "transport/test_connecting.py::test_http_refusals",
        "transport/test_connecting.py::test_trusted_certificate_and_sni",
        "client/test_promises.py::test_an_exchange_that_says_429",
        "client/test_recovery.py::test_retry_after_is_respected",
    ),
    "an invalid session": ("client/test_incidents.py::test_an_invalid_session_is_not_asked_for_in_a_loop",),
    "maintenance": (
        "client/test_incidents.py::test_a_maintenance_from_its_announcement_to_its_end",
        "session/test_connection.py::test_the_exchanges_own_state_is_known_and_noted_when_it_changes",
    ),
    "XBT and BTC": ("test_requests.py::test_symbols_are_brought_to_the_spelling_of_v2",),
    "the hole of a resync": (
        "client/test_incidents.py::test_in_the_hole_of_a_resync_the_book_cannot_be_read",
        "session/test_resync.py::test_the_steps_of_a_resync",
    ),
    "a later snapshot looks like the first": (
        "client/test_incidents.py::test_a_later_snapshot_looks_like_the_first_and_replaces_everything",
        "book/test_order_book.py::test_a_snapshot_replaces_everything",
    ),
    "a mismatch means a loss or a bug of ours": (
        "book/test_recordings.py::test_v2",
        "cli/test_verify.py::test_the_real_recordings",
        "cli/test_verify.py::test_every_changed_digit_of_a_real_quantity_is_found",
        "book/test_exchange.py::test_a_dropped_message_that_changed_the_top_ten_is_found_by_the_next_one_at_once",
    ),
}
"""What is known of Kraken and its clients."""

PEERS: Final[dict[str, tuple[str, ...]]] = {
    "closes TCP during the upgrade": (
        "transport/test_connecting.py::test_ends_in_the_upgrade",
        "transport/test_connecting.py::test_resets_in_the_upgrade",
    ),
    "shows an untrusted certificate": (
        "transport/test_connecting.py::test_a_bad_certificate_is_refused_and_what_to_do_is_said",
        "transport/test_connecting.py::test_a_context_that_does_not_verify_is_refused",
        "client/test_promises.py::test_certificates",
    ),
    "sends CLOSE, keeps TCP open": ("transport/test_misbehaving_peers.py::test_sends_close",),
    "sends a message that is too long, then nothing": (
        "transport/test_misbehaving_peers.py::test_sends_a_message_that_is_too_long",
        "transport/test_misbehaving_peers.py::test_fragments_that_kill_the_librarys_reader",
    ),
    "PINGs after our CLOSE": (
        "transport/test_misbehaving_peers.py::test_pings_after_our_close",
        "transport/test_misbehaving_peers.py::test_ignores_our_close",
        "transport/test_misbehaving_peers.py::test_floods_us_after_our_close",
    ),
    "dies while our ping waits": (
        "transport/test_misbehaving_peers.py::test_dies_while_we_wait",
        "client/test_recovery.py::test_silence_is_a_loss",
    ),
    "stops reading, and our send is cancelled": (
        "transport/test_misbehaving_peers.py::test_stops_reading_and_our_send_is_cancelled",
        "transport/test_misbehaving_peers.py::test_nothing_reaches_the_stream_after_a_write_that_was_cancelled",
        "client/test_recovery.py::test_a_write_that_never_ends_is_a_silent_peer",
    ),
    "PINGs while our queue is full": (
        "transport/test_misbehaving_peers.py::test_pong_is_sent_while_messages_wait_to_be_received",
        "transport/test_sans_io.py::test_a_ping_behind_messages_that_nobody_receives_is_answered",
    ),
    "closes first, and the stream must be closed all the same": (
        "transport/test_misbehaving_peers.py::test_messages_before_the_close_are_received",
        "transport/test_misbehaving_peers.py::test_sends_close",
    ),
    "compresses without having been asked to": (
        "transport/test_connecting.py::test_request",
        "transport/test_connecting.py::test_breaks_the_rules_of_the_upgrade",
        "transport/test_misbehaving_peers.py::test_breaks_the_protocol",
    ),
    "answers without end": (
        "transport/test_connecting.py::test_headers_without_end",
        "transport/test_connecting.py::test_a_refusal_with_an_endless_body_is_a_refusal",
    ),
    "sends more than anybody takes": (
        "transport/test_sans_io.py::test_reading_ahead_is_bounded",
        "transport/test_trio_websocket.py::test_reading_ahead_is_bounded",
    ),
}
"""What is known of peers that misbehave, by how a WebSocket library takes it."""

FRAMES: Final[dict[str, tuple[str, ...]]] = {
    "deep nesting": ("wire/test_hostile.py::test_deep_nesting_is_refused",),
    "bytes that are not UTF-8": ("wire/test_hostile.py::test_bad_utf_8_is_refused",),
    "NaN, infinities, 1e999999999": (
        "test_digits.py::test_what_is_not_finite_or_too_long_is_no_number",
        "wire/test_channels.py::test_an_absurd_number_is_none",
        "wire/test_hostile.py::test_a_number_as_long_as_a_frame",
        "book/test_order_book.py::test_what_is_no_price_is_refused",
        "book/test_order_book.py::test_what_is_no_quantity_is_refused",
    ),
    "numbers with spaces and underscores": (
        "wire/test_hostile.py::test_any_node_replaced_by_any_value",
        "wire/test_hostile.py::test_each_node_replaced_by_each_kind_of_value",
    ),
    "a key that stands twice": (
        "wire/test_hostile.py::test_a_key_that_stands_twice",
        "wire/test_fast_path.py::test_the_last_of_a_key_that_stands_twice_holds",
        "wire/test_fast_path.py::test_a_key_that_stands_twice_cannot_change_what_it_is",
    ),
    "a giant array": (
        "wire/test_hostile.py::test_a_frame_that_is_too_long_is_not_looked_at",
        "wire/test_hostile.py::test_a_frame_full_of_entries",
        "wire/test_instruments.py::test_the_number_of_entries_is_bounded",
        "book/test_order_book.py::test_the_levels_of_a_message_are_bounded",
    ),
    "words meant for a terminal": (
        "session/test_peers_texts.py::test_a_text_anywhere_in_a_frame",
        "transport/test_peers_words.py::test_in_the_upgrade",
        "cli/test_nasty_peers.py::test_a_text_anywhere_in_a_recording",
    ),
}
"""What a frame may hold."""

ROWS: Final = [(title, test) for table in (KRAKEN, PEERS, FRAMES) for title, tests in table.items() for test in tests]


@cache
def functions_of(path: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """What pytest takes from a file: its functions on the top level that are called so; the last of a name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name: function for function in functions if function.name.startswith("test_")}


def missing(test: str) -> str | None:
    """Why this test is not run, if it is not."""
    file, _, name = test.partition("::")
    path = TESTS / file
    if not path.name.startswith("test_") or not path.is_file():
        return "there is no such file"
    function = functions_of(path).get(name)
    if function is None:
        return "there is no such test"
    text = " ".join(map(ast.unparse, function.decorator_list))
    return "it may be left out" if "skip" in text or "xfail" in text else None


def test_every_row_is_there() -> None:
    assert len(KRAKEN) == 17, "as many as the protocol's reference has"
    assert all(tests for table in (KRAKEN, PEERS, FRAMES) for tests in table.values())


@pytest.mark.parametrize(("title", "test"), ROWS, ids=range(len(ROWS)))
def test_a_row_has_its_tests(title: str, test: str) -> None:
    assert missing(test) is None, f"{title}: {test}: {missing(test)}"


def test_what_is_not_there_is_noticed() -> None:
    assert missing("test_known_failures.py::test_what_is_not_there_is_noticed") is None
    assert missing("test_known_failures.py::test_nothing") == "there is no such test"
    assert missing("test_known_failures.py::missing") == "there is no such test"
    assert missing("nowhere/test_nothing.py::test_nothing") == "there is no such file"
    assert missing("conftest.py::captures") == "there is no such file"
    assert missing("cli/test_commands.py::test_ctrl_c_in_the_demo") == "it may be left out"
