"""Compare and set in a log that is compacted: whoever reads what is left comes to the same result."""

from __future__ import annotations

from typing import Any, cast

import attrs
from hypothesis import given, strategies as st

from kraken_trio.broker.kafka import KafkaEngine
from kraken_trio.broker.kafka.records import Records, judge

NAME = "g.bucket.1"


@attrs.frozen
class Stored:
    """As a message of confluent-kafka."""

    at: int
    name: str
    expected: int | None
    """None: it removes the attempt of this key."""

    def key(self) -> bytes:
        return self.name.encode()

    def value(self) -> bytes | None:
        return None if self.expected is None else self.name.encode()

    def headers(self) -> list[tuple[str, bytes]]:
        return [("expected", b"%d" % (self.expected or 0))]


def read(log: list[Stored]) -> Records:
    records = Records(KafkaEngine("kafka://host")._setup, cast("Any", None))
    for message in log:
        records._read(cast("Any", message), message.at)
    return records


def compact(log: list[Stored], end: int) -> list[Stored]:
    """What is left of the log when its beginning is compacted: the last message of each key."""
    last = {message.name: message.at for message in log[:end]}
    return [one for one in log[:end] if last[one.name] == one.at] + log[end:]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), max_size=25), st.data())
def test_what_is_left_of_the_log_tells_who_has_won(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    """Each step: an attempt of a writer that knows a state of so long ago, and dies after so many removals."""
    log: list[Stored] = []
    revisions = [0]  # as a broker that could compare would have given them
    offset = 0
    for age, removals in steps:
        expected = revisions[max(len(revisions) - 1 - age, 0)]
        is_won = expected == revisions[-1]
        name = f"{NAME}/{offset}"
        log.append(Stored(offset, name, expected))
        offset += 1
        if is_won:
            revisions.append(offset)
            judged = judge(read(log)._attempts[NAME])
            for attempt in judged.useless[:removals]:
                log.append(Stored(offset, attempt.key, None))
                offset += 1
        if data.draw(st.booleans(), label="compacted"):
            log = compact(log, data.draw(st.integers(0, len(log)), label="up to"))
        found = read(log).find("g.")
        assert found[NAME].revision == revisions[-1]
        assert read(log).find("other") == {}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=25))
def test_all_that_is_of_no_more_use_is_removed(ages: list[int]) -> None:
    log: list[Stored] = []
    revisions = [0]
    for offset, age in enumerate(ages):
        expected = revisions[max(len(revisions) - 1 - age, 0)]
        log.append(Stored(offset, f"{NAME}/{offset}", expected))
        if expected == revisions[-1]:
            revisions.append(offset + 1)
    judged = judge(read(log)._attempts[NAME])
    log += [Stored(len(ages) + at, attempt.key, None) for at, attempt in enumerate(judged.useless)]
    (left,) = read(log)._attempts[NAME]
    assert left.record.revision == revisions[-1]


def test_messages_of_others_are_passed_over() -> None:
    records = read([Stored(0, f"{NAME}/0", 0)])
    for key, value, headers in ((None, b"", []), (b"\xff/1", b"", []), (b"x/1", b"", [("expected", b"?")])):
        foreign = attrs.make_class("Foreign", {"key": attrs.field(), "value": attrs.field(), "headers": attrs.field()})
        records._read(cast("Any", foreign(lambda k=key: k, lambda v=value: v, lambda h=headers: h)), 1)
    assert list(records.find("")) == [NAME]
