"""Frames that are not of a codec's protocol: other protocols at a wrong endpoint, and plain text from a proxy.

They examine a bounded part of a frame, and are conservative: a frame that may be a damaged one of the codec's
own protocol is neither.
"""

from __future__ import annotations

import re
from typing import Any, Final

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.wire.messages import Foreign, Notice
from kraken_trio.wire.tree import excerpt

__all__ = ["foreign", "notice", "notice_or_raise", "protocol_of"]

# Control frames of Kraken's v1 protocol: objects with an `event`. (An error is not among them: v1's way to say that a
# request was malformed may also come from v2, see docs/reference/protocol.md, errors.)
_V1_EVENTS: Final = frozenset({"heartbeat", "ping", "pong"})
_V1_STATUS: Final = "Status"  # systemStatus, subscriptionStatus, addOrderStatus, ...
# Data of v1: [channelID, payload ..., channelName, pair], or, of an account, [list, channelName, {"sequence": n}].
_V1_CHANNEL: Final = re.compile(r"(?:book-[0-9]{1,4}|ohlc-[0-9]{1,5}|ticker|trade|spread)", re.ASCII)
_V1_ACCOUNT: Final = frozenset({"openOrders", "ownTrades"})
_MIN_V1_ITEMS: Final = 4
_V1_ACCOUNT_ITEMS: Final = 3
# v2: every frame has one of these, but for an error; no frame of another protocol has.
_V2_KEYS: Final = ("channel", "method")
# Kraken Futures: control frames have an `event` as well, data frames have a `feed`. Its first frame is
# {"event":"info","version":1}; other exchanges begin likewise, but with more.
_FUTURES_EVENTS: Final = frozenset(
    {"alert", "challenge", "subscribed", "subscribed_failed", "unsubscribed", "unsubscribed_failed"}
)
_FUTURES_INFO: Final = frozenset({"event", "version"})

_MAX_NOTICE: Final = 500
"""The longest frame that may be a notice, in characters or bytes."""
_JSON_PUNCTUATION: Final = re.compile(r'[{}\[\]":,\\]')
_MAX_EXCERPT: Final = 80
_MAX_FOREIGN_EXCERPT: Final = 200  # all that a user is shown of it
_MIN_WORD: Final = 3  # letters; with two such words it is a text, not a piece of something else


def protocol_of(document: object) -> str | None:
    """The protocol of a document, ``"v1"``, ``"v2"`` or ``"futures"``, if that is certain; otherwise None."""
    if isinstance(document, list):
        return "v1" if _is_v1_data(document) else None
    if not isinstance(document, dict):
        return None
    event = document.get("event")
    if isinstance(event, str):
        if event in _V1_EVENTS or event.endswith(_V1_STATUS):
            return "v1"
        if event in _FUTURES_EVENTS or (event == "info" and document.keys() == _FUTURES_INFO):
            return "futures"
        return None
    if isinstance(document.get("feed"), str):
        return "futures"
    return "v2" if any(isinstance(document.get(key), str) for key in _V2_KEYS) else None


def _is_v1_data(items: list[Any]) -> bool:
    name, pair = items[-2:] if len(items) > 1 else (None, None)
    if not isinstance(name, str):
        return False
    if isinstance(pair, dict):
        return len(items) == _V1_ACCOUNT_ITEMS and name in _V1_ACCOUNT and "sequence" in pair
    is_number = isinstance(items[0], int) and not isinstance(items[0], bool)
    return is_number and len(items) >= _MIN_V1_ITEMS and isinstance(pair, str) and bool(_V1_CHANNEL.fullmatch(name))


def notice(frame: str | bytes) -> str | None:
    """The text of a frame that is plain text, neither JSON nor damaged JSON; otherwise None."""
    if len(frame) > _MAX_NOTICE:
        return None
    try:
        text = (frame if isinstance(frame, str) else frame.decode()).strip()
    except UnicodeDecodeError:
        return None
    if not text.isprintable() or _JSON_PUNCTUATION.search(text):  # mutant: damaged frame
        return None
    words = [word for word in text.split() if len(word) >= _MIN_WORD and word.rstrip(".;!?").isalpha()]
    return text if len(words) > 1 else None


def foreign(protocol: str, frame: str | bytes) -> Foreign:
    """The message of a frame of another protocol."""
    return Foreign(protocol=protocol, text=excerpt(frame, _MAX_FOREIGN_EXCERPT))


def notice_or_raise(frame: str | bytes, error: Exception) -> Notice:
    """The message of a frame that a decoder gave up with ``error``: of plain text, if it is that.

    Otherwise raises :class:`~kraken_trio.ProtocolError` with what is wrong, and the beginning of the frame.
    """
    problem = str(error)
    if not isinstance(error, ProtocolError):
        words = notice(frame)
        if words is not None:
            return Notice(text=words)
        problem = printable(error)
    msg = f"{problem}; the frame begins {excerpt(frame, _MAX_EXCERPT)}"
    raise ProtocolError(msg) from None
