"""An API key with its secret."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote, quote_plus, urlencode

from kraken_trio._text import printable
from kraken_trio.auth.concealed import Concealed
from kraken_trio.auth.signature import api_sign, begin

if TYPE_CHECKING:
    import hmac

__all__ = ["Credentials", "Otp", "Signed"]

Otp: TypeAlias = str | Callable[[], str] | None
"""A password that never changes, or a function that makes one for each call; None if the key needs none."""

_KEY: Final = re.compile(r"[!-~]{1,200}")
"""Printable ASCII, as HTTP wants it in a header."""
_SHOWN: Final = 4
_MAX_FILE: Final = 16 * 1024
_TOML: Final = re.compile(r"^\s*(key|secret|otp)\s*=", re.MULTILINE)
_SHORTEST_HIDDEN: Final = 4
"""Characters. What is shorter is no secret: a text would be full of it."""
FORM: Final = "application/x-www-form-urlencoded"


class Signed(Concealed):
    """A signed request: its body, and its headers."""

    __slots__ = ("_secrets", "body", "headers")

    body: bytes
    headers: dict[str, str]
    _secrets: tuple[str, ...]

    def __init__(self, body: bytes, headers: dict[str, str], secrets: Iterable[str]) -> None:
        forms = {form(text) for text in secrets for form in (str, quote, quote_plus) if len(text) >= _SHORTEST_HIDDEN}
        self._set(body=body, headers=headers, _secrets=tuple(sorted(forms, key=len, reverse=True)))

    def scrub(self, text: str) -> str:
        """``text`` without key, signature and password, which a peer may have sent back."""
        for secret in self._secrets:
            text = text.replace(secret, "<hidden>")
        return text


class Credentials(Concealed):
    """An API key of Kraken, and its secret: for ``open_client(…, credentials=…)``.

    ``key``, ``secret``
        As Kraken shows them when the key is made. Raises :class:`ValueError` for what cannot be a key or a secret.
    ``otp``
        If the key has a second factor: its password, or a function that returns a fresh one for each call. A client
        reconnects by itself, so a function that asks a person will not do; a key without second factor is best.
    ``require_read_only``
        True: refuse to connect with a key that may do more than read, or that cannot be checked.

    It shows nobody more than the first four characters of the key: not in ``repr``, not in a log, not in an error. It
    cannot be pickled: send a process the name of a file or a variable instead.
    """

    __slots__ = ("_begun", "_key", "_otp", "require_read_only")

    require_read_only: bool
    """Whether a key that may do more than read is refused."""
    _key: str
    _begun: hmac.HMAC
    _otp: Otp

    def __init__(self, key: str, secret: str, otp: Otp = None, *, require_read_only: bool = False) -> None:
        problem = _problem(key, otp)
        begun = begin(secret) if isinstance(secret, str) else "it is no text"
        usable = None if isinstance(begun, str) else begun
        if problem is None and isinstance(begun, str):
            problem = f"the secret is not usable: {begun}; copy it again, or make a new key"
        if problem is not None or usable is None:
            key = secret = ""  # a traceback shows local variables, and this object as well
            otp = None
            self._set(_key="", _otp=None)
            raise ValueError(problem)
        self._set(_key=key, _begun=usable, _otp=otp, require_read_only=bool(require_read_only))

    @classmethod
    def from_env(cls, prefix: str = "KRAKEN", *, require_read_only: bool = False) -> Credentials:
        """Those in the environment variables ``KRAKEN_API_KEY``, ``KRAKEN_API_SECRET`` and, if set, ``KRAKEN_API_OTP``.

        ``prefix`` replaces ``KRAKEN``. Raises :class:`ValueError` if one is missing.
        """
        missing = [name for name in (f"{prefix}_API_KEY", f"{prefix}_API_SECRET") if not os.environ.get(name)]
        if missing:
            what = f"variable {missing[0]} is" if len(missing) == 1 else f"variables {' and '.join(missing)} are"
            msg = f"no credentials: the environment {what} not set"
            raise ValueError(msg)
        return cls(
            os.environ[f"{prefix}_API_KEY"].strip(),
            os.environ[f"{prefix}_API_SECRET"].strip(),
            os.environ.get(f"{prefix}_API_OTP") or None,
            require_read_only=require_read_only,
        )

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, require_read_only: bool = False) -> Credentials:
        """Those in a file that only its owner can read.

        The file is TOML with ``key``, ``secret`` and, if needed, ``otp``, each a text; or has two lines, the key and
        the secret. Raises :class:`OSError` if it cannot be read, and :class:`ValueError` if others can read it, too, or
        if it contains something else.
        """
        read = _read(path)
        if isinstance(read, _Read):
            try:
                return cls(*read.values, require_read_only=require_read_only)
            except ValueError as error:
                read = str(error)
        msg = f"{printable(os.fspath(path))}: {read}"
        raise ValueError(msg)

    @property
    def hint(self) -> str:
        """The first four characters of the key, for messages and logs."""
        return f"{printable(self._key[: min(_SHOWN, len(self._key) // 2)])}…"

    @property
    def fingerprint(self) -> bytes:
        """The same for the same key, and no key: what tells one key from another."""
        return sha256(self._key.encode()).digest()

    def sign(self, path: str, nonce: int, params: Iterable[tuple[str, str]]) -> Signed:
        """Sign a request. Raises what a function for the second factor raises."""
        otp = self._otp() if callable(self._otp) else self._otp
        if otp is not None and not isinstance(otp, str):
            kind, otp = type(otp).__name__, None
            msg = f"the function for the second factor must return a text, not {kind}"
            raise TypeError(msg)
        fields = [("nonce", str(nonce)), *params, *([("otp", otp)] if otp else [])]
        body = urlencode(fields).encode("ascii")
        proof = api_sign(self._begun, path, nonce, body)
        headers = {"API-Key": self._key, "API-Sign": proof, "Content-Type": FORM}
        signed = Signed(body, headers, (self._key, proof, otp or ""))
        del fields, body, proof, headers, otp
        return signed

    def __repr__(self) -> str:
        return f"<Credentials {self.hint}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def _identity(self) -> tuple[object, ...]:
        return self.fingerprint, self._begun.digest(), self._otp, self.require_read_only


def _problem(key: object, otp: object) -> str | None:
    """What is wrong with a key or a second factor, without showing them."""
    if not isinstance(key, str):
        return f"the API key must be a text, not {type(key).__name__}"
    if not _KEY.fullmatch(key):
        return "this is no API key: a key has 1 to 200 letters, digits and signs, and no spaces or line breaks"
    if not (otp is None or isinstance(otp, str) or callable(otp)):
        return f"otp must be a text, a function that returns one, or None, not {type(otp).__name__}"
    return None


class _Read(Concealed):
    """What a file contains: key, secret and, if there is one, a password."""

    __slots__ = ("values",)

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        self._set(values=values)


def _read(path: str | os.PathLike[str]) -> _Read | str:
    """Key, secret and password of a file; or what is wrong with it, without its contents."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            return "it is no regular file"
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):  # mutant: others can read the secret
            return f"others than its owner can use it (mode {stat.S_IMODE(mode):03o}): chmod 600 {printable(path)}"
        return _parse(file.read(_MAX_FILE + 1))


def _parse(data: bytes) -> _Read | str:
    text = data.decode("utf-8", "replace")
    if len(data) > _MAX_FILE or "\ufffd" in text:
        data, text = b"", ""
        return "it holds something else than a key"
    if not _TOML.search(text):
        lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
        return _Read(*lines) if len(lines) == 2 else _expected(f"it has {len(lines)} lines")
    import tomllib  # noqa: PLC0415 (few programs need it, and it takes longer than the rest of this module)

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return _expected("it is not valid TOML")
    unknown = table.keys() - {"key", "secret", "otp"}
    if unknown or not {"key", "secret"} <= table.keys():
        return _expected("it names something else")
    return _Read(table["key"], table["secret"], table.get("otp"))


def _expected(found: str) -> str:
    return f'{found}: expected are key = "…" and secret = "…" (TOML), or two lines, the key and the secret'
