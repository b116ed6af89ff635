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
"""No longer frame is decoded."""


_MOST = 10**9
"""No count, and nothing per second, is larger: arithmetic with it stays exact."""
_SLOWEST = 1e-6
"""No rate is lower: its inverse is a wait that can be computed with."""
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
    """How a client behaves at its limits. The defaults follow Kraken's documentation; change one with a reason.

    Raises :class:`ValueError` for a value that cannot be meant, and for two that contradict each other.
    """

    # The first connection, and the last
    require_first_connection: bool = _flag(default=True)
    """True: ``open_client`` raises when the first attempt fails. False: it keeps trying, as after any later loss."""
    connect_timeout: float = _seconds(10.0)
    """For one attempt: name, TCP, TLS and the WebSocket upgrade."""
    close_timeout: float = _seconds(2.0)
    """For the goodbye when a connection is closed; after it the socket is torn down whatever the peer does."""

    # Is the peer alive? Kraken sends a heartbeat a second.
    ping_after: float = _seconds(5.0)
    """After so long without a frame the client asks: an application ``ping``."""
    silence_limit: float = _seconds(10.0)
    """After so long without a frame, counted only while we listen, the connection is given up."""

    keepalive_interval: float = _seconds(15.0)
    """So often the WebSocket itself is asked, whatever comes: a PING frame. A peer may send, and not hear us."""
    keepalive_timeout: float = _seconds(20.0)
    """For its PONG, while we listen without interruption; then the connection is given up."""
    send_timeout: float = _seconds(10.0)
    """For handing one frame to the network; a peer that takes nothing for so long is given up."""

    # Reconnecting. Kraken: at once a handful of times, then not faster than every 5 s; 150 connects in 10 min at most.
    connect_budget: int = _bounded(MAX_CONNECT_BUDGET, "Kraken bans an address that connects 150 times in 600 s")
    """No attempt is made while so many were made within 600 s, by all clients of the process together. 120 is the most;
    a client with a lower number leaves the rest to the others."""
    quick_retries: int = _count(2)
    """How many attempts after a loss come quickly."""
    quick_delay: float = _seconds(0.5)
    """The wait before the first quick attempt; doubled for each further one."""
    retry_delay: float = _seconds(5.0)
    """The shortest wait before any later attempt; doubled each time."""
    retry_delay_max: float = _seconds(60.0)
    """The longest wait before an attempt (jitter comes on top: up to a quarter)."""
    unavailable_delay: float = _seconds(15.0)
    """The shortest wait after HTTP 5xx: the exchange is down or overloaded, for minutes rather than for seconds.
    Doubled for each refusal in a row."""
    ban_delay: float = _seconds(60.0)
    """The shortest wait after HTTP 429 or 403: perhaps a ban for too many connects, which lasts about 600 s.
    Doubled for each refusal in a row."""
    refused_delay_max: float = _seconds(600.0)
    """The longest of these two waits: as long as a ban lasts."""
    retry_after_max: float = _seconds(3600.0)
    """The exchange's ``Retry-After`` is obeyed up to here, so that a wrong one cannot keep the client away for ever."""
    stable_after: float = _seconds(30.0)
    """A connection that carried verified data for so long makes the next loss count as the first again; so does a
    book."""

    # Asking the exchange
    request_rate: float = _rate(10.0)
    """Requests per second that are sent at most, in the long run. Kraken's limit is not published."""
    request_burst: int = _count(10)
    """Requests that may be sent at once."""
    symbols_per_request: int = _count(50)
    """Symbols that are put into one request at most."""
    requests_in_flight: int = _count(100)
    """Requests that may await their answer at a time; further ones wait. As many as the rate sends in a timeout."""
    answer_timeout: float = _seconds(10.0)
    """For the exchange's answer to a request; then it is asked again."""
    snapshot_timeout: float = _seconds(10.0)
    """From the answer to the first data of a subscription; then it is subscribed anew. (Trades of a symbol that has
    never had any are not waited for.)"""
    stale_after: float = _seconds(30.0)
    """A subscription without data for this long, while others told of trades of its symbol, is stale: it is subscribed
    again. If that does not help, the time is doubled, up to ``park_time``. Longer than any burst of trades outside the
    book lasts; found up to a third later."""
    stale_trades: int = _count(10)
    """How many trades must have gone by in that time: a quiet market is never suspected. (A ticker or candles tell of
    one trade a sixth of the time, at most.)"""
    attempts: int = _count(5)
    """How often in a row a subscription may fail (no answer, no snapshot, a failed check) before it is parked."""
    attempt_delay: float = _seconds(0.5)
    """The wait before the second attempt; doubled for each further one. The first follows at once."""
    attempt_delay_max: float = _seconds(30.0)
    """The longest wait between two attempts."""
    park_time: float = _seconds(900.0)
    """How long a parked subscription rests before it is tried again."""

    # Bounds on what a peer can do to us
    max_frame_bytes: int = _bounded(MAX_FRAME_BYTES, "longer frames are not decoded")
    """The largest message that is taken. Kraken's largest public one, reference data, is about 0.5 MB."""
    malformed_limit: int = _count(20)
    """So many frames in a row that make no sense end the connection."""
    log_rate: float = _rate(2.0)
    """Log lines per second, in the long run, of each level: a peer that errs ever so often fills no disk."""
    log_burst: int = _count(50)
    """Log lines of a level that may come at once."""

    # Consumers
    stall_limit: float = _seconds(10.0)
    """With ``Overflow.BACKPRESSURE``: how long a full feed may hold up reading before it gets ``ConsumerTooSlow``."""
    max_subscriptions: int = _count(5000)
    """Channels and symbols that one client may have at a time, those that are just being left included. All of
    Kraken's symbols are about 1500."""
    max_feeds: int = _count(1000)
    """``subscribe`` blocks that may be open at a time."""
    max_capacity: int = _count(1_000_000)
    """The largest ``capacity`` of a feed, in events. Of book updates of usual size that is about a gigabyte."""

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
        """What is not as by default, as an expression that makes equal settings."""
        values = ((field, getattr(self, field.name)) for field in attrs.fields(type(self)))
        return f"Settings({', '.join(f'{field.name}={value!r}' for field, value in values if value != field.default)})"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from names and values, as a configuration file gives them.

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
"""What must not exceed what (or be equal to it, where it says True), and why."""


def _with_a_guess(name: str, known: Sequence[str]) -> str:
    """An unknown name, and the one that was probably meant."""
    guesses = get_close_matches(name[:_MAX_NAME].lower().replace("-", "_"), known, n=1)
    return printable(name, _MAX_NAME) + "".join(f", did you mean {guess!r}?" for guess in guesses)


def _words(error: BaseException, _kind: type | None) -> str:
    """What the checks above say, rather than cattrs' "invalid value"."""
    return str(error)


def _same(value: Any, kind: type) -> Any:
    """Configuration is taken as it is: ``"10"`` is no number, and 1 is not True."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        msg = f"expected {kind.__name__}, got {value!r}"
        raise ValueError(msg)
    return value


_converter = cattrs.Converter()
for _kind in (bool, int, float):
    _converter.register_structure_hook(_kind, _same)
