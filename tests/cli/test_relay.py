"""``kraken-trio relay``: what it is asked for, how its processes are called, and what it would need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.messages import Form
from kraken_trio.cli import brokers, relay as module
from kraken_trio.cli.log import needed_log
from kraken_trio.cli.relay import Options
from kraken_trio.relay.sources import parse_channels
from tests.cli.test_app import invoke

if TYPE_CHECKING:
    from functools import partial

    from click.testing import Result

TO = ("--to", "nats://127.0.0.1:4222")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Options, int | None, bool]]:
    """What would be run: the options, the shard (None: all), and whether a supervisor would be there."""
    found: list[tuple[Options, int | None, bool]] = []

    def run_and_exit(start: partial[Any]) -> None:
        options = start.args[0]
        is_one = start.func is module.run_shard
        found.append((options, start.args[1] if is_one else None, start.keywords.get("supervised", False)))

    monkeypatch.setattr(module, "run_and_exit", run_and_exit)
    monkeypatch.setattr(brokers, "engine_for", lambda *_: None)  # which needs an extra
    for name in ("USER", "PASSWORD", "TOKEN", "NKEY_FILE", "CREDS_FILE"):
        monkeypatch.delenv(f"KRAKEN_BROKER_{name}", raising=False)
    return found


Asked = list[tuple[Options, int | None, bool]]


# What it is asked for


def test_the_usual(asked: Asked) -> None:
    assert invoke("relay", "--symbols", "btc/usd,ETH/USD", *TO).exit_code == 0
    ((options, shard, _),) = asked
    assert options.symbols == frozenset({"BTC/USD", "ETH/USD"})
    assert options.channels == parse_channels(["book:10,trades"])
    assert (options.shards, shard, options.form, options.policy) == (1, None, Form.JSON, "conflate")
    assert options.broker.login is None


def test_symbols_of_a_file(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "symbols").write_text("# ours\nBTC/USD\n\neth/usd # and this\n", encoding="utf-8")
    assert invoke("relay", "--symbols", f"@{tmp_path / 'symbols'}", "--shard", "2/8", *TO).exit_code == 0
    ((options, shard, supervised),) = asked
    assert options.symbols == frozenset({"BTC/USD", "ETH/USD"})
    assert (options.shards, shard, supervised) == (8, 2, False)


def test_a_login_comes_from_the_environment_or_from_files(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    creds, authorities = str(tmp_path / "x.creds"), str(tmp_path / "ca.pem")
    for name in (creds, authorities):
        Path(name).touch()
    invoke("relay", "--symbols", "all", *TO, "--broker-creds", creds, "--broker-ca", authorities)
    monkeypatch.setenv("KRAKEN_BROKER_TOKEN", "very-secret")
    result = invoke("relay", "--symbols", "all", *TO)
    assert "very-secret" not in result.output
    (first, _, _), (second, _, _) = asked
    assert first.broker.login is not None
    assert first.broker.login.creds_file == creds
    assert first.broker.tls is not None
    assert first.broker.tls.ca == authorities
    assert second.broker.login is not None
    assert second.broker.login.token() == "very-secret"
    assert "very-secret" not in repr(second)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--to nats://x", "Missing option '--symbols'"),
        ("--symbols all", "Missing option '--to'"),
        ("--symbols BTC --to nats://x", "'BTC' is no symbol"),
        ("--symbols all,BTC/USD --to nats://x", "'all' stands alone"),
        ("--symbols @/no/such/file --to nats://x", "/no/such/file cannot be read: No such file"),
        ("--symbols 1500 --to nats://x", "a number of symbols is for --plan"),
        ("--symbols all --channel books --to nats://x", "'books' is no channel"),
        ("--symbols all --to http://x", "no URL of a broker"),
        ("--symbols all --to nats://x --url http://y/v2", "it must begin with wss://"),
        ("--symbols all --to nats://x --level3-url wss://", "it names no host"),
        ("--symbols all --to nats://x --level3-url wss://y/v2", "needs --rest, too"),
        ("--symbols all --to nats://me:very-secret@x", "set KRAKEN_BROKER_USER"),
        ("--symbols all --to nats://x --shard 8/8", "is no shard"),
        ("--symbols all --to nats://x --shard 1/2 --shards 2", "give one of the two"),
        ("--symbols all --to nats://x --budget-file a --budget-in-broker", "give one of the two"),
        ("--symbols all --to nats://x --keyframe-every 0", "not a duration"),
        ("--symbols all --to nats://x --broker-creds {here} --broker-nkey {here}", "only one of"),
        ("--symbols all --to nats://x --broker-key {here}", "give --broker-cert"),
        ("--symbols all --to nats://x --broker-ca /no/such/file", "does not exist"),
        ("--symbols all --plan --rate book", "'book' is no rate"),
        ("--symbols all --plan --rate cats:1", "'cats:1' is no rate"),
        ("--symbols all --plan --peak nan", "a peak of at least 1"),
        ("--symbols 0 --plan", "at least one symbol"),
    ],
)
def test_what_it_does_not_take(line: str, words: str, asked: Asked) -> None:
    result = invoke("relay", *line.format(here=__file__).split())
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "very-secret" not in result.output
    assert not asked


def test_level_3_needs_a_key(asked: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KRAKEN_API_KEY", raising=False)
    result = invoke("relay", "--symbols", "all", "--channel", "level3", *TO)
    assert (result.exit_code, "KRAKEN_API_KEY" in result.stderr) == (1, True)
    result = invoke("relay", "--symbols", "all", "--channel", "level3", *TO, "--key-file", str(tmp_path / "none"))
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)
    assert not asked


# How its processes are called

files = st.one_of(st.none(), st.just(__file__))
lines = st.fixed_dictionaries(
    {
        "--symbols": st.sampled_from(["all", "BTC/USD", "BTC/USD,ETH/USD"]),
        "--channel": st.sampled_from(["book:25,ticker:bbo", "trades", "candles:5,instruments"]),
        "--to": st.sampled_from(["nats://a:1/b", "kafka://a"]),
        "--policy": st.sampled_from(["hold", "conflate"]),
        "--form": st.sampled_from(["json", "msgpack"]),
        "--keyframe-every": st.sampled_from(["0.1", "60.5"]),
        "--budget-file": files,
        "--url": st.sampled_from([None, "ws://localhost/v2"]),
        "--broker-ca": files,
        "--broker-nkey": files,
        "--log-format": st.sampled_from(["text", "json"]),
    }
)


@given(lines, st.integers(1, 3))
def test_a_process_is_told_all_that_the_supervisor_was(line: dict[str, str | None], shards: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found: Asked = []

        def run_and_exit(start: partial[Any]) -> None:
            found.append((start.args[0], start.args[1] if start.func is module.run_shard else None, False))
            styles.append(needed_log().style)

        styles: list[str] = []
        patch.setattr(module, "run_and_exit", run_and_exit)
        patch.setattr(brokers, "engine_for", lambda *_: None)
        words = [word for name, value in line.items() if value is not None for word in (name, value)]
        if line["--budget-file"] is None:
            words.append("--budget-in-broker")
        assert invoke("relay", *words, "--shards", str(shards)).exit_code == 0
        ((options, _, _),) = found
        for shard in range(shards):
            _, _, _, *called = module._command(options, shard, styles[0])
            assert called[0] == "relay"
            assert invoke(*called).exit_code == 0
            told, number, _ = found[-1]
            assert number == shard
            assert repr(told) == repr(options)  # logins are not compared
        assert set(styles) == {line["--log-format"]}


# What it would need


def planned(*words: str) -> Result:
    result = invoke("relay", "--plan", *words)
    assert result.exit_code == 0
    return result


def test_a_plan() -> None:
    output = planned("--symbols", "1500", "--channel", "book:1000,trades", "--standby").stdout
    for words in ("1,500 symbols: book:1000, trades", "standbys", "to Kraken", "key frames", "a day, 1 replica"):
        assert words in " ".join(output.split())
    all_of_them = planned("--symbols", "all", "--channel", "book:1000,trades", "--standby").stdout
    assert "it was not asked" in " ".join(all_of_them.split())
    assert all_of_them.splitlines()[3:] == output.splitlines()[2:]


def test_a_plan_of_ones_own_rates() -> None:
    few = planned("--symbols", "BTC/USD", "--rate", "book:100,trades:0", "--shards", "2", "--to", "kafka://x").stdout
    assert "100 a second, 500 at peak" in few
    assert few.splitlines()[2].split() == ["shards", "2"]
