"""Which member of a group has which buckets."""

from __future__ import annotations

import attrs
from hypothesis import given, strategies as st

from kraken_trio.broker.group import BEAT, BUCKETS, GONE_AFTER, Claim, Membership, Plan, _divided, bucket_of
from kraken_trio.broker.position import Place


@attrs.frozen
class Record:
    value: bytes
    revision: int


class Broker:
    """Records, changed by compare and set."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.revision = 0

    def write(self, name: str, value: bytes, revision: int) -> int | None:
        known = self.records.get(name)
        if revision != (known.revision if known else 0):
            return None
        self.revision += 1
        self.records[name] = Record(value, self.revision)
        return self.revision


class Member:
    """A member that hands over at once what it should not have."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.group = Membership("g", name, range(BUCKETS))
        self.owned: dict[int, int] = {}
        self.done = 0

    def beat(self, now: float) -> Plan:
        revision = self.broker.write(self.group.name, self.group.beat(), self.group.revision)
        assert revision is not None
        self.group.revision = revision
        plan = self.group.look(self.broker.records, self.owned, now)
        for bucket in plan.lost:
            del self.owned[bucket]
        for bucket in plan.leave:
            self.done += 1
            free = self.group.free({0: Place(self.done)})
            assert self.broker.write(self.group.bucket_name(bucket), free, self.owned.pop(bucket)) is not None
        for claim in plan.free:
            self.broker.write(self.group.bucket_name(claim.bucket), self.group.free(claim.places), claim.revision)
        for claim in plan.claims:
            held = self.group.held(claim.places)
            taken = self.broker.write(self.group.bucket_name(claim.bucket), held, claim.revision)
            if taken is not None:
                self.owned[claim.bucket] = taken
        return plan

    def leave(self) -> None:
        for bucket, owned in self.owned.items():
            self.broker.write(self.group.bucket_name(bucket), self.group.free(None), owned)
        self.owned.clear()
        revision = self.broker.write(self.group.name, self.group.farewell(), self.group.revision)
        assert revision is not None
        self.group.revision = revision  # for one that joins again


def test_a_symbol_stays_in_its_bucket() -> None:
    assert bucket_of("BTC/USD") == bucket_of("BTC/USD")
    assert {bucket_of(f"S{number}/USD") for number in range(1000)} == set(range(BUCKETS))
    assert 0 <= bucket_of(None) < BUCKETS


def test_the_first_member_has_all_and_a_second_one_about_half() -> None:
    broker = Broker()
    first, second = Member(broker, "a"), Member(broker, "b")
    first.beat(0.0)
    assert set(first.owned) == set(range(BUCKETS))
    assert not second.beat(0.5).claims  # they are held
    leave = first.beat(1.0).leave
    assert len(leave) == BUCKETS // 2
    plan = second.beat(1.5)
    assert {claim.bucket for claim in plan.claims} == leave
    assert all(claim.places is not None for claim in plan.claims)
    assert set(first.owned) | set(second.owned) == set(range(BUCKETS))
    assert not set(first.owned) & set(second.owned)
    second.leave()
    first.beat(2.0)
    assert set(first.owned) == set(range(BUCKETS))


@given(st.integers(1, 9), st.sets(st.integers(0, BUCKETS - 1)))
def test_nobody_has_more_than_one_more_than_another(members: int, buckets: set[int]) -> None:
    names = [f"{number:03x}" for number in range(members)]
    divided = _divided(sorted(buckets), names)
    counts = [list(divided.values()).count(name) for name in names]
    assert set(divided) == buckets
    assert max(counts) - min(counts) <= 1


def test_who_is_silent_is_gone_by_everybodys_own_clock() -> None:
    broker = Broker()
    silent, other = Member(broker, "a"), Member(broker, "b")
    silent.beat(0.0)
    other.beat(1000.0)
    other.beat(1000.0 + GONE_AFTER - 0.1)
    assert not other.owned
    other.beat(1000.0 + GONE_AFTER)
    assert set(other.owned) == set(range(BUCKETS))
    # When it is back, it has lost them; then they share.
    assert silent.beat(9.0).lost == set(range(BUCKETS))
    assert not silent.owned
    other.beat(1000.0 + GONE_AFTER + BEAT)
    silent.beat(10.0)
    assert silent.owned


def test_answers_that_were_lost() -> None:
    broker = Broker()
    member, other = Member(broker, "a"), Member(broker, "b")
    member.beat(0.0)
    member.owned.clear()  # it had them, and does not know
    assert member.group.holds(broker.records[member.group.bucket_name(0)])
    assert not other.group.holds(broker.records[member.group.bucket_name(0)])
    other.beat(0.0)
    plan = member.beat(1.0)
    assert plan.free
    assert plan.claims
    assert {claim.bucket for claim in (*plan.free, *plan.claims)} == set(range(BUCKETS))
    other.beat(1.0)
    assert set(member.owned) | set(other.owned) == set(range(BUCKETS))


def test_records_of_nobody() -> None:
    broker = Broker()
    member = Member(broker, "a")
    broker.write(member.group.bucket_name(3), b"?", 0)
    broker.write(f"{member.group.prefix}other", b"?", 0)
    plan = member.group.look(broker.records, (), 0.0)
    assert plan.claims[3] == Claim(3, 1, None)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["beat", "beat", "beat", "leave"])), max_size=60))
def test_no_bucket_has_two_holders_that_are_alive_and_in_the_end_each_has_one(steps: list[tuple[int, str]]) -> None:
    broker = Broker()
    members = [Member(broker, name) for name in "abcd"]
    now = 0.0
    for index, step in steps:
        now += 0.1
        getattr(members[index], step)(*([now] if step == "beat" else []))
        holders = [bucket for member in members for bucket in member.owned]
        if now < GONE_AFTER:
            assert len(holders) == len(set(holders))
    members[0].leave()
    for _ in range(20):
        now += BEAT
        for member in members[1:]:
            member.beat(now)
    holders = [bucket for member in members[1:] for bucket in member.owned]
    assert sorted(holders) == list(range(BUCKETS))
