"""Registries that are asked in Trio, and from other threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

import kraken_trio as kt
from kraken_trio.metrics import collector as module, register
from kraken_trio.testing import open_exchange
from tests.metrics.scraping import value

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_scrape_is_what_the_statistics_say_from_any_thread() -> None:
    registry = CollectorRegistry()
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        with register(client, registry=registry):
            async with client.subscribe(kt.Book("BTC/USD")) as feed:
                for _ in range(50):
                    await feed.receive()
                here = generate_latest(registry).decode()
                there = (await trio.to_thread.run_sync(generate_latest, registry)).decode()
            for text in (here, there):
                assert value(text, "kraken_trio_up") == 1
                assert value(text, "kraken_trio_connection_state", state="subscribed") == 1
                assert value(text, "kraken_trio_book_verified", channel="book", symbol="BTC/USD") == 1
                assert value(text, "kraken_trio_checksums_verified_total") >= 50
                assert value(text, "kraken_trio_messages_total", channel="book") >= 50
                assert value(text, "kraken_trio_processing_seconds_count") >= 1
                assert value(text, "kraken_trio_receive_to_deliver_seconds_count") >= 1
                assert value(text, "kraken_trio_exchange_to_receive_seconds_count") >= 1
                assert value(text, "kraken_trio_deliver_to_consumed_seconds_count") >= 1
            assert value(here, "kraken_trio_events_delivered_total") == 50
            assert (
                value(generate_latest(registry).decode(), "kraken_trio_events_delivered_total") == 50
            )  # it was closed
            assert value(generate_latest(registry).decode(), "kraken_trio_feeds") == 0
    assert generate_latest(registry) == b""


async def test_a_loop_that_is_busy_is_told_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    registry = CollectorRegistry()
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        with register(client, registry=registry):
            texts: list[str] = []
            thread = threading.Thread(target=lambda: texts.append(generate_latest(registry).decode()))
            thread.start()
            thread.join()  # the loop does nothing else
    assert value(texts[0], "kraken_trio_up") == 0
    assert "kraken_trio_connects_total" not in texts[0]


def test_after_the_loop_there_are_no_numbers() -> None:
    registry = CollectorRegistry()

    async def main() -> None:
        async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
            register(client, registry=registry)

    trio.run(main)
    assert value(generate_latest(registry).decode(), "kraken_trio_up") == 0


async def test_clients_of_the_same_name_have_labels_of_their_own() -> None:
    registry = CollectorRegistry()
    async with (
        open_exchange() as exchange,
        kt.open_client(exchange.url) as one,
        kt.open_client(exchange.url) as other,
        kt.open_client(exchange.url) as third,
    ):
        with register(one, other, third, registry=registry):
            text = generate_latest(registry).decode()
            for suffix in ("", " 2", " 3"):
                assert f'kraken_trio_connects_total{{client="{one.name}{suffix}"}} 1.0' in text


async def test_a_registry_takes_clients_once() -> None:
    registry = CollectorRegistry()
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        with register(client, registry=registry):
            with pytest.raises(ValueError, match="this registry has clients already: pass all of them to one register"):
                register(client, registry=registry)
            only = registry.restricted_registry(["kraken_trio_up"])
            assert [family.name for family in only.collect()] == ["kraken_trio_up"]
        with register(client, registry=registry):  # it is free again
            pass


async def test_numbers_that_cannot_be_read_are_the_askers_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_client: object) -> None:
        msg = "no numbers"
        raise OSError(msg)

    registry = CollectorRegistry()
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        with register(client, registry=registry), monkeypatch.context() as patch:
            patch.setattr(kt.Client, "statistics", broken)
            with pytest.raises(OSError, match="no numbers"):
                await trio.to_thread.run_sync(generate_latest, registry)
            with pytest.raises(OSError, match="no numbers"):
                generate_latest(registry)
        assert client.state is kt.ConnectionState.SUBSCRIBED  # nothing else was hurt


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        pytest.param((), {}, ValueError, id="no-client"),
        pytest.param((5,), {}, TypeError, id="no-client-of-ours"),
        pytest.param((kt.Client.__new__(kt.Client),), {"max_series": 0}, ValueError, id="no-series"),
        pytest.param((kt.Client.__new__(kt.Client),), {"max_series": True}, ValueError, id="bool"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception]
) -> None:
    call: Callable[..., Any] = register
    with pytest.raises(error):
        call(*arguments, registry=CollectorRegistry(), **options)
