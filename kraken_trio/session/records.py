"""What a session did, as values: for logs, metrics and traces, which make of them what they like.

They stand in ``Effects.records`` in the order in which things happened. Every text of a peer in them is as it came:
whoever shows it escapes it. ``frame`` is the index, within the batch, of the frame that caused it; None where no frame
did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from typing import Any

    from kraken_trio.events import Cause, StateChange, StatusUpdate
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.session.steps import Happening, Step
    from kraken_trio.wire.messages import RefusalKind

__all__ = [
    "AttemptDelayed",
    "ConsumerFailed",
    "ExchangeStatus",
    "ExchangeWarned",
    "FrameMalformed",
    "NoticeReceived",
    "Parked",
    "Record",
    "RequestRefused",
    "Resynced",
    "StateChanged",
    "StayedWithoutData",
    "StepTaken",
    "UnmatchedRefusal",
]


@attrs.frozen(kw_only=True)
class StateChanged:
    """The client went from one state to another."""

    change: StateChange
    frame: int | None = None


@attrs.frozen(kw_only=True)
class ExchangeStatus:
    """The exchange says something new of its engine."""

    status: StatusUpdate
    is_new_system: bool
    """Whether ``status.system`` is another one than before."""
    frame: int | None = None


@attrs.frozen(kw_only=True)
class AttemptDelayed:
    """An attempt to connect has to wait for a reason of this program's own."""

    why: str


@attrs.frozen(kw_only=True)
class FrameMalformed:
    """A frame could not be understood."""

    detail: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class NoticeReceived:
    """A frame of plain words came, as a proxy sends them before it closes."""

    text: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class ExchangeWarned:
    """The exchange accepted a request, and warned of something for the first time."""

    text: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class RequestRefused:
    """The exchange refused a request, for one symbol or, if that is None, for all that it holds."""

    symbol: str | None
    text: str
    kind: RefusalKind
    frame: int | None = None


@attrs.frozen(kw_only=True)
class UnmatchedRefusal:
    """The exchange refused something that was not asked."""

    text: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class Resynced:
    """A subscription cannot be trusted, or is stale: it is subscribed again."""

    request: Request[Any]
    cause: Cause
    detail: str
    attempt: int
    """How often in a row it has failed; 0 where nothing says that it has."""
    evidence: ChecksumEvidence | None = None
    frame: int | None = None


@attrs.frozen(kw_only=True)
class StayedWithoutData:
    """A subscription got no first data, even after it was renewed. Nothing would be gained by leaving it."""

    request: Request[Any]


@attrs.frozen(kw_only=True)
class Parked:
    """A subscription failed too often in a row, and is put aside for a while."""

    request: Request[Any]
    detail: str
    attempts: int
    seconds: float
    frame: int | None = None


@attrs.frozen(kw_only=True)
class ConsumerFailed:
    """(told by the runtime) A feed was ended because its consumer was too slow."""

    requests: tuple[Request[Any], ...]
    detail: str


@attrs.frozen(kw_only=True)
class StepTaken:
    """A subscription made a move of the table."""

    request: Request[Any]
    previous: Step
    happening: Happening
    current: Step
    frame: int | None = None


Record: TypeAlias = (
    StateChanged
    | ExchangeStatus
    | AttemptDelayed
    | FrameMalformed
    | NoticeReceived
    | ExchangeWarned
    | RequestRefused
    | UnmatchedRefusal
    | Resynced
    | StayedWithoutData
    | Parked
    | ConsumerFailed
    | StepTaken
)
