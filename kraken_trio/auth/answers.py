"""What the exchange's REST interface answers, and what is to be done about its errors. Pure.

Rules (docs/reference/protocol.md, REST): ``error`` is looked at before ``result``; texts may go on after a further
colon; what is not JSON comes from a proxy before the exchange.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.wire.tree import REFUSED, decode_tree, texts

__all__ = ["Answered", "ErrorKind", "Failure", "Reply", "RestError", "classify", "is_denied", "read_reply"]

_EXCERPT: Final = 120
_MAX_ERRORS: Final = 500
_MAX_WAIT: Final = 86_400.0
_SECONDS: Final = re.compile(r"[0-9]{1,8}")


class ErrorKind(Enum):
    """What is to be done about an error; the most serious first."""

    FATAL = "fatal"
    """Never retry: the key, its secret or its permissions have to be changed."""
    ADDRESS = "address"
    """Never retry: this is not the REST interface of an exchange."""
    LOCKOUT = "lockout"
    """Wait for a quarter of an hour, and do not ask meanwhile."""
    FINAL = "final"
    """This call will not succeed; others may."""
    NONCE = "nonce"
    """Retry once, with a fresh nonce."""
    STALE = "stale"
    """Retry once, with a fresh token."""
    RATE = "rate"
    """Too many calls: retry later."""
    TRANSIENT = "transient"
    """Retry later."""


_ORDER: Final = tuple(ErrorKind)

# The first that matches counts. What ends in a colon is a whole family.
_TABLE: Final[tuple[tuple[str, ErrorKind], ...]] = (
    ("EAPI:Invalid token", ErrorKind.STALE),
    ("ESession:Invalid session", ErrorKind.STALE),
    ("EAPI:Invalid nonce", ErrorKind.NONCE),
    ("EAPI:Rate limit exceeded", ErrorKind.RATE),
    ("EAuth:Rate limit exceeded", ErrorKind.RATE),
    ("EGeneral:Too many requests", ErrorKind.RATE),
    ("EService:Throttled", ErrorKind.RATE),
    ("Exceeded msg rate", ErrorKind.RATE),
    ("EAPI:Invalid key", ErrorKind.FATAL),
    ("EAPI:Invalid signature", ErrorKind.FATAL),
    ("EAuth:", ErrorKind.FATAL),
    ("EGeneral:Permission denied", ErrorKind.FATAL),
    ("EAPI:Permission denied", ErrorKind.FATAL),
    ("EAccount:Invalid permissions", ErrorKind.FATAL),
    ("EGeneral:Temporary lockout", ErrorKind.LOCKOUT),
    ("EService:", ErrorKind.TRANSIENT),
    ("EGeneral:Internal error", ErrorKind.TRANSIENT),
)
_STALE_TOKEN: Final = re.compile(r"\b(?:stale|expired|invalid)\b.*\btoken\b|\btoken\b.*\b(?:stale|expired|invalid)\b")


def classify(text: str) -> ErrorKind:
    """The kind of an error text, of a REST answer or of a refusal on a WebSocket. Letters' case does not matter."""
    lower = text.strip().lower()
    for start, kind in _TABLE:
        begins = start.lower()
        if lower == begins or lower.startswith(begins if begins.endswith(":") else f"{begins}:"):
            return kind
    return ErrorKind.STALE if _STALE_TOKEN.search(lower) else ErrorKind.FINAL


def is_denied(text: str) -> bool:
    """Whether the error says that a permission is missing."""
    lower = text.lower()
    return "permission denied" in lower or "invalid permissions" in lower


@attrs.frozen(kw_only=True)
class Answered:
    """A call that succeeded."""

    result: Any = attrs.field(repr=False)
    """Decoded JSON; numbers with a point or an exponent are :class:`~decimal.Decimal`."""


@attrs.frozen(kw_only=True)
class Failure:
    """A call that failed."""

    kind: ErrorKind
    text: str
    """What happened, printable."""
    errors: tuple[str, ...] = ()
    """The exchange's texts, printable; none if it was no answer of the exchange."""
    status: int | None = None
    """The HTTP status, if it was not 200."""
    retry_after: float | None = None
    """Seconds, if the peer gave them."""
    proxy_status: int | None = None
    """The HTTP status with which a proxy refused to connect, if it did."""


class RestError(Exception):
    """A call failed for good, or there is no time for another attempt. It does not leave the client."""

    def __init__(self, failure: Failure, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.failure: Failure = failure
        self.retry_after: float | None = retry_after
        """Seconds until another attempt makes sense."""

    @property
    def kind(self) -> ErrorKind:
        return self.failure.kind


@attrs.frozen(kw_only=True)
class Reply:
    """An HTTP response."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: str = ""
    """The header of that name."""


def read_reply(reply: Reply, wall_ns: int) -> Answered | Failure:
    """Read a response that came at this time. ``text`` of a failure may repeat what the peer has sent."""
    status = None if reply.status == 200 else reply.status
    tree = _tree(reply.body)
    if tree is None or reply.status >= 500:
        return _no_answer(reply, is_json=tree is not None)
    errors = tuple(printable(error, _MAX_ERRORS) for error in _errors(tree))
    if errors:
        kind = min((classify(error) for error in errors), key=_ORDER.index)
        wait = _retry_after(reply) or max(_throttled(error, wall_ns) for error in errors) or None
        return Failure(kind=kind, text=", ".join(errors), errors=errors, status=status, retry_after=wait)
    if status is not None:
        return _no_answer(reply, is_json=True)
    if "result" not in tree:
        return Failure(kind=ErrorKind.TRANSIENT, text="an answer without error and without result")
    return Answered(result=tree["result"])


def _tree(body: bytes) -> dict[str, Any] | None:
    try:
        tree = decode_tree(body)
    except REFUSED:
        return None
    return tree if isinstance(tree, dict) and ("error" in tree or "result" in tree) else None


def _errors(tree: dict[str, Any]) -> tuple[str, ...]:
    """The errors of an answer; warnings (``W…``) come with a result, and are none."""
    found = tree.get("error")
    listed = (printable(found),) if isinstance(found, str) and found else texts(found)
    return tuple(text for text in listed if not ("result" in tree and text.startswith("W")))


def _no_answer(reply: Reply, *, is_json: bool) -> Failure:
    """What is no answer of the exchange. JSON is not quoted: it may hold a token."""
    said = reply.body[:2000].decode("utf-8", "replace").strip()
    if not said:
        quoted = "an empty answer"
    elif is_json or said.startswith(("{", "[", '"')):
        quoted = f"{len(reply.body)} bytes of JSON that are no answer"
    else:
        quoted = " ".join(re.sub(r"<[^>]*>", " ", said).split())[:_EXCERPT] or "a page without text"
    status, kind = reply.status, ErrorKind.TRANSIENT
    if status == 429:
        kind = ErrorKind.RATE
    elif 300 <= status < 400 or status in {400, 401, 404, 405}:
        kind = ErrorKind.ADDRESS
    return Failure(
        kind=kind,
        text=printable(f"HTTP {status}: {quoted}"),
        status=None if status == 200 else status,
        retry_after=_retry_after(reply),
    )


def _retry_after(reply: Reply) -> float | None:
    """The seconds of the header; a date is left out."""
    found = _SECONDS.fullmatch(reply.retry_after.strip())
    return min(float(found[0]), _MAX_WAIT) if found else None


def _throttled(text: str, wall_ns: int) -> float:
    """The seconds of ``EService:Throttled: <unix time>``; 0 for another error."""
    found = re.fullmatch(r"EService:Throttled:\s*([0-9]{1,12})", text)
    return min(max(int(found[1]) - wall_ns / 1e9, 0.0), _MAX_WAIT) if found else 0.0
