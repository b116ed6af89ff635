"""Which engine a URL gets; none of them connects before it is asked to."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.kafka import KafkaEngine
from kraken_trio.broker.nats import NatsEngine
from kraken_trio.testing import MemoryBroker


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("nats://host:4222/kraken", NatsEngine, "nats://host:4222/kraken"),
        ("tls://host:4222/kraken", NatsEngine, "nats://host:4222/kraken"),
        ("kafka://host:9092/kraken", KafkaEngine, "kafka://host:9092/kraken"),
    ],
)
def test_by_the_scheme(url: str, kind: type, name: str) -> None:
    engine = engine_for(url)
    assert isinstance(engine, kind)
    assert engine.name == name


def test_an_engine_is_taken_as_it_is() -> None:
    broker = MemoryBroker()
    assert engine_for(broker) is broker
    with pytest.raises(TypeError, match="login and tls are for a URL"):
        engine_for(broker, login=object())  # type: ignore[arg-type]  # (that it is of a wrong type is what is tested)


@pytest.mark.parametrize("url", [None, 5, b"nats://user:secret@host"])
def test_what_is_no_url_is_told(url: Any) -> None:
    """As from an environment variable that is not set."""
    with pytest.raises(TypeError, match=f"not of type {type(url).__name__}") as caught:
        engine_for(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["login", "tls"])
def test_a_login_is_no_text(name: str) -> None:
    wrong: Any = {name: "secret"}
    with pytest.raises(TypeError, match=rf"{name} is a Broker\w+\(…\), not of type str") as caught:
        engine_for("nats://host", **wrong)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "host:4222", "http://user:secret@host", "NATS"])
def test_other_urls_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"begins with nats://, tls://, kafka://") as caught:
        engine_for(url)
    assert "secret" not in str(caught.value)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name="nats" if name.endswith("nats") else "kraken_trio.broker.kafka")

    monkeypatch.setattr("kraken_trio.broker.choice.import_module", missing)
    with pytest.raises(ImportError, match=r"nats:// needs nats: pip install 'kraken-trio\[nats\]'"):
        engine_for("nats://host")
    with pytest.raises(ModuleNotFoundError):
        engine_for("kafka://host")
    assert "nats" in sys.modules
