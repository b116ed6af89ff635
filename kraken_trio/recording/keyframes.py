"""The state of a session as records, from which a reader can begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kraken_trio.encoding import encode_event
from kraken_trio.recording.records import ClientFrame, KeyFrame, key_frame

if TYPE_CHECKING:
    from kraken_trio.session import Session
    from kraken_trio.session.subscription import Key

__all__ = ["client_frame", "frame_of", "keys_of"]


def client_frame(session: Session) -> ClientFrame:
    """The client's own state."""
    status = session.status
    return ClientFrame(
        state=session.state.value,
        epoch=session.epoch,
        received_ns=session.received_ns,
        status=() if status is None else (msgspec.Raw(encode_event(status)),),
    )


def keys_of(session: Session) -> list[Key]:
    """All subscriptions."""
    return [sub.key for sub in session.subscriptions]


def frame_of(session: Session, key: Key) -> KeyFrame | None:
    """The key frame of this subscription; None if there is no such one any more."""
    sub = session.subscription(key)
    return None if sub is None else key_frame(sub.request, sub.step.value, sub.state.keep())
