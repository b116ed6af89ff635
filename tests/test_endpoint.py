"""Endpoints: frozen values whose text never shows what a URL may hide."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st

import kraken_trio as kt

SECRET = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=6, max_size=20).map("SECRET{}".format)


@given(SECRET, st.sampled_from(["wss://host/v2?token={}", "wss://me:{}@host/v2", "wss://host#{}", "{}?{}", "//{}@?{}"]))
def test_no_text_of_an_endpoint_shows_what_may_be_secret(secret: str, template: str) -> None:
    endpoint = kt.Endpoint(template.format("", secret) if template.count("{}") == 2 else template.format(secret))
    assert secret in endpoint.url
    for text in (repr(endpoint), str(endpoint), endpoint.name):
        assert secret not in text


@given(st.text())
def test_the_text_of_any_endpoint_is_printable(url: str) -> None:
    assert kt.Endpoint(url).name.isprintable()
    assert repr(kt.Endpoint(url)).isprintable()


def test_what_is_not_secret_is_shown() -> None:
    assert kt.PUBLIC_V2.name == kt.PUBLIC_V2.url == "wss://ws.kraken.com/v2"
    assert "wss://ws.kraken.com/v2" in repr(kt.PUBLIC_V2)


def test_endpoints_are_frozen_values() -> None:
    assert kt.Endpoint("wss://host/v2") == kt.Endpoint("wss://host/v2", "v2", None)
    assert hash(kt.Endpoint("wss://host/v2")) == hash(kt.Endpoint("wss://host/v2", protocol="v2"))
    assert kt.Endpoint("wss://host", serves=["book", "book"]).serves == frozenset({"book"})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        kt.PUBLIC_V2.url = "wss://elsewhere"  # type: ignore[misc]  # frozen


def test_wrong_types_are_refused_when_it_is_constructed() -> None:
    with pytest.raises(TypeError):
        kt.Endpoint(b"wss://host")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError):
        kt.Endpoint("wss://host", 2)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match="collection of channel names"):
        kt.Endpoint("wss://host", serves="book")
