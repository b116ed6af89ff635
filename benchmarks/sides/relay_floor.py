"""The floor of a relay over NATS: bare nats-py publishes and reads messages that are bytes already.

``publish``: each message with a header, as a relay's have one; acknowledgements to an inbox of its own, and so many
messages in flight. ``read``: a pull consumer without acknowledgements, which looks at nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.sides import common

_FETCH = 200
"""Messages that are asked for at a time."""
_EMPTY = 4
"""Questions of 5 s each that nothing answers: then there is no more to read."""


def load(path: str) -> list[tuple[str, bytes]]:
    """Subjects and messages."""
    data, found, at = Path(path).read_bytes(), [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        subject, size = data[at:end].decode().split()
        at = end + 1 + int(size)
        found.append((subject, data[end + 1 : at]))
    return found


async def publish(task: dict[str, Any]) -> None:
    messages = load(task["messages"])
    client = await nats.connect(task["url"], pending_size=64 * 1024 * 1024)
    inbox = client.new_inbox()
    acked = 0
    room = asyncio.Condition()

    async def on_ack(message: Any) -> None:
        nonlocal acked
        if b'"error"' in message.data:
            raise RuntimeError(message.data)
        async with room:
            acked += 1
            room.notify_all()

    await client.subscribe(f"{inbox}.*", cb=on_ack)
    common.ready()
    start, cpu = time.monotonic(), time.process_time()
    sent = 0
    for subject, data in messages:
        if sent - acked >= task["window"]:
            async with room:
                while sent - acked >= task["window"]:
                    await room.wait()
        headers = {"Nats-Msg-Id": f"{task['name']}.{sent}"}
        await client.publish(f"{task['stream']}.{subject}", data, reply=f"{inbox}.{sent}", headers=headers)
        sent += 1
    async with room:
        while acked < sent:
            await room.wait()
    common.done(start=start, end=time.monotonic(), cpu=time.process_time() - cpu, messages=sent)


async def read(task: dict[str, Any]) -> None:
    client = await nats.connect(task["url"])
    stream = client.jetstream()
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, inactive_threshold=60.0, max_deliver=1
    )
    subscription = await stream.pull_subscribe(task["subject"], stream=task["stream"], config=config)
    common.ready()
    start, cpu, count, size, empty = time.monotonic(), time.process_time(), 0, 0, 0
    while count < task["total"]:
        if empty == _EMPTY:
            msg = f"there are {count} messages at {task['subject']}, and {task['total']} were to be read"
            raise RuntimeError(msg)
        empty += 1
        with contextlib.suppress(asyncio.TimeoutError):  # which nats-py's own error is, too
            for message in await subscription.fetch(min(_FETCH, task["total"] - count), timeout=5):
                count += 1
                size += len(message.data)
                empty = 0
    common.done(start=start, end=time.monotonic(), cpu=time.process_time() - cpu, messages=count, bytes=size)


def main() -> None:
    task = json.loads(sys.argv[1])
    asyncio.run({"publish": publish, "read": read}[task["role"]](task))


main()
