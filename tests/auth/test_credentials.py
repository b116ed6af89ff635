"""Credentials: what is accepted, and that they show nothing."""

from __future__ import annotations

import copy
import os
import pickle
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import kraken_trio as kt
from tests.auth.world import KEY, OTP, SECRET
from tests.secrets import Secrets

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = Secrets(key=KEY, secret=SECRET, otp=OTP)
TOML = f'key = "{KEY}"\nsecret = "{SECRET}"\n'
posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def private(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = folder / "kraken-key"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@attrs.frozen
class Holder:
    credentials: kt.Credentials


def test_they_show_the_beginning_of_the_key_only() -> None:
    credentials = kt.Credentials(KEY, SECRET, OTP)
    assert repr(credentials) == str(credentials) == f"{credentials}" == "<Credentials kQ7v…>"
    assert repr(kt.Credentials("ab", SECRET)) == "<Credentials a…>"
    assert SECRETS.found_in(credentials, Holder(credentials), [credentials], {"a": credentials}) == []
    assert SECRETS.found_in(credentials.sign("/0/private/X", 1, [("a", "b")])) == []
    assert attrs.asdict(Holder(credentials)) == {"credentials": credentials}


@pytest.mark.parametrize(
    "write",
    [pickle.dumps, lambda it: it.__getstate__(), lambda it: pickle.dumps([it])],
    ids=["pickle", "state", "in a list"],
)
def test_they_cannot_be_pickled(write: Any) -> None:
    for it in (kt.Credentials(KEY, SECRET), kt.Credentials(KEY, SECRET).sign("/", 1, [])):
        with pytest.raises(TypeError, match="cannot be pickled, so that no secret is written anywhere") as caught:
            write(it)
        assert SECRETS.found_in(caught.value) == []


def test_they_are_values() -> None:
    one = kt.Credentials(KEY, SECRET, OTP)
    assert one == kt.Credentials(KEY, SECRET, OTP)
    assert hash(one) == hash(kt.Credentials(KEY, SECRET))
    others = [kt.Credentials("other", SECRET, OTP), kt.Credentials(KEY, "AQEB" * 22, OTP), kt.Credentials(KEY, SECRET)]
    assert one not in [*others, kt.Credentials(KEY, SECRET, OTP, require_read_only=True), "one", None]
    assert copy.copy(one) is one is copy.deepcopy(one)
    with pytest.raises(AttributeError, match="Credentials is immutable"):
        one.require_read_only = True
    with pytest.raises(AttributeError, match="Credentials is immutable"):
        del one.require_read_only
    assert not one.require_read_only


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((KEY, "no-secret-at-all-MARKED"), "the secret is not usable: it is not Base64"),
        ((KEY, SECRET[:19] + "="), "it has only 14 bytes, Kraken's have 64"),
        ((KEY, 5), "it is no text"),
        ((f"{KEY}\n", SECRET), "a key has 1 to 200 letters"),
        ((f"{KEY} {KEY}", SECRET), "no spaces or line breaks"),
        (("", SECRET), "a key has 1 to 200 letters"),
        ((KEY * 4, SECRET), "a key has 1 to 200 letters"),
        ((b"key", SECRET), "the API key must be a text, not bytes"),
        ((KEY, SECRET, 123456), "otp must be a text, a function that returns one, or None, not int"),
    ],
    ids=["base64", "short", "type", "newline", "space", "empty", "long", "bytes", "otp"],
)
def test_what_cannot_be_credentials_is_refused_without_showing_it(arguments: tuple[Any, ...], match: str) -> None:
    secrets = Secrets(key=KEY, secret=SECRET, other="no-secret-at-all-MARKED")
    with pytest.raises(ValueError, match=match) as caught:
        kt.Credentials(*arguments)
    assert secrets.found_in(caught.value) == []


def test_a_second_factor_is_asked_for_each_call() -> None:
    codes = iter(["111111", "222222"])
    credentials = kt.Credentials(KEY, SECRET, lambda: next(codes))
    bodies = [credentials.sign("/0/private/Balance", nonce, []).body for nonce in (1, 2)]
    assert bodies == [b"nonce=1&otp=111111", b"nonce=2&otp=222222"]


def test_a_second_factor_of_another_type_is_not_sent() -> None:
    with pytest.raises(TypeError, match="must return a text, not int") as caught:
        kt.Credentials(KEY, SECRET, lambda: 918273645).sign("/0/private/Balance", 1, [])  # type: ignore[arg-type, return-value]  # wrong on purpose
    assert Secrets(otp="918273645").found_in(caught.value) == []


# The environment


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRAKEN_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("KRAKEN_API_SECRET", f"{SECRET}\n")
    monkeypatch.delenv("KRAKEN_API_OTP", raising=False)
    assert kt.Credentials.from_env() == kt.Credentials(KEY, SECRET)
    monkeypatch.setenv("KRAKEN_API_OTP", OTP)
    assert kt.Credentials.from_env(require_read_only=True) == kt.Credentials(KEY, SECRET, OTP, require_read_only=True)


def test_from_env_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_API_SECRET", SECRET)
    monkeypatch.delenv("OTHER_API_KEY", raising=False)
    with pytest.raises(ValueError, match="the environment variable OTHER_API_KEY is not set") as caught:
        kt.Credentials.from_env("OTHER")
    assert SECRETS.found_in(caught.value) == []
    monkeypatch.setenv("OTHER_API_KEY", KEY + " " + KEY)
    with pytest.raises(ValueError, match="no spaces") as caught:
        kt.Credentials.from_env("OTHER")
    assert SECRETS.found_in(caught.value) == []


# Files


@pytest.mark.parametrize(
    "text", [TOML, f"\n{KEY}\n\n  {SECRET}  \n", f"# mine\n{TOML}"], ids=["toml", "lines", "comment"]
)
def test_from_file(tmp_path: Path, text: str) -> None:
    path = private(tmp_path, text)
    assert kt.Credentials.from_file(path) == kt.Credentials(KEY, SECRET)
    assert kt.Credentials.from_file(str(path), require_read_only=True).require_read_only


def test_from_file_with_a_second_factor(tmp_path: Path) -> None:
    assert kt.Credentials.from_file(private(tmp_path, f'{TOML}otp = "{OTP}"')) == kt.Credentials(KEY, SECRET, OTP)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610, 0o602, 0o777])
def test_a_file_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path, TOML, mode)
    with pytest.raises(
        ValueError, match=rf"others than its owner can use it \(mode {mode:03o}\): chmod 600 .*kraken-key"
    ):
        kt.Credentials.from_file(path)


@posix
def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ValueError, match="it is no regular file"):
        kt.Credentials.from_file(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        kt.Credentials.from_file(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "it has 0 lines: expected are key"),
        (f"{KEY}\n{SECRET}\n{OTP}\n", "it has 3 lines"),
        (f'key = "{KEY}"', "it names something else"),
        (f'{TOML}password = "{OTP}"', "it names something else"),
        (f'key = "{KEY}\nsecret = "{SECRET}"', "it is not valid TOML"),
        (f"{TOML}otp = 918273", "otp must be a text"),
        (f"{SECRET}\n{KEY} {KEY}\n", "the secret is not usable"),
        (b"\xff\xfe" + TOML.encode(), "it holds something else than a key"),
        (TOML + "#" * 20_000, "it holds something else than a key"),
    ],
    ids=["empty", "three lines", "no secret", "unknown", "broken", "otp", "swapped", "bytes", "long"],
)
def test_a_file_with_something_else_is_refused_without_showing_it(
    tmp_path: Path, text: str | bytes, match: str
) -> None:
    path = private(tmp_path, text)
    with pytest.raises(ValueError, match=match) as caught:
        kt.Credentials.from_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert SECRETS.found_in(caught.value) == []
