"""Messages for tests of the engine: it does not care what is in them."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

import kraken_trio as kt
from kraken_trio.broker.seam import BrokerLost
from kraken_trio.broker.subjects import Kind, Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from kraken_trio.broker.seam import Engine, Fence, Incoming, Link, Source
    from kraken_trio.broker.subjects import Key

T = TypeVar("T")

BTC: Key = ("book", "BTC/USD")
ETH: Key = ("book", "ETH/USD")
TRADES: Key = ("trades", "BTC/USD")
PATIENCE = 60.0
"""Seconds for what takes one on a machine that has nothing else to do."""

_numbers = count()


def new_name() -> str:
    """A topic that nobody has."""
    return f"test-{next(_numbers)}"


@attrs.frozen
class Message:
    """To be published."""

    subject: Subject
    data: bytes
    message_id: str = ""


def data(key: Key, *texts: str, shard: int = 0) -> list[Message]:
    """Messages of a key."""
    return [Message(Subject(shard, Kind.DATA, *key), text.encode()) for text in texts]


def key_frame(key: Key, text: str, shard: int = 0) -> Message:
    return Message(Subject(shard, Kind.KEY, *key), text.encode())


def catalog(text: str, shard: int = 0) -> Message:
    return Message(Subject(shard, Kind.CATALOG), text.encode())


def texts(messages: Iterable[Incoming]) -> list[str]:
    return [message.data.decode() for message in messages]


async def receive(source: Source, number: int) -> list[Incoming]:
    """So many messages, at least."""
    found: list[Incoming] = []
    with trio.fail_after(PATIENCE):
        while len(found) < number:
            found += await source.receive()
    return found


async def receive_all(source: Source) -> list[Incoming]:
    """All that is there from before the start."""
    found: list[Incoming] = []
    with trio.fail_after(PATIENCE):
        while len(source.reached) < len(source.taken.starts):
            found += await source.receive()
    return found


async def own(link: Link, shard: int = 0, holder: str = "a") -> Fence:
    """Become the owner, as soon as there is none."""
    with trio.fail_after(PATIENCE):
        while (fence := await link.acquire(shard, holder)) is None:  # noqa: ASYNC110 (a broker is asked)
            await trio.sleep(0.05)
    return fence


async def in_the_end(do: Callable[[], Awaitable[T]]) -> T:
    """Try it again and again, over new links: a broker knows some things a moment later than it says."""
    with trio.fail_after(PATIENCE):
        while True:
            with suppress(BrokerLost, kt.ConnectError):
                return await do()
            await trio.sleep(0.1)


async def own_over_a_link(engine: Engine, shard: int = 0) -> Fence:
    """Become the owner, with a link of its own."""
    async with engine.connect() as link:
        return await own(link, shard)


def rest(messages: Sequence[Message], acked: int) -> Sequence[Message]:
    """What is to be sent again."""
    return messages[acked:]
