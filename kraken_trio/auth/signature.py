"""``API-Sign``: the proof that a request comes from the holder of a secret. Pure.

The secret itself is not kept: what signs is an HMAC that was begun with it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Final

__all__ = ["MIN_SECRET_BYTES", "api_sign", "begin"]

MIN_SECRET_BYTES: Final = 16
"""Kraken's secrets have 64 bytes; what is shorter than this was cut off."""


def begin(secret: str) -> hmac.HMAC | str:
    """The HMAC of a secret; for what is none, the reason why, without showing it. Raises nothing."""
    try:
        key = b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return "it is not Base64 (letters, digits, + and /, with = at its end)"
    if len(key) < MIN_SECRET_BYTES:
        return f"it has only {len(key)} bytes, Kraken's have 64"
    return hmac.new(key, digestmod="sha512")


def api_sign(begun: hmac.HMAC, path: str, nonce: int, body: bytes) -> str:
    """The signature of a request.

    ``path`` begins with ``/0/``, and has no host and no query; ``body`` are the bytes that are sent, which contain the
    same ``nonce``.
    """
    mac = begun.copy()
    mac.update(path.encode("ascii") + hashlib.sha256(b"%d" % nonce + body).digest())
    return b64encode(mac.digest()).decode("ascii")
