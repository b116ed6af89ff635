"""A REST interface in memory, with one key, and a client of it."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import trio

from kraken_trio.auth import Credentials
from kraken_trio.auth.nonce import KeyRing
from kraken_trio.auth.rest import Rest
from kraken_trio.auth.tokens import Tokens
from kraken_trio.testing.exchange.rest import READ_ONLY, ApiKey, RestCore
from kraken_trio.testing.exchange.rest_memory import RestTransport
from kraken_trio.testing.faults.rest import BreakRest, RestBreak

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "kQ7vMARKEDkeyMARKEDkeyMARKEDkeyMARKEDkeyMARKEDkey+/abcd9"
SECRET = base64.b64encode(hashlib.sha512(b"a marked secret").digest()).decode()
OTP = "otp/MARKED+918273"
EPOCH_NS = 1_790_000_000 * 10**9
URL = "https://api.kraken.test"


class World:
    """The exchange's side (``core``), and what a client has (``rest``, ``tokens``)."""

    def __init__(
        self,
        *,
        permissions: frozenset[str] = READ_ONLY,
        otp: str | None = None,
        nonce_window: int = 0,
        credentials: Credentials | None = None,
        latency: float = 0.0,
        wall_ns: Callable[[], int] | None = None,
        request_timeout: float = 10.0,
        **core: Any,
    ) -> None:
        api = ApiKey(key=KEY, secret=SECRET, permissions=permissions, otp=otp, nonce_window=nonce_window)
        self.core = RestCore(keys=[api], now=trio.current_time(), epoch_ns=EPOCH_NS, **core)
        self.keys = KeyRing()
        self.wall_ns = wall_ns or (lambda: self.core.wall_ns(trio.current_time()))
        self.transport = RestTransport(self.core, latency=latency)
        self.request_timeout = request_timeout
        self.rest = self.client(credentials or Credentials(KEY, SECRET, otp))
        self.tokens = Tokens(self.rest)

    def client(self, credentials: Credentials | None, keys: KeyRing | None = None) -> Rest:
        """Another client. With other ``keys`` it is one of another process."""
        return Rest(
            URL,
            credentials=credentials,
            wall_ns=self.wall_ns,
            transport=self.transport,
            keys=keys or self.keys,
            request_timeout=self.request_timeout,
        )

    def breaks(self, how: RestBreak, **more: Any) -> None:
        self.core.inject(BreakRest(how=how, **more))
