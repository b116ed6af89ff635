"""The manifest ``export.jsonl``: which days are whole, from what they were made, and which files they are.

Its first line has the version and the options of the export, each further one a part: the files of a day and of a group
of symbols. The last line of a part is the one that counts. Lines are only added, so a month costs as much as a day.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.export.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["NAME", "Manifest"]

NAME: Final = "export.jsonl"
_VERSION: Final = 1


class Manifest:
    """A part is written before its files get their names, as not whole; and again when they have them."""

    def __init__(self, folder: Path, options: Mapping[str, Any], *, overwrite: bool) -> None:
        """Raises :class:`ExportError` if the folder holds another export; with ``overwrite`` that is deleted."""
        self._path = folder / NAME
        self._options = dict(options)
        self._parts: dict[str, Mapping[str, Any]] = {}
        self._exists = False
        if not self._path.exists():
            return
        head = self._read()
        if head is None:
            return
        if overwrite:
            for path in {path for key in self._parts for path in self.paths(key)}:
                (folder / path).unlink(missing_ok=True)
            self._parts.clear()
            self._path.unlink()
            return
        self._exists = True
        if head["version"] != _VERSION:
            what = "by another version"
        else:
            different = [name for name, value in self._options.items() if head["options"].get(name) != value]
            if not different:
                return
            what = f"with other options ({', '.join(different)})"
        msg = f"{folder} holds an export {what}: choose another folder, or overwrite it"
        raise ExportError(msg)

    def _read(self) -> dict[str, Any] | None:
        """The first line; None if there is none."""
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # a line that was being written when its writer died
            os.truncate(self._path, whole)
        try:
            head, *parts = map(json.loads, data[:whole].splitlines()) if whole else (None,)
            self._parts = {part["part"]: part for part in parts}
            if head is not None:
                dict(head["options"]), head["version"]
            for key in self._parts:
                self.paths(key)
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{self._path} is no manifest of an export ({error!r}): choose another folder"
            raise ExportError(msg) from None
        found: dict[str, Any] | None = head
        return found

    def part(self, key: str) -> Mapping[str, Any] | None:
        """What is known of a part of a day that is whole."""
        part = self._parts.get(key)
        return part if part is not None and part["whole"] else None

    def paths(self, key: str) -> set[str]:
        """The files that a part has, or may have."""
        part = self._parts.get(key)
        return set() if part is None else {file["path"] for file in part["files"]}

    def begin(self, key: str, paths: Iterable[str]) -> None:
        """These files are about to get their names."""
        self._add(key, {"whole": False, "files": [{"path": path} for path in sorted({*paths, *self.paths(key)})]})

    def keep(self, key: str, part: Mapping[str, Any]) -> None:
        """All files of a part have their names."""
        self._add(key, {"whole": True, **part})

    def _add(self, key: str, part: Mapping[str, Any]) -> None:
        part = {"part": key, **part}
        lines = [part] if self._exists else [{"version": _VERSION, "options": self._options}, part]
        with self._path.open("ab") as file:
            file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        self._parts[key] = part
        self._exists = True
