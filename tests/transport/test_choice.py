"""Which transport a program gets."""

from __future__ import annotations

import sys

import pytest

import kraken_trio as kt
from kraken_trio.transport import trio_websocket, websockets
from kraken_trio.transport.choice import choose


@pytest.fixture
def without_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("websockets", "protocol"):
        monkeypatch.delitem(sys.modules, f"kraken_trio.transport.{module}")
        monkeypatch.delattr(f"kraken_trio.transport.{module}")
    monkeypatch.setitem(sys.modules, "websockets.client", None)


def test_each_by_its_name() -> None:
    assert choose("websockets") is websockets.connect
    assert choose("trio-websocket") is trio_websocket.connect


def test_the_fast_one_by_default() -> None:
    assert choose() is choose("auto") is websockets.connect


def test_the_other_one_by_default_where_the_library_is_too_old(without_websockets: None) -> None:
    assert choose() is choose("auto") is trio_websocket.connect


def test_a_transport_whose_library_is_missing(without_websockets: None) -> None:
    with pytest.raises(ImportError, match=r"transport='websockets' needs websockets 14 .*pip install 'websockets>=14'"):
        choose("websockets")


def test_a_name_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"transport='websocket': one of 'auto', 'websockets', 'trio-websocket', or"):
        choose("websocket")  # type: ignore[arg-type]  # see above


def test_a_connect_is_its_own_answer() -> None:
    assert choose(trio_websocket.connect) is trio_websocket.connect


async def test_open_client_takes_names(without_websockets: None) -> None:
    with pytest.raises(ImportError, match="websockets>=14"):
        async with kt.open_client(transport="websockets"):
            pass
    for name in ("auto", "trio-websocket"):
        with pytest.raises(kt.ConnectError, match="port 0"):
            async with kt.open_client("ws://exchange.test:0", transport=name):
                pass


async def test_open_client_takes_the_fast_one() -> None:
    with pytest.raises(kt.ConnectError, match="port 0"):
        async with kt.open_client("ws://exchange.test:0", transport="websockets"):
            pass
