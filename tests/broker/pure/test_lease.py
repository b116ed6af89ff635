"""A lease: whoever may publish by its own clock has the lease at the broker, whatever is late, lost or stopped."""

from __future__ import annotations

from math import inf
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.lease import Ask, Lease, Standing

TTL = 3.0


def test_a_standby_asks_again_after_a_moment() -> None:
    lease: Lease[str] = Lease(TTL, retry=0.1)
    assert (lease.ask, lease.due, lease.standing(0)) == (Ask.ACQUIRE, -inf, Standing.STANDBY)
    lease.refused(5)
    assert lease.due == 5.1
    assert not lease.may_publish(5)
    lease.connected(6)
    assert lease.due == 6
    lease.connected(7, patience=4)  # who had it may come back
    assert lease.due == 11


def test_it_counts_from_when_it_was_asked_for() -> None:
    lease: Lease[str] = Lease(TTL)
    lease.acquired("fence", sent=10)
    assert lease.fence == "fence"
    assert (lease.ask, lease.due, lease.until) == (Ask.RENEW, 11, 13)
    assert lease.may_publish(12.9)
    assert not lease.may_publish(13)
    assert lease.standing(12.9) is Standing.OWNER
    assert lease.standing(13) is Standing.LAPSED
    lease.renewed(sent=15)  # nobody else has had it
    assert lease.standing(15) is Standing.OWNER
    assert (lease.due, lease.until) == (16, 18)
    lease.connected(15.5, patience=4)
    assert lease.due == -inf  # nobody else has what it has
    lease.renewed(sent=14)  # a late answer to an earlier question
    assert lease.until == 18


def test_who_is_fenced_begins_anew() -> None:
    lease: Lease[str] = Lease(TTL)
    lease.acquired("fence", sent=0)
    lease.fenced(1)
    assert (lease.fence, lease.ask, lease.due, lease.until) == (None, Ask.ACQUIRE, 1, -inf)
    assert lease.standing(1) is Standing.STANDBY
    lease.renewed(sent=0.5)  # an answer that was on its way
    assert not lease.may_publish(1)


@attrs.define
class Broker:
    """Has the lease, by a clock of its own."""

    rate: float
    owner: int | None = None
    number: int = 0
    until: float = 0

    def ask(self, who: int, fence: Any, now: float) -> Any:
        """Answer a question that arrives now: a fence, or None."""
        now *= self.rate
        if fence is None:
            if self.owner is not None and now < self.until:
                return None
            self.owner, self.number = who, self.number + 1
        elif fence != self.number or self.owner != who:
            return None
        self.until = now + TTL
        return self.number


delays = st.floats(0, 5)
steps = st.lists(st.tuples(st.integers(0, 2), delays, delays, st.booleans()), max_size=60)


@given(steps, st.floats(0.2, 1))
def test_no_two_may_publish_at_once(script: list[tuple[int, float, float, bool]], rate: float) -> None:
    """If the broker's clock is not faster than the owners'. (If it is, it refuses what the earlier one sends.)

    Three owners: in each step one asks, which arrives after a delay; the answer takes another one, or is lost.
    """
    broker = Broker(rate)
    leases: list[Lease[int]] = [Lease(TTL) for _ in range(3)]
    now = 0.0
    for who, there, back, is_lost in script:
        lease = leases[who]
        sent, fence = now, lease.fence
        now += there
        answer = broker.ask(who, fence, now)
        now += back
        if is_lost:
            lease.connected(now)
        elif answer is None:
            if fence is None:
                lease.refused(now)
            else:
                lease.fenced(now)
        elif fence is None:
            lease.acquired(answer, sent)
        else:
            lease.renewed(sent)
        for one in (sent, now):
            assert sum(each.may_publish(one) for each in leases) <= 1 or one < now
        owners = [each for each in leases if each.may_publish(now)]
        assert all(each.fence == broker.number for each in owners)


@pytest.mark.parametrize("answers", [2, 3])
def test_two_answers_may_be_missing(answers: int) -> None:
    lease: Lease[str] = Lease(TTL)
    lease.acquired("fence", sent=0)
    due = lease.due
    assert due * answers <= TTL
