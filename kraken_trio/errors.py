"""Every exception that kraken_trio raises on purpose.

The tree, by what is at fault::

    KrakenTrioError
    ├── ConnectError            the network, the address, or the exchange's front end
    │   └── KeyRefused          the API key: it is wrong, or lacks a permission
    ├── SubscriptionRejected    the request: refused by the exchange, or by the client
    ├── ConsumerTooSlow         your code: it did not receive its events in time
    ├── BookUnavailable         nothing: the book is being resynced; wait for its BookSnapshot
    ├── RecordingError          the recording: it cannot be read, or not be written
    └── ProtocolError           the peer: its bytes violate the protocol
        └── ChecksumMismatch    the peer, or a lost message: a book failed its checksum

Invalid arguments (``Book("BTC/USD", depth=20)``) are a plain :class:`ValueError`, and using a feed or client after its
block has ended is :class:`trio.ClosedResourceError`, as everywhere in Trio. None of these is ever wrapped in an
:class:`ExceptionGroup` by kraken_trio.

Peers' texts in messages are escaped and truncated, so that printing an error is always safe.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio._request import Request
    from kraken_trio.evidence import ChecksumEvidence

__all__ = [
    "BookUnavailable",
    "ChecksumMismatch",
    "ConnectError",
    "ConsumerTooSlow",
    "KeyRefused",
    "KrakenTrioError",
    "ProtocolError",
    "RecordingError",
    "SubscriptionRejected",
]

_REASONS_SHOWN: Final = 10
"""How many refused requests the text of an error names; one ``subscribe`` may have thousands."""


class KrakenTrioError(Exception):
    """The base of all errors of this package."""


class ConnectError(KrakenTrioError):
    """No connection could be made: a wrong address, a refused certificate, an HTTP refusal, a timeout.

    Contrast a *lost* connection, which is recovered in the background and announced by :class:`~kraken_trio.Gap` and
    :class:`~kraken_trio.StateChange`. This error is raised by :func:`~kraken_trio.open_client` for the first
    connection, and by every feed when the exchange refuses the client permanently.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool = True,
        proxy_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status: int | None = status
        """The HTTP status of a refused upgrade, if there was one."""
        self.retry_after: float | None = retry_after
        """Seconds to wait before the next attempt, if the peer gave them (HTTP's ``Retry-After``)."""
        self.retryable: bool = retryable
        """False if retrying cannot help: a wrong address, a refused certificate, HTTP 3xx, 400, 401 or 404; a proxy
        that does not know its user."""
        self.proxy_status: int | None = proxy_status
        """The HTTP status with which a proxy refused to connect, if it did."""


class KeyRefused(ConnectError):
    """The exchange does not accept the API key, or the key lacks a permission: the text says which.

    The client ends, even if it was connected before: trying again would lock the key out.
    """


class SubscriptionRejected(KrakenTrioError):
    """At least one request of a ``subscribe`` was refused; none of them is in force.

    Contrast :class:`ConnectError`: the connection is fine, and other subscriptions are untouched.
    """

    def __init__(self, reasons: Mapping[Request, str]) -> None:
        self.reasons: dict[Request, str] = dict(reasons)
        """Each refused request, and the exchange's (or the client's) reason."""
        parts = [f"{request}: {printable(text)}" for request, text in islice(self.reasons.items(), _REASONS_SHOWN)]
        if len(self.reasons) > _REASONS_SHOWN:
            parts.append(f"and {len(self.reasons) - _REASONS_SHOWN} more")
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.reasons,))


class ConsumerTooSlow(KrakenTrioError):
    """This feed's consumer left its channel full for too long, and the feed was closed.

    The events before the overflow are delivered; those after it are not. Other feeds are not affected. Receive faster,
    raise ``capacity``, or choose another :class:`~kraken_trio.Overflow`.
    """


class BookUnavailable(KrakenTrioError):
    """This book cannot be read now: it has no verified state.

    It can be read again after its next :class:`~kraken_trio.BookSnapshot`.
    """


class RecordingError(KrakenTrioError):
    """A recording cannot be read, or not be written: the message tells what is wrong with which file.

    A file that is damaged, or no recording; a folder that another process is recording into. What was read before is
    valid. A disk that is full while a recording is being written raises nothing: the recording goes on when it can.
    """


class ProtocolError(KrakenTrioError):
    """The peer violated the protocol."""


class ChecksumMismatch(ProtocolError):
    """A book did not have the checksum that the exchange sent: a message was lost or changed."""

    def __init__(self, evidence: ChecksumEvidence) -> None:
        super().__init__(
            f"{printable(evidence.symbol, 40)}: the book's checksum is {evidence.computed}, the exchange says "
            f"{evidence.expected}, after this {printable(evidence.message, 80)}",
        )
        self.evidence: ChecksumEvidence = evidence
        """Both checksums, the string that was hashed, and the message."""

    @property
    def expected(self) -> int:
        """The checksum that came with the message."""
        return self.evidence.expected

    @property
    def computed(self) -> int:
        """The checksum of the local book."""
        return self.evidence.computed

    @property
    def hashed(self) -> str:
        """The string that was hashed: asks, then bids, ten levels each, price and quantity digits."""
        return self.evidence.hashed

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.evidence,))
