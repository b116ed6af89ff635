"""Every failure that is known of Kraken, of its other clients, and of WebSocket libraries has a test. Here is the list.

A row is what happened, and the tests that hold us to surviving it. That each of them exists, and is run, is checked by
reading the files.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    "v1: a frame of five elements lost a side, or its pair": (
        "wire/test_v1_reading.py::test_an_update_of_both_sides_is_one_event",
        "session/test_v1.py::test_an_update_of_both_sides_is_judged_as_a_whole",
        "cli/test_verify.py::test_the_real_recording_of_v1",
    ),
    "v1: checksums were made of numbers that had been written anew": (
        "wire/test_v1_reading.py::test_an_update_of_one_side_keeps_the_digits_and_the_order_of_the_wire",
        "wire/test_v1_reading.py::test_recorded_books",
        "cli/test_verify.py::test_the_real_recording_of_v1",
    ),
    "v1: XBT was asked for as BTC, and nobody looked at the answer": (
        "session/test_v1.py::test_names_are_of_v1_on_the_wire_and_nowhere_else",
        "session/test_v1.py::test_one_request_of_many_pairs_is_answered_by_pair",
        "wire/test_v1_writing.py::test_requests",
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
        "client/test_liveness.py::test_what_is_accepted_and_never_heard_of_is_subscribed_anew",
        "client/test_liveness.py::test_a_book_that_dies_while_its_symbol_trades_is_brought_back",
        "client/test_liveness.py::test_an_hour_with_a_market_that_lives_suspects_nobody",
        "session/test_liveness.py::test_what_stands_still_while_its_symbol_trades_is_subscribed_anew",
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
        "transport/test_upgrade.py::test_refusals",
        "transport/test_connecting.py::test_trusted_certificate_and_sni",
        "client/test_promises.py::test_an_exchange_that_says_429",
        "client/test_recovery.py::test_retry_after_is_respected",
        "client/test_reconnecting.py::test_after_a_refusal_the_client_stays_away_for_long",
        "admission/test_clients.py::test_40_clients_that_cannot_connect_stay_within_one_budget_for_an_hour",
    ),
    "an invalid session": ("client/test_incidents.py::test_an_invalid_session_is_not_asked_for_in_a_loop",),
    "maintenance": (
        "client/test_incidents.py::test_a_maintenance_from_its_announcement_to_its_end",
        "session/test_connection.py::test_the_exchanges_own_state_is_known_and_noted_when_it_changes",
        "session/test_status.py::test_while_the_engine_rests_no_attempt_is_quick",
        "session/test_status.py::test_the_status_says_nothing_of_the_books",
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
        "book/test_order_book.py::test_an_update_without_a_checksum_cannot_hide_a_loss",
        "book/test_order_book.py::test_a_snapshot_without_a_checksum_is_refused_where_an_earlier_one_had_it",
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
        "transport/test_websockets.py::test_a_ping_behind_messages_that_nobody_receives_is_answered",
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
        "transport/test_upgrade.py::test_headers_without_end",
        "transport/test_connecting.py::test_a_refusal_with_an_endless_body_is_a_refusal",
    ),
    "sends more than anybody takes": ("transport/test_misbehaving_peers.py::test_reading_ahead_is_bounded",),
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
        "transport/test_peers_words.py::test_in_the_handshake",
        "cli/test_nasty_peers.py::test_a_text_anywhere_in_a_recording",
    ),
}
"""What a frame may hold."""

PAGE: Final[dict[str, tuple[str, ...]]] = {
    "the name cannot be looked up": ("transport/test_connecting.py::test_name_that_does_not_exist",),
    "a [proxy](../howto/proxies.md) refuses, or is none": (
        "transport/test_tunnel.py::test_a_refusal_has_its_status_and_says_what_to_do",
        "transport/test_tunnel.py::test_an_answer_that_is_none",
    ),
    "nobody listens, or the network is down": ("transport/test_connecting.py::test_port_where_nobody_listens",),
    "no answer to TCP, TLS or the upgrade": (
        "transport/test_connecting.py::test_no_answer_to_tcp",
        "transport/test_connecting.py::test_no_answer_in_the_tls_handshake",
        "transport/test_connecting.py::test_no_answer_to_the_upgrade",
    ),
    "invalid certificate: unknown authority, other name, expired": (
        "transport/test_connecting.py::test_a_bad_certificate_is_refused_and_what_to_do_is_said",
        "session/test_connection.py::test_who_cannot_connect_comes_back_unless_there_is_no_hope",
    ),
    "connection closed during the handshake, or the server does not speak WebSocket": (
        "transport/test_connecting.py::test_ends_in_the_upgrade",
        "transport/test_upgrade.py::test_what_is_not_http",
        "transport/test_connecting.py::test_breaks_the_rules_of_the_upgrade",
    ),
    "HTTP 400, 401, 404, or a redirect": (
        "transport/test_upgrade.py::test_refusals",
        "client/test_reconnecting.py::test_a_hopeless_status_raises_at_the_first_connection",
        "client/test_reconnecting.py::test_a_hopeless_status_at_a_reconnect_raises_in_every_feed",
    ),
    "HTTP 429 or 403": ("client/test_reconnecting.py::test_after_a_refusal_the_client_stays_away_for_long",),
    "HTTP 5xx": ("client/test_reconnecting.py::test_after_a_refusal_the_client_stays_away_for_long",),
    "`Retry-After`": ("client/test_recovery.py::test_retry_after_is_respected",),
    "the connect budget is used up: 120 attempts within 600 s, by all clients of the process or host": (
        "admission/test_clients.py::test_40_clients_that_cannot_connect_stay_within_one_budget_for_an_hour",
        "admission/test_clients.py::test_a_client_whose_budget_is_spent_waits_visibly_and_goes_on",
        "admission/test_clients.py::test_the_first_connection_raises_if_its_turn_comes_late",
        "admission/test_clients.py::test_a_file_that_is_full_keeps_the_client_away",
    ),
    "the exchange accepts and drops at once, repeatedly": (
        "client/test_recovery.py::test_an_exchange_that_accepts_and_drops_is_not_hammered",
        "client/test_reconnecting.py::test_an_exchange_that_accepts_and_drops_for_an_hour",
    ),
    "another protocol at the endpoint (Kraken v1 or v2, Kraken Futures)": (
        "session/test_connection.py::test_an_endpoint_that_speaks_another_protocol_is_refused_at_once_and_for_good",
        "session/test_connection.py::test_an_error_that_belongs_to_nothing_is_quoted_when_no_answer_comes",
        "session/test_v1.py::test_another_protocol_at_the_endpoint_is_final",
    ),
    "the exchange closes: 1000, 1001 (a proxy restarts), 1011, 1013, …": (
        "client/test_promises.py::test_after_a_drop_comes_a_gap_then_a_snapshot",
        "session/test_connection.py::test_no_other_close_code_is",
    ),
    "the stream ends, or is reset, without a close handshake": (
        "client/test_promises.py::test_after_a_drop_comes_a_gap_then_a_snapshot",
    ),
    "the exchange closes with 1008": (
        "client/test_recovery.py::test_the_exchange_refuses_for_good",
        "client/test_reconnecting.py::test_close_code_1008_raises_in_every_feed",
    ),
    "silence: a half-open connection, a black hole, a frozen peer": (
        "client/test_recovery.py::test_silence_is_a_loss",
        "client/test_liveness.py::test_a_half_open_connection_is_found_though_no_ping_is_ever_answered",
    ),
    "the peer answers pings, but pushes nothing": (
        "session/test_liveness.py::test_a_peer_that_only_answers_is_given_up_while_something_is_confirmed",
        "session/test_liveness.py::test_silence_is_the_time_without_a_push_while_we_listen_and_something_is_confirmed",
        "session/test_liveness.py::test_while_nothing_is_confirmed_any_frame_is_life",
        "client/test_recovery.py::test_pongs_alone_do_not_keep_a_connection_that_pushes_nothing",
    ),
    "the peer sends, but no longer receives": (
        "client/test_liveness.py::test_a_peer_that_sends_and_does_not_hear_us_is_left",
        "client/test_liveness.py::test_a_slow_consumer_is_no_deaf_peer",
        "transport/test_misbehaving_peers.py::test_a_ping_is_over_when_its_pong_has_come",
    ),
    "the peer accepts no data": (
        "client/test_regressions.py::test_a_peer_that_reads_nothing_is_given_up",
        "client/test_recovery.py::test_a_write_that_never_ends_is_a_silent_peer",
    ),
    "a message over `max_frame_bytes`, or a violation of the WebSocket protocol (such as compression)": (
        "transport/test_misbehaving_peers.py::test_sends_a_message_that_is_too_long",
        "transport/test_misbehaving_peers.py::test_breaks_the_protocol",
    ),
    "plain text instead of JSON, such as `CloudFlare WebSocket proxy restarting`": (
        "session/test_connection.py::test_a_text_that_is_no_json_is_a_notice_and_no_fault",
    ),
    "a restart, or a long outage": (
        "client/test_incidents.py::test_an_exchange_that_restarts_is_one_gap_however_long_it_takes",
    ),
    "maintenance": (
        "client/test_incidents.py::test_a_maintenance_from_its_announcement_to_its_end",
        "session/test_status.py::test_while_the_engine_rests_no_attempt_is_quick",
        "session/test_status.py::test_a_change_is_an_event_and_a_repetition_is_none",
    ),
    "a checksum mismatch": (
        "client/test_promises.py::test_a_damaged_update_is_a_gap_and_a_fresh_book_and_nobody_else_notices",
        "client/test_incidents.py::test_a_resubscribe_storm_is_one_resubscribe",
    ),
    "a crossed book": (
        "session/test_resync.py::test_a_crossed_book_with_a_right_checksum_is_the_exchanges_own_state",
        "session/test_resync.py::test_without_a_checksum_a_crossed_book_is_resynced_once_per_connection",
        "channels/test_states.py::test_a_crossed_book_with_a_right_checksum_is_the_exchanges_own_state",
    ),
    "a snapshot that is unsorted, has zero quantities, or more levels than the depth": (
        "channels/test_states.py::test_a_snapshot_event_is_what_the_book_holds_however_it_was_sent",
    ),
    "a book message without a checksum": (
        "channels/test_states.py::test_an_update_without_a_checksum_is_malformed_once_its_snapshot_had_one",
        "session/test_resync.py::test_where_no_checksum_ever_came_messages_are_taken",
    ),
    "repeated failures of one subscription": (
        "session/test_resync.py::test_attempts_come_slower_and_slower_and_then_it_is_parked",
        "client/test_liveness.py::test_an_hour_with_a_symbol_that_always_mismatches",
    ),
    "a malformed frame": (
        "client/test_promises.py::test_a_malformed_frame_hurts_only_itself",
        "session/test_malformed.py::test_a_book_whose_frame_was_damaged_is_made_anew",
    ),
    "twenty malformed frames in a row": ("session/test_malformed.py::test_too_many_in_a_row_end_the_connection",),
    "an unknown channel, field or value": (
        "session/test_malformed.py::test_what_nobody_knows_is_counted_and_hurts_nobody",
    ),
    "a symbol is refused when subscribing": (
        "client/test_promises.py::test_an_unknown_symbol_is_refused_and_the_others_are_not_subscribed",
    ),
    "a symbol is refused on replay": (
        "client/test_recovery.py::test_a_subscription_refused_on_replay_is_a_gap",
        "client/test_incidents.py::test_an_invalid_session_is_not_asked_for_in_a_loop",
    ),
    "a refusal of several symbols that names none": (
        "session/test_refusals_of_many.py::test_on_replay_none_but_the_unknown_are_refused",
        "session/test_refusals_of_many.py::test_one_that_is_refused_without_a_word_about_it_is_found_by_halving",
    ),
    "`Exceeded msg rate`": (
        "client/test_incidents.py::test_a_burst_of_subscribes_after_a_reconnect_is_confirmed_whole",
    ),
    "no answer to a request": ("session/test_asking.py::test_what_is_not_answered_is_asked_again_and_then_parked",),
    "confirmed, but no first data": (
        "client/test_liveness.py::test_what_is_accepted_and_never_heard_of_is_subscribed_anew",
        "client/test_recovery.py::test_a_symbol_that_never_gets_its_book_is_parked_and_the_others_go_on",
        "session/test_resync.py::test_a_first_snapshot_that_never_comes_is_asked_for_again",
        "session/test_liveness.py::test_anything_else_that_stays_silent_is_renewed_once_and_then_stays",
    ),
    "an unsubscribe by the exchange itself": (
        "session/test_liveness.py::test_an_unsubscribe_that_nobody_asked_for_is_a_loss",
        "session/test_liveness.py::test_what_may_be_another_ones_unsubscribe_is_ignored",
    ),
    "a stale subscription: no data while its symbol trades": (
        "client/test_liveness.py::test_a_book_that_dies_while_its_symbol_trades_is_brought_back",
        "session/test_liveness.py::test_what_stands_still_while_its_symbol_trades_is_subscribed_anew",
        "session/test_liveness.py::test_a_quiet_market_is_never_suspected",
        "session/test_liveness.py::test_what_does_not_help_is_done_ever_more_rarely",
    ),
    "missing trades": (
        "session/test_connection.py::test_trades_that_cannot_be_caught_up_are_told",
        "session/test_data.py::test_a_repeated_trade_comes_once_and_a_jump_is_told",
        "session/test_trades.py::test_each_trade_comes_once_and_every_hole_is_announced_where_it_is",
    ),
    "missing fills of the account": (
        "session/test_executions.py::test_however_many_fills_an_outage_has",
        "session/test_executions.py::test_what_cannot_be_recovered_is_a_gap_that_says_from_when_to_when",
        "client/test_private.py::test_each_fill_once_whatever_happens",
    ),
    "`Overflow.BACKPRESSURE`: the feed is full": (
        "client/test_recovery.py::test_a_slow_consumer_gets_everything_and_is_not_taken_for_a_dead_peer",
    ),
    "it stays full for `stall_limit` (10 s)": (
        "client/test_recovery.py::test_only_the_consumer_that_holds_up_for_too_long_fails",
    ),
    "`Overflow.CONFLATE`: the feed is full": (
        "client/test_overflow.py::test_fifteen_feeds_get_everything_though_the_sixteenth_never_reads",
        "client/test_overflow.py::test_after_an_overflow_a_book_goes_on_without_a_request",
    ),
    "`Overflow.DROP_OLDEST`: the feed is full": (
        "client/test_overflow.py::test_fifteen_feeds_get_everything_though_the_sixteenth_never_reads",
        "client/test_overflow.py::test_after_an_overflow_a_book_goes_on_without_a_request",
    ),
    "`Overflow.FAIL`: the feed is full": ("client/test_recovery.py::test_the_policy_to_fail_fails_at_once",),
    "the connection to the broker is lost": ("client/test_stream.py::test_a_lost_connection_costs_nothing",),
    "nothing comes, not even key frames": (
        "client/test_stream.py::test_a_relay_that_is_silent_is_told",
        "broker/pure/test_reader.py::test_what_is_silent_is_told_once_and_begins_anew_with_a_key_frame",
    ),
    "the broker has deleted what comes next": (
        "client/test_stream.py::test_what_the_broker_has_dropped_meanwhile_is_a_gap_then_a_snapshot",
        "broker/pure/test_reader.py::test_where_the_start_was_dropped_a_gap_says_so",
    ),
    "the stream or the topic is deleted, and made anew": (
        "client/test_stream.py::test_in_a_stream_that_was_made_anew_a_gap_says_so_and_all_of_it_is_read",
        "broker/test_engines.py::test_a_place_of_a_stream_that_was_made_anew",
        "broker/pure/test_reader.py::test_a_log_that_is_made_anew_before_the_start_was_reached_is_read_from_its_beginning",
    ),
    "messages are lost in the broker, or were never published": (
        "broker/pure/test_reader.py::test_lost_messages_are_a_gap_and_books_go_on_with_a_snapshot",
        "broker/pure/test_reader.py::test_lost_ends_are_seen_by_the_next_key_frame",
    ),
    "a book fails its check behind the broker": ("broker/pure/test_reader.py::test_books_are_verified_again",),
    "a message cannot be read, or is of another version": (
        "broker/pure/test_reader.py::test_what_cannot_be_read_is_in_a_gap_that_says_why",
    ),
    "a request is not published": ("client/test_stream.py::test_who_is_refused_is_told_what_there_is",),
    "a relay begins to publish with another depth or interval": (
        "broker/pure/test_reader.py::test_key_frames_of_something_else_are_told_once",
    ),
    "a program is killed between two events, and continues": (
        "client/test_stream_once.py::test_every_trade_is_stored_once",
        "client/test_stream.py::test_a_program_goes_on_where_it_stopped_and_has_everything_once",
    ),
    "a relay's process is killed, or hangs": (
        "relay/test_producer.py::test_a_standby_takes_over_and_begins_with_the_state",
        "relay/test_processes.py::test_an_owner_that_is_killed_is_followed_by_its_standby_and_started_again",
        "client/test_stream.py::test_another_producer_is_a_gap_and_a_snapshot",
    ),
    "a program leaves its client's block inside that of its relay, or has its relay drop a request, or add it with "
    "another client": (
        "relay/test_producer.py::test_what_another_client_receives_at_once_goes_on_after_a_gap",
        "relay/test_producer.py::test_readers_are_told_that_nothing_follows_of_what_a_closed_client_received",
        "relay/test_producer.py::test_requests_join_and_leave_while_it_runs",
        "broker/pure/test_publisher.py::test_whatever_happens_what_is_published_is_true",
    ),
    "an owner of a shard was asleep, and goes on": (
        "relay/test_producer.py::test_a_stopped_owner_cannot_publish_another_event",
        "broker/test_engines.py::test_a_zombie_with_messages_in_flight",
    ),
    "the broker is away, or its acknowledgements are lost": (
        "relay/test_producer.py::test_a_broker_that_was_away_gets_all_of_it",
        "relay/test_producer.py::test_lost_acks_and_lost_links_lose_and_double_nothing",
        "broker/test_engines.py::test_nothing_is_lost_when_the_broker_is_killed",
    ),
    "the broker is too slow, and the outbox is full": ("relay/test_producer.py::test_a_broker_that_is_too_slow",),
    "a message is larger than the broker takes": (
        "relay/test_producer.py::test_what_is_too_large_is_left_out",
        "broker/pure/test_publisher.py::test_a_batch_that_would_be_too_large_is_divided",
    ),
    "a shard ends again and again": ("relay/test_supervisor.py::test_a_crash_loop_is_given_up_and_others_go_on",),
    "the supervisor is killed": ("relay/test_processes.py::test_no_shard_outlives_its_supervisor",),
    "a block is cancelled, or left by an exception": (
        "client/test_blocks.py::test_cancelling_is_cancelling",
        "client/test_blocks.py::test_the_programs_error_comes_out_as_it_is",
        "client/test_blocks.py::test_leaving_takes_the_close_timeout_at_most",
    ),
    "waiting for an event is cancelled": (
        "transport/test_misbehaving_peers.py::test_cancelled_receives_lose_nothing",
        "client/test_incidents.py::test_cancelling_a_receive_loses_nothing",
    ),
    "`subscribe` is cancelled while it waits": (
        "client/test_blocks.py::test_entering_can_be_cancelled",
        "client/test_recovery.py::test_subscribing_works_while_a_full_feed_holds_up_reading",
    ),
    "the wall clock jumps": (
        "client/test_incidents.py::test_a_clock_on_the_wall_that_jumps_moves_nothing_but_what_it_stamps",
    ),
    "a peer's text contains control characters, or is very long": (
        "session/test_peers_texts.py::test_a_text_anywhere_in_a_frame",
        "transport/test_peers_words.py::test_in_the_handshake",
        "transport/test_peers_words.py::test_in_a_close",
        "cli/test_nasty_peers.py::test_on_the_screen_and_in_the_log",
    ),
}
"""The rows of the reference's page "Failures", in its words."""

REPORTED: Final = {
    "a peer answers and pushes nothing": (
        "session/test_liveness.py::test_a_peer_that_only_answers_is_given_up_while_something_is_confirmed",
        "session/test_liveness.py::test_silence_is_the_time_without_a_push_while_we_listen_and_something_is_confirmed",
        "session/test_liveness.py::test_while_nothing_is_confirmed_any_frame_is_life",
        "client/test_recovery.py::test_pongs_alone_do_not_keep_a_connection_that_pushes_nothing",
    ),
    "an unsubscribe that nobody asked for": (
        "session/test_liveness.py::test_an_unsubscribe_that_nobody_asked_for_is_a_loss",
        "session/test_liveness.py::test_what_may_be_another_ones_unsubscribe_is_ignored",
    ),
    "a crossed book whose checksum is right": (
        "channels/test_states.py::test_a_crossed_book_with_a_right_checksum_is_the_exchanges_own_state",
    ),
    "a snapshot that is unsorted, has zeros or is too deep": (
        "channels/test_states.py::test_a_snapshot_event_is_what_the_book_holds_however_it_was_sent",
    ),
    "a refusal of many symbols that does not say which": (
        "session/test_refusals_of_many.py::test_on_replay_none_but_the_unknown_are_refused",
        "session/test_refusals_of_many.py::test_one_that_is_refused_without_a_word_about_it_is_found_by_halving",
    ),
    "another protocol speaks at the endpoint": (
        "session/test_connection.py::test_an_endpoint_that_speaks_another_protocol_is_refused_at_once_and_for_good",
        "session/test_connection.py::test_an_error_that_belongs_to_nothing_is_quoted_when_no_answer_comes",
    ),
    "candles of a pair that hardly trades": (
        "session/test_liveness.py::test_anything_else_that_stays_silent_is_renewed_once_and_then_stays",
    ),
    "a text that is no JSON": ("session/test_connection.py::test_a_text_that_is_no_json_is_a_notice_and_no_fault",),
    "an update without a checksum": (
        "channels/test_states.py::test_an_update_without_a_checksum_is_malformed_once_its_snapshot_had_one",
        "session/test_resync.py::test_where_no_checksum_ever_came_messages_are_taken",
    ),
}
"""What users of other clients have reported, and this client once did as well."""

TABLES: Final = (KRAKEN, PEERS, FRAMES, PAGE, REPORTED)
ROWS: Final = [(title, test) for table in TABLES for title, tests in table.items() for test in tests]


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


def rows_of_the_page() -> dict[str, str]:
    """What happens, and the files that test it: the first column of the page's tables, and the last."""
    page = (TESTS.parent / "docs" / "reference" / "what-happens-when.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[-1] for cells in rows if cells[0] != "what happens"}


def files_of(tests: Iterable[str]) -> str:
    """As the page calls them: without ``test_`` and ``.py``."""
    return ", ".join(dict.fromkeys(re.sub(r"(^|/)test_", r"\1", test.partition(".py::")[0]) for test in tests))


def test_the_page_and_its_tests_have_the_same_rows() -> None:
    assert rows_of_the_page() == {title: files_of(tests) for title, tests in PAGE.items()}
    assert list(rows_of_the_page()) == list(PAGE)


def test_every_row_is_there() -> None:
    assert len(KRAKEN) == 20, "as many as the protocol's reference has"
    assert all(tests for table in TABLES for tests in table.values())


@pytest.mark.parametrize(("title", "test"), ROWS, ids=range(len(ROWS)))
def test_a_row_has_its_tests(title: str, test: str) -> None:
    assert missing(test) is None, f"{title}: {test}: {missing(test)}"


def test_what_is_not_there_is_noticed() -> None:
    assert missing("test_known_failures.py::test_what_is_not_there_is_noticed") is None
    assert missing("test_known_failures.py::test_nothing") == "there is no such test"
    assert missing("test_known_failures.py::missing") == "there is no such test"
    assert missing("nowhere/test_nothing.py::test_nothing") == "there is no such file"
    assert missing("conftest.py::captures") == "there is no such file"
    assert missing("cli/test_demo.py::test_ctrl_c_in_the_demo") == "it may be left out"
