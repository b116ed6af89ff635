"""What each feed wants, and what the client itself refuses."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio.session.subscription import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kraken_trio.requests import Request
    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.settings import Settings
    from kraken_trio.wire.codec import Codec

__all__ = ["Wishes", "objections"]


@attrs.define
class Wishes:
    """What one feed wants, and the answers so far."""

    requests: tuple[Request[Any], ...]
    keyed: tuple[tuple[Key, Request[Any]], ...] = attrs.field(init=False)
    """What it wants from the exchange."""
    wants_lifecycle: bool = attrs.field(init=False)
    """Whether it wants the client's state changes and the exchange's status."""
    waiting: set[Key] = attrs.Factory(set)
    """What the exchange has not answered yet."""
    reasons: dict[Request[Any], str] = attrs.Factory(dict)
    answered: bool = False

    def __attrs_post_init__(self) -> None:
        """Separate the exchange's channels from :class:`~kraken_trio.Lifecycle`, which the client answers itself."""
        self.keyed = tuple((key_of(request), request) for request in self.requests if request.channel is not None)
        self.wants_lifecycle = any(request.channel is None for request in self.requests)


def objections(
    wishes: Wishes,
    subscriptions: Mapping[Key, Subscription],
    feeds: int,
    served: Collection[str],
    codec: Codec,
    settings: Settings,
) -> dict[Request[Any], str]:
    """The requests of ``wishes`` that the client refuses, and why. ``served``: the channels of this endpoint."""
    if feeds >= settings.max_feeds:
        text = f"this client has {settings.max_feeds} open feeds (Settings.max_feeds): open another client"
        return dict.fromkeys(wishes.requests, text)
    reasons: dict[Request[Any], str] = {}
    wanted = {key: sub.request for key, sub in subscriptions.items() if sub.wanted_by}
    symbols = Counter(key[0] for key in wanted)
    count = len(subscriptions)  # those being unsubscribed count as well: they take up memory too
    for key, request in wishes.keyed:
        known = wanted.get(key)
        is_new = known is None and key not in subscriptions
        objection = codec.objection(request)
        if objection is not None:
            reasons[request] = objection
        elif key[0] not in served:
            reasons[request] = f"this endpoint has no channel {key[0]!r}; it has {_listed(served)}"
        elif is_new and count >= settings.max_subscriptions:
            reasons[request] = (
                f"this client has {settings.max_subscriptions} subscriptions "
                f"(Settings.max_subscriptions): open another client"
            )
        elif known is None:
            most = codec.terms(request).max_symbols
            if most is not None and symbols[key[0]] >= most:  # mutant: symbols of a connection
                reasons[request] = (
                    f"Kraken allows {most} symbols of the channel {key[0]!r} per connection, and a client is one "
                    "connection: open another client for the rest, or let a relay spread them"
                )
                continue
            wanted[key] = request
            symbols[key[0]] += 1
            count += is_new
        elif known.variant != request.variant:
            reasons[request] = _conflict(known, request)
    return reasons


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _conflict(known: Request[Any], request: Request[Any]) -> str:
    assert known.variant is not None  # requests of one channel either all have a variant, or none has
    name, value = known.variant
    of = f"{request.symbol} is" if request.symbol else f"the channel {request.channel!r} is"
    per = "symbol" if request.symbol else "channel"
    return (
        f"{of} subscribed with {name}={value} on this connection, and Kraken allows one {name} per {per}: "
        f"use {name}={value}, or open another client"
    )
