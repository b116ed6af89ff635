"""The numbers of a relay."""

from __future__ import annotations

from functools import partial

import attrs
import trio

import kraken_trio as kt
from kraken_trio.broker.lease import Standing
from kraken_trio.metrics.relays import relay_families, serve_relay
from kraken_trio.relay import RelayStatistics
from kraken_trio.testing import open_exchange
from tests.metrics.scraping import fetch, value


def numbers(**more: object) -> RelayStatistics:
    zeros = {field.name: 0 for field in attrs.fields(RelayStatistics)}
    return RelayStatistics(**{**zeros, "standing": Standing.OWNER, "is_connected": True, **more})  # type: ignore[arg-type]


def test_each_number_of_a_relay_is_there() -> None:
    fields = [
        field.name for field in attrs.fields(RelayStatistics) if field.name not in {"shard", "shards", "standing"}
    ]
    now = numbers(**{name: number for number, name in enumerate(fields, 10) if name != "is_connected"})
    values = {sample.value for family in relay_families(now) for sample in family.samples}
    missing = [name for name in fields if float(getattr(now, name)) not in values]
    assert missing == ["producer"], "which is a name, not a number"


async def test_a_relay_is_served_with_its_clients() -> None:
    now = numbers(events=7)
    clients: list[kt.Client] = []
    async with (
        open_exchange() as exchange,
        kt.open_client(exchange.url) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
        trio.open_nursery() as nursery,
    ):
        await feed.receive()
        port: int = await nursery.start(partial(serve_relay, lambda: now, lambda: clients, 0))
        for some, are_there in (([], False), ([client], True)):  # type: Sequence[kt.Client], bool
            clients[:] = some
            _, text = await fetch(port)
            assert value(text, "kraken_trio_relay_events_total") == 7
            assert value(text, "kraken_trio_relay_owner") == 1
            assert ("kraken_trio_book_verified{" in text) is are_there
        assert await fetch(port, "/healthz") == (200, "ok\n")
        now = numbers(is_connected=False, standing=Standing.STANDBY)
        assert await fetch(port, "/healthz") == (503, "no connection to the broker\n")
        nursery.cancel_scope.cancel()
