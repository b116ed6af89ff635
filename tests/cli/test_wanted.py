"""What ``watch`` and ``record`` are asked for: which connection, with which key, and what does not go together."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from kraken_trio import (
    LEVEL3_V2,
    PRIVATE_V1,
    PRIVATE_V2,
    PUBLIC_V1,
    PUBLIC_V2,
    Balances,
    Book,
    Credentials,
    Endpoint,
    Executions,
    Level3,
    Trades,
)
from kraken_trio.cli import record, watch
from kraken_trio.testing import open_exchange
from kraken_trio.testing.exchange.rest import READ_ONLY, ApiKey, RestCore
from kraken_trio.testing.exchange.rest_server import open_rest
from tests.cli.test_app import invoke
from tests.cli.test_watch import failing

if TYPE_CHECKING:
    from pathlib import Path

KEY, SECRET = "a-key-for-nothing", "a" * 88


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key in a file, and none in the environment."""
    monkeypatch.delenv("KRAKEN_API_KEY", raising=False)
    monkeypatch.delenv("KRAKEN_API_SECRET", raising=False)
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(f"{KEY}\n{SECRET}\n")
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any]]:
    """What the commands are called with: requests, endpoint and credentials."""
    found: list[tuple[Any, Any, Any]] = []

    async def run(requests: Any, endpoint: Any, *_others: Any, credentials: Any, **_named: Any) -> int:
        await trio.lowlevel.checkpoint()
        found.append((requests, endpoint, credentials))
        return 0

    monkeypatch.setattr(watch, "watch", run)
    monkeypatch.setattr(record, "run", run)
    return found


@pytest.mark.parametrize(
    ("args", "requests", "endpoint"),
    [
        ("BTC/USD --channel book", [Book("BTC/USD")], PUBLIC_V2),
        ("BTC/USD --channel book --protocol v1", [Book("BTC/USD")], PUBLIC_V1),
        ("--level3 XBT/USD eth/usd --depth 100", [Level3("BTC/USD", 100), Level3("ETH/USD", 100)], LEVEL3_V2),
        ("--executions", [Executions()], PRIVATE_V2),
        ("--balances --executions", [Executions(), Balances()], PRIVATE_V2),
        ("--balances", [Balances()], PRIVATE_V2),
        ("--executions --protocol v1", [Executions()], PRIVATE_V1),
    ],
)
def test_one_connection_for_each(
    args: str, requests: list[Any], endpoint: Any, key_file: Path, calls: list[tuple[Any, Any, Any]]
) -> None:
    key = ["--key-file", str(key_file)] if endpoint.needs_token else []
    assert invoke("watch", *args.split(), *key).exit_code == 0
    credentials = Credentials(KEY, SECRET) if endpoint.needs_token else None
    assert calls == [(requests, endpoint, credentials)]


def test_a_recording_begins_with_what_was_before(key_file: Path, calls: list[tuple[Any, Any, Any]]) -> None:
    args = ["--executions", "--balances", "--out", "data", "--key-file", str(key_file)]
    assert invoke("record", *args).exit_code == 0
    assert invoke("record", "BTC/USD", "--out", "data").exit_code == 0
    assert [requests for requests, _, _ in calls] == [
        [Executions(history=True), Balances()],
        [Book("BTC/USD"), Trades("BTC/USD", snapshot=True)],
    ]


def test_other_servers(key_file: Path, calls: list[tuple[Any, Any, Any]]) -> None:
    args = ["--url", "ws://127.0.0.1:1/v2", "--rest", "http://127.0.0.1:2", "--key-file", str(key_file)]
    assert invoke("watch", "--executions", *args).exit_code == 0
    assert invoke("watch", "BTC/USD", *args[:2], "--protocol", "v1").exit_code == 0
    (_, private, _), (_, public, _) = calls
    assert (private.url, private.rest, private.needs_token) == ("ws://127.0.0.1:1/v2", "http://127.0.0.1:2", True)
    assert (public.url, public.protocol, public.needs_token) == ("ws://127.0.0.1:1/v2", "v1", False)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--channel book", "Missing argument 'SYMBOL...'"),
        ("--level3", "Missing argument 'SYMBOL...'"),
        ("--executions BTC/USD", "leave out SYMBOLs, --level3 and --channel"),
        ("--balances --channel book", "leave out SYMBOLs, --level3 and --channel"),
        ("--balances --level3", "leave out SYMBOLs, --level3 and --channel"),
        ("--level3 BTC/USD --channel book", "--level3 comes over a connection of its own: leave out --channel"),
        ("--level3 BTC/USD --depth 25", "Kraken offers single orders for 10, 100, 1000 prices per side, not for 25"),
        ("--level3 BTC/USD --protocol v1", "v1 has no single orders"),
        ("--level3 BTCUSD", "write BASE/QUOTE, such as 'BTC/USD'"),
        ("BTC/USD --rest https://x", "nothing else needs a key"),
        ("BTC/USD --key-file x", "nothing else needs a key"),
        ("--balances --url ws://127.0.0.1:1", "--url needs --rest, too"),
    ],
)
def test_what_does_not_go_together(args: str, words: str) -> None:
    for command in (["watch"], ["record", "--out", "data"]):
        result = invoke(*command, *args.split())
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())


def failure(*args: str) -> str:
    """The one line that says why it cannot be done."""
    result = invoke("watch", "--executions", *args)
    assert result.exit_code == 1
    assert result.stdout == ""
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    assert KEY not in result.output
    assert SECRET not in result.output
    return line


@pytest.mark.usefixtures("key_file")
def test_without_a_key() -> None:
    line = failure()
    assert "no credentials" in line
    assert "KRAKEN_API_KEY and KRAKEN_API_SECRET" in line
    assert line.endswith("--key-file)")


def test_a_key_file_that_is_no_use(key_file: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert failure("--key-file", str(absent)) == (
        f"Error: the key file {absent} cannot be read: No such file or directory"
    )
    key_file.chmod(0o640)
    line = failure("--key-file", str(key_file))
    assert "others than its owner can use it (mode 640): chmod 600" in line
    key_file.chmod(0o600)
    key_file.write_text("what is this?\n")
    assert "it has 1 lines: expected are key" in failure("--key-file", str(key_file))


def test_a_rest_interface_that_is_not_there(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRAKEN_API_KEY", KEY)
    monkeypatch.setenv("KRAKEN_API_SECRET", SECRET)
    there = ("--url", "ws://127.0.0.1:1", "--rest")
    assert "GetWebSocketsToken failed at 127.0.0.1:1: cannot connect" in failure(*there, "http://127.0.0.1:1")
    assert "only https:// keeps the answers and the key safe" in failure(*there, "http://example.com")
    assert "not a usable URL" in failure(*there, "ftp://127.0.0.1", "--key-file", str(key_file))


# What the exchange says of the key


def watching(permissions: frozenset[str]) -> tuple[int, str, str]:
    """What becomes of watching with a key that may do this: exit status, error, and what was shown."""
    stream = io.StringIO()

    async def start() -> int:
        key = ApiKey(key=KEY, secret=SECRET, permissions=permissions)
        core = RestCore(keys=[key], now=trio.current_time(), epoch_ns=time.time_ns())
        async with open_exchange(rate=0) as exchange, open_rest(core) as rest:
            endpoint = Endpoint(exchange.url, needs_token=True, rest=rest)
            keys = Credentials(KEY, SECRET)
            books = [Book("BTC/USD")]
            return await watch.watch(books, endpoint, credentials=keys, seconds=0.1, stream=stream, screen=False)

    return (*failing(start), stream.getvalue())


def test_a_key_that_lacks_a_permission() -> None:
    status, error, shown = watching(READ_ONLY - {"create-ws-token"})
    assert (status, shown) == (1, "")
    assert 'the permission "WebSocket interface"' in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_a_key_that_may_do_more_than_read() -> None:
    status, _, shown = watching(READ_ONLY | {"modify-trades"})
    assert status == 0
    assert "may do more than read: Create & modify orders" in shown
    assert "may do more" not in watching(READ_ONLY)[2]
