"""Compressed recordings: what was compressed comes back, in bounded pieces, and damage is told."""

from __future__ import annotations

import gzip
import io
import zlib
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from kraken_trio._zstd import zstd
from kraken_trio.recording.decompression import (
    INPUT_BYTES,
    PIECE_BYTES,
    DecompressionError,
    compression,
    decompressed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
SKIPPED = b"\x5a\x2a\x4d\x18\x05\x00\x00\x00notes"
"""A frame of zstd that is to be skipped."""

names = st.sampled_from(["gzip", "zstd"])


def read(name: str, data: bytes) -> bytes:
    return b"".join(decompressed(name, io.BytesIO(data).read))


def read_until_damage(name: str, data: bytes) -> tuple[bytes, str]:
    found = b""
    try:
        for piece in decompressed(name, io.BytesIO(data).read):
            found += piece
    except DecompressionError as error:
        return found, str(error)
    return found, ""


@given(names, st.lists(st.binary(max_size=2000), min_size=1, max_size=4))
def test_what_was_compressed_in_parts_comes_back(name: str, parts: list[bytes]) -> None:
    data = b"".join(map(COMPRESS[name], parts))
    assert compression(data[:6]) == name
    assert read(name, data) == b"".join(parts)


@given(names, st.lists(st.binary(max_size=2000), min_size=1, max_size=3), st.data())
def test_what_is_cut_off_is_told(name: str, parts: list[bytes], data: st.DataObject) -> None:
    members = [COMPRESS[name](part) for part in parts]
    cut = data.draw(st.integers(1, len(members[-1]) - 1))
    found, problem = read_until_damage(name, b"".join(members)[:-cut])
    assert found.startswith(b"".join(parts[:-1]))
    assert b"".join(parts).startswith(found)
    size = sum(map(len, members)) - cut
    assert problem == f"its {name} data are cut off: they should go on after byte {size} of the file"


@given(names, st.binary(max_size=3000), st.binary(min_size=1, max_size=300))
def test_what_follows_is_told(name: str, content: bytes, rest: bytes) -> None:
    found, problem = read_until_damage(name, COMPRESS[name](content) + b"x" + rest)
    assert found == content
    assert problem


def test_frames_to_be_skipped_and_padding_are_skipped() -> None:
    assert compression(SKIPPED[:6]) == "zstd"
    assert read("zstd", SKIPPED + zstd.compress(b"a") + SKIPPED + zstd.compress(b"b") + SKIPPED) == b"ab"
    padded = gzip.compress(b"a", mtime=0) + bytes(1000) + gzip.compress(b"b", mtime=0) + bytes(3000)
    assert read("gzip", padded) == b"ab"
    assert read_until_damage("gzip", bytes(10) + gzip.compress(b"a", mtime=0))[1]
    assert read_until_damage("zstd", zstd.compress(b"a") + bytes(10)) == (
        b"a",
        "its zstd data cannot be decompressed further, before byte 20 of the file: Unknown frame descriptor",
    )


@pytest.mark.parametrize("name", COMPRESS)
def test_a_bomb_goes_off_piece_by_piece(name: str) -> None:
    taken = 0
    bomb = io.BytesIO(COMPRESS[name](bytes(50_000_000)))

    def take(size: int) -> bytes:
        nonlocal taken
        taken += 1
        return bomb.read(size)

    pieces = decompressed(name, take)
    first = [len(piece) for piece in islice(pieces, 3)]
    assert taken <= 2
    sizes = first + [len(piece) for piece in pieces]
    assert all(0 < size <= PIECE_BYTES for size in sizes)
    assert sum(sizes) == 50_000_000


def test_a_window_of_a_gigabyte_is_not_given() -> None:
    huge = b"\x28\xb5\x2f\xfd\x00\xa0" + b"\x00" * 20  # a frame that wants 2^30 bytes to look back in
    assert "too much memory" in read_until_damage("zstd", huge)[1]


@pytest.mark.parametrize("name", COMPRESS)
def test_damage_costs_little_of_what_stands_before(name: str) -> None:
    lines = [b"%d %s\n" % (n, zlib.crc32(b"%d" % n).to_bytes(4, "big").hex().encode()) for n in range(20_000)]
    content = b"".join(lines)
    data = bytearray(COMPRESS[name](content))
    at = len(data) * 3 // 4
    data[at : at + 40] = b"\xff" * 40
    found, problem = read_until_damage(name, bytes(data))
    assert problem.isprintable()
    assert problem
    if name == "gzip":  # whose damage is found a little later
        good = zlib.decompressobj(31).decompress(data[: at - INPUT_BYTES])
        assert found.startswith(good)
    else:  # of which no part of a block, 128 KiB, can be read
        assert content.startswith(found)
        assert len(found) > len(content) // 3


@given(names, st.binary(max_size=1000), st.binary(max_size=1000), st.integers(1, 300))
def test_any_bytes_give_pieces_or_an_error(name: str, content: bytes, noise: bytes, at: int) -> None:
    whole = COMPRESS[name](content)
    for data in (noise, whole[:at] + noise, whole[:4] + noise):
        assert read_until_damage(name, data)[1].isprintable()


@pytest.mark.parametrize("start", [b"", b"\x1f", b"{}", b"BZh9", b"\x28\xb5\x2f", b"\x60\x2a\x4d\x18"])
def test_other_files_are_not_compressed(start: bytes) -> None:
    assert compression(start) is None
