"""Calls to the exchange's REST interface: retries, waits and deadlines."""

from __future__ import annotations

import ssl
from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlencode, urlsplit

import attrs
import trio

from kraken_trio._address import parse_address
from kraken_trio._proxy import choose_proxies
from kraken_trio.admission.default import is_loopback
from kraken_trio.auth.answers import Answered, ErrorKind, Failure, RestError, is_denied, read_reply
from kraken_trio.auth.http import HttpRequest
from kraken_trio.auth.nonce import LOCKOUT_SECONDS, PROCESS, KeyRing, KeyState
from kraken_trio.auth.permissions import lacks
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import httpx

    from kraken_trio._proxy import Proxies, Proxy
    from kraken_trio.auth.credentials import Credentials, Signed
    from kraken_trio.auth.http import Send

__all__ = ["KRAKEN_REST", "REQUEST_TIMEOUT", "Rest"]

KRAKEN_REST: Final = "https://api.kraken.com"
REQUEST_TIMEOUT: Final = 10.0
"""Seconds for one request: name lookup, TCP, TLS, and the answer."""
RATE_PAUSE: Final = 3.0
"""Seconds: the counter of a key falls by one in this time at the slowest tier. Doubled for each refusal in a row."""
RETRY_PAUSE: Final = 1.0
"""Seconds until a call is repeated that the exchange could not answer. Doubled each time."""
MAX_PAUSE: Final = 60.0
"""Seconds: the longest of the latter."""
MAX_RATE_RETRIES: Final = 8
"""How many refusals for a rate limit or a lockout one call waits for."""


_DIRECTLY: Final = choose_proxies(None, {})


@attrs.define
class _Tries:
    """What one call has been through."""

    retries: int
    """How many more attempts may be made when the exchange cannot be reached, or cannot answer."""
    nonce_failed: bool = False
    refused: int = 0
    failed: int = 0


class Rest:
    """The REST interface at ``base_url``, which is ``https://`` (or ``http://`` on this machine), a host and a port.

    ``wall_ns`` is the wall clock, from which nonces are made. ``transport`` replaces the network, for tests.
    """

    def __init__(
        self,
        base_url: str = KRAKEN_REST,
        *,
        credentials: Credentials | None = None,
        wall_ns: Callable[[], int],
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        proxies: Proxies = _DIRECTLY,
        keys: KeyRing = PROCESS,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self.name: str = _check_base(base_url)
        """The host, for messages."""
        self.credentials: Credentials | None = credentials
        self._send: Send = _import_send()
        self._base = base_url.rstrip("/")
        self._wall_ns = wall_ns
        self._ssl_context = ssl_context
        self._transport = transport
        address = parse_address(f"ws{base_url.removeprefix('http')}")
        self._proxy: Proxy | None = proxies(address) if address.secure else None
        self._timeout = request_timeout
        self._key: KeyState | None = None if credentials is None else keys.state(credentials.fingerprint)

    def __repr__(self) -> str:
        return f"<Rest {self.name}>"

    async def call(
        self,
        name: str,
        params: Iterable[tuple[str, str]] = (),
        *,
        private: bool = True,
        within: float = inf,
        retries: int = 4,
    ) -> Any:
        """Call ``name``, such as ``"TradesHistory"``, and return the decoded ``result``.

        A nonce that is refused is replaced once. Rate limits and a lockout are waited for, and what the exchange could
        not answer is asked again ``retries`` times, as long as there is time: ``within`` this many seconds, and before
        the caller's own deadline. Raises :class:`RestError` otherwise.
        """
        params = tuple(params)
        deadline = min(trio.current_time() + within, trio.current_effective_deadline())
        tries = _Tries(retries)
        while True:
            failure = self._locked_out() if private else None
            if failure is None:
                outcome = await self._attempt(name, params, private=private, deadline=deadline)
                if isinstance(outcome, Answered):
                    return outcome.result
                failure = outcome
            else:
                await trio.lowlevel.checkpoint()
            self._take_note(failure)
            pause = _pause(failure, tries)
            if pause is None or trio.current_time() + pause > deadline:
                raise RestError(failure, self._explain(name, failure), retry_after=failure.retry_after or pause)
            if pause:
                await trio.sleep(pause)

    def _locked_out(self) -> Failure | None:
        seconds = 0.0 if self._key is None else self._key.locked_for(self._wall_ns())
        if not seconds:
            return None
        text = "the exchange ignores this key for a while, because of too many wrong requests"
        return Failure(kind=ErrorKind.LOCKOUT, text=text, retry_after=seconds)

    def _take_note(self, failure: Failure) -> None:
        if failure.kind is ErrorKind.LOCKOUT and failure.errors and self._key is not None:
            self._key.lock_out(self._wall_ns())

    async def _attempt(
        self, name: str, params: tuple[tuple[str, str], ...], *, private: bool, deadline: float
    ) -> Answered | Failure:
        """One request."""
        with trio.move_on_at(deadline):
            if not private:
                query = f"?{urlencode(params)}" if params else ""
                url = f"{self._base}/0/public/{name}{query}"
                return await self._timed(HttpRequest("GET", url))
            if self.credentials is None or self._key is None:
                msg = f"{name} needs credentials"
                raise RuntimeError(msg)
            async with self._key.turn():
                path = f"/0/private/{name}"
                # Made, signed and sent in one turn, which ends with the answer.
                signed = self._sign(path, self._key.next_nonce(self._wall_ns()), params)
                if isinstance(signed, Failure):
                    return signed
                request = HttpRequest("POST", self._base + path, signed.headers, signed.body)
                outcome = await self._timed(request)
            if isinstance(outcome, Failure):
                errors = tuple(map(signed.scrub, outcome.errors))
                return attrs.evolve(outcome, text=signed.scrub(outcome.text), errors=errors)
            return outcome
        return Failure(kind=ErrorKind.TRANSIENT, text="no answer in time")

    def _sign(self, path: str, nonce: int, params: tuple[tuple[str, str], ...]) -> Signed | Failure:
        assert self.credentials is not None  # the call is private
        try:
            return self.credentials.sign(path, nonce, params)
        except Exception as error:  # noqa: BLE001 (of the program's own function for the second factor)
            kind = type(error).__name__
        return Failure(kind=ErrorKind.FINAL, text=f"the function for the second factor raised {kind}")

    async def _timed(self, request: HttpRequest) -> Answered | Failure:
        with trio.move_on_after(self._timeout):
            outcome = await self._send(request, self._transport, self._tls, self._proxy)
            return outcome if isinstance(outcome, Failure) else read_reply(outcome, self._wall_ns())
        return Failure(kind=ErrorKind.TRANSIENT, text=f"no answer within {self._timeout:g} s")

    def _tls(self) -> ssl.SSLContext:
        """Made once, and only if it is used: that reads files. Without encryption, one that trusts nobody."""
        if self._ssl_context is None:
            is_secure = self._base.startswith("https:")
            self._ssl_context = ssl.create_default_context() if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return self._ssl_context

    def _explain(self, name: str, failure: Failure) -> str:
        """What happened, and what to do."""
        return f"{name} failed at {self.name}: {failure.text}{self._advice(name, failure)}"

    def _advice(self, name: str, failure: Failure) -> str:
        hint = "" if self.credentials is None else f" {self.credentials.hint}"
        if failure.kind is ErrorKind.NONCE:
            return (
                f"; is the key{hint} used by another program, too, or was it used before by one whose clock was ahead, "
                "or which counted in other units? Give each program a key of its own, and check this machine's clock"
            )
        if failure.kind is ErrorKind.ADDRESS and failure.proxy_status is None:
            return "; is this the address of the exchange's REST interface?"
        if failure.kind is ErrorKind.RATE:
            return "; something uses up the rate limit: fewer reconnects, or a key for each program, will help"
        if failure.kind is not ErrorKind.FATAL:
            return ""
        if any(map(is_denied, failure.errors)):
            return (
                f"; the key{hint} lacks {lacks(name)}, or it has a second factor and no otp was given, or a wrong one: "
                "change it at https://www.kraken.com/u/security/api"
            )
        if any("signature" in error for error in failure.errors):
            return f"; the secret is not that of the key{hint}: copy both again"
        return (
            f"; check that the key{hint} is complete and no secret, that it was not deleted and has not expired, and "
            "that it may be used from this address"
        )


def _pause(failure: Failure, tries: _Tries) -> float | None:
    """Seconds until the next attempt; None: there must be none."""
    kind = failure.kind
    if kind is ErrorKind.NONCE and not tries.nonce_failed:  # mutant: one retry for a nonce
        tries.nonce_failed = True
        return 0.0
    if (failure.retry_after or 0.0) > LOCKOUT_SECONDS:
        return None
    if kind in {ErrorKind.LOCKOUT, ErrorKind.RATE} and tries.refused < MAX_RATE_RETRIES:
        tries.refused += 1
        usual = LOCKOUT_SECONDS if kind is ErrorKind.LOCKOUT else RATE_PAUSE * 2 ** (tries.refused - 1)
        return failure.retry_after or min(usual, LOCKOUT_SECONDS)
    if kind is ErrorKind.TRANSIENT and tries.failed < tries.retries:
        tries.failed += 1
        return failure.retry_after or min(RETRY_PAUSE * 2 ** (tries.failed - 1), MAX_PAUSE)
    return None


def _check_base(url: str) -> str:
    """The host of the URL, for messages. Raises :class:`ConnectError` for a URL that cannot be used."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not url.isascii() or not url.isprintable() or " " in url:
        _refuse("it has only printable ASCII characters")
    if not host or parts.scheme not in {"https", "http"}:
        _refuse("it begins with https:// and a host")
    if parts.username is not None or parts.query or parts.fragment or parts.path not in {"", "/"}:
        _refuse("it has nothing but a host and a port")
    if parts.scheme == "http" and not is_loopback(f"ws{url.removeprefix('http')}"):
        _refuse("only https:// keeps the answers and the key safe, except on this machine")
    return parts.netloc


def _refuse(why: str) -> NoReturn:
    msg = f"not a usable URL of a REST interface: {why}"
    raise ConnectError(msg, retryable=False)


def _import_send() -> Send:
    """What sends requests with httpx, which programs without credentials do without."""
    try:
        from kraken_trio.auth.over_httpx import send  # noqa: PLC0415 (httpx belongs to an extra, and takes long)
    except ImportError:
        pass
    else:
        return send
    msg = "credentials need httpx: pip install 'kraken-trio[private]'"
    raise ConnectError(msg, retryable=False)
