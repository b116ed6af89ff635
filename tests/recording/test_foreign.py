"""Reading recordings: what was written comes back, and nothing that a file says is trusted."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kraken_trio.recording.foreign import RecordedFrame, RecordingError, read_frames
from kraken_trio.settings import MAX_FRAME_BYTES

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
        (b"\x1f\x8b\x08\x00", "compressed (gzip)"),
        (b"\x28\xb5\x2f\xfd....", "compressed (zstd)"),
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
        list(read_frames(endless()))  # type: ignore[arg-type]
    assert taken < 20


def test_frames_come_as_the_file_is_read() -> None:
    def chunks() -> object:
        yield framed(b"{}", b"{}")
        pytest.fail("the first frame did not need more")

    assert next(read_frames(chunks())).data == b"{}"  # type: ignore[arg-type]
