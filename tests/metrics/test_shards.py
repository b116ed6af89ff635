"""Pages of several shards as one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import kraken_trio as kt
from kraken_trio.metrics import serve, shards as module
from kraken_trio.metrics.merging import merged
from kraken_trio.metrics.shards import ShardPage, serve_shards
from kraken_trio.testing import open_exchange
from tests.metrics.scraping import fetch, value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import pytest

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.dictionaries(texts, st.floats(0, 1e9), max_size=4)


def page(values: Mapping[str, float]) -> str:
    registry = CollectorRegistry()
    gauge = Gauge("a_gauge", 'of "things"\nin \\ lines', ["label"], registry=registry)
    counter = Counter("a", "counted", registry=registry)
    histogram = Histogram("h", "", registry=registry)
    for name, number in values.items():
        gauge.labels(name).set(number)
        counter.inc(number)
        histogram.observe(number)
    return generate_latest(registry).decode()


def samples(text: str) -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


@given(st.dictionaries(texts, numbers, max_size=4))
def test_what_is_merged_is_all_that_there_was_each_with_its_shard(shards: dict[str, dict[str, float]]) -> None:
    pages = {name: page(values) for name, values in shards.items()}
    text = merged(pages)
    expected = [
        (name, tuple(sorted((*labels, ("shard", shard)))), number)
        for shard, one in pages.items()
        for name, labels, number in samples(one)
    ]
    assert samples(text) == sorted(expected)
    heads = [line for line in text.split("\n") if line.startswith("#")]
    assert len(heads) == len(set(heads))


def test_lines_of_any_other_kind_are_left_out() -> None:
    assert merged({"0": '# EOF\n\n{}\nup 1\nup{} 1\nup{a="b"} 1'}) == (
        'up{shard="0"} 1\nup{shard="0"} 1\nup{shard="0",a="b"} 1\n'
    )


@asynccontextmanager
async def served(**shards: ShardPage) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_shards, lambda: shards, 0)
        nursery.cancel_scope.cancel()


async def test_one_page_for_all_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_SECONDS", 0.2)
    async with (
        open_exchange() as exchange,
        kt.open_client(exchange.url) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
        trio.open_nursery() as nursery,
    ):
        await feed.receive()
        port: int = await nursery.start(serve, client, 0)
        silent = await trio.open_tcp_listeners(0, host="127.0.0.1")
        busy = silent[0].socket.getsockname()[1]
        there = ShardPage(port=port, restarts=3)
        async with served(a=there, b=ShardPage(port=None, restarts=0, problem="given up"), c=there) as together:
            status, text = await fetch(together)
            assert status == 200
            for name, is_up in (("a", 1), ("b", 0), ("c", 1)):
                assert value(text, "kraken_trio_shard_up", shard=name) == is_up
            assert value(text, "kraken_trio_shard_restarts_total", shard="a") == 3
            assert value(text, "kraken_trio_book_verified", shard="c", channel="book", symbol="BTC/USD") == 1
            assert await fetch(together, "/healthz") == (503, "b: given up\n")
            assert (await fetch(together, "/other"))[0] == 404
        async with served(a=there) as together:
            assert await fetch(together, "/healthz") == (200, "ok\n")
        async with served(a=ShardPage(port=busy, restarts=0)) as together:
            assert value((await fetch(together))[1], "kraken_trio_shard_up", shard="a") == 0
            assert await fetch(together, "/healthz") == (503, "a: it does not answer\n")
        await silent[0].aclose()
        async with served(a=ShardPage(port=busy, restarts=0)) as together:
            assert await fetch(together, "/healthz") == (503, "a: it does not answer\n")
        nursery.cancel_scope.cancel()


async def test_what_is_wrong_with_a_client_of_a_shard_is_told_with_its_name() -> None:
    settings = kt.Settings(require_first_connection=False)
    async with (
        kt.open_client(kt.Endpoint("ws://127.0.0.1:1/v2"), settings=settings) as gone,
        trio.open_nursery() as nursery,
    ):
        port: int = await nursery.start(serve, gone, 0)
        async with served(a=ShardPage(port=port, restarts=0)) as together:
            status, text = await fetch(together, "/healthz")
            assert status == 503
            assert text.startswith(f"a: {gone.name}: not connected (")
        nursery.cancel_scope.cancel()
