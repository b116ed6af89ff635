"""The options that say which broker, and who we are for it: of ``relay``, ``stream`` and ``doctor``.

No option holds a secret: other users of a machine see command lines.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import attrs
import click

from kraken_trio._text import printable
from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.login import BrokerLogin, BrokerTls
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kraken_trio.broker.seam import Engine

    _Decorator: TypeAlias = Callable[[Callable[..., object]], Callable[..., object]]

__all__ = ["Broker", "broker_options", "check_url", "for_command_line", "in_words_of_options"]

_SCHEMES = ("nats", "tls", "kafka")
_OPTIONS = (
    ("--broker-creds", "creds_file", "A file of credentials of NATS (.creds)."),
    ("--broker-nkey", "nkey_file", "A file with the seed of an nkey of NATS."),
    ("--broker-ca", "ca", "Trust the authorities in this file, in PEM."),
    ("--broker-cert", "cert", "Our own certificate, in PEM."),
    ("--broker-key", "key", "Its key."),
)
"""Their names, those of the fields, and what they are."""
_WORDS = {
    "login=BrokerLogin(…)": "set KRAKEN_BROKER_USER and KRAKEN_BROKER_PASSWORD (or _TOKEN), or name a file",
    "BrokerLogin(user, password)": "set KRAKEN_BROKER_USER and KRAKEN_BROKER_PASSWORD",
    "user= and password=": "KRAKEN_BROKER_USER and KRAKEN_BROKER_PASSWORD",
    "token=": "KRAKEN_BROKER_TOKEN",
    "nkey_file=": "--broker-nkey (KRAKEN_BROKER_NKEY_FILE)",
    "creds_file=": "--broker-creds (KRAKEN_BROKER_CREDS_FILE)",
    "cert=": "--broker-cert",
}
"""What a program writes, and what is written here instead."""
_URL = "The broker, and in the path its stream or topic: nats://HOST:4222, kafka://HOST:9092/kraken."
_FILE = click.Path(exists=True, dir_okay=False, readable=True)
_OF_LOGIN = ("nkey_file", "creds_file")


@attrs.frozen(kw_only=True)
class Broker:
    """Where a broker is, and how to log in."""

    url: str
    login: BrokerLogin | None = None
    tls: BrokerTls | None = None
    files: tuple[tuple[str, str], ...] = ()
    """The options that were given besides the URL, to be given to another process."""

    def engine(self) -> Engine:
        """What speaks with it. Raises :class:`click.ClickException`, also if an extra is missing."""
        try:
            return engine_for(self.url, self.login, self.tls)
        except ImportError as error:
            raise click.ClickException(printable(error)) from None
        except ValueError as error:
            raise click.UsageError(printable(error)) from None


def check_url(url: str) -> str:
    """``url``. Raises :class:`ValueError` for what is no URL of a broker, or holds a secret."""
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname, parts.username is not None or parts.password is not None
    except ValueError:
        host, secret = None, False
    if secret:
        msg = "a URL with a password is seen by other users of this machine: set KRAKEN_BROKER_USER and _PASSWORD"
        raise ValueError(msg)
    if not host or parts.scheme not in _SCHEMES:
        msg = f"{printable(url, 80)!r} is no URL of a broker, such as nats://host:4222 or kafka://host:9092"
        raise ValueError(msg)
    return url


def broker_options(name: str, words: str = _URL, *, required: bool = True) -> _Decorator:
    """Give a command the option ``name`` (or, without hyphens, an argument), and those of login and encryption.

    The command is called with ``broker``: None if there is no URL.
    """

    def decorate(command: Callable[..., object]) -> Callable[..., object]:
        @wraps(command)
        def call(**given: Any) -> object:
            url = given.pop("broker_url")
            chosen = {field: given.pop(field) for _, field, _ in _OPTIONS}
            try:
                broker = None if url is None else _broker(check_url(url), chosen)
            except ValueError as error:
                raise click.UsageError(for_command_line(printable(error, 400))) from None
            return command(broker=broker, **given)

        decorated: Callable[..., object] = call
        for option, field, text in reversed(_OPTIONS):
            decorated = click.option(option, field, type=_FILE, metavar="FILE", help=text)(decorated)
        if name.startswith("-"):
            return click.option(name, "broker_url", metavar="URL", required=required, help=words)(decorated)
        return click.argument("broker_url", metavar=name, required=required)(decorated)

    return decorate


def for_command_line(text: str) -> str:
    """An error of a login or of its encryption, for a command line."""
    for name, words in _WORDS.items():
        text = text.replace(name, words)
    return text


@contextmanager
def in_words_of_options() -> Iterator[None]:
    """What a broker's engine says of logins to programs, for a command line."""
    try:
        yield
    except ConnectError as error:
        raise ConnectError(for_command_line(str(error)), retryable=error.retryable) from None


def _broker(url: str, chosen: dict[str, str | None]) -> Broker:
    files = {name: value for name, value in chosen.items() if value is not None}
    of_login = {name: files[name] for name in _OF_LOGIN if name in files}
    of_tls: dict[str, Any] = {name: value for name, value in files.items() if name not in _OF_LOGIN}
    return Broker(
        url=url,
        login=BrokerLogin(**of_login) if of_login else BrokerLogin.from_env(),
        tls=BrokerTls(**of_tls) if of_tls else None,
        files=tuple((option, files[field]) for option, field, _ in _OPTIONS if field in files),
    )
