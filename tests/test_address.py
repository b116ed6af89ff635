from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kraken_trio._address import Address, parse_address
from kraken_trio.errors import ConnectError


@pytest.mark.parametrize(
    ("url", "address", "shown", "host_header"),
    [
        (
            "wss://ws.kraken.com/v2",
            Address(host="ws.kraken.com", port=443, secure=True, target="/v2"),
            "ws.kraken.com:443",
            "ws.kraken.com",
        ),
        (
            "WSS://WS.KRAKEN.COM:443",
            Address(host="ws.kraken.com", port=443, secure=True, target="/"),
            None,
            "ws.kraken.com",
        ),
        ("ws://a:443/", Address(host="a", port=443, secure=False, target="/"), "a:443", "a:443"),
        ("ws://a?b=c@d", Address(host="a", port=80, secure=False, target="/?b=c@d"), "a:80", "a"),
        ("ws://a:/b?", Address(host="a", port=80, secure=False, target="/b"), "a:80", "a"),
        ("ws://[::1]/", Address(host="::1", port=80, secure=False, target="/"), "[::1]:80", "[::1]"),
        ("wss://[::1]:8/", Address(host="::1", port=8, secure=True, target="/"), "[::1]:8", "[::1]:8"),
    ],
)
def test_good_addresses(url: str, address: Address, shown: str | None, host_header: str) -> None:
    assert parse_address(url) == address
    assert shown is None or str(address) == shown
    assert address.host_header == host_header


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must begin with wss://"),
        ("ws.kraken.com/v2", "must begin with wss://"),
        ("https://ws.kraken.com/v2", "must begin with wss://"),
        ("wss:ws.kraken.com", "names no host"),
        ("wss:///v2", "names no host"),
        ("wss://:443/v2", "names no host"),
        ("wss://a:b/", "Port could not be cast"),
        ("wss://a:65536/", "Port out of range"),
        ("wss://a:-1/", "Port"),
        ("wss://a:0/", "port 0"),
        ("wss://[::1/", "Invalid IPv6 URL"),
        ("wss://[nonsense]/", "nonsense"),
        ("wss://a..b/", "not a valid name"),
        (f"wss://{'a' * 64}.com/", "not a valid name"),
        ("wss://a/#b", "no #fragment"),
        ("wss://a/#", "no #fragment"),
        ("wss://a/b c", "printable ASCII"),
        ("wss://a\n/", "printable ASCII"),
        (" wss://a/", "printable ASCII"),
        ("wss://krakén.com/", "printable ASCII"),
    ],
)
def test_bad_addresses(url: str, why: str) -> None:
    with pytest.raises(ConnectError, match="not a usable WebSocket URL") as info:
        parse_address(url)
    assert not info.value.retryable
    assert why in str(info.value)
    assert str(info.value).isprintable()


@pytest.mark.parametrize(
    "url", ["wss://me:secret@a/", "wss://secret@a", "wss://me:secret@a:bad\n/?#", "http://secret@"]
)
def test_passwords_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConnectError, match="user name or password") as info:
        parse_address(url)
    assert not info.value.retryable
    assert "secret" not in str(info.value)


@given(st.one_of(st.text(), st.text().map(lambda text: f"wss://{text}"), st.from_regex(r"\Awss?://[!-~]{1,30}\Z")))
def test_any_text_is_an_address_or_a_connect_error(url: str) -> None:
    try:
        address = parse_address(url)
    except ConnectError as raised:
        error: ConnectError | None = raised
    else:
        error = None
        assert 0 < address.port < 65536
        assert address.host
        assert address.target.startswith("/")
        assert address.target.isascii()
        assert " " not in address.target
    assert error is None or (not error.retryable and str(error).isprintable())
