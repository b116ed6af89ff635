"""Finds marked secrets in whatever a program can show: texts, logs, objects, exceptions with their tracebacks, pickles.

A test makes :class:`Secrets` of the values that it gives to the client, collects what comes out, and asserts that
``secrets.found_in(...)`` is empty. Values are looked for in every form in which they travel or are kept.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import attrs

import kraken_trio

PACKAGE = str(Path(kraken_trio.__file__).parent)
OTHER_SIDE = str(Path(kraken_trio.__file__).parent / "testing")
FOREIGN = ("httpx", "httpcore", "h11", "anyio")
"""Libraries whose exceptions hold requests."""
DEPTH = 6


def forms(value: str | bytes) -> set[bytes]:
    """How a value may look: as it is, quoted, in hexadecimal, in Base64 (wherever it begins there), decoded."""
    raw = value.encode() if isinstance(value, str) else value
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), raw[::-1]}
    found |= {quote(raw, safe=safe).encode() for safe in ("", "/")} | {quote_plus(raw).encode()}
    found |= {repr(raw)[2:-1].encode(), json.dumps(raw.decode("latin-1"))[1:-1].encode()}
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # What does not depend on the bytes before and after it.
            text = encode(b"\0" * offset + raw)
            found.add(text[4 if offset else 0 : -4])
    try:
        decoded = base64.b64decode(raw, validate=True)
    except ValueError:
        pass
    else:
        if len(decoded) >= 12:
            found |= {decoded, decoded.hex().encode(), repr(decoded)[2:-1].encode()}
    return {form for form in found if len(form) >= 6}


class Secrets:
    """Values by name. ``known`` may be shown: the beginning of a key, of four characters."""

    def __init__(self, **values: str | bytes) -> None:
        self.values: dict[str, str | bytes] = {}
        self._forms: dict[str, set[bytes]] = {}
        self.add(**values)

    def add(self, **values: str | bytes) -> None:
        """More of them: tokens and signatures are known when they are made."""
        for name, value in values.items():
            assert len(value) >= 6, f"{name} is too short to be told from other text"
            self.values[name] = value
            self._forms[name] = forms(value)

    def in_text(self, text: str | bytes) -> set[str]:
        """The names of the secrets in a text."""
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
        latin = text.encode("latin-1", "replace") if isinstance(text, str) else raw
        return {name for name, known in self._forms.items() if any(form in raw or form in latin for form in known)}

    def found_in(self, *things: Any) -> list[str]:
        """Where secrets are in these things: readable lines, none if there are none."""
        return sorted({f"{name} in {where}" for thing in things for where, name in self._search(thing)})

    def _search(self, thing: Any) -> Iterator[tuple[str, str]]:
        if isinstance(thing, BaseException):
            yield from self._search_exception(thing)
        elif isinstance(thing, logging.LogRecord):
            where = f"the log of {thing.name}"
            for said in (thing.getMessage(), repr(vars(thing))):
                yield from ((where, name) for name in self.in_text(said))
            if thing.exc_info and thing.exc_info[1] is not None:
                yield from self._search_exception(thing.exc_info[1])
        else:
            for where, text in shown(thing, type(thing).__name__):
                yield from ((where, name) for name in self.in_text(text))

    def _search_exception(self, error: BaseException) -> Iterator[tuple[str, str]]:
        for link in chain(error):
            kind = type(link).__name__
            if type(link).__module__.partition(".")[0] in FOREIGN:
                yield f"the chain of a {type(error).__name__}", f"a {kind} of {type(link).__module__}"
            for where, text in shown(link, kind):
                yield from ((where, name) for name in self.in_text(text))
            for frame, _ in traceback.walk_tb(link.__traceback__):
                file = frame.f_code.co_filename
                if file.startswith(PACKAGE) and not file.startswith(OTHER_SIDE):
                    place = f"{Path(file).name}:{frame.f_code.co_name}"
                    for local, value in frame.f_locals.items():
                        for where, text in shown(value, f"the local {local} of {place}"):
                            yield from ((where, name) for name in self.in_text(text))


def chain(error: BaseException) -> list[BaseException]:
    """The exception, its causes and contexts, suppressed ones too, and the members of groups."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or any(link is other for other in found):
            continue
        found.append(link)
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
    return found


def shown(thing: Any, where: str, depth: int = DEPTH) -> Iterator[tuple[str, str | bytes]]:
    """All that printing, formatting, copying and pickling show of an object, and what it contains."""
    if isinstance(thing, str | bytes | bytearray):
        yield where, bytes(thing) if isinstance(thing, bytearray) else thing
        return
    for show in (repr, str, format, pprint.pformat):
        yield f"{show.__name__} of {where}", show(thing)
    if depth == 0:
        return
    if isinstance(thing, BaseException):
        yield f"the notes of {where}", repr(getattr(thing, "__notes__", None))
        for part in (*thing.args, *vars(thing).values()):
            yield from shown(part, f"a value of {where}", depth - 1)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from shown(key, f"a key of {where}", depth - 1)
            yield from shown(value, f"a value of {where}", depth - 1)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            yield from shown(value, f"an item of {where}", depth - 1)
    elif attrs.has(type(thing)):
        yield f"asdict of {where}", repr(attrs.asdict(thing, recurse=True))
    for write in (pickle.dumps, json.dumps, copy.copy):
        try:
            written = write(thing)
        except Exception:  # noqa: BLE001 (it cannot be written)
            continue
        yield f"{write.__name__} of {where}", written if isinstance(written, str | bytes) else repr(written)
