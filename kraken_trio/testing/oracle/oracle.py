"""Everything observed in one run: an exchange, successive clients, their feeds, and the faults."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from kraken_trio.events import Cause, Gap, StatusUpdate
from kraken_trio.requests import Overflow
from kraken_trio.testing.oracle.account import PRIVATE_CHANNELS, AccountOracle
from kraken_trio.testing.oracle.bounds import Pacing, check_buffered, check_dials
from kraken_trio.testing.oracle.broken import BrokenPromise
from kraken_trio.testing.oracle.causes import Explanations
from kraken_trio.testing.oracle.feed import FeedOracle
from kraken_trio.testing.oracle.received import levels_of
from kraken_trio.testing.oracle.sent import Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kraken_trio.book import Level3Book
    from kraken_trio.requests import Request
    from kraken_trio.runtime.feed import Feed
    from kraken_trio.settings import Settings
    from kraken_trio.testing.exchange.server import Exchange

__all__ = ["Oracle"]


class Oracle:
    """Checks the promises in a run. Every method raises :class:`BrokenPromise` if one is broken."""

    def __init__(
        self, exchange: Exchange, settings: Settings, depths: Mapping[str, int], now: Callable[[], float]
    ) -> None:
        """``settings`` are the clients'; ``depths`` are those that they subscribe to, by symbol."""
        self.sent: Sent = Sent(exchange.journal, depths)
        self.explanations: Explanations = Explanations(self.sent)
        self._exchange = exchange
        self._settings = settings
        self._depths = depths
        self._now = now
        self._pacing = Pacing(settings)

    def new_client(self) -> None:
        """A client is opened; the pacing of requests is per client."""
        self._pacing = Pacing(self._settings)

    def connected(self, number: int) -> None:
        """A client's connection has this number at the exchange."""
        self.sent.connected(number)

    def happened(self, fault: object) -> None:
        """This fault was injected."""
        self.explanations.happened(fault)

    def may_reject(self, request: Request) -> bool:
        """Whether a subscribe may be refused."""
        return self.explanations.may_reject(request)

    def watch(self, name: str, feed: Feed, numbers: Mapping[int, int]) -> FeedOracle:
        """Watch a feed that was just opened; ``numbers`` are the exchange's, of the client's connections, by epoch."""

        def explain(gap: Gap) -> None:
            if gap.cause is not Cause.OVERFLOW:
                self.explanations.explain(name, gap, self._now(), numbers.get(gap.epoch))
            elif feed.overflow is not Overflow.DROP_OLDEST or feed.statistics().dropped == 0:
                raise BrokenPromise(6, f"{name} at {self._now():.6f}: {gap}, and nothing was dropped")

        def explain_status(event: StatusUpdate) -> None:
            self.explanations.explain_status(name, event)

        wants = {request.channel for request in feed.requests}
        account = None
        if not wants.isdisjoint(PRIVATE_CHANNELS):
            account = AccountOracle(
                name,
                self._exchange.account,
                wants=wants,
                may_be_strange=lambda: self.explanations.injected["StrangeReport"] > 0,
                now=self._now,
            )
        return FeedOracle(
            name,
            feed.requests,
            self.sent,
            numbers,
            opened_ns=self._exchange.time_ns,
            overflow=feed.overflow,
            now=self._now,
            explain=explain,
            explain_status=explain_status,
            account=account,
        )

    # 4

    def asked(self, text: str) -> None:
        """The client has sent this."""
        self._pacing.asked(text, self._now())

    @staticmethod
    def check_buffered(name: str, feed: Feed) -> None:
        """Check how many events wait in this feed."""
        check_buffered(name, feed.statistics())

    @staticmethod
    def check_dials(dials: Iterable[float]) -> None:
        """Check that clients have not connected too often in any window."""
        check_dials(dials)

    # 3

    def finish(self, watched: Iterable[tuple[FeedOracle, Feed]]) -> None:
        """Check, when all is quiet, that nothing is missing, and every book is the exchange's."""
        connection = self.sent.latest
        for oracle, feed in watched:
            missing = oracle.behind(connection)
            if missing is not None:
                raise BrokenPromise(3, missing)
            if oracle.account is not None:
                self._finish_account(oracle.account, feed)
            for symbol, orders in feed.level3_books.items():
                if not connection.withheld[symbol]:
                    self._finish_orders(oracle.name, orders, symbol)
            for symbol, book in feed.books.items():
                theirs = self._exchange.book(symbol, self._depths[symbol])
                if connection.withheld[symbol]:
                    continue  # an update may be missing that no checksum covers
                if _numbers(levels_of(book.bids), levels_of(book.asks)) != _numbers(theirs.bids, theirs.asks):
                    raise BrokenPromise(3, f"{oracle.name}: {book} is not the exchange's book in the end")

    def _finish_orders(self, name: str, book: Level3Book, symbol: str) -> None:
        ours = tuple(
            tuple((order.order_id, order.price, order.qty) for queue in side for order in queue.orders)
            for side in (book.bids, book.asks)
        )
        if ours != self._exchange.orders(symbol, self._depths[symbol]):
            raise BrokenPromise(3, f"{name}: {book} has not the exchange's queues in the end")

    def _finish_account(self, account: AccountOracle, feed: Feed) -> None:
        missing = account.behind(self._exchange.time_ns)
        if missing is not None:
            raise BrokenPromise(3, missing)
        if "executions" in account.wants:
            account.check_orders(feed.orders)
        if "balances" in account.wants:
            account.check_balances(feed.balances)


def _numbers(*sides: Iterable[tuple[str, str]]) -> list[list[tuple[Decimal, Decimal]]]:
    """Levels by value: the digits are those of the frames, which has been checked, and v1 has more of them."""
    return [[(Decimal(price), Decimal(qty)) for price, qty in side] for side in sides]
