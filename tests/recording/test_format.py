"""The format of the log: what is packed comes back, other readers agree, and nothing in a file is trusted."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import attrs
import mcap.reader
import pytest
from hypothesis import example, given, strategies as st

from kraken_trio._zstd import zstd
from kraken_trio.recording import format as fmt, scan
from kraken_trio.recording.format import ForeignFormatError, FormatError, LimitError
from kraken_trio.recording.index import Damage
from tests import logs
from tests.logs import Log, Message, numbered, packed, read_all, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "00000001-20231114T221320Z.mcap"
CHUNK = logs.chunk(numbered(1, 3))
RAW = b"".join(packed(numbered(1, 3)))


def chunk_of(data: bytes, raw_size: int, crc: int = 0) -> bytes:
    """A chunk of compressed data, with any claims."""
    return fmt.CHUNK.pack(fmt.OP_CHUNK, 44 + len(data), 0, 0, raw_size, crc, 4, b"zstd", len(data)) + data


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return replaced(data, at, bytes([data[at] ^ 1 << bit]))


# ------------------------------------------------------------- messages, chunks


@given(logs.messages)
def test_messages_come_back(found: list[Message]) -> None:
    record = logs.chunk(found)
    assert fmt.messages(fmt.unchunk(record)) == found
    assert fmt.messages(fmt.unchunk(memoryview(record))) == found


@given(logs.messages)
def test_messages_are_counted(found: list[Message]) -> None:
    channels = [message[0] for message in found]
    assert fmt.count(packed(found)) == {channel: channels.count(channel) for channel in channels}


def test_the_entry_of_a_chunk_is_what_its_header_says() -> None:
    record, entry = fmt.chunk(packed(numbered(1, 3)), 5, 9)
    assert fmt.chunk_head(record, 0)[0] == entry
    assert (entry.start_ns, entry.end_ns, entry.raw_size, entry.length) == (5, 9, len(RAW), len(record))


@given(st.binary(max_size=100) | st.builds(flipped, st.just(RAW), st.integers(0, len(RAW) - 1), st.integers(0, 7)))
def test_other_bytes_are_messages_or_an_error(raw: bytes) -> None:
    try:
        found = fmt.messages(raw)
    except FormatError:
        return
    assert b"".join(packed(found)) == raw


@pytest.mark.parametrize(
    "raw",
    [
        RAW[:-1],
        RAW + RAW[:30],
        RAW + bytes(31),
        RAW + struct.pack("<BQHIQQ", 5, 21, 1, 1, 1, 1),
        RAW + struct.pack("<BQHIQQ", 5, 2**64 - 1, 1, 1, 1, 1),
        fmt.metadata("requests", {}),
    ],
)
def test_there_is_nothing_but_messages_in_a_chunk(raw: bytes) -> None:
    with pytest.raises(FormatError, match="something else"):
        fmt.messages(raw)


def test_only_so_much_goes_into_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt, "MAX_CHUNK_BYTES", len(RAW))
    fmt.chunk([RAW], 0, 0)
    with pytest.raises(ValueError, match="too many for one chunk"):
        fmt.chunk([RAW, b"x"], 0, 0)


@pytest.mark.parametrize("times", [(2, 1), (-1, 1), (1, 2**64)])
def test_the_times_of_a_chunk_are_in_order(times: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="messages cannot be from"):
        fmt.chunk([RAW], *times)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"", "cut off"),
        (CHUNK[:52], "cut off"),
        (CHUNK[:-1], "has"),
        (CHUNK + b"x", "has"),
        (flipped(CHUNK, 0), "no chunk"),
        (flipped(CHUNK, 45), "no chunk"),
        (replaced(CHUNK, 37, b"\3"), "no chunk"),
        (replaced(CHUNK, 41, b"lz4\0"), "no chunk"),
        (replaced(CHUNK, 9, struct.pack("<QQ", 2, 1)), "no chunk"),
        (replaced(CHUNK, 53, b"no zstd"), "cannot be decompressed"),
        (chunk_of(zstd.compress(RAW)[:-1], len(RAW)), "does not decompress to"),
        (chunk_of(zstd.compress(RAW) + b"x", len(RAW)), "does not decompress to"),
        (chunk_of(zstd.compress(RAW) * 2, len(RAW) * 2), "does not decompress to"),
        (chunk_of(zstd.compress(RAW), len(RAW) - 1), "does not decompress to"),
        (chunk_of(zstd.compress(RAW), len(RAW) + 1), "does not decompress to"),
        (chunk_of(zstd.compress(RAW), len(RAW)), "checksum"),
        (chunk_of(zstd.compress(RAW), fmt.MAX_CHUNK_BYTES + 1), "no chunk"),
        (fmt.CHUNK.pack(6, 2**64 - 1, 0, 0, 1, 0, 4, b"zstd", 2**64 - 45), "no chunk"),
    ],
)
def test_a_damaged_chunk_is_an_error(record: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        fmt.unchunk(record)


@given(st.integers(0, len(CHUNK) - 1), st.integers(0, 7))
def test_a_chunk_with_a_flipped_bit_is_an_error_or_the_same(at: int, bit: int) -> None:
    try:
        raw = fmt.unchunk(flipped(CHUNK, at, bit))
    except FormatError:
        return
    assert raw == RAW


def test_another_chunk_than_the_index_names_is_an_error() -> None:
    entry, _ = fmt.chunk_head(CHUNK, 7)
    assert fmt.unchunk(CHUNK, entry) == RAW
    with pytest.raises(FormatError, match="the index says"):
        fmt.unchunk(logs.chunk(numbered(2, 3)), entry)


@pytest.mark.parametrize("claimed", [100, 1_000_000])
def test_a_bomb_is_not_decompressed(claimed: int) -> None:
    million = bytes(1024 * 1024)
    compressor = zstd.ZstdCompressor()
    bomb = b"".join([*(compressor.compress(million) for _ in range(300)), compressor.flush()])
    assert len(bomb) < 20_000
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="does not decompress to"):
            fmt.unchunk(chunk_of(bomb, claimed))
        assert tracemalloc.get_traced_memory()[1] < 4 * claimed + 1_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_that_needs_much_memory_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={int(zstd.CompressionParameter.window_log): 27})
    data = compressor.compress(RAW) + compressor.flush()
    with pytest.raises(FormatError, match="memory"):
        fmt.unchunk(chunk_of(data, len(RAW), zlib.crc32(RAW)))


# -------------------------------------------------------------------- metadata

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.sampled_from(sorted(fmt.KNOWN_METADATA)), st.dictionaries(texts.filter("crc32".__ne__), texts))
def test_metadata_come_back(name: str, values: dict[str, str]) -> None:
    record = fmt.metadata(name, values)
    entry = fmt.read_metadata(record, 12)
    assert (entry.offset, entry.length, entry.name, entry.values) == (12, len(record), name, values)


def test_unknown_metadata_are_skipped() -> None:
    """A later version's, or another program's, which have no checksum."""
    for record in (fmt.metadata("news", {"a": "b"}), fmt._record(fmt.OP_METADATA, fmt._text("x"), bytes(4))):
        assert fmt.read_metadata(record, 0).values == {}


def test_what_is_no_unicode_is_written_all_the_same() -> None:
    values = fmt.read_metadata(fmt.metadata("requests", {"path": "a\udcffb"}), 0).values
    assert values == {"path": "a\\udcffb"}


METADATA = fmt.metadata("requests", {"wanted": "[]"})


def test_a_flipped_bit_of_metadata_is_an_error() -> None:
    for at in range(len(METADATA)):
        for bit in range(8):
            try:
                entry = fmt.read_metadata(flipped(METADATA, at, bit), 0)
            except FormatError:
                continue
            assert entry.name not in fmt.KNOWN_METADATA
            assert entry.values == {}


@pytest.mark.parametrize("size", range(9, len(METADATA)))
def test_metadata_that_are_cut_off_are_an_error(size: int) -> None:
    body = METADATA[9:size]
    for record in (METADATA[:size], fmt._record(fmt.OP_METADATA, body)):
        with pytest.raises(FormatError):
            fmt.read_metadata(record, 0)


def test_metadata_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="too many values"):
        fmt.metadata("requests", {str(number): "" for number in range(fmt.MAX_KEYS)})
    with pytest.raises(ValueError, match="named crc32"):
        fmt.metadata("requests", {"crc32": ""})
    values = {str(number): "" for number in range(fmt.MAX_KEYS - 1)}
    record = fmt.metadata("requests", values)
    assert fmt.read_metadata(record, 0).values == values
    monkeypatch.setattr(fmt, "MAX_KEYS", fmt.MAX_KEYS - 1)
    with pytest.raises(LimitError):
        fmt.read_metadata(record, 0)
    monkeypatch.setattr(fmt, "MAX_METADATA_BYTES", 100)
    with pytest.raises(ValueError, match="too many for the metadata"):
        fmt.metadata("requests", {"wanted": "x" * 100})


# ------------------------------------------------------------------- segments


def test_the_index_is_the_same_from_the_summary_and_from_a_walk() -> None:
    log = logs.example()
    finished = scan.read_index(reader(log.whole), len(log.whole), NAME)
    assert finished == attrs.evolve(log.index, finished=True)
    walked = scan.read_index(reader(log.data), len(log.data), NAME)
    assert walked == attrs.evolve(log.index, counts=None)
    assert read_all(reader(log.data), walked.chunks) == log.chunks
    assert (finished.start_ns, finished.end_ns) == (logs.START_NS + 1000, logs.START_NS + 9000)
    assert finished.segment == {"format": "1", "number": "1", "recording": "r"}


def test_a_segment_without_messages() -> None:
    log = Log.new()
    index = scan.read_index(reader(log.whole), len(log.whole), NAME)
    assert index == attrs.evolve(log.index, finished=True)
    assert (index.start_ns, index.end_ns) == (None, None)


def test_whether_it_has_an_end_is_known_without_its_index() -> None:
    log = logs.example()
    assert scan.has_end(reader(log.whole), len(log.whole))
    for data in (log.data, log.whole[:-1], log.whole + b"x", b""):
        assert not scan.has_end(reader(data), len(data))


def test_only_headers_of_chunks_are_read() -> None:
    log = Log.new()
    for number in range(20):
        log.add([(1, number, number, number, bytes([*range(256)] * 40))])
    read = []

    def counted(offset: int, size: int) -> bytes:
        data = log.whole[offset : offset + size]
        read.append(len(data))
        return data

    scan.read_index(counted, len(log.whole), NAME)
    assert len(read) < 10
    read.clear()
    scan.scan(counted, len(log.whole), NAME)
    assert sum(read) < 5_000


def oracle(cls: Any, data: bytes) -> Any:
    return cls(io.BytesIO(data), validate_crcs=True)


@given(st.lists(logs.messages, max_size=4), st.booleans())
def test_the_library_of_the_format_reads_the_same(chunks: list[list[Message]], has_counts: bool) -> None:
    log = Log.new()
    log.say("requests", wanted="[]")
    for found in chunks:
        log.add(found)
    log.index.data_crc = zlib.crc32(log.data)
    if not has_counts:
        log.index.counts = None
    everything = [message for found in chunks for message in found]
    for cls in (mcap.reader.make_reader, mcap.reader.NonSeekingReader):
        assert oracle(cls, log.whole).get_header().profile == "kraken_trio"
        found = [
            (message.channel_id, message.sequence, message.log_time, message.publish_time, message.data)
            for _, channel, message in oracle(cls, log.whole).iter_messages(log_time_order=False)
            if (channel.topic, channel.metadata) == fmt.CHANNELS[channel.id] and channel.message_encoding == "json"
        ]
        assert found == everything
        names = [record.name for record in oracle(cls, log.whole).iter_metadata()]
        assert names == ["segment", "requests"]
    summary = oracle(mcap.reader.make_reader, log.whole).get_summary()
    assert len(summary.chunk_indexes) == len(chunks)
    assert (summary.statistics is not None) == has_counts
    if has_counts:
        assert summary.statistics.message_count == len(everything)
        assert summary.statistics.metadata_count == 2


# --------------------------------------------------------------------- damage

LOG = logs.example()
WHOLE = LOG.whole
HEAD_END = LOG.records[0][0]
SAID = [(entry.name, entry.values) for entry in LOG.index.metadata]


def check_reading(data: bytes) -> None:
    """Reading it gives what was written, or says that it cannot."""
    read = reader(data)
    try:
        index = scan.read_index(read, len(data), NAME)
    except FormatError:
        return
    assert index.segment == LOG.index.segment
    for metadata in index.metadata:
        assert metadata.values == {} or (metadata.name, metadata.values) in SAID
    for entry in index.chunks:
        try:
            found = fmt.messages(scan.read_chunk(read, entry))
        except FormatError:
            continue
        assert found in LOG.chunks
    for damage in index.damage:
        assert damage.name == NAME
        assert str(damage).isprintable()


@pytest.mark.parametrize("data", [LOG.data, WHOLE], ids=["unfinished", "finished"])
def test_no_flipped_bit_gives_wrong_data(data: bytes) -> None:
    for at in range(len(data)):
        check_reading(flipped(data, at, at % 8))


@given(
    st.sampled_from([LOG.data, WHOLE]),
    st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 20), st.binary(max_size=12)), max_size=3),
)
@example(LOG.data, [(425, 19, b""), (427, 19, b"")])  # what is left is another offset, and still whole
def test_no_change_gives_wrong_data(data: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, removed, added in changes:
        data = data[:at] + added + data[at + removed :]
    check_reading(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(data: bytes) -> None:
    for beginning in (b"", fmt.MAGIC, LOG.data[:60]):
        with pytest.raises(FormatError):
            scan.read_index(reader(beginning + data), len(beginning + data), NAME)


def recovered(data: bytes) -> tuple[int, list[list[Message]]]:
    index = scan.recover(reader(data), len(data), NAME)
    assert index.end <= len(data)
    healed = data[: index.end] + fmt.end(index)
    read = reader(healed)
    finished = scan.read_end(read, len(healed), NAME)
    assert finished.chunks == index.chunks
    assert scan.scan(read, len(healed), NAME)[0].chunks == index.chunks
    found = read_all(read, index.chunks)
    library = oracle(mcap.reader.make_reader, healed).iter_messages(log_time_order=False)
    assert [message.data for _, _, message in library] == [data for chunk in found for *_, data in chunk]
    return index.end, found


@pytest.mark.parametrize("behind", [b"", bytes(5000), bytes([*range(256)] * 4), CHUNK[:-1]])
def test_what_is_whole_is_recovered_wherever_it_is_cut(behind: bytes) -> None:
    for size in range(len(LOG.data) + 1):
        if size < LOG.index.head.offset + LOG.index.head.length:
            with pytest.raises(FormatError):
                scan.recover(reader(LOG.data[:size]), size, NAME)
        elif not behind or size % 7 == 0:
            end, chunks = recovered(LOG.data[:size] + behind)
            assert (LOG.data[:size] + behind)[:end] == LOG.data[:end]
            assert chunks == LOG.chunks[: LOG.before(size)]


def test_the_end_is_written_again_wherever_it_is_cut() -> None:
    for size in range(len(LOG.data), len(WHOLE)):
        assert recovered(WHOLE[:size]) == (len(LOG.data), LOG.chunks)


def test_a_flipped_bit_in_the_last_chunk_is_the_end() -> None:
    offset, length = LOG.records[-1]
    for at in [*range(offset, offset + 9), *range(offset + 25, offset + length)]:
        result = recovered(flipped(LOG.data, at, at % 8))
        # Some bits of compressed data mean nothing.
        assert result in ((offset, LOG.chunks[:-1]), (len(LOG.data), LOG.chunks))


def test_it_goes_back_to_a_whole_chunk() -> None:
    """Power was lost: the file has its length, but not all of its bytes."""
    data = LOG.data[: LOG.records[-2][0] + 60].ljust(len(LOG.data), b"\0")
    assert recovered(data) == (LOG.records[-2][0], LOG.chunks[:2])
    both = flipped(flipped(LOG.data, LOG.records[-1][0] + 55), LOG.records[-2][0] + 55)
    assert recovered(both) == (LOG.records[-2][0], LOG.chunks[:2])


def test_damaged_metadata_at_the_end_are_cut_off_and_elsewhere_reported() -> None:
    log = logs.example()
    log.say("requests", wanted="[1]")
    offset, length = log.records[-1]
    assert recovered(flipped(log.data, offset + length - 1))[0] == offset
    offset, length = log.records[0]
    for data in (log.data, log.whole):
        index = scan.read_index(reader(flipped(data, offset + length - 1)), len(data), NAME)
        assert index.damage == [Damage(NAME, offset, "the checksum of the metadata is wrong")]
        assert index.chunks == log.index.chunks
        assert len(index.metadata) == 2


def test_a_damaged_channel_is_reported() -> None:
    at = LOG.data.index(fmt.CHANNEL_RECORDS[3])
    data = flipped(LOG.data, at + 20)
    index = scan.read_index(reader(data), len(data), NAME)
    assert index.damage == [Damage(NAME, at, "the description of a channel is damaged")]
    assert index.chunks == LOG.index.chunks


def test_chunks_behind_a_damaged_record_are_found() -> None:
    offset, _ = LOG.records[1]
    data = flipped(LOG.data, offset + 3)  # its length
    index = scan.read_index(reader(data), len(data), NAME)
    assert index.chunks == []
    assert [damage.offset for damage in index.damage] == [offset]
    assert scan.find_chunk(reader(data), index.end, len(data)) == LOG.index.chunks[1]


def test_the_search_for_chunks_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = flipped(CHUNK, 60)
    data = CHUNK[37:] + bad * 30 + b"\4\0\0\0zstd" + CHUNK
    monkeypatch.setattr(scan, "_PIECE_BYTES", 50)
    found = scan.find_chunk(reader(data), 0, len(data))
    assert found is not None
    assert data[found.offset :] == CHUNK
    assert scan.find_chunk(reader(data), 0, len(data) - 1) is None
    monkeypatch.setattr(scan, "_SEARCH_TRIES", 30)
    assert scan.find_chunk(reader(data), 0, len(data)) is None


def test_another_format_is_told_from_a_damaged_one() -> None:
    foreign = fmt._record(fmt.OP_HEADER, fmt._text("ros2"), fmt._text("rosbag"))
    with pytest.raises(ForeignFormatError, match="ros2"):
        scan.read_head(reader(fmt.MAGIC + foreign))
    with pytest.raises(ForeignFormatError, match="format '2', of another version"):
        scan.read_head(reader(fmt.begin("x", {"format": "2"})))
    ours = fmt._record(fmt.OP_HEADER, fmt._text("kraken_trio"), fmt._text("x"))
    with pytest.raises(FormatError, match="nothing about the segment"):
        scan.read_head(reader(fmt.MAGIC + ours + METADATA))
    longer = fmt._record(fmt.OP_HEADER, fmt._text("kraken_trio"), fmt._text("x"), b"?")
    with pytest.raises(FormatError, match="header"):
        scan.read_head(reader(fmt.MAGIC + longer + METADATA))


# ------------------------------------------------------------ lies in a summary


def lying(change: Callable[[bytearray, int], object], log: Log = LOG) -> bytes:
    """A finished segment with a changed summary, whose checksum is right. The change is given where it begins."""
    data = bytearray(log.whole)
    start = len(log.data) + fmt.DATA_END.size
    change(data, start)
    crc = zlib.crc32(data[start : len(data) - 12])
    struct.pack_into("<I", data, len(data) - 12, crc)
    return bytes(data)


def group(data: bytes | bytearray, opcode: int) -> int:
    """Where the offset of this group is in the summary."""
    offsets = struct.unpack_from("<Q", data, len(data) - 20)[0]
    return next(at for at in range(offsets, len(data) - 37, 26) if data[at + 9] == opcode)


def change_group(opcode: int, fields: str, *values: int, at: int) -> Callable[[bytearray, int], None]:
    """Change bytes of the first record of a group."""

    def change(data: bytearray, start: int) -> None:
        records = struct.unpack_from("<Q", data, group(data, opcode) + 10)[0]
        struct.pack_into(fields, data, records + at, *values)

    return change


def change_offset(opcode: int, fields: str, *values: int, at: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, start: int) -> None:
        struct.pack_into(fields, data, group(data, opcode) + at, *values)

    return change


INDEX, META, STATS = fmt.OP_CHUNK_INDEX, fmt.OP_METADATA_INDEX, fmt.OP_STATISTICS


LIES: list[Callable[[bytearray, int], object]] = [
    change_group(INDEX, "<B", 9, at=0),
    change_group(INDEX, "<Q", 69, at=1),
    change_group(INDEX, "<Q", 2**63, at=9),  # starts after its end
    change_group(INDEX, "<Q", 0, at=25),  # offset: in the beginning
    change_group(INDEX, "<Q", len(WHOLE), at=25),
    change_group(INDEX, "<Q", 3, at=33),
    change_group(INDEX, "<I", 1, at=41),
    change_group(INDEX, "<I", 5, at=53),
    change_group(INDEX, "<4s", b"lz4\0", at=57),  # type: ignore[arg-type]  # bytes, by its format
    change_group(INDEX, "<Q", 2**62, at=61),
    change_group(INDEX, "<Q", 2**62, at=69),
    change_group(INDEX, "<Q", len(LOG.data), at=3 * 77 + 25),
    change_group(META, "<B", 9, at=0),
    change_group(META, "<Q", 2**63, at=1),
    change_group(META, "<Q", 5, at=1),
    change_group(META, "<I", 2**32 - 1, at=25),
    change_group(STATS, "<I", 77, at=9 + 42),
    change_offset(INDEX, "<B", 9, at=0),
    change_offset(INDEX, "<Q", 0, at=10),
    change_offset(INDEX, "<Q", 2**63, at=18),
    change_offset(STATS, "<Q", 5, at=18),
    change_offset(META, "<Q", 5, at=18),
    lambda data, start: [
        change_offset(META, "<Q", 5, at=18)(data, start),
        change_offset(META, "<B", 10, at=9)(data, start),
    ],
    lambda data, start: data.__setitem__(start - 13, 5),  # no DataEnd
    lambda data, start: struct.pack_into("<Q", data, len(data) - 28, 1),
    lambda data, start: struct.pack_into("<Q", data, len(data) - 28, 2**63),
    lambda data, start: struct.pack_into("<Q", data, len(data) - 20, 2**63),
    lambda data, start: struct.pack_into("<Q", data, len(data) - 20, start),
    lambda data, start: struct.pack_into("<B", data, len(data) - 37, 3),
]


@pytest.mark.parametrize("change", LIES, ids=map(str, range(len(LIES))))
def test_a_summary_that_lies_is_not_believed(change: Callable[[bytearray, int], object]) -> None:
    data = lying(change)
    with pytest.raises(FormatError):
        scan.read_end(reader(data), len(data), NAME)
    index = scan.read_index(reader(data), len(data), NAME)
    assert not index.finished
    assert index.chunks == LOG.index.chunks


def test_what_a_later_version_adds_to_a_summary_is_skipped() -> None:
    data = lying(change_offset(fmt.OP_CHANNEL, "<B", 10, at=9))
    assert scan.read_end(reader(data), len(data), NAME).chunks == LOG.index.chunks


def test_a_summary_of_chunks_that_are_no_more_there() -> None:
    """An index says nothing about the bytes: each chunk is compared with it when it is read."""
    one = LOG.index.chunks[0]
    data = replaced(WHOLE, one.offset, bytes(one.length))
    index = scan.read_end(reader(data), len(data), NAME)
    with pytest.raises(FormatError):
        scan.read_chunk(reader(data), index.chunks[0])
    assert read_all(reader(data), index.chunks[1:]) == LOG.chunks[1:]
    with pytest.raises(FormatError, match="no chunk is like that"):
        scan.read_chunk(reader(data), attrs.evolve(one, raw_size=2**40))


# ------------------------------------------------------------------- the check


def with_crc() -> Log:
    log = logs.example()
    log.index.data_crc = zlib.crc32(log.data)
    return log


def test_an_undamaged_segment_passes_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_PIECE_BYTES", 100)
    for data in (LOG.data, WHOLE, with_crc().whole):
        assert scan.check(reader(data), len(data), NAME) == []


def test_the_check_of_a_finished_segment_finds_every_flipped_bit() -> None:
    log = with_crc()
    for at in range(len(log.whole)):
        data = flipped(log.whole, at, at % 8)
        try:
            assert scan.check(reader(data), len(data), NAME), at
        except FormatError:
            assert at < HEAD_END


def test_the_check_finds_records_that_were_moved_doubled_or_deleted() -> None:
    """Its index was made of other records, and there is no checksum of all: whoever healed it did not read all."""
    one, two, three = (LOG.data[at : at + length] for at, length in (LOG.records[number] for number in (2, 3, 4)))
    behind = LOG.records[-1][0]
    start = LOG.records[2][0]
    end = WHOLE[len(LOG.data) :]
    for records in ((two, one, three), (one, one, two, three), (one, three), (one, two), (one, two, three, two)):
        data = LOG.data[:start] + b"".join(records) + LOG.data[behind:]
        log = Log(data, attrs.evolve(LOG.index, end=len(data)))
        assert scan.check(reader(log.whole), len(log.whole), NAME) != []
    metadata = attrs.evolve(LOG.index, metadata=LOG.index.metadata[1:])
    data = LOG.data + fmt.end(metadata)
    (damage,) = scan.check(reader(data), len(data), NAME)
    assert "other metadata" in damage.text
    data = LOG.data + CHUNK + end
    assert scan.check(reader(data), len(data), NAME) != []


# --------------------------------------------------------------------- limits


def refused(data: bytes) -> None:
    for read in (scan.read_end, scan.read_index, scan.recover):
        with pytest.raises(LimitError):
            read(reader(data), len(data), NAME)
    assert scan.has_end(reader(data), len(data))


def test_records_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt, "MAX_RECORDS", 5)
    refused(WHOLE)
    monkeypatch.setattr(fmt, "MAX_RECORDS", 3)
    refused(WHOLE)
    log = Log.new()
    for number in range(5):
        log.say("requests", wanted=str(number))
    refused(log.whole)


def test_the_summary_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt, "MAX_SUMMARY_BYTES", 100)
    with pytest.raises(FormatError):
        scan.read_end(reader(WHOLE), len(WHOLE), NAME)
    assert scan.read_index(reader(WHOLE), len(WHOLE), NAME).chunks == LOG.index.chunks


@pytest.mark.parametrize("data", [LOG.data, WHOLE], ids=["unfinished", "finished"])
def test_metadata_in_all_are_limited(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_METADATA_TOTAL", LOG.records[0][1])
    index = scan.read_index(reader(data), len(data), NAME)
    assert [entry.name for entry in index.metadata] == ["requests"]
    assert [damage.offset for damage in index.damage] == [LOG.records[3][0]]


def test_long_metadata_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log.new()
    log.say("requests", wanted="x" * 1000)
    monkeypatch.setattr(fmt, "MAX_METADATA_BYTES", 500)
    assert scan.read_index(reader(log.whole), len(log.whole), NAME).metadata == []
    assert scan.read_index(reader(log.data), len(log.data), NAME).metadata == []
    monkeypatch.setattr(fmt, "MAX_METADATA_BYTES", 10)
    with pytest.raises(FormatError):
        scan.read_index(reader(log.data), len(log.data), NAME)


def test_metadata_of_other_programs_are_listed() -> None:
    log = Log.new()
    log.say("news", a="b")
    for data in (log.data, log.whole):
        (entry,) = scan.read_index(reader(data), len(data), NAME).metadata
        assert (entry.name, entry.values) == ("news", {})


def test_captures_are_small(captures: Any) -> None:
    """What a message of depth 25 costs in full chunks, with times of its own."""
    from kraken_trio.recording.foreign import read_frames

    frames = [frame.data for frame in read_frames([(captures / "v2_book25_ethusd.cbcap").read_bytes()])]
    found: Sequence[Message] = [
        (fmt.FRAME_FIRST, number, logs.START_NS + number * 37_123_457, number * 37_123_457 + 4321, data)
        for number, data in enumerate(frames, 1)
    ]
    assert len(logs.chunk(found)) / len(frames) < 40
