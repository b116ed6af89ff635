"""The manifest ``export.json``: which days are whole, from what they were made, and which files they are."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.export.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["NAME", "Manifest"]

NAME: Final = "export.json"
_VERSION: Final = 1


class Manifest:
    """It is written after the files that it names, and in one step."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, overwrite: bool) -> None:
        """Raises :class:`ExportError` if the folder holds another export, unless ``overwrite``."""
        self._path = folder / NAME
        self._content: dict[str, Any] = {"version": _VERSION, "options": dict(identity), "parts": {}}
        self.stale: tuple[str, ...] = ()
        """Files of an export that this one overwrites."""
        if not self._path.exists():
            return
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            options, parts = dict(found["options"]), dict(found["parts"])
            files = tuple(file["path"] for part in parts.values() for file in part["files"])
            is_ours = found["version"] == _VERSION
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{self._path} cannot be read ({error}): choose another folder"
            raise ExportError(msg) from None
        if overwrite:
            self.stale = files
            return
        different = [name for name, value in self._content["options"].items() if options.get(name) != value]
        if different or not is_ours:
            what = f"other options ({', '.join(different)})" if is_ours else "another version"
            msg = f"{folder} holds an export with {what}: choose another folder, or overwrite it"
            raise ExportError(msg)
        self._content["parts"] = parts

    def part(self, key: str) -> Mapping[str, Any] | None:
        """What is known of a part of a day."""
        found: Mapping[str, Any] | None = self._content["parts"].get(key)
        return found

    def keep(self, key: str, part: Mapping[str, Any]) -> None:
        """Remember a part whose files are whole."""
        self._content["parts"][key] = dict(part)
        temporary = self._path.with_name(f".{NAME}")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(self._content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
