"""Every limit of a client, with its unit and its reason. Durations are seconds of a monotonic clock."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import attrs
import cattrs

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["CONNECT_WINDOW", "MAX_CONNECT_BUDGET", "MAX_FRAME_BYTES", "Settings"]

CONNECT_WINDOW: Final = 600.0
"""Seconds. Kraken counts connection attempts in any ten minutes (docs/reference/protocol.md, connections)."""
MAX_CONNECT_BUDGET: Final = 120
"""Attempts in any :data:`CONNECT_WINDOW`. About 150 make it ban the address; Kraken's own clients stop at 120."""
MAX_FRAME_BYTES: Final = 8 * 1024 * 1024
"""The longest frame that is decoded."""


_MOST = 10**9
"""The largest count, and the largest rate: arithmetic with it stays exact."""
_SLOWEST = 1e-6
"""The lowest rate: its inverse is still a usable wait."""
_MAX_NAME: Final = 60
"""Characters of an unknown setting that are looked at, and shown."""


def _positive(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        msg = f"Settings.{attribute.name} must be a positive, finite number, not {value!r}"
        raise ValueError(msg)


def _whole(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if type(value) is not int or not 1 <= value <= _MOST:
        what = "a whole number, at least 1" if type(value) is not int or value < 1 else f"at most {_MOST}"
        msg = f"Settings.{attribute.name} must be {what}, not {printable(repr(value), 40)}"
        raise ValueError(msg)


def _computable(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not _SLOWEST <= value <= _MOST:
        msg = f"Settings.{attribute.name} must be from {_SLOWEST:g} to {_MOST} per second, not {value!r}"
        raise ValueError(msg)


def _at_most(limit: int, why: str) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value > limit:
            msg = f"Settings.{attribute.name} must be at most {limit}, not {value!r}: {why}"
            raise ValueError(msg)

    return check


def _seconds(default: float) -> float:
    field: float = attrs.field(default=default, validator=_positive)
    return field


def _count(default: int) -> int:
    field: int = attrs.field(default=default, validator=_whole)
    return field


def _bounded(limit: int, why: str) -> int:
    field: int = attrs.field(default=limit, validator=[_whole, _at_most(limit, why)])
    return field


def _rate(default: float) -> float:
    field: float = attrs.field(default=default, validator=[_positive, _computable])
    return field


def _flag(*, default: bool) -> bool:
    field: bool = attrs.field(default=default, validator=attrs.validators.instance_of(bool))
    return field


@attrs.frozen(kw_only=True)
class Settings:
    """All limits and timeouts of a client. The defaults follow Kraken's documentation.

    Raises :class:`ValueError` for an invalid value, and for two values that contradict each other.
    """

    # Connecting and closing
    require_first_connection: bool = _flag(default=True)
    """True: ``open_client`` raises when the first attempt fails. False: it keeps trying, as after any later loss."""
    connect_timeout: float = _seconds(10.0)
    """Timeout of one attempt: name lookup, TCP, TLS and the WebSocket upgrade together."""
    close_timeout: float = _seconds(2.0)
    """Timeout of the close handshake; after it the socket is closed in any case."""

    # Detecting dead connections. Kraken sends a heartbeat every second while something is subscribed.
    ping_after: float = _seconds(5.0)
    """An application ``ping`` is sent after this long without life (see ``silence_limit``)."""
    silence_limit: float = _seconds(10.0)
    """The connection is dropped after this long without life, counted only while the client reads. While a subscription
    is confirmed, only pushed frames (heartbeats, data, status) count as life; without one, any frame does."""

    keepalive_interval: float = _seconds(15.0)
    """Interval between WebSocket PINGs, sent even while data flows: detects a peer that sends but does not receive."""
    keepalive_timeout: float = _seconds(20.0)
    """Timeout of the PONG, while the client reads without interruption; then the connection is dropped."""
    send_timeout: float = _seconds(10.0)
    """Timeout of writing one frame to the network; then the connection is dropped."""

    # Reconnecting. Kraken: a few times at once, then not faster than every 5 s; at most 150 connects in 10 min.
    connect_budget: int = _bounded(MAX_CONNECT_BUDGET, "Kraken bans an address that connects 150 times in 600 s")
    """Connection attempts within any 600 s, counted over all clients of the process: at most 120. A client with a lower
    number leaves the rest to the others."""
    quick_retries: int = _count(2)
    """The number of quick attempts after a loss."""
    quick_delay: float = _seconds(0.5)
    """The wait before the first quick attempt; doubled for each further one."""
    retry_delay: float = _seconds(5.0)
    """The shortest wait before any later attempt; doubled each time."""
    retry_delay_max: float = _seconds(60.0)
    """The longest wait before an attempt (plus jitter: up to a quarter)."""
    unavailable_delay: float = _seconds(15.0)
    """The shortest wait after HTTP 5xx: the exchange is down or overloaded, typically for minutes. Doubled for each
    refusal in a row."""
    ban_delay: float = _seconds(60.0)
    """The shortest wait after HTTP 429 or 403: possibly a ban for too many connects, which lasts about 600 s. Doubled
    for each refusal in a row."""
    refused_delay_max: float = _seconds(600.0)
    """The longest of these two waits: the duration of a ban."""
    retry_after_max: float = _seconds(3600.0)
    """The exchange's ``Retry-After`` is obeyed up to this limit, in case it is wrong."""
    stable_after: float = _seconds(30.0)
    """Backoff resets after this long with verified data; likewise per subscription."""

    # Requests and subscriptions
    request_rate: float = _rate(10.0)
    """Requests per second, in the long run. Kraken's limit is not published."""
    request_burst: int = _count(10)
    """Requests that may be sent at once."""
    symbols_per_request: int = _count(50)
    """Symbols per request."""
    requests_in_flight: int = _count(100)
    """Unanswered requests at a time; further ones wait. As many as ``request_rate`` sends within ``answer_timeout``."""
    answer_timeout: float = _seconds(10.0)
    """Timeout of the exchange's answer to a request; then it is repeated."""
    snapshot_timeout: float = _seconds(10.0)
    """Timeout from the confirmation to the first data of a subscription; then it is resubscribed. (Trades of a symbol
    that has never traded are not awaited. Channels other than books are resubscribed only once.)"""
    stale_after: float = _seconds(30.0)
    """A subscription without data for this long, while other channels report trades of its symbol, is stale, and is
    resubscribed. If that does not help, the time is doubled, up to ``park_time``. It is longer than bursts of trades
    that leave the book unchanged. Detection may take up to a third longer."""
    stale_trades: int = _count(10)
    """The number of trades required in that time, so that a quiet market is never suspected. (A ticker or candles
    count as at most one trade per sixth of ``stale_after``.)"""
    attempts: int = _count(5)
    """How often in a row a subscription may fail (no answer, no snapshot, a failed check) before it is parked."""
    attempt_delay: float = _seconds(0.5)
    """The wait before the second attempt; doubled for each further one. The first follows at once."""
    attempt_delay_max: float = _seconds(30.0)
    """The longest wait between two attempts."""
    park_time: float = _seconds(900.0)
    """How long a subscription stays parked before it is requested again."""

    # Bounds on the peer
    max_frame_bytes: int = _bounded(MAX_FRAME_BYTES, "longer frames are not decoded")
    """The largest accepted message. Kraken's largest public one, reference data, is about 0.5 MB."""
    malformed_limit: int = _count(20)
    """This many malformed frames in a row end the connection."""
    log_rate: float = _rate(2.0)
    """Log lines per second and level, in the long run, so that a faulty peer cannot fill the disk. Those about the
    connection as a whole (lost, connected again) are counted apart, so that no flood hides them."""
    log_burst: int = _count(50)
    """Log lines per level, and about the connection, that may be written at once."""

    # Consumers
    stall_limit: float = _seconds(10.0)
    """With ``Overflow.BACKPRESSURE``: how long a full feed may hold up reading before it gets ``ConsumerTooSlow``."""
    max_subscriptions: int = _count(5000)
    """Subscriptions of one client at a time, including those that are being unsubscribed. Kraken has about 1500
    symbols."""
    max_feeds: int = _count(1000)
    """``subscribe`` blocks that may be open at a time."""
    max_capacity: int = _count(1_000_000)
    """The largest ``capacity`` of a feed, in events. Book updates of usual size then take about a gigabyte."""

    def __attrs_post_init__(self) -> None:
        """Refuse values that contradict each other."""
        problems = [
            f"Settings.{less}={getattr(self, less)!r} must {'be less than' if strict else 'not exceed'} "
            f"Settings.{more}={getattr(self, more)!r}: {why}; set both"
            for less, more, strict, why in _ORDER
            if getattr(self, less) > getattr(self, more) or (strict and getattr(self, less) == getattr(self, more))
        ]
        if problems:
            raise ValueError("; ".join(problems))

    def __repr__(self) -> str:
        """The values that differ from the defaults, as an expression that gives equal settings."""
        values = ((field, getattr(self, field.name)) for field in attrs.fields(type(self)))
        return f"Settings({', '.join(f'{field.name}={value!r}' for field, value in values if value != field.default)})"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from a mapping, for example of a configuration file.

        Raises :class:`ValueError` that names every unknown key and every value of a wrong type, or, if there is no
        wrong type, the first value that is out of its range.
        """
        known = [field.name for field in attrs.fields(cls)]
        unknown = sorted(str(name) for name in values if name not in known)
        problems = [f"no such setting: {_with_a_guess(name, known)}" for name in unknown]
        try:
            settings = _converter.structure({name: value for name, value in values.items() if name in known}, cls)
        except cattrs.ClassValidationError as error:
            problems += cattrs.transform_error(error, path="settings", format_exception=_words)
        if problems:
            raise ValueError("; ".join(problems))
        return settings


_ORDER: Final = (
    ("ping_after", "silence_limit", True, "a peer is asked before it is given up"),
    ("quick_delay", "retry_delay", False, "quick attempts are the quicker ones"),
    ("retry_delay", "retry_delay_max", False, "the shortest wait is not longer than the longest"),
    ("unavailable_delay", "refused_delay_max", False, "the shortest wait is not longer than the longest"),
    ("ban_delay", "refused_delay_max", False, "the shortest wait is not longer than the longest"),
    ("attempt_delay", "attempt_delay_max", False, "the shortest wait is not longer than the longest"),
)
"""Pairs of which the first must not exceed the second (or equal it, where it says True), and why."""


def _with_a_guess(name: str, known: Sequence[str]) -> str:
    """An unknown name, and the one that was probably meant."""
    guesses = get_close_matches(name[:_MAX_NAME].lower().replace("-", "_"), known, n=1)
    return printable(name, _MAX_NAME) + "".join(f", did you mean {guess!r}?" for guess in guesses)


def _words(error: BaseException, _kind: type | None) -> str:
    """The message of the checks above, instead of cattrs' "invalid value"."""
    return str(error)


def _same(value: Any, kind: type) -> Any:
    """Types are not converted: ``"10"`` is not a number, and 1 is not True."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        msg = f"expected {kind.__name__}, got {value!r}"
        raise ValueError(msg)
    return value


_converter = cattrs.Converter()
for _kind in (bool, int, float):
    _converter.register_structure_hook(_kind, _same)
