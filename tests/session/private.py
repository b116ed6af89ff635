"""A session on an authenticated connection to an account, in the hands of a test."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kraken_trio.channels.executions import OpenOrders
from kraken_trio.endpoint import Endpoint
from kraken_trio.events import Cause, Event, Execution, Gap
from kraken_trio.requests import Executions
from kraken_trio.session import Effects, Session
from kraken_trio.session.inputs import Added, Answered, Connected, Lost, Opened, Retried
from kraken_trio.settings import Settings
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.rest import Answer
from tests.session.account import SPEECHES

if TYPE_CHECKING:
    from kraken_trio.session.inputs import Input
    from kraken_trio.wire.rest import Query
    from tests.session.account import Account

FEED = "feed"


class Private:
    """A session on an authenticated connection to an account; REST is ``lag`` seconds behind."""

    def __init__(self, account: Account, lag: float = 0.0, history: bool = False, protocol: str = "v2") -> None:
        self.speech = SPEECHES[protocol]()
        self.account = account
        self.lag = lag
        self.latency = 0.0
        self.is_rest_down = False
        endpoint = Endpoint("wss://x", protocol, serves=("executions",), needs_token=True)
        self.session = Session(Settings(), lambda: 0.5, codec_for(protocol), endpoint)
        self.now = 0.0
        self.events: list[Event] = []
        self.asked: list[tuple[float, Query]] = []
        self.queries: list[Query] = []
        self.sent: list[dict[str, Any]] = []
        self.next_report = 0
        self.renewals = 0
        self.answers: list[tuple[object, dict[Any, str]]] = []
        self.tell(Added(FEED, (Executions(history=history),)))
        self.tell(Opened())

    def fork(self) -> Private:
        """A copy that goes its own way. What is frozen is shared."""
        frozen: list[object] = [self.account, *self.events, *self.sent, *self.queries]
        return copy.deepcopy(self, {id(value): value for value in frozen})

    def do(self, effects: Effects) -> None:
        self.events += effects.deliver.get(FEED, [])
        self.sent += [json.loads(frame) for frame in effects.send]
        self.renewals += effects.renew_token
        self.answers += [answer for answer in effects.answers if answer[1]]
        for query in effects.queries:
            self.queries.append(query)
            self.asked.append((self.now + query.after + self.latency, query))

    def tell(self, happening: Input) -> Effects:
        """Tell the session of it, and do what it decides."""
        effects = happening.tell(self.session, self.now)
        self.do(effects)
        return effects

    def receive(self, *frames: str) -> Effects:
        effects = self.session.receive(frames, 1, self.now)
        self.do(effects)
        return effects

    def connect(self) -> None:
        self.tell(Connected())
        self.receive(self.speech.STATUS)
        self.subscribe()

    def subscribe(self) -> None:
        """The exchange answers a subscribe, and sends its snapshot."""
        self.receive(*self.speech.accept(self.sent, self.account.snapshot(self.now)))
        self.next_report = sum(report.at <= self.now for report in self.account.reports)

    def cut(self) -> None:
        self.tell(Lost(Cause.DISCONNECTED, "cut", None))

    def retry(self) -> None:
        self.tell(Retried())
        self.connect()

    def step(self, most: int | None = None) -> None:
        """Receive the next report of the stream; of its messages perhaps only so many."""
        report = self.account.reports[self.next_report]
        self.next_report += 1
        self.now = max(self.now, report.at)
        self.receive(*self.speech.tell(report)[:most])

    def run(self, until: float) -> None:
        """Receive the stream, and REST's answers, in the order of time."""
        while True:
            reports = self.account.reports
            report_at = reports[self.next_report].at if self.next_report < len(reports) else float("inf")
            answer_at = min((at for at, _ in self.asked), default=float("inf"))
            if min(report_at, answer_at) > until:
                break
            if answer_at < report_at:
                at, query = min(self.asked, key=lambda one: one[0])
                self.asked.remove((at, query))
                self.now = max(self.now, at)
                if self.is_rest_down:
                    answer = Answer(error="REST is down")
                else:
                    answer = self.account.answer(query, self.now - self.lag)
                self.tell(Answered(query, answer))
            else:
                self.step()
        self.now = until

    @property
    def fills(self) -> list[str]:
        return [event.exec_id for event in self.events if isinstance(event, Execution) and event.exec_id is not None]

    @property
    def gaps(self) -> list[Gap]:
        return [
            event
            for event in self.events
            if isinstance(event, Gap) and event.cause in (Cause.MISSED, Cause.UNRECOVERED)
        ]

    def check_each_fill_once_and_in_order(self, since: float = 0.0) -> None:
        wanted = [fill.exec_id for fill in self.account.fills if since < fill.at <= self.now]
        assert self.fills == wanted

    def check_open_orders(self) -> None:
        """The feed's own view, which follows nothing but the events."""
        view = OpenOrders()
        for event in self.events:
            view.follow(event)
        seen = {order_id: order.cum_qty or Decimal(0) for order_id, order in view.orders.items()}
        assert seen == self.account.open_orders(self.now)
