"""The numbers of all shards of a relay on one page, and whether all are well: what their supervisor serves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import h11
import trio
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from kraken_trio.metrics.http import TEXT, HttpServer, health
from kraken_trio.metrics.merging import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kraken_trio.metrics.http import Answer

__all__ = ["ShardPage", "serve_shards"]

SHARD_SECONDS: Final = 2.0
"""How long a shard has for its page. It answers in milliseconds, unless its event loop is busy."""
MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
_CHUNK: Final = 65_536


@attrs.frozen(kw_only=True)
class ShardPage:
    """A shard, as its supervisor sees it."""

    port: int | None
    """Where it serves its page on this machine; None if it does not run."""
    restarts: int
    problem: str = ""
    """What is wrong with it, if anything is."""


async def serve_shards(
    shards: Callable[[], Mapping[str, ShardPage]],
    port: int,
    *,
    host: str = "127.0.0.1",
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``/metrics`` and ``/healthz`` for all of these shards, until cancelled; ``nursery.start`` returns the port.

    Each sample has the label ``shard``. A shard that does not answer within 2 s is left out, and its
    ``kraken_trio_shard_up`` is 0.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(HttpServer(partial(_answer, shards)).handle, listeners)


async def _answer(shards: Callable[[], Mapping[str, ShardPage]], path: bytes, _accept: str) -> Answer:
    now = shards()
    if path == b"/metrics":
        answers = await _pages(now, "/metrics")
        texts = {name: answer[1] for name, answer in answers.items() if answer is not None and answer[0] == 200}
        own = {name: _own(now[name], is_up=name in texts) for name in now}
        page = merged({name: f"{text}{texts.get(name, '')}" for name, text in own.items()})
        return 200, CONTENT_TYPE_PLAIN_0_0_4, page.encode()
    if path == b"/healthz":
        found: list[str] = []
        for name, answer in (await _pages(now, "/healthz")).items():
            if now[name].problem:
                found.append(f"{name}: {now[name].problem}")
            elif answer is None:
                found.append(f"{name}: it does not answer")
            elif answer[0] != 200:
                found += [f"{name}: {line}" for line in answer[1].splitlines()]
        return health(found)
    return 404, TEXT, b"there are /metrics and /healthz\n"


def _own(shard: ShardPage, *, is_up: bool) -> str:
    """What is told of a shard whether it answers or not."""
    return (
        "# HELP kraken_trio_shard_up 1 if the process of the shard runs, and tells its numbers.\n"
        "# TYPE kraken_trio_shard_up gauge\n"
        f"kraken_trio_shard_up {int(is_up)}\n"
        "# HELP kraken_trio_shard_restarts_total How often its process was started again.\n"
        "# TYPE kraken_trio_shard_restarts_total counter\n"
        f"kraken_trio_shard_restarts_total {shard.restarts}\n"
    )


async def _pages(shards: Mapping[str, ShardPage], path: str) -> dict[str, tuple[int, str] | None]:
    """The status and the text of each shard's page; None of those that do not answer."""
    pages: dict[str, tuple[int, str] | None] = dict.fromkeys(shards)

    async def ask(name: str, port: int) -> None:
        with trio.move_on_after(SHARD_SECONDS):
            pages[name] = await _fetch(port, path)

    async with trio.open_nursery() as nursery:
        for name, shard in shards.items():
            if shard.port is not None:
                nursery.start_soon(ask, name, shard.port)
    return pages


async def _fetch(port: int, path: str) -> tuple[int, str] | None:
    connection = h11.Connection(h11.CLIENT)
    status, body = 0, bytearray()
    try:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            request = h11.Request(method="GET", target=path, headers=[("Host", "127.0.0.1"), ("Connection", "close")])
            await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            while True:  # noqa: ASYNC913 (it reads, or ends)
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(_CHUNK))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > MAX_PAGE_BYTES:
                        return None
                else:
                    return (status, body.decode("utf-8", "replace")) if isinstance(event, h11.EndOfMessage) else None
    except (OSError, trio.BrokenResourceError, h11.ProtocolError):
        return None
