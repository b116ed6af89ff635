"""What the tests of metrics share: a client of HTTP, and statistics that are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio
from prometheus_client.parser import text_string_to_metric_families

import kraken_trio as kt

if TYPE_CHECKING:
    from collections.abc import Mapping


async def fetch(
    port: int, path: str = "/metrics", *, method: str = "GET", accept: str = "text/plain"
) -> tuple[int, str]:
    """The status and the body of an answer."""
    head, body = await ask(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
    return int(head.split()[1]), body


async def ask(port: int, request: bytes) -> tuple[str, str]:
    """The head and the body of the answer to these bytes."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        data = b"".join([part async for part in stream])
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a scrape, by name and labels, without the label ``client``."""
    return {
        (sample.name, frozenset(item for item in sample.labels.items() if item[0] != "client")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    """One of them."""
    return samples(text)[name, frozenset(labels.items())]


def statistics(
    subscriptions: Mapping[Any, kt.SubscriptionState] | None = None,
    data_ages: Mapping[Any, float] | None = None,
    **numbers: Any,
) -> kt.ClientStatistics:
    """Zeros, but for what is given."""
    ages = data_ages or {}
    zeros: dict[str, Any] = {
        field.name: 0 for field in attrs.fields(kt.ClientStatistics) if field.default is attrs.NOTHING
    }
    zeros |= {
        "state": kt.ConnectionState.SUBSCRIBED,
        "system_status": "online",
        "ping_seconds": None,
        "last_mismatch": None,
        "core": "pure",
        "warnings": (),
        "unknown": {},
        "subscriptions": {
            request: kt.SubscriptionStatistics(state=state, age=0.0, data_age=ages.get(request))
            for request, state in (subscriptions or {}).items()
        },
    }
    return kt.ClientStatistics(**zeros | numbers)
