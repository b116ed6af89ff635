"""The texts of refusals, which Kraken's protocols share: what they mean, and which symbols they name.

A protocol has its own way to say which request is refused; the texts are the same.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

from kraken_trio._text import printable
from kraken_trio.wire.messages import RefusalKind
from kraken_trio.wire.tree import text

__all__ = ["error_text", "error_words", "kind_of", "mentioned"]

_MAX_TEXT: Final = 500
_MAX_MENTIONED: Final = 1000  # symbols; a request holds far fewer


def error_words(tree: dict[str, Any]) -> str | None:
    """The text of an error, in whichever field it is; None if there is no error."""
    keys = ("error", "Error", "errorMessage", *(("message",) if tree.get("event") == "error" else ()))
    return next((words for key in keys if (words := text(tree, key)) is not None), None)


def error_text(tree: dict[str, Any]) -> str:
    """The same, printable, and never empty-handed: for people."""
    words = error_words(tree)
    return "the exchange gave no reason" if words is None else printable(words.strip(), _MAX_TEXT)


_KINDS: Final = (
    ("Exceeded msg rate", RefusalKind.RATE_LIMITED),  # mutant: rate limit
    ("EAPI:Rate limit exceeded", RefusalKind.RATE_LIMITED),
    ("EAuth:Rate limit exceeded", RefusalKind.RATE_LIMITED),
    ("EGeneral:Too many requests", RefusalKind.RATE_LIMITED),
    ("Rate limit for snapshot requests exceeded", RefusalKind.LATER),
    ("EService:", RefusalKind.LATER),
    ("EGeneral:Internal error", RefusalKind.LATER),
    ("EGeneral:Temporary lockout", RefusalKind.LATER),
    ("EAPI:Invalid token", RefusalKind.STALE_TOKEN),
    ("ESession:Invalid session", RefusalKind.STALE_TOKEN),
    ("Already subscribed to one", RefusalKind.FINAL),
    ("Already subscribed", RefusalKind.ALREADY),
    ("Subscription Not Found", RefusalKind.ABSENT),
)
"""The beginnings of error texts, and what they mean; the first match counts. All other texts are final."""
_COMPARED: Final = tuple((words.lower(), kind) for words, kind in _KINDS)


def kind_of(error: str) -> RefusalKind:
    """The kind of a refusal. Compared without case; a rate limit may be named anywhere in the text."""
    said = error.lower()  # mutant: case of a refusal
    for words, kind in _COMPARED:
        if said.startswith(words) or (kind is RefusalKind.RATE_LIMITED and words in said):
            return kind
    return RefusalKind.FINAL


_TOKEN: Final = re.compile(r"[A-Za-z0-9./\-]+", re.ASCII)
_SYMBOL: Final = re.compile(r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}", re.ASCII)
# These texts end with the name as it was sent, which may have no slash.
_ENDS_WITH_NAME: Final = re.compile(
    r"currency pair not (?:supported|in ISO 4217-A3 format)\s+(\S{1,65})", re.ASCII | re.IGNORECASE
)


def mentioned(error: str, *fields: Any) -> tuple[str, ...]:
    """The symbols of a refusal without a ``symbol``: those of other fields, or those of its text.

    A field with several symbols may only repeat the request; the text, if it names any, names the refused ones.
    """
    found = [symbol for field in fields for symbol in _symbols(field)]
    if len(found) != 1:
        found = _symbols_in(error) or found  # mutant: symbol in words
    return tuple(dict.fromkeys(symbol.upper() for symbol in found))


def _symbols(field: Any) -> list[str]:
    values = field if isinstance(field, list) else [field]
    return [value for value in islice(values, _MAX_MENTIONED) if isinstance(value, str) and _SYMBOL.fullmatch(value)]


def _symbols_in(error: str) -> list[str]:
    named = _ENDS_WITH_NAME.fullmatch(error)
    if named:
        return [named[1]]
    tokens = (token.rstrip(".") for token in _TOKEN.findall(error))
    return [token for token in tokens if _SYMBOL.fullmatch(token)]
