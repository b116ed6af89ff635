"""Reading recordings: what was written comes back, and nothing that a file says is trusted."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio._zstd import zstd
from kraken_trio.errors import RecordingError
from kraken_trio.recording.foreign import MAX_LINE_BYTES, RecordedFrame, read_frames
from kraken_trio.recording.times import MAX_NS
from kraken_trio.settings import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = b"CBCAP1 kraken BTC/USD 1785644622178672600\n"


def framed(*frames: bytes) -> bytes:
    return HEADER + b"".join(b"1785644622178672600 %d\n%s\n" % (len(frame), frame) for frame in frames)


def chopped(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(data: bytes, size: int = 7) -> list[RecordedFrame]:
    return list(read_frames(chopped(data, size)))


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_what_was_framed_comes_back_however_it_is_chopped(frames: list[bytes], size: int) -> None:
    data = framed(*frames)
    found = read(data, size)
    assert [frame.data for frame in found] == frames
    assert [frame.number for frame in found] == list(range(1, len(frames) + 1))
    for frame in found:
        assert data[frame.offset : frame.offset + len(frame.data)] == frame.data


json_lines = st.binary(max_size=30).map(lambda text: b"{" + text.replace(b"\n", b"") + b"}")


@given(
    st.lists(st.tuples(st.sampled_from([b"", b"1618678132.83: ", b"  ", b"12: ", b" 12:  "]), json_lines), min_size=1),
    st.integers(1, 50),
)
def test_frames_on_lines_come_back_however_they_are_chopped(lines: list[tuple[bytes, bytes]], size: int) -> None:
    data = b"".join(time + frame + b"\n" for time, frame in lines)
    found = read(data, size)
    assert [frame.data for frame in found] == [frame for _, frame in lines]
    assert [frame.line for frame in found] == list(range(1, len(lines) + 1))
    for frame in found:
        assert data[frame.offset : frame.offset + len(frame.data)] == frame.data


# Every form: what was put in comes out

TIMES = st.integers(10**17, 10**19 // 2)
"""From 1973 to 2128."""


def unix(time: int) -> str:
    return f"{time // 10**9}.{time % 10**9:09}"


def iso(time: int) -> str:
    days, rest = divmod(time // 10**9, 86400)
    date = dt.date(1970, 1, 1) + dt.timedelta(days)
    return f"{date}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{time % 10**9:09}Z"


FORMS: dict[str, Callable[[str, int], str]] = {
    "alone": lambda frame, _time: frame,
    "unix": lambda frame, time: f"{unix(time)}: {frame}",
    "unix, tab": lambda frame, time: f"{unix(time)}\t{frame}",
    "milliseconds": lambda frame, time: f"{Decimal(time).scaleb(-6):f} {frame}",
    "nanoseconds": lambda frame, time: f"{time}: {frame}",
    "iso": lambda frame, time: f"{iso(time)}: {frame}",
    "iso, space": lambda frame, time: f"{iso(time)} {frame}",
    "iso, tab": lambda frame, time: f"{iso(time)}\t{frame}",
    "iso, offset": lambda frame, time: f"{iso(time + 5400 * 10**9)[:-1]}+01:30 {frame}",
    "rx_ns": lambda frame, time: f'{{"rx_ns":{time},"frame":{frame}}}',
    "rx_ns text": lambda frame, time: f'{{"rx_ns": "{time}", "frame": {json.dumps(frame)}}}',
    "frame first": lambda frame, time: f'{{"frame":{frame},"rx_ns":{time}}}',
    "ts": lambda frame, time: f'{{"ts":{unix(time)},"data":{frame}}}',
    "ts iso": lambda frame, time: f'{{"ts":"{iso(time)}","data":{json.dumps(frame)}}}',
    "ts in a line of a log": lambda frame, time: f'2026-11-29T02:54:37Z {{"ts":{unix(time)},"data":{frame}}}',
    "ts null": lambda frame, time: f'{iso(time)} {{"ts":null,"data":{frame}}}',
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "gzip": gzip.compress,
    "gzip, two members": lambda data: gzip.compress(data[:50], mtime=0) + gzip.compress(data[50:], mtime=0),
    "zstd": zstd.compress,
    "zstd, two frames": lambda data: (
        zstd.compress(data[:50]) + b"\x50\x2a\x4d\x18" + bytes(4) + zstd.compress(data[50:])
    ),
}
numbers = st.sampled_from(["1", "0.50000000", "1.0E-7", "100000000000000000000.5", "1e999999999", "-0.0"])
frames = st.builds(
    '{{"channel":"{}","data":[{{"price":{},"qty":{}}}]{}}}'.format,
    st.text().map(lambda text: json.dumps(text)[1:-1]),
    numbers,
    numbers,
    st.sampled_from(["", ',"ts":1', ', "type" : "update" ']),
)


@given(
    st.lists(st.tuples(st.sampled_from(list(FORMS)), frames, TIMES), min_size=1, max_size=8),
    st.sampled_from(list(COMPRESSIONS)),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.integers(1, 200),
)
@example([("ts null", '{"channel":"heartbeat"}', 10**18)], "none", "\n", 50)
def test_frames_come_back_from_every_form(
    given: list[tuple[str, str, int]], compression: str, end: str, size: int
) -> None:
    lines = "".join(FORMS[form](frame, time) + end for form, frame, time in given)
    found = read(COMPRESSIONS[compression](lines.encode()), size)
    assert [frame.data.decode() for frame in found] == [frame for _, frame, _ in given]
    assert [frame.received_ns for frame in found] == [None if form == "alone" else time for form, _, time in given]
    assert [frame.number for frame in found] == list(range(1, len(given) + 1))
    for frame in found:
        assert frame.line == lines.encode()[: frame.offset].count(b"\n") + 1
        assert lines.encode()[frame.offset :].startswith((frame.data, json.dumps(frame.data.decode()).encode()))


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.integers(0, MAX_NS)), min_size=1, max_size=8),
    st.sampled_from(list(COMPRESSIONS)),
    st.integers(1, 200),
)
def test_frames_come_back_from_a_cbcap(given: list[tuple[bytes, int]], compression: str, size: int) -> None:
    data = HEADER + b"".join(b"%d %d\n%s\n" % (time, len(frame), frame) for frame, time in given)
    found = read(COMPRESSIONS[compression](data), size)
    assert [(frame.data, frame.received_ns) for frame in found] == given


@given(st.sampled_from(["gzip", "zstd"]), st.integers(1, 200), st.data())
def test_what_stands_before_the_end_of_a_cut_file_comes(compression: str, size: int, data: st.DataObject) -> None:
    content = b"".join(b'{"n":%d}\n' % n for n in range(100))
    parts = chopped(content, 200)
    members = [COMPRESSIONS[compression](part) for part in parts]
    count = data.draw(st.integers(0, len(members) - 1))
    cut = data.draw(st.integers(6, len(members[count]) - 1))
    found: list[bytes] = []
    with pytest.raises(RecordingError, match=f"its {compression} data are cut off"):
        whole = b"".join(members[:count]) + members[count][:cut]
        found.extend(frame.data for frame in read_frames(chopped(whole, size)))
    told = b"".join(frame + b"\n" for frame in found)
    assert content.startswith(told)
    assert len(told) > sum(map(len, parts[:count])) - 20  # a line at least


def test_a_frame_of_the_exchange_is_no_wrapper() -> None:
    lines = [b'{"data":[],"channel":"book","ts":1}', b'{"ts":1,"data":[],"channel":"book"}', b'{"ts":1,"data":7}']
    assert [frame.data for frame in read(b"\n".join(lines))] == lines


@pytest.mark.parametrize(
    "line", ["2026-13-29T02:54:37Z {}", "2026-11-29T02:54:37Z{}", "99999999999999999999: {}", "5:{}", "2026-11-29 {}"]
)
def test_what_is_no_time_stays_before_the_frame(line: str) -> None:
    assert read(line.encode()) == [RecordedFrame(line.encode(), 1, 0, 1)]


def test_lines_about_the_connection_are_no_frames() -> None:
    data = (
        b"\xef\xbb\xbfconfiguration: kraken.yaml\r\n"
        b"wss://ws.kraken.com <-> 1618678132.368463\n"
        b'wss://ws.kraken.com <- 1618678132.83097: {"method":"subscribe"}\n'
        b'https://api.kraken.com -> 1618678132.9: {"result":{}}\n'
        b"\n"
        b'1618678132.83: {"channel":"heartbeat"}\r\n'
        b'{"a":"x <- y"}'
    )
    assert [(frame.data, frame.line) for frame in read(data)] == [
        (b'{"channel":"heartbeat"}', 6),
        (b'{"a":"x <- y"}', 7),
    ]


def test_a_place_is_told_as_people_look_for_it() -> None:
    assert read(framed(b"{}"))[0].where == "frame 1 (byte 64)"
    assert read(b"\n{}\n")[0].where == "frame 1 (line 2, byte 1)"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"\x1f\x8b\x08\x00", "its gzip data are cut off: they should go on after byte 4"),
        (b"\x1f\x8b\xff\x00", "its gzip data cannot be decompressed further, before byte 4 of the file: unknown compr"),
        (b"\x28\xb5\x2f\xfd....", "its zstd data cannot be decompressed further, before byte 8 of the file: "),
        (gzip.compress(b"", mtime=0), "it is empty (gzip data without content)"),
        (
            zstd.compress(gzip.compress(b"{}", mtime=0)),
            "it is compressed twice (zstd, and in it gzip): decompress it first",
        ),
        (gzip.compress(b"BZh9", mtime=0), "it is compressed (bzip2)"),
        (gzip.compress(HEADER + b"1 5 5\n", mtime=0), "frame 1 (byte 42) should begin with"),
        (b"PK\x03\x04", "it is compressed (zip)"),
        (b"\xfd7zXZ\x00", "it is compressed (xz)"),
        (b"\x89MCAP0\r\n", "it is an MCAP file: kraken-trio audit FOLDER checks those of kraken-trio"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
        (
            b'{}\n  {"rx_ns":1.5,"frame":{}}',
            "in line 2 (byte 26) is '1.5', which is no number of nanoseconds since 1970",
        ),
        (b'{"rx_ns":"2026-11-29T02:54:37Z","frame":{}}', "which is no number of nanoseconds since 1970"),
        (
            b'{"ts":"yesterday","data":{}}',
            "is 'yesterday', which is no number of seconds since 1970, nor a time of ISO 8601",
        ),
        (b'{"ts":"","data":{}}', "is nothing, which is no number"),
        (HEADER + b"99999999999999999999 2\n{}\n", "should begin with"),
        (b"CBCAP2 kraken BTC/USD 1\n", "its first line is not"),
        (b"CBCAP1\n", "its first line is not"),
        (b"CBCAP1 " + b"x" * 10_000, "its first line is not"),
        (HEADER[:-1], "its first line is not"),
        (HEADER + b"1 -5\nabc\n", "frame 1 (byte 42) should begin with"),
        (HEADER + b"1 0x10\nabc\n", "should begin with"),
        (HEADER + "1 ٣\nabc\n".encode(), "should begin with"),
        (HEADER + b"1 5 5\nabc\n", "should begin with"),
        (HEADER + b"\n", "should begin with"),
        (HEADER + b"1 " + b"9" * 5_000 + b"\n", "should begin with"),
        (HEADER + b"\x00" * 5_000, "should begin with"),
        (HEADER + b"1 99999999999999999999\n{}\n", "no frame is longer than"),
        (HEADER + b"1 %d\n{}\n" % (MAX_FRAME_BYTES + 1), "no frame is longer than"),
        (HEADER + b"1 3\nabcd\n", "no newline follows"),
        (
            HEADER + b"1 30\nabcd\n",
            "cut off in frame 1 (byte 42): 30 bytes and a newline should follow its header, 5 do",
        ),
        (framed(b"{}", b"{}")[:-1], "cut off in frame 2"),
        (framed(b"{}")[:-1], "cut off in frame 1"),
        (HEADER + b"1785644", "cut off in the header of frame 1"),
    ],
)
def test_a_damaged_file_says_where(data: bytes, words: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read(data, 100)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_frames_or_an_error(data: bytes, is_framed: bool) -> None:
    problem = ""
    try:
        read(HEADER + data if is_framed else data)
    except RecordingError as error:
        problem = str(error)
    assert problem.isprintable()


def test_a_line_without_an_end_is_not_waited_for() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1_000_000

    with pytest.raises(RecordingError, match="longer than any frame"):
        list(read_frames(endless()))  # type: ignore[arg-type]  # a generator in the place of a file
    assert taken < 20


def test_a_line_of_a_bomb_is_not_waited_for() -> None:
    with pytest.raises(RecordingError, match="longer than any frame"):
        read(gzip.compress(bytes(200_000_000), 1, mtime=0), 100_000)


@pytest.mark.parametrize("wrap", ["%s", '{"ts":1,"data":%s}', '{"data":%s,"ts":1}'])
def test_the_longest_frame_is_read(wrap: str) -> None:
    frame = json.dumps({"n": '"' * (MAX_FRAME_BYTES // 2 - 5)})
    line = wrap % (json.dumps(frame) if "ts" in wrap else frame)
    (found,) = read(line.encode(), 1_000_000)
    assert found.data == frame.encode()
    assert len(line) < MAX_LINE_BYTES
    with pytest.raises(RecordingError, match=r"line 1 \(byte [0-9]+\) is longer than any frame"):
        read((wrap % json.dumps("x" * (MAX_FRAME_BYTES + 1))).encode(), 1_000_000)


def test_frames_come_as_the_file_is_read() -> None:
    def chunks() -> object:
        yield framed(b"{}", b"{}")
        pytest.fail("the first frame did not need more")

    assert next(read_frames(chunks())).data == b"{}"  # type: ignore[arg-type]  # a generator in the place of a file
