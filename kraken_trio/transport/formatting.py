"""How the errors, close codes and log records of a connection are put into text for people."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kraken_trio._text import printable
from kraken_trio.transport.seam import ConnectionLost

if TYPE_CHECKING:
    from enum import IntEnum

__all__ = ["SingleLineFilter", "close_received", "describe"]


def describe(error: BaseException) -> str:
    """What an exception says, in one printable line: never empty, as the text of Trio's own exceptions may be."""
    cause: BaseException | None = error
    while cause is not None:
        if text := str(cause):
            return printable(text)
        cause = cause.__cause__
    return type(error).__name__


def close_received(codes: type[IntEnum], code: int, reason: str) -> ConnectionLost:
    """The error for a CLOSE frame from the peer. ``codes`` are the close codes that have a name.

    1005 stands for a frame without a code (RFC 6455, section 7.4.1).
    """
    if code == 1005:
        return ConnectionLost("the peer closed the connection, without a code")
    name = next((f" {known.name}" for known in codes if known == code), "")
    detail = f": {printable(reason)}" if reason else ""
    return ConnectionLost(f"the peer closed the connection: {code}{name}{detail}", code=code)


class SingleLineFilter(logging.Filter):
    """Makes each log record one printable line: WebSocket libraries log the peer's text as it is (at DEBUG)."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"  # a traceback would repeat the error's text unescaped
        record.exc_info = record.exc_text = record.stack_info = None
        record.msg, record.args = printable(text, 500), ()
        return True
