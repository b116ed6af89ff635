"""Times in recordings of others: exact, or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from kraken_trio.recording.times import MAX_NS, moment_ns, time_ns, whole_ns

SECOND = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIGNIFICANT = st.integers(10**17, MAX_NS)
"""Nanoseconds since 1970 of times whose unit can be told, from 1973 on."""


@given(SIGNIFICANT, st.sampled_from([9, 6, 3, 0]))
def test_unix_times_are_exact_in_every_unit(time: int, digits: int) -> None:
    whole, fraction = divmod(time, 10**digits)
    text = f"{whole}.{fraction:0{digits}}" if digits else str(whole)
    assert time_ns(text.encode()) == time


@given(
    st.datetimes(EPOCH.replace(day=3, tzinfo=None), EPOCH.replace(year=2262, tzinfo=None)),
    st.integers(0, 999),
    st.integers(-1439, 1439),
    st.sampled_from("Tt "),
    st.sampled_from(".,"),
    st.sampled_from(["", ":"]),
)
def test_iso_times_are_exact(local: datetime, ns: int, minutes: int, t: str, point: str, colon: str) -> None:
    offset = timedelta(minutes=minutes)
    aware = local.replace(tzinfo=timezone(offset))
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{colon}{abs(minutes) % 60:02}"
    text = f"{local:%Y-%m-%d}{t}{local:%H:%M:%S}{point}{local.microsecond:06}{ns:03}{zone}"
    assert time_ns(text.encode()) == (aware - EPOCH) // timedelta(microseconds=1) * 1000 + ns


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", 0),
        ("12", 12 * 10**9),
        ("1785644622.17", 1785644622170000000),
        ("1785644622.1786726009", 1785644622178672600),
        ("1785644622178", 1785644622178000000),
        ("1785644622178.5", 1785644622178500000),
        ("1785644622178672", 1785644622178672000),
        ("1785644622178672600", 1785644622178672600),
        ("1785644622178672600.9", 1785644622178672600),
        ("9223372036.854775807", MAX_NS),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29 00:00:00", 1709164800 * 10**9),
        ("2026-11-29T02:54:37.123456789123Z", 1795920877123456789),
        ("2026-11-29t02:54:37,5z", 1795920877500000000),
        ("2026-11-29T03:54:37+01", 1795920877 * 10**9),
        ("2026-11-28T21:24:37-05:30", 1795920877 * 10**9),
        ("9223372036.854775808", None),
        ("99999999999999999999", None),
        ("1970-01-01T00:00:00+00:01", None),
        ("2300-01-01T00:00:00Z", None),
        ("2026-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("2026-11-29T24:00:00Z", None),
        ("2026-11-29T23:59:60Z", None),
        ("2026-11-29T23:60:00Z", None),
        ("2026-11-29T00:00:00+24:00", None),
        ("2026-11-29T00:00:00+00:60", None),
        ("2026-11-29", None),
        ("2026-11-29T00:00", None),
        ("", None),
        ("1.", None),
        (".5", None),
        ("-1", None),
        ("1e9", None),
        ("1785644622,5", None),
        ("1785644622.5.5", None),
        (" 1785644622", None),
        ("1785644622\n", None),
        ("\u0661", None),
        ("1" * 21, None),
    ],
)
def test_a_time(text: str, time: int | None) -> None:
    assert time_ns(text.encode()) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", 0),
        ("1785644622178672600", 1785644622178672600),
        (str(MAX_NS), MAX_NS),
        (str(MAX_NS + 1), None),
        ("1785644622.5", None),
        ("-1", None),
        ("", None),
        ("0" * 21, None),
    ],
)
def test_whole_nanoseconds(text: str, time: int | None) -> None:
    assert whole_ns(text.encode()) == time


@given(st.binary(max_size=40) | st.text("0123456789-:.,TZ+ ", max_size=40).map(str.encode))
def test_anything_else_is_no_time(text: bytes) -> None:
    for time in (time_ns(text), whole_ns(text)):
        assert time is None or 0 <= time <= MAX_NS


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (0, 0),
        (MAX_NS, MAX_NS),
        ("2026-11-29", 1795910400 * SECOND),
        (" 2026-11-29T01:00:00.000000001+01:00 ", 1795910400 * SECOND + 1),
        ("1795910400.5", 1795910400 * SECOND + SECOND // 2),
        (datetime(2026, 11, 29, 0, 0, 0, 7, tzinfo=UTC), 1795910400 * SECOND + 7000),
        (datetime(2026, 11, 29, 1, tzinfo=timezone(timedelta(hours=1))), 1795910400 * SECOND),
    ],
)
def test_a_moment_that_a_program_names(moment: datetime | int | str, expected: int) -> None:
    assert moment_ns(moment, "start") == expected


@pytest.mark.parametrize("moment", [-1, MAX_NS + 1, "", "noon", "2026-02-30", datetime(1969, 12, 31, tzinfo=UTC)])
def test_what_is_no_moment_is_told(moment: datetime | int | str) -> None:
    with pytest.raises(ValueError, match=r"^start=.*: no time from 1970 to 2262"):
        moment_ns(moment, "start")


def test_a_moment_without_a_time_zone_or_of_another_type_is_told() -> None:
    with pytest.raises(ValueError, match=r"^end=.* has no time zone: use datetime"):
        moment_ns(datetime(2026, 11, 29), "end")  # noqa: DTZ001 (that is the point)
    for moment in (1.5, True, None):
        with pytest.raises(TypeError, match=r"^end=.*: a datetime with a time zone, text such as"):
            moment_ns(moment, "end")  # type: ignore[arg-type]  # wrong on purpose
