from __future__ import annotations

import pytest
import trio
from websockets.frames import CloseCode
from wsproto.frame_protocol import CloseReason

from kraken_trio.transport.formatting import close_received, describe


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("plain"), "plain"),
        (ValueError("\x1b[2J"), "\\x1b[2J"),
        (trio.ClosedResourceError(), "ClosedResourceError"),
        (caused_by(trio.BrokenResourceError(), OSError(104, "reset")), "[Errno 104] reset"),
        (caused_by(trio.BrokenResourceError(), trio.ClosedResourceError()), "BrokenResourceError"),
    ],
)
def test_every_error_has_a_text(error: BaseException, text: str) -> None:
    assert describe(error) == text


@pytest.mark.parametrize("codes", [CloseCode, CloseReason])
@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1000, "", "the peer closed the connection: 1000 NORMAL_CLOSURE"),
        (1012, "soon\x07", "the peer closed the connection: 1012 SERVICE_RESTART: soon\\x07"),
        (3000, "", "the peer closed the connection: 3000"),
        (4000, "mine", "the peer closed the connection: 4000: mine"),
    ],
)
def test_a_close_is_reported_with_the_librarys_name(
    codes: type[CloseCode | CloseReason], code: int, reason: str, text: str
) -> None:
    lost = close_received(codes, code, reason)
    assert (lost.reason, lost.code) == (text, code)


def test_a_close_without_a_code() -> None:
    lost = close_received(CloseCode, 1005, "")
    assert (lost.reason, lost.code) == ("the peer closed the connection, without a code", None)
