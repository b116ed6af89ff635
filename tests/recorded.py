"""Recordings that a test has made: all of their messages, after checks that hold for every recording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FRAME_FIRST, FRAME_MORE, TEXT_FIRST, TEXT_MORE
from kraken_trio.storage.reading import open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FRAMES = frozenset({FRAME_FIRST, FRAME_MORE, TEXT_FIRST, TEXT_MORE})
FIRST = frozenset({FRAME_FIRST, TEXT_FIRST})


@attrs.frozen
class Message:
    channel: int
    sequence: int
    wall_ns: int
    monotonic_ns: int
    data: bytes

    @property
    def entry(self) -> dict[str, Any]:
        """What it says, if it is no frame."""
        found: dict[str, Any] = json.loads(self.data)
        return found


@attrs.frozen
class File:
    """A segment."""

    name: str
    values: Mapping[str, str]
    blocks: list[list[Message]]
    metadata: list[tuple[str, Mapping[str, str]]]
    finished: bool

    @property
    def messages(self) -> list[Message]:
        return [message for block in self.blocks for message in block]

    def said(self, name: str) -> list[Mapping[str, str]]:
        return [values for found, values in self.metadata if found == name]


@attrs.frozen
class Log:
    """A folder, read as a whole."""

    files: list[File]

    @property
    def messages(self) -> list[Message]:
        return [message for file in self.files for message in file.messages]

    def batches(self) -> list[list[bytes]]:
        """The frames, by the batch in which they came."""
        found: list[list[bytes]] = []
        for message in self.messages:
            if message.channel in FIRST:
                found.append([message.data])
            elif message.channel in FRAMES:
                found[-1].append(message.data)
        return found

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """The records of these kinds."""
        found = (message.entry for message in self.messages if message.channel not in FRAMES)
        return [entry for entry in found if entry["kind"] in kinds]

    def told(self) -> list[str]:
        """The names of all inputs."""
        return [entry["what"] for entry in self.entries("Told")]


def read(folder: Path) -> Log:
    """Everything in a folder, in which nothing is damaged or missing."""
    with open_folder(folder) as recorded:
        assert recorded.damage == []
        files = [
            File(
                segment.name,
                segment.values,
                [
                    [
                        Message(channel, sequence, wall_ns, fmt.monotonic_ns(wall_ns, offset), data)
                        for channel, sequence, wall_ns, offset, data in segment.read(chunk)
                    ]
                    for chunk in segment.index.chunks
                ],
                [(entry.name, entry.values) for entry in segment.index.metadata],
                segment.index.finished,
            )
            for segment in recorded.segments
        ]
        assert [segment.damage for segment in recorded.segments] == [[] for _ in files]
    before = None
    for file in files:
        assert [message.sequence for message in file.messages] == list(range(1, len(file.messages) + 1))
        assert file.blocks == [] or all(file.blocks)
        if before is not None and file.values["previous"]:
            assert file.values["previous"] == before.name
            assert file.values["previous_sequence"] == str(len(before.messages))
        before = file
    return Log(files)


def cycles(file: File) -> Iterator[tuple[str | None, list[str]]]:
    """The whole cycles of key frames in a file: each with the client's state, and the channels and symbols."""
    begun: tuple[str | None, list[str]] | None = None
    for message in file.messages:
        if message.channel != fmt.KEYFRAMES:
            continue
        entry = message.entry
        match entry["kind"]:
            case "CycleBegun":
                begun = None, []
            case "ClientFrame" if begun:
                begun = entry["state"], begun[1]
            case "KeyFrame" if begun:
                begun[1].append(f"{entry['request'][0]} {entry['request'][1].get('symbol')}")
            case "CycleEnded" if begun:
                yield begun
                begun = None
