"""How a program shows a broker who it is: :class:`BrokerLogin`, and :class:`BrokerTls` for encrypted connections.

What is secret is shown nobody, as with :class:`~kraken_trio.Credentials`; files of keys are read each time a connection
is made, so that they can be replaced.
"""

from __future__ import annotations

import enum
import os
import ssl
import stat
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.auth.concealed import Concealed
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["BrokerLogin", "BrokerTls", "SaslMechanism"]

_Path: TypeAlias = "str | os.PathLike[str]"

_MAX_FILE: Final = 64 * 1024
"""Bytes. Seeds have 60, credentials of NATS some thousand."""
_WAYS: Final = "user= and password=, token=, nkey_file=, or creds_file="


class SaslMechanism(enum.Enum):
    """How Kafka checks a user and a password."""

    PLAIN = "PLAIN"
    """The password itself is sent: only over TLS."""
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class BrokerLogin(Concealed):
    """Who we are, for a broker: exactly one of these ways.

    ``user``, ``password``
        NATS; and Kafka, by ``mechanism``.
    ``token``
        NATS.
    ``nkey_file``
        NATS: the name of a file that contains an nkey's seed, ``SU…``.
    ``creds_file``
        NATS: the name of a ``.creds`` file, as ``nsc`` writes it.

    Raises :class:`ValueError` for anything else. Passwords, tokens and the contents of files are not in its ``repr``,
    not in a log, not in an error; and it cannot be pickled.
    """

    __slots__ = ("_password", "_token", "creds_file", "mechanism", "nkey_file", "user")

    user: str | None
    nkey_file: str | None
    creds_file: str | None
    mechanism: SaslMechanism
    _password: str | None
    _token: str | None

    def __init__(
        self,
        user: str | None = None,
        password: str | None = None,
        *,
        token: str | None = None,
        nkey_file: _Path | None = None,
        creds_file: _Path | None = None,
        mechanism: SaslMechanism | str = SaslMechanism.SCRAM_SHA_512,
    ) -> None:
        problem = _problem(user, password, token, nkey_file, creds_file)
        if problem is not None:
            user = password = token = None  # a traceback shows local variables, and this object as well
            self._set(user=None, _password=None, _token=None, nkey_file=None, creds_file=None)
            raise ValueError(problem)
        try:
            found = SaslMechanism(mechanism)
        except ValueError:
            user = password = token = None
            self._set(user=None, _password=None, _token=None, nkey_file=None, creds_file=None)
            known = ", ".join(one.value for one in SaslMechanism)
            msg = f"mechanism is one of {known}, not {printable(mechanism, 40)}"
            raise ValueError(msg) from None
        self._set(
            user=user,
            _password=password,
            _token=token,
            nkey_file=None if nkey_file is None else os.fspath(nkey_file),
            creds_file=None if creds_file is None else os.fspath(creds_file),
            mechanism=found,
        )

    @classmethod
    def from_env(cls, prefix: str = "KRAKEN_BROKER") -> BrokerLogin | None:
        """What is in the environment, None if nothing is.

        The variables are ``KRAKEN_BROKER_USER`` and ``KRAKEN_BROKER_PASSWORD`` (with ``KRAKEN_BROKER_MECHANISM``),
        ``KRAKEN_BROKER_TOKEN``, ``KRAKEN_BROKER_NKEY_FILE``, or ``KRAKEN_BROKER_CREDS_FILE``; ``prefix`` replaces
        ``KRAKEN_BROKER``. Raises :class:`ValueError` if they contradict each other.
        """
        names = ("USER", "PASSWORD", "TOKEN", "NKEY_FILE", "CREDS_FILE")
        if not any(os.environ.get(f"{prefix}_{name}") for name in names):
            return None
        return cls(
            os.environ.get(f"{prefix}_USER") or None,
            os.environ.get(f"{prefix}_PASSWORD") or None,
            token=os.environ.get(f"{prefix}_TOKEN") or None,
            nkey_file=os.environ.get(f"{prefix}_NKEY_FILE") or None,
            creds_file=os.environ.get(f"{prefix}_CREDS_FILE") or None,
            mechanism=os.environ.get(f"{prefix}_MECHANISM") or SaslMechanism.SCRAM_SHA_512,
        )

    @property
    def way(self) -> str:
        """Which of the ways it is, for messages: ``user relay``, ``token``, ``nkey``, ``creds``."""
        if self.user is not None:
            return f"user {printable(self.user, 40)}"
        if self._token is not None:
            return "token"
        return "nkey" if self.nkey_file is not None else "creds"

    def password(self) -> str | None:
        """The password, if it is a user's login. To be given to the broker's client only."""
        return self._password

    def token(self) -> str | None:
        """The token, if it is one. Likewise."""
        return self._token

    def seed(self) -> str | None:
        """The seed of the nkey, read from its file now, if it is one. Likewise.

        Raises :class:`~kraken_trio.ConnectError` (not retryable) if the file cannot be used.
        """
        return None if self.nkey_file is None else _secret(self.nkey_file, "nkey_file").strip()

    def creds(self) -> str | None:
        """The text of the credentials, read from their file now, if it is one. Likewise; raises likewise."""
        return None if self.creds_file is None else _secret(self.creds_file, "creds_file")

    def __repr__(self) -> str:
        return f"<BrokerLogin {self.way}>"


def _problem(*given: object) -> str | None:
    """What is wrong with the five ways, without showing them."""
    user, password, token, *files = given
    for name, text in (("user", user), ("password", password), ("token", token)):
        if not (text is None or (isinstance(text, str) and text)):
            return f"{name} must be a text that is not empty, not {type(text).__name__}"
    if not all(file is None or isinstance(file, str | os.PathLike) for file in files):
        return "nkey_file and creds_file must be names of files"
    if (user is None) != (password is None):
        return f"a {'password' if user is None else 'user'} alone is no login: give user= and password="
    ways = sum(way is not None for way in (user, token, *files))
    if ways != 1:
        return f"give {'one' if ways == 0 else 'only one'} of {_WAYS}"
    return None


def _secret(path: str, name: str) -> str:
    """What is in a file that not everybody can read."""
    read = _read(path)
    if isinstance(read, str):
        msg = f"{name} {printable(path)}: {read}"
        raise ConnectError(msg, retryable=False)
    return read[0]


def _read(path: str) -> tuple[str] | str:
    """The contents of a file; or what is wrong with it."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return "it is no regular file"
            # Unlike a key of Kraken's: orchestrators give a program's files to its group.
            if os.name == "posix" and mode & stat.S_IRWXO:
                return f"everybody can read it (mode {stat.S_IMODE(mode):03o}): chmod o-rwx {printable(path)}"
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if len(data) > _MAX_FILE or not data.isascii() or not data.strip():
        data = b""
        return "it holds no secret of a broker"
    return (data.decode("ascii"),)


@attrs.frozen(kw_only=True)
class BrokerTls:
    """How a connection to a broker is encrypted, and whom it trusts.

    Names of files in PEM: ``ca``, the authorities to trust (default: the system's); ``cert`` and ``key``, our own
    certificate, for brokers that want one (``key`` may be in the file of ``cert``; it has no passphrase). Or, for NATS,
    ``context``, made by the program.
    """

    ca: _Path | None = None
    cert: _Path | None = None
    key: _Path | None = None
    context: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.context is not None and not (self.ca is self.cert is self.key is None):
            msg = "give either files or a context: what is trusted must stand in one place"
            raise ValueError(msg)
        if self.key is not None and self.cert is None:
            msg = "a key without its certificate is of no use: give cert=, too"
            raise ValueError(msg)

    @property
    def has_no_certificate(self) -> bool:
        """Whether it surely has none of our own."""
        return self.cert is None and self.context is None

    def make_context(self) -> ssl.SSLContext:
        """The context, with the files as they are now.

        Raises :class:`~kraken_trio.ConnectError` (not retryable) if they cannot be used.
        """
        if self.context is not None:
            return self.context
        problem: str
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            problem = f"the authorities in {printable(self.ca)} cannot be used: {_said(error)}"
        else:
            if self.cert is None:
                return context
            try:
                # Without a function for the passphrase, OpenSSL would ask for it at the terminal.
                context.load_cert_chain(self.cert, self.key, password=lambda: "")
            except OSError as error:
                where = (
                    printable(self.cert) if self.key is None else f"{printable(self.cert)} and {printable(self.key)}"
                )
                problem = f"the certificate and its key in {where} cannot be used: {_said(error)}"
            else:
                return context
        msg = f"tls: {problem}"
        raise ConnectError(msg, retryable=False)


def _said(error: OSError) -> str:
    return printable(error.strerror or error)
