"""API-Sign, by vectors; and that the exchange's side accepts just these."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio.auth import Credentials
from kraken_trio.auth.signature import MIN_SECRET_BYTES, api_sign, begin
from kraken_trio.testing.exchange.rest import ApiKey, RestCore, RestRequest

if TYPE_CHECKING:
    import hmac
    from pathlib import Path

DOCUMENTED = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
ONES = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@attrs.frozen
class Vector:
    name: str
    secret: str
    path: str
    nonce: int
    body: str
    signature: str


VECTORS = (
    Vector(
        "an order", DOCUMENTED, "/0/private/AddOrder", 1616492376594,
        "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25",
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
    ),
    Vector(
        "a token", DOCUMENTED, "/0/private/GetWebSocketsToken", 1616492376594, "nonce=1616492376594",
        "+mRDmY9Ks0Moc1zjv/BjfvYa98buO0x1yHChZR5onlfAzAUbfIYlLggUZzdQ0RsmXm4Sh+Q8iAIZdo2wSeHeiA==",
    ),
    Vector(
        "a second factor", DOCUMENTED, "/0/private/GetWebSocketsToken", 1616492376594,
        "nonce=1616492376594&otp=123456",
        "Ar/xaIFCxoB9vYgmMdFa96Q4kobeliKYcsJVL0e/9WCP8p+91eHqwusA7xAg4PaDXeGRBOWqOD4e7jxeWmvvDQ==",
    ),
    Vector(
        "32 bytes of 1", ONES, "/0/private/Balance", 1700000000000000000, "nonce=1700000000000000000",
        "6i7+cpXVLDDnDOekgsRcgFQhkYFyPDSSxhSVA8OrA6vjziXcy2K1DP3n7f9B/Kgni71WjBSQusZKxduRsdF20Q==",
    ),
    Vector(
        "nanoseconds", ONES, "/0/private/GetWebSocketsToken", 1700000000000000000, "nonce=1700000000000000000",
        "DwWQT9yQarJXSbu9/0wAklNAURGmW+mZYKSvRScstADUNczl4AF3jAXMIsrP4VeVJSUYxzHI8zahBoEXlIY0+g==",
    ),
    Vector(
        "JSON", DOCUMENTED, "/0/private/GetWebSocketsToken", 1616492376594, '{"nonce":"1616492376594"}',
        "HPdpJhpIrtLjJZVt+Hh9BfWStC+WBySrpgTLHtVBJ7ZH9UdJOtersnssuRGVwxefF6bnUPz24Bq23UUmUtafXg==",
    ),
    Vector(
        "a page", DOCUMENTED, "/0/private/TradesHistory", 1616492376594,
        "nonce=1616492376594&start=1700000000&ofs=50",
        "v+8ZX7B6NOH0QyvqsKW8n0fDDkQkcxw1T7VdntX7c2GuE2xM7/yLzW7Lk73BHSzvbwyo2eEUwAAYX3c44lO6bQ==",
    ),
    Vector(
        "a comma", DOCUMENTED, "/0/private/QueryOrders", 1616492376594,
        "nonce=1616492376594&txid=OAAAAA-AAAAA-AAAAAA%2COBBBBB-BBBBB-BBBBBB&trades=true",
        "eIrjJvjj4hnwenLheq4bkvx53uLYqKhLTTZySw4XTrEMt7aVCzBNHmFnuHB1iwJj18iC9JSRIWY/n7Shhxyrdg==",
    ),
)  # fmt: skip
"""From Kraken's documentation and its Rust SDK, and computed by hand with the same secrets."""
IDS = [vector.name for vector in VECTORS]
FORMS = [vector for vector in VECTORS if not vector.body.startswith("{")]


def begun(secret: str) -> hmac.HMAC:
    mac = begin(secret)
    assert not isinstance(mac, str)
    return mac


def requested(vector: Vector) -> RestRequest:
    kind = JSON if vector.body.startswith("{") else FORM
    headers = (("API-Key", "the key"), ("API-Sign", vector.signature), ("Content-Type", kind))
    return RestRequest(method="POST", target=vector.path, headers=headers, body=vector.body.encode())


def errors(vector: Vector, request: RestRequest) -> list[str]:
    """What an exchange that has just opened says."""
    core = RestCore(keys=[ApiKey(key="the key", secret=vector.secret, permissions=frozenset())])
    found: list[str] = json.loads(core.respond(request, 0.0).body)["error"]
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_a_signature_is_that_of_the_vector(vector: Vector) -> None:
    assert api_sign(begun(vector.secret), vector.path, vector.nonce, vector.body.encode()) == vector.signature


@pytest.mark.parametrize("vector", FORMS, ids=[vector.name for vector in FORMS])
def test_credentials_send_the_body_of_the_vector(vector: Vector) -> None:
    """Also in the order of the fields, and with their encoding: these bytes are what is signed."""
    fields = parse_qsl(vector.body)
    otp = dict(fields).get("otp")
    params = [(name, value) for name, value in fields if name not in {"nonce", "otp"}]
    signed = Credentials("the-key", vector.secret, otp).sign(vector.path, vector.nonce, params)
    assert signed.body == vector.body.encode()
    assert signed.headers == {"API-Key": "the-key", "API-Sign": vector.signature, "Content-Type": FORM}


def test_signatures_of_the_recorded_vectors(captures: Path) -> None:
    path = captures / "more" / "api_sign_vectors.json"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    for one in json.loads(path.read_text("utf-8")):
        assert api_sign(begun(one["secret"]), one["path"], int(one["nonce"]), one["body"].encode()) == one["api_sign"]


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_the_exchange_accepts_what_is_signed(vector: Vector) -> None:
    assert not {"EAPI:Invalid signature", "EAPI:Invalid nonce"} & set(errors(vector, requested(vector)))


@given(st.sampled_from(VECTORS), st.sampled_from(["target", "nonce", "body", "secret"]), st.data())
def test_the_exchange_refuses_what_was_changed_by_one_byte(vector: Vector, where: str, data: st.DataObject) -> None:
    request = requested(vector)
    if where == "target":
        # Behind /0/private/, so that it is still a private call.
        at = data.draw(st.integers(len("/0/private/"), len(vector.path) - 1))
        request = attrs.evolve(request, target=f"{vector.path[:at]}~{vector.path[at + 1 :]}")
    elif where == "nonce":
        changed = vector.body.replace(str(vector.nonce), str(vector.nonce + data.draw(st.integers(1, 9))))
        request = attrs.evolve(request, body=changed.encode())
    elif where == "body":
        at = data.draw(st.integers(0, len(vector.body) - 1))
        body = bytearray(vector.body.encode())
        body[at] ^= data.draw(st.integers(1, 255))
        request = attrs.evolve(request, body=bytes(body))
    else:
        vector = attrs.evolve(vector, secret=base64.b64encode(b"another secret, as long as it may be").decode())
    assert errors(vector, request) == ["EAPI:Invalid signature"]


@given(st.binary(max_size=80))
def test_a_secret_is_base64_and_long_enough(key: bytes) -> None:
    found = begin(base64.b64encode(key).decode())
    assert isinstance(found, str) == (len(key) < MIN_SECRET_BYTES)


@pytest.mark.parametrize("secret", ["no secret", "ünïcode" * 8, "AQEB AQEB" * 8, "A" * 87, "=" * 88])
def test_what_is_no_secret_gets_a_reason_without_it(secret: str) -> None:
    found = begin(secret)
    assert isinstance(found, str)
    assert secret not in found
