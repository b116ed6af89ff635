"""No text of an exchange leaves the session unescaped, wherever in a frame it stands."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from kraken_trio.errors import ConnectError, SubscriptionRejected
from kraken_trio.events import Cause
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Ticker, Trades
from kraken_trio.wire import codec_for
from tests.nasty import NASTY, check, texts
from tests.session.driver import BTC, ETH, Client, Market
from tests.wire.frames import FRAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

TREES: list[Any] = [json.loads(frame) for frame in FRAMES]


def poisoned(tree: Any, text: str) -> Iterator[Any]:
    """The tree, once for each text in it, with that text replaced; and once for each key, replaced or added."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            for other in poisoned(value, text):
                yield tree | {key: other}
            yield {(text if name == key else name): one for name, one in tree.items()}
        yield tree | {text: text}
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            for other in poisoned(value, text):
                yield [*tree[:index], other, *tree[index + 1 :]]
    elif isinstance(tree, str):
        yield text
        yield tree + text
    else:
        yield text


def a_client() -> Client:
    client = Client(log_burst=1_000)
    wishes = (Book(BTC), Trades(BTC), Ticker(BTC), Candles(BTC), Instruments(), Lifecycle())
    client.follow("feed", *wishes)
    client.receive(Market().snapshot())
    client.add("waiting", Ticker(ETH))
    return client


def look_at(client: Client) -> None:
    statistics = client.session.statistics()
    check([client.notes, client.warnings, client.changes, list(client.seen.values()), statistics])
    for reasons in client.answers.values():
        check(reasons)
        check(SubscriptionRejected(reasons))
    if client.effects.end is not None:
        check(client.effects.end)


@pytest.mark.parametrize("number", range(len(TREES)))
@given(text=texts)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
def test_a_text_anywhere_in_a_frame(number: int, text: str) -> None:
    client = a_client()
    (asked,) = client.requests()
    for tree in poisoned(TREES[number], text):
        if "req_id" in tree and isinstance(tree["req_id"], int):
            tree["req_id"] = asked["req_id"]
        client.receive(json.dumps(tree))
        client.drops.clear()
    look_at(client)


@pytest.mark.parametrize("text", NASTY)
def test_a_text_in_what_is_no_frame(text: str) -> None:
    client = a_client()
    for frame in (text, text.encode(), f'{{"channel":"book","data":"{text}', f'"{text}"', f'{{"method":{text}'):
        client.receive(frame)
    assert client.count("malformed") > 0
    look_at(client)


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("code", [None, 1001, 1008])
def test_a_text_at_the_end_of_a_connection(text: str, code: int | None) -> None:
    client = a_client()
    client.lose(Cause.DISCONNECTED, text, code=code)
    assert (client.effects.end is not None) == (code == 1008)
    look_at(client)


@pytest.mark.parametrize("text", NASTY)
def test_a_refusal_is_printable_in_the_error_and_in_its_reasons(text: str) -> None:
    client = a_client()
    (asked,) = client.requests()
    client.receive(json.dumps({"success": False, "error": text, "symbol": ETH, "req_id": asked["req_id"]}))
    (reason,) = client.answers["waiting"].values()
    assert reason.isprintable()
    assert len(reason) <= 500
    look_at(client)


def test_the_check_itself_finds_what_is_not_printable() -> None:
    for text in NASTY[:7]:
        for value in (
            text,
            [text],
            {text: 1},
            {1: text},
            ConnectError(text),
            SubscriptionRejected({Ticker(BTC): text}),
        ):
            with pytest.raises(AssertionError):
                check(value)
    decoder = codec_for("v2")
    with pytest.raises(AssertionError):
        check(
            copy.copy(
                decoder.decode('{"channel":"book","type":"update","data":[{"symbol":"\\u001b","bids":[],"asks":[]}]}')
            )
        )
