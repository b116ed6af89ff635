"""What subscriptions have to ask the exchange's REST interface: each question once, however many want to know.

Whoever runs the session asks what is in ``Effects.queries``, and tells the answer with :meth:`Session.answered
<kraken_trio.session.session.Session.answered>`; it may come at any time, and is of no use if nobody wants it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio.channels import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kraken_trio.channels import Failure
    from kraken_trio.events import Event
    from kraken_trio.session.subscription import Subscription
    from kraken_trio.wire.rest import Answer, Query

__all__ = ["Queries", "answers"]

_ASKING: Final = tuple(name for name, state in CHANNELS.items() if state.asks)


def answers(
    by_channel: Mapping[str, Mapping[str | None, Subscription]], query: Query, answer: Answer
) -> Iterator[tuple[Subscription, Sequence[Event], Failure | None]]:
    """Give an answer to the subscriptions that wait for it; yields what each of them makes of it."""
    for name in _ASKING:
        for sub in list(by_channel[name].values()):
            if query in sub.state.queries():
                yield sub, *sub.state.answer(query, answer)


class Queries:
    """The questions that have been asked, and not yet answered."""

    def __init__(self, by_channel: Mapping[str, Mapping[str | None, Subscription]]) -> None:
        self._by_channel = by_channel
        self._asked: set[Query] = set()

    def new(self) -> list[Query]:
        """The questions that have to be asked now."""
        found: dict[Query, None] = {}
        for name in _ASKING:
            for sub in self._by_channel[name].values():
                if sub.takes_data:
                    found.update(dict.fromkeys(sub.state.queries()))
        new = [query for query in found if query not in self._asked]
        self._asked.update(new)
        return new

    def answered(self, query: Query) -> None:
        """It is not being asked any more."""
        self._asked.discard(query)
