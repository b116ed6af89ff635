"""What a session did, as values, for consumers such as logs, metrics and traces.

They are in ``Effects.records`` in the order in which things happened. Texts of a peer are not escaped: whoever shows
them escapes them. ``frame`` is the index, within the batch, of the frame that caused the record; None where no frame
did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from typing import Any

    from kraken_trio.errors import ConnectError
    from kraken_trio.events import Cause, Gap, StateChange, StatusUpdate
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.session.steps import Happening, Step
    from kraken_trio.wire.messages import RefusalKind

__all__ = [
    "AttemptDelayed",
    "AttemptFailed",
    "ClientLeft",
    "ConsumerFailed",
    "ExchangeStatus",
    "ExchangeWarned",
    "FrameMalformed",
    "GapAnnounced",
    "KeyWarned",
    "NoticeReceived",
    "Parked",
    "PhaseBegun",
    "Record",
    "RecordingDamaged",
    "RecordingFailed",
    "RecordingResumed",
    "RequestRefused",
    "Resynced",
    "SegmentHealed",
    "StateChanged",
    "StateReset",
    "StayedWithoutData",
    "StepTaken",
    "SubscriptionBegun",
    "UnmatchedRefusal",
    "UploadFailed",
]


@attrs.frozen(kw_only=True)
class StateChanged:
    """The client went from one state to another."""

    change: StateChange
    frame: int | None = None


@attrs.frozen(kw_only=True)
class ExchangeStatus:
    """The exchange reported a new status of its engine."""

    status: StatusUpdate
    is_new_system: bool
    """Whether ``status.system`` differs from the one before."""
    frame: int | None = None


@attrs.frozen(kw_only=True)
class AttemptDelayed:
    """An attempt to connect has to wait for the connect budget."""

    why: str


@attrs.frozen(kw_only=True)
class PhaseBegun:
    """(from the runtime) An attempt to connect has come to this phase, and the one before it is over."""

    phase: str
    """``token``, ``name`` (it is looked up), ``tcp``, ``proxy`` (it is asked to connect), ``tls``, ``upgrade``."""


@attrs.frozen(kw_only=True)
class AttemptFailed:
    """(from the runtime) An attempt to connect has failed."""

    error: ConnectError


@attrs.frozen(kw_only=True)
class ClientLeft:
    """(from the runtime) The client's block has been left: nothing follows."""


@attrs.frozen(kw_only=True)
class KeyWarned:
    """The key of the account may do more than it should."""

    text: str


@attrs.frozen(kw_only=True)
class FrameMalformed:
    """A frame could not be decoded."""

    detail: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class NoticeReceived:
    """A frame of plain text was received, as a proxy sends it before it closes."""

    text: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class ExchangeWarned:
    """The exchange accepted a request with a warning that it had not sent before."""

    text: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class RequestRefused:
    """The exchange refused a request, for one symbol or, if that is None, for all symbols in it."""

    symbol: str | None
    text: str
    kind: RefusalKind
    frame: int | None = None


@attrs.frozen(kw_only=True)
class UnmatchedRefusal:
    """A refusal matches no pending request."""

    text: str
    frame: int | None = None


@attrs.frozen(kw_only=True)
class Resynced:
    """A subscription cannot be trusted, or is stale: it is resubscribed."""

    request: Request[Any]
    cause: Cause
    detail: str
    attempt: int
    """How often in a row it has failed; 0 for a stale subscription, which may not have failed."""
    evidence: ChecksumEvidence | None = None
    frame: int | None = None


@attrs.frozen(kw_only=True)
class StayedWithoutData:
    """A subscription got no first data, even after it was resubscribed. It stays subscribed."""

    request: Request[Any]


@attrs.frozen(kw_only=True)
class Parked:
    """A subscription failed too often in a row, and is parked for ``seconds``."""

    request: Request[Any]
    detail: str
    attempts: int
    seconds: float
    frame: int | None = None


@attrs.frozen(kw_only=True)
class ConsumerFailed:
    """(from the runtime) A feed was ended because its consumer was too slow."""

    requests: tuple[Request[Any], ...]
    detail: str


@attrs.frozen(kw_only=True)
class RecordingFailed:
    """(from the runtime) The client's recording is interrupted, or cannot be written."""

    detail: str


@attrs.frozen(kw_only=True)
class RecordingDamaged:
    """A recording that is being replayed is damaged, or its data and its decisions disagree."""

    detail: str


@attrs.frozen(kw_only=True)
class RecordingResumed:
    """(from the runtime) The client's recording goes on."""

    batches: int
    """How many batches of frames are missing in it."""


@attrs.frozen(kw_only=True)
class SegmentHealed:
    """(from the runtime) A file that a killed recorder has left was given its end, or could not be."""

    name: str
    detail: str


@attrs.frozen(kw_only=True)
class UploadFailed:
    """(from the runtime) What the program does with a finished segment of a recording has failed."""

    path: str
    detail: str


@attrs.frozen(kw_only=True)
class StepTaken:
    """A subscription made a move of the table."""

    request: Request[Any]
    previous: Step
    happening: Happening
    current: Step
    frame: int | None = None


@attrs.frozen(kw_only=True)
class SubscriptionBegun:
    """A subscription begins, with an empty state: for a new key, or again under its old one."""

    request: Request[Any]
    frame: int | None = None


@attrs.frozen(kw_only=True)
class StateReset:
    """What is known of a subscription's data is out of date."""

    request: Request[Any]
    frame: int | None = None


@attrs.frozen(kw_only=True)
class GapAnnounced:
    """A gap was delivered to the feeds of these subscriptions, whether they had any or not.

    Gaps that a channel finds in its own data (missing trades) are part of the data, and not recorded here.
    """

    gap: Gap
    keys: tuple[tuple[str, str | None], ...]
    """Channels and symbols."""
    frame: int | None = None


Record: TypeAlias = (
    StateChanged
    | ExchangeStatus
    | AttemptDelayed
    | PhaseBegun
    | AttemptFailed
    | ClientLeft
    | FrameMalformed
    | NoticeReceived
    | ExchangeWarned
    | RequestRefused
    | UnmatchedRefusal
    | Resynced
    | StayedWithoutData
    | Parked
    | ConsumerFailed
    | RecordingDamaged
    | RecordingFailed
    | RecordingResumed
    | SegmentHealed
    | UploadFailed
    | StepTaken
    | SubscriptionBegun
    | StateReset
    | GapAnnounced
    | KeyWarned
)
