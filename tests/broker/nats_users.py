"""Users of a NATS server for tests: nkeys, and the signed files of an operator's users, as ``nsc`` makes them."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import attrs
import nkeys

if TYPE_CHECKING:
    from pathlib import Path


def key_pair(name: str, prefix: int = nkeys.PREFIX_BYTE_USER) -> tuple[Any, str]:
    """A pair of keys (always the same for a name), and its seed."""
    seed = nkeys.encode_seed(sha256(name.encode()).digest(), prefix)
    return nkeys.from_seed(bytearray(seed)), seed.decode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(issuer: Any, subject: Any, name: str, claims: dict[str, Any]) -> str:
    """A signed statement of NATS's: its JWT."""
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    body = {
        "jti": name, "iat": 1, "iss": issuer.public_key.decode(), "sub": subject.public_key.decode(), "name": name,
        "nats": {**claims, "version": 2},
    }  # fmt: skip
    text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(body).encode())}"
    return f"{text}.{_encoded(issuer.sign(text.encode()))}"


@attrs.frozen
class Operator:
    """Lines of a server's configuration, and a file for its user."""

    config: str
    creds: str


def make_operator() -> Operator:
    operator, _ = key_pair("operator", nkeys.PREFIX_BYTE_OPERATOR)
    system, _ = key_pair("system", nkeys.PREFIX_BYTE_ACCOUNT)
    account, _ = key_pair("account", nkeys.PREFIX_BYTE_ACCOUNT)
    user, seed = key_pair("user")
    unlimited: dict[str, Any] = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams",
         "consumer"), -1,
    )  # fmt: skip
    limits: dict[str, Any] = {"type": "account", "limits": {**unlimited, "wildcards": True}}
    no_streams = {
        "limits": {**unlimited, "wildcards": True, "mem_storage": 0, "disk_storage": 0, "streams": 0, "consumer": 0}
    }
    statements = {
        account: token(operator, account, "account", limits),
        system: token(operator, system, "system", {"type": "account", **no_streams}),
    }
    preload = "\n".join(f"{pair.public_key.decode()}: {text}" for pair, text in statements.items())
    signed = token(account, user, "user", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    return Operator(
        config=(
            f"operator: {token(operator, operator, 'operator', {'type': 'operator'})}\n"
            f"system_account: {system.public_key.decode()}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}"
        ),
        creds=(
            f"-----BEGIN NATS USER JWT-----\n{signed}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        ),
    )


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path
