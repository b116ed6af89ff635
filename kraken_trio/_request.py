"""The base of all requests. It stands below the events, so that errors can say which request they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol

import attrs

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar

__all__ = ["AnyEvent", "E_co", "Request"]


class AnyEvent(Protocol):
    """What every event has, those of channels that this package does not know included."""

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
    """What you subscribe with: a frozen value, compared by content. ``E_co`` is the type of the events that it yields.

    The base of :class:`~kraken_trio.Book` and the others, and of requests for channels of your own.
    """

    channel: ClassVar[str | None] = None
    """Which channel of the exchange; None: the client answers itself."""

    symbol: str | None = attrs.field(default=None, init=False, repr=False, eq=False)
    """Of which market; None: the channel has none."""

    @property
    def variant(self) -> tuple[str, object] | None:
        """The parameter that may have one value only per channel, symbol and connection: its name and its value."""
        return None

    def joined(self, other: Request[Any]) -> Request[Any]:
        """The one request that asks for what both do: ``other`` has the same channel, symbol and variant."""
        return other
