"""What JetStream stores: messages that replace the one before, and streams that are made if they are missing."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.broker.nats.wire import NO_STREAM, Refusal
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from kraken_trio.broker.nats.wire import Wire

__all__ = ["EXPECTED", "NO_MESSAGE", "WRONG_SEQUENCE", "last", "make", "replace"]

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"

# The server's numbers of errors.
NO_MESSAGE: Final = 10037
WRONG_SEQUENCE: Final = 10071
_STREAM_THERE: Final = 10058
_HINTS: Final = {
    10047: "; the server reserves max_bytes: ask for less (?max_bytes=1GiB), or raise its max_file_store",
    10074: "; replicas= needs as many servers in the cluster",
    10065: "; another stream takes these subjects: relay to a stream of another name",
}


async def replace(wire: Wire, subject: str, body: bytes, before: int, **headers: str) -> int | None:
    """Store a message if the last one at this subject is this one (0: none): its sequence, None if it is not."""
    try:
        return await wire.store(subject, body, {EXPECTED: str(before), **headers})
    except Refusal as error:
        if error.code == WRONG_SEQUENCE:
            return None
        raise


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
