"""Proxies: their URLs, and which connections go through one by the environment."""

from __future__ import annotations

import base64
import string
from urllib.parse import quote

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio._address import parse_address
from kraken_trio._proxy import Proxy, choose_proxies, find_proxy, is_exempt, parse_proxy
from kraken_trio.errors import ConnectError
from tests.secrets import Secrets

KRAKEN = parse_address("wss://ws.kraken.com/v2")
PASSWORD = "correct/horse@battery:staple"

names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=10)
hosts = st.lists(names, min_size=1, max_size=4).map(".".join).filter(lambda host: not host[0].isdigit())
ports = st.integers(1, 65535)


@given(hosts, ports, st.text(max_size=12), st.text(max_size=12))
@example("proxy.test", 3128, "user", PASSWORD)
def test_what_a_url_says(host: str, port: int, user: str, password: str) -> None:
    proxy = parse_proxy(f"http://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}")
    assert (proxy.host, proxy.port, proxy.url) == (host, port, f"http://{host}:{port}")
    authorization = proxy.authorization()
    assert authorization is not None
    assert base64.b64decode(authorization.removeprefix("Basic ")) == f"{user}:{password}".encode()


@pytest.mark.parametrize(
    ("url", "host", "port", "text"),
    [
        ("http://proxy.test", "proxy.test", 80, "http://proxy.test:80"),
        ("http://proxy.test:3128/", "proxy.test", 3128, "http://proxy.test:3128"),
        ("proxy.test:8080", "proxy.test", 8080, "http://proxy.test:8080"),
        ("http://[::1]:8080", "::1", 8080, "http://[::1]:8080"),
    ],
)
def test_urls_without_a_user(url: str, host: str, port: int, text: str) -> None:
    proxy = parse_proxy(url)
    assert proxy == Proxy(host=host, port=port)
    assert not Proxy(host=host, port=port).has_password
    assert str(proxy) == f"the proxy {text}"
    assert not proxy.has_password


def test_a_user_without_a_password() -> None:
    proxy = parse_proxy("http://token@proxy.test")
    assert proxy.authorization() == f"Basic {base64.b64encode(b'token:').decode()}"
    assert proxy.has_password


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://proxy.test", "only HTTP proxies are supported"),
        ("socks5://proxy.test:1080", "only HTTP proxies are supported"),
        ("http://proxy.test:0", "a host and a port"),
        ("http://", "a host and a port"),
        ("", "a host and a port"),
        ("http://proxy.test/path", "a host and a port"),
        ("http://proxy.test?query", "a host and a port"),
        ("http://proxy.test#fragment", "a host and a port"),
        ("http://proxy.test:70000", "its port is invalid"),
        ("http://proxy.test:port", "its port is invalid"),
        ("http://proxy test", "printable ASCII"),
        ("http://pröxy.test", "printable ASCII"),
        ("http://proxy.test\n", "printable ASCII"),
        ("http://proxy..test", "not a valid name"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, wrong: str) -> None:
    with pytest.raises(ConnectError, match=f"^HTTPS_PROXY is not a usable proxy: .*{wrong}.*; write it as ") as info:
        parse_proxy(url, "HTTPS_PROXY")
    assert not info.value.retryable


@pytest.mark.parametrize("url", ["http://user:{}@proxy.test", "ftp://user:{}@proxy.test", "http://u:{}@proxy.test:x"])
def test_a_password_is_shown_by_nothing(url: str) -> None:
    secrets = Secrets(password=PASSWORD, quoted=quote(PASSWORD, safe=""), pair=f"user:{PASSWORD}")
    try:
        shown: object = parse_proxy(url.format(quote(PASSWORD, safe="")))
    except ConnectError as error:
        shown = error
    assert not secrets.found_in(shown)


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.test:1"}, 1),
        ({"https_proxy": "proxy.test:2"}, 2),
        ({"HTTPS_PROXY": "http://proxy.test:1", "https_proxy": "http://proxy.test:2"}, 2),
        ({"HTTPS_PROXY": "http://proxy.test:1", "https_proxy": ""}, 1),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTP_PROXY": "http://proxy.test:1", "ALL_PROXY": "http://proxy.test:1"}, None),
        ({"HTTPS_PROXY": "http://proxy.test:1", "NO_PROXY": "other.test,.kraken.com"}, None),
        ({"HTTPS_PROXY": "http://proxy.test:1", "no_proxy": "kraken.com"}, None),
        ({"HTTPS_PROXY": "http://proxy.test:1", "NO_PROXY": "kraken.com", "no_proxy": "other.test"}, 1),
        ({"NO_PROXY": "other.test"}, None),
    ],
)
def test_what_the_environment_says(environ: dict[str, str], found: int | None) -> None:
    proxy = find_proxy(KRAKEN, environ)
    assert (None if proxy is None else proxy.port) == found


@pytest.mark.parametrize("url", ["ws://ws.kraken.com", "wss://localhost", "wss://127.0.0.1:5", "wss://[::1]"])
def test_what_is_never_sent_to_the_environments_proxy(url: str) -> None:
    assert find_proxy(parse_address(url), {"HTTPS_PROXY": "http://proxy.test:1"}) is None


def test_an_unusable_proxy_of_the_environment_is_called_by_its_name() -> None:
    with pytest.raises(ConnectError, match=r"^https_proxy is not a usable proxy: only HTTP"):
        find_proxy(KRAKEN, {"https_proxy": "socks5://proxy.test:1"})


@pytest.mark.parametrize(
    ("entry", "host", "port", "exempt"),
    [
        ("*", "ws.kraken.com", 443, True),
        ("kraken.com", "ws.kraken.com", 443, True),
        (".kraken.com", "ws.kraken.com", 443, True),
        ("*.kraken.com", "ws.kraken.com", 443, True),
        (".kraken.com", "kraken.com", 443, True),
        ("Kraken.COM.", "WS.kraken.com.", 443, True),
        ("raken.com", "ws.kraken.com", 443, False),
        ("ws.kraken.com", "kraken.com", 443, False),
        ("kraken.com:443", "ws.kraken.com", 443, True),
        ("kraken.com:8443", "ws.kraken.com", 443, False),
        ("a.test b.test,\tkraken.com", "ws.kraken.com", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.1/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3:443", "10.1.2.3", 443, True),
        ("::1", "::1", 443, True),
        ("[2001:db8::1]", "2001:db8:0::1", 443, True),
        ("[2001:db8::1]:443", "2001:db8::1", 443, True),
        ("[2001:db8::1]:80", "2001:db8::1", 443, False),
        ("2001:db8::/32", "2001:db8::1", 443, True),
        (",, ,", "ws.kraken.com", 443, False),
        (".", "ws.kraken.com", 443, False),
        ("", "ws.kraken.com", 443, False),
    ],
)
def test_no_proxy(entry: str, host: str, port: int, exempt: bool) -> None:
    assert is_exempt(host, port, entry) is exempt


@given(hosts, ports, st.text("a.*:[]/,1 ", max_size=20))
def test_a_name_is_exempt_with_everything_below_it_whatever_else_is_listed(host: str, port: int, more: str) -> None:
    for entry in (host, f".{host}", f"{host}:{port}"):
        assert is_exempt(host, port, f"{more},{entry}")
        assert is_exempt(f"www.{host}", port, f"{entry} {more}")
    assert not is_exempt(f"x{host}", port, host)


# -- open_client(proxy=...) -------------------------------------------------------------------------------------------


def test_what_the_argument_means() -> None:
    environ = {"HTTPS_PROXY": "http://environment.test"}
    loopback = parse_address("ws://127.0.0.1")
    assert choose_proxies(None, environ)(KRAKEN) is None
    assert choose_proxies("auto", environ)(KRAKEN) == Proxy(host="environment.test", port=80)
    assert choose_proxies("auto", environ)(loopback) is None
    for address in (KRAKEN, loopback):
        assert choose_proxies("http://argument.test", environ)(address) == Proxy(host="argument.test", port=80)
    with pytest.raises(TypeError, match="proxy is a URL, 'auto' or None, not a int"):
        choose_proxies(3, environ)  # type: ignore[arg-type]  # wrong on purpose
