"""The base of all requests. It is below the events, so that errors can name the request they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol

import attrs

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar

__all__ = ["AnyEvent", "E_co", "Request"]


class AnyEvent(Protocol):
    """What every event has, including those of channels that this package does not define."""

    @property
    def epoch(self) -> int:
        """The number of the connection that it came over."""
        ...

    @property
    def received_ns(self) -> int:
        """When its bytes were read, in nanoseconds since 1970-01-01 UTC."""
        ...


if TYPE_CHECKING:
    E_co = TypeVar("E_co", bound=AnyEvent, covariant=True, default=AnyEvent)
else:  # defaults of type variables come with Python 3.13
    E_co = TypeVar("E_co", covariant=True)


@attrs.frozen
class Request(Generic[E_co]):
    """The base of all requests, also of those for channels of your own: a frozen value, compared by content.

    ``E_co`` is the type of the events that it yields.
    """

    channel: ClassVar[str | None] = None
    """The exchange's channel; None: the client answers itself."""

    symbol: str | None = attrs.field(default=None, init=False, repr=False, eq=False)
    """The market; None: the channel has no symbols."""

    @property
    def variant(self) -> tuple[str, object] | None:
        """Name and value of the parameter that may have only one value per channel, symbol and connection."""
        return None

    def joined(self, other: Request[Any]) -> Request[Any]:
        """One request for what both ask for; ``other`` has the same channel, symbol and variant."""
        return other
