"""What JetStream stores: messages that replace the one before; streams and buckets, made if they are missing."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio.broker.nats.wire import ASK_AGAIN, NO_STREAM, Refusal
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.nats.wire import Wire

__all__ = [
    "EXPECTED",
    "NO_MESSAGE",
    "OTHER_ON_ITS_WAY",
    "WRONG_SEQUENCE",
    "Limits",
    "last",
    "make",
    "make_bucket",
    "replace",
]

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"

# The server's numbers of errors.
NO_MESSAGE: Final = 10037
WRONG_SEQUENCE: Final = 10071
_STREAM_THERE: Final = 10058
OTHER_ON_ITS_WAY: Final = 10164
_HINTS: Final = {
    10047: "; the server reserves max_bytes: ask for less (?max_bytes=1GiB), or raise its max_file_store",
    10074: "; replicas= needs as many servers in the cluster",
    10065: "; another stream takes these subjects: relay to a stream of another name",
}


@attrs.frozen
class Limits:
    """How the stream is made, if it is missing."""

    replicas: int = 1
    max_age: float = 6 * 3600.0
    max_bytes: int = 8 << 30
    storage: str = "file"
    batches: str = "auto"
    """``atomic``: windows are sent as atomic batches to a stream with one replica, too. Of the producer, not of the
    stream."""


async def replace(wire: Wire, subject: str, body: bytes, before: int, **headers: str) -> int | None:
    """Store a message if the last one at this subject is this one (0: none): its sequence, None if it is not."""
    while True:
        try:
            return await wire.store(subject, body, {EXPECTED: str(before), **headers})
        except Refusal as error:
            if error.code == WRONG_SEQUENCE:
                return None
            if error.code != OTHER_ON_ITS_WAY:
                raise
        # Another one is being written, to a stream with replicas: in a moment it is known what became of it.
        await asyncio.sleep(ASK_AGAIN)


async def last(wire: Wire, stream: str, subject: str) -> tuple[int, bytes, bytes]:
    """The last message at a subject: its sequence, data and headers; 0 if there is none."""
    try:
        found = await wire.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except Refusal as error:
        if error.code == NO_MESSAGE:
            return 0, b"", b""
        raise
    message = found["message"]
    return message["seq"], base64.b64decode(message.get("data", "")), base64.b64decode(message.get("hdrs", ""))


async def make(wire: Wire, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a stream, which is made if it is missing."""
    try:
        found = await wire.api(f"STREAM.INFO.{name}")
    except Refusal as error:
        if error.code != NO_STREAM:
            raise
        try:
            found = await wire.api(f"STREAM.CREATE.{name}", {"name": name, **config})
        except Refusal as refused:
            if refused.code != _STREAM_THERE:
                hint = _HINTS.get(refused.code, "")
                msg = f"the stream {name} cannot be made: {refused}{hint}"
                raise ConnectError(msg, retryable=not hint) from None
            # Another producer was faster.
            found = await wire.api(f"STREAM.INFO.{name}")
    made: dict[str, Any] = found["config"]
    return made


async def make_bucket(wire: Wire, name: str, like: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Likewise of a bucket of keys and values, stored as the stream whose configuration is ``like``."""
    return await make(
        wire,
        f"KV_{name}",
        {
            "subjects": [f"$KV.{name}.>"],
            "storage": like["storage"],
            "num_replicas": like["num_replicas"],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "deny_delete": True,
            **more,
        },
    )
