"""Digits come from the wire, and go into the checksum, whatever a machine's locale thinks of commas."""

from __future__ import annotations

import ast
import locale
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kraken_trio
from kraken_trio import OrderBook
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data
from tests.session.driver import Market as Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATTED_WITH_N = re.compile(r":[^{}:]*n}|}n}")
COMMAS = ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8", "ar_EG.UTF-8", "hi_IN.UTF-8", "de_DE", "German")


@pytest.fixture
def foreign() -> Iterator[str]:
    """A locale with other numbers, if this machine has one; else its own."""
    before = locale.setlocale(locale.LC_ALL)
    for name in (*COMMAS, ""):
        try:
            yield locale.setlocale(locale.LC_ALL, name)
            break
        except locale.Error:
            continue
    locale.setlocale(locale.LC_ALL, before)


def test_a_book_is_the_same_in_every_locale(foreign: str) -> None:
    exchange, book, decoder = Exchange(), OrderBook(10), codec_for("v2")
    for number in range(1, 2_000, 100):
        frame = exchange.snapshot() if number == 1 else exchange.tick(f"{number}.50000000")
        message = decoder.decode(frame)
        assert isinstance(message, Data)
        for event in message.events:
            book.apply(event)  # type: ignore[arg-type]  # a book's frames
            assert book.checksum() == exchange.checksum
    assert str(book.best_bid) == "1.00 @ 100.0"


def test_nothing_asks_for_the_locale() -> None:
    """No module is imported for it, and no number is formatted with ``n``, which is the way to its commas."""
    files = list(Path(kraken_trio.__file__).parent.rglob("*.py"))
    assert len(files) > 40
    for path in files:
        source = path.read_text(encoding="utf-8")
        if "locale" not in source and not FORMATTED_WITH_N.search(source):
            continue  # nothing to find: most files need not be parsed
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert "locale" not in names, path
            elif isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                assert not ast.unparse(node.format_spec).rstrip("'\"").endswith("n"), f"{path}:{node.lineno}"
