"""Logins and certificates: what is taken, what is refused, and that nobody is shown a secret."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import kraken_trio as kt
from kraken_trio.broker.login import BrokerLogin, BrokerTls, SaslMechanism
from tests.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "s3cr3t-of-a-broker-kQ7v"
NAMES = ("USER", "PASSWORD", "TOKEN", "NKEY_FILE", "CREDS_FILE", "MECHANISM")


def caught(call: Callable[[], Any], kind: type[BaseException] = ValueError) -> BaseException:
    with pytest.raises(kind) as info:
        call()
    return info.value


def secret_file(path: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_user() -> None:
    login = BrokerLogin("relay", SECRET)
    assert (login.user, login.password(), login.mechanism) == ("relay", SECRET, SaslMechanism.SCRAM_SHA_512)
    assert login.token() is login.seed() is login.creds() is None
    assert login.way == "user relay"
    assert BrokerLogin("relay", SECRET, mechanism="PLAIN").mechanism is SaslMechanism.PLAIN


def test_a_token() -> None:
    login = BrokerLogin(token=SECRET)
    assert (login.token(), login.user, login.password(), login.way) == (SECRET, None, None, "token")


def test_files_are_read_each_time(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "key")
    nkey, creds = BrokerLogin(nkey_file=path), BrokerLogin(creds_file=str(path))
    assert (nkey.seed(), nkey.creds(), nkey.way) == (SECRET, None, "nkey")
    assert (creds.seed(), creds.creds(), creds.way) == (None, SECRET, "creds")
    secret_file(path, "another one")
    assert nkey.seed() == creds.creds() == "another one"


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"user": "relay"},
        {"password": SECRET},
        {"user": "", "password": SECRET},
        {"user": "relay", "password": SECRET, "token": SECRET},
        {"token": SECRET, "nkey_file": "f"},
        {"nkey_file": "f", "creds_file": "f"},
        {"token": SECRET.encode()},
        {"nkey_file": 3},
        {"user": "relay", "password": SECRET, "mechanism": "GSSAPI"},
    ],
)
def test_anything_but_one_way_is_refused_without_showing_it(ways: dict[str, Any]) -> None:
    assert Secrets(secret=SECRET).found_in(caught(lambda: BrokerLogin(**ways))) == []


def test_nobody_is_shown_a_secret(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "key")
    logins = [
        BrokerLogin("relay", SECRET),
        BrokerLogin(token=SECRET),
        BrokerLogin(nkey_file=path),
        BrokerLogin(creds_file=path),
    ]
    assert Secrets(secret=SECRET).found_in(*logins) == []
    assert [repr(login) for login in logins] == [
        "<BrokerLogin user relay>", "<BrokerLogin token>", "<BrokerLogin nkey>", "<BrokerLogin creds>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "text", "says"),
    [
        (0o604, SECRET, "everybody can read it (mode 604): chmod o-rwx"),
        (0o600, SECRET + "é", "it holds no secret of a broker"),
        (0o600, " \n", "it holds no secret of a broker"),
        (0o600, SECRET * 10_000, "it holds no secret of a broker"),
    ],
)
def test_a_file_that_is_no_secret_of_ours(tmp_path: Path, mode: int, text: str, says: str) -> None:
    path = secret_file(tmp_path / "key", text, mode)
    error = caught(BrokerLogin(nkey_file=path).seed, kt.ConnectError)
    assert says in str(error)
    assert str(error).startswith(f"nkey_file {path}: ")
    assert isinstance(error, kt.ConnectError)
    assert not error.retryable
    assert Secrets(secret=SECRET).found_in(error) == []


def test_a_file_that_is_missing_or_none(tmp_path: Path) -> None:
    missing = BrokerLogin(creds_file=tmp_path / "missing")
    assert "creds_file" in str(caught(missing.creds, kt.ConnectError))
    assert "No such file" in str(caught(missing.creds, kt.ConnectError))
    assert "it is no regular file" in str(caught(BrokerLogin(creds_file="/dev/null").creds, kt.ConnectError))


@pytest.mark.parametrize(
    ("variables", "way"),
    [
        ({}, None),
        ({"USER": "relay", "PASSWORD": SECRET}, "user relay"),
        ({"USER": "relay", "PASSWORD": SECRET, "MECHANISM": "PLAIN"}, "user relay"),
        ({"TOKEN": SECRET}, "token"),
        ({"NKEY_FILE": "f", "TOKEN": ""}, "nkey"),
        ({"CREDS_FILE": "f"}, "creds"),
    ],
)
def test_of_the_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], way: str | None) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"KRAKEN_BROKER_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"KRAKEN_BROKER_{name}", value)
    login = BrokerLogin.from_env()
    assert (login and login.way) == way
    if login is not None:
        assert login.mechanism.value == variables.get("MECHANISM", "SCRAM-SHA-512")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_context_of_files(tmp_path: Path, authority: trustme.CA) -> None:
    ca, cert, key = tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("relay")
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    context = BrokerTls(ca=ca, cert=cert, key=key).make_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    issued.private_key_and_cert_chain_pem.write_to_path(cert)
    assert BrokerTls(ca=ca, cert=cert).make_context().check_hostname
    assert BrokerTls().make_context().check_hostname


def test_a_context_of_the_programs_own() -> None:
    context = ssl.create_default_context()
    assert BrokerTls(context=context).make_context() is context
    assert not BrokerTls(context=context).has_no_certificate
    assert BrokerTls().has_no_certificate
    assert "SSLContext" not in repr(BrokerTls(context=context))
    with pytest.raises(ValueError, match="either files or a context"):
        BrokerTls(ca="f", context=context)


def test_files_that_are_no_certificates(tmp_path: Path, authority: trustme.CA) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    cert = tmp_path / "cert.pem"
    authority.issue_cert("relay").cert_chain_pems[0].write_to_path(cert)
    for tls, says in (
        (BrokerTls(ca=bad), "tls: the authorities in "),
        (BrokerTls(ca=tmp_path / "missing"), "No such file"),
        (BrokerTls(cert=bad), "tls: the certificate and its key in "),
        (BrokerTls(cert=cert), "cannot be used"),
        (BrokerTls(cert=cert, key=bad), f"{bad} cannot be used"),
    ):
        error = caught(tls.make_context, kt.ConnectError)
        assert says in str(error)
        assert isinstance(error, kt.ConnectError)
        assert not error.retryable
    with pytest.raises(ValueError, match="give cert="):
        BrokerTls(key=bad)
