"""The host's ledger: never one attempt too many, whatever clocks and file do; and no wait that is not needed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kraken_trio.admission.ledger import HostLedger
from kraken_trio.settings import CONNECT_WINDOW

SECOND = 1_000_000_000  # in nanoseconds
WINDOW = round(CONNECT_WINDOW * SECOND)


class Host:
    """A host with its two clocks (in ns), its file, and the real time, which nobody there knows."""

    def __init__(self) -> None:
        self.time = 0
        self.wall_ahead = 1_700_000_000 * SECOND
        self.booted = -5 * SECOND
        self.data = b""

    def ledger(self) -> HostLedger:
        return HostLedger(self.data, wall=self.time + self.wall_ahead, monotonic=self.time - self.booted)

    def take(self, limit: int = 120) -> bool:
        ledger = self.ledger()
        wait = ledger.wait(limit)
        taken = ledger.take(limit)
        assert taken == (wait == 0)
        assert wait <= CONNECT_WINDOW + 1e-8
        self.data = ledger.to_bytes()
        assert len(self.data) == HostLedger.SIZE
        return taken


def test_a_file_holds_120_attempts_and_the_next_one_comes_after_ten_minutes() -> None:
    host = Host()
    assert [host.take() for _ in range(121)] == [True] * 120 + [False]
    assert host.ledger().wait() == pytest.approx(600.0)
    host.time += WINDOW
    assert not host.take()  # both ends of the window count
    assert host.ledger().wait() == 1e-9
    host.time += 1
    assert host.take()
    assert [host.take() for _ in range(120)] == [True] * 119 + [False]


def test_the_attempts_of_the_window_are_counted() -> None:
    host = Host()
    assert host.ledger().count == 0
    host.take()
    host.take()
    assert host.ledger().count == 2


def test_a_lower_limit_counts_those_of_the_others() -> None:
    host = Host()
    assert all(host.take() for _ in range(3))
    host.time += SECOND
    assert host.take(4)
    assert not host.take(4)
    assert [host.ledger().left(limit) for limit in (3, 4, 5, 120, 1000)] == [0, 0, 1, 116, 116]
    assert host.ledger().wait(4) == pytest.approx(599.0)
    assert host.ledger().wait(1) == pytest.approx(600.0)
    assert host.take(5)


def test_people_can_read_it() -> None:
    host = Host()
    host.take()
    lines = host.data.decode("ascii").splitlines()
    assert lines[0].startswith("kraken-trio: connection attempts")
    assert lines[1].split() == ["1700000000000000000", "5000000000"]
    assert {len(line) for line in lines} == {63}
    assert len(lines) == 121


@pytest.mark.parametrize("data", [b"[client]\nsilence_limit = 15\n", b"\xff", b"kraken-trio: something else", b" "])
def test_what_is_no_ledger_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="something else"):
        HostLedger(data, wall=0, monotonic=0)


def torn(cut: int) -> bytes:
    host = Host()
    host.take()
    return host.data[:cut]


@pytest.mark.parametrize(
    "data", [b"\0" * HostLedger.SIZE, b"\0", torn(1), torn(63), torn(64), torn(65)], ids=["zeros", "zero", *"abcd"]
)
def test_a_damaged_file_counts_as_full_and_is_good_again_after_the_window(data: bytes) -> None:
    host = Host()
    host.data = data
    assert not host.take()
    host.time += WINDOW
    assert not host.take()
    host.time += 1
    assert host.take()


def test_a_damaged_line_counts_as_an_attempt_of_now() -> None:
    host = Host()
    for _ in range(120):
        host.take()
    host.time += WINDOW
    host.data = host.data[:128] + b"x" * 40 + host.data[168:]
    host.time += 1
    assert [host.take() for _ in range(120)] == [True] * 119 + [False]


def test_after_a_restart_of_the_host_old_attempts_are_of_now() -> None:
    host = Host()
    host.time += 10_000 * SECOND
    assert all(host.take() for _ in range(120))
    host.time += 2 * WINDOW
    host.booted = host.time
    assert not host.take()  # by the wall clock they are over, but that may have been set
    host.time += WINDOW + 1
    assert host.take()


class HostAgainstTheRealTime(RuleBasedStateMachine):
    """Whatever happens to a host, its processes make no attempt too many in real time."""

    @initialize()
    def start(self) -> None:
        self.host = Host()
        self.taken: list[tuple[int, int]] = []
        self.is_disturbed = False
        self.calm_since = 0

    @rule(times=st.integers(1, 130), limit=st.integers(1, 120) | st.just(120))
    def take(self, times: int, limit: int) -> None:
        if self.is_disturbed:  # what makes no sense is of now, which is when it is looked at
            self.is_disturbed = False
            self.calm_since = self.host.time
        ledger = self.host.ledger()
        for _ in range(times):
            wait = ledger.wait(limit)
            assert ledger.take(limit) == (wait == 0)
            if wait:
                assert wait <= CONNECT_WINDOW + 1e-8
                is_calm = self.host.time - self.calm_since > WINDOW
                is_free = sum(at >= self.host.time - WINDOW for at, _ in self.taken) < limit
                assert not (is_calm and is_free), "it waits for nothing"
                break
            self.taken.append((self.host.time, limit))
        self.host.data = ledger.to_bytes()

    @rule(seconds=st.sampled_from([0.0, 1e-9, 1.0, 300.0, 599.999999999, 600.0, 600.000000001, 5000.0]))
    def wait(self, seconds: float) -> None:
        self.host.time += round(seconds * SECOND)

    @rule(seconds=st.integers(-10_000, 10_000))
    def set_the_clock(self, seconds: int) -> None:
        self.host.wall_ahead += seconds * SECOND
        self.is_disturbed = True

    @rule(off=st.integers(0, 1000))
    def restart(self, off: int) -> None:
        self.host.time += off * SECOND
        self.host.booted = self.host.time
        self.is_disturbed = True

    @precondition(lambda self: self.host.data)
    @rule(at=st.integers(64, HostLedger.SIZE - 1), rubbish=st.binary(min_size=1, max_size=100).filter(bytes.strip))
    def damage(self, at: int, rubbish: bytes) -> None:
        """Bytes that were never written; blanks would be attempts that were never made."""
        rubbish = bytes(byte | 0x80 for byte in rubbish)[: HostLedger.SIZE - at]
        self.host.data = self.host.data[:at] + rubbish + self.host.data[at + len(rubbish) :]
        self.is_disturbed = True

    @invariant()
    def never_too_many(self) -> None:
        times = [at for at, _ in self.taken]
        for last, (at, limit) in enumerate(self.taken):
            if last >= limit:
                assert at - times[last - limit] > WINDOW


TestHostAgainstTheRealTime = HostAgainstTheRealTime.TestCase
TestHostAgainstTheRealTime.settings = settings(stateful_step_count=15)


@given(st.binary(max_size=HostLedger.SIZE + 100) | st.binary(max_size=500).map(lambda tail: torn(64) + tail))
def test_any_bytes_are_a_ledger_or_refused(data: bytes) -> None:
    try:
        ledger = HostLedger(data, wall=10**18, monotonic=10**12)
    except ValueError:
        return
    assert 0 <= ledger.wait() <= 601
    again = HostLedger(ledger.to_bytes(), wall=10**18, monotonic=10**12)
    assert again.wait() == ledger.wait()
    assert again.to_bytes() == ledger.to_bytes()


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from([1, 200, 400, 600])), max_size=6),
    st.integers(0, HostLedger.SIZE),
    st.sampled_from([0, 1, 250, 600]),
)
def test_a_write_that_is_cut_short_loses_no_attempt(history: list[tuple[int, int]], cut: int, pause: int) -> None:
    host = Host()
    taken: list[int] = []
    for attempts, seconds in history:
        ledger = host.ledger()
        taken += [host.time for _ in range(attempts) if ledger.take()]
        host.data = ledger.to_bytes()
        host.time += seconds * SECOND
    ledger = host.ledger()
    ledger.take()  # an attempt that is not made, for its writer dies
    host.data = ledger.to_bytes()[:cut] + host.data[cut:]
    ledger = host.ledger()
    host.data = ledger.to_bytes()
    host.time += pause * SECOND
    ledger = host.ledger()
    left = sum(ledger.take() for _ in range(130))
    assert left <= 120 - sum(at >= host.time - WINDOW for at in taken)
    host.time += WINDOW + 1
    assert host.ledger().wait() == 0


def test_every_process_sees_what_the_others_wrote() -> None:
    host = Host()
    counts = [sum(host.take(30 * process) for _ in range(50)) for process in range(1, 5)]
    assert list(itertools.accumulate(counts)) == [30, 60, 90, 120]
