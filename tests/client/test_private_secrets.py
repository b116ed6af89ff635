"""Nothing that a client with credentials shows, writes or keeps has a secret in it, whatever happens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio

import kraken_trio as kt
from kraken_trio.runtime.actor import Actor
from kraken_trio.runtime.recorder import in_line
from kraken_trio.storage.reading import open_folder
from kraken_trio.testing import (
    READ_ONLY,
    ApiKey,
    BreakRest,
    Drop,
    DropConnect,
    ExpireTokens,
    FillBurst,
    Raw,
    Refuse,
    RestBreak,
    SkipSequence,
    SkipUpdate,
)
from tests.auth.world import KEY, OTP, SECRET
from tests.client.private import BTC, client_of, endpoint_of, exchange_of
from tests.secrets import Secrets
from tests.tracing.traced import Traced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from kraken_trio.session import Effects
    from kraken_trio.session.inputs import Input
    from kraken_trio.testing import Exchange
    from kraken_trio.testing.exchange.rest import RestRequest, RestResponse

MARKED = ApiKey(key=KEY, secret=SECRET, otp=OTP)
CREDENTIALS = kt.Credentials(KEY, SECRET, OTP)
REQUESTS: dict[str, tuple[kt.Request[Any], ...]] = {
    "auth": (kt.Executions(history=True), kt.Balances()),
    "l3": (kt.Level3(BTC),),
}


class Collector:
    """A tap, and everything else that can be seen."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def received(self, frames: Sequence[str | bytes], received_ns: int, now: float, effects: Effects) -> None:
        del received_ns, now
        self.seen += [list(frames), effects]

    def told(self, happening: Input, at_ns: int, now: float, effects: Effects) -> None:
        del at_ns, now
        self.seen += [happening, effects]


def watched(exchange: Exchange) -> Secrets:
    """The secrets, to which the tokens and signatures are added that the exchange issues and sees."""
    secrets = Secrets(key=KEY, secret=SECRET, otp=OTP)
    respond, issue = exchange.rest.respond, exchange.tokens.issue

    def note(request: RestRequest, now: float) -> RestResponse:
        if request.header("API-Sign"):
            secrets.add(**{f"signature {len(secrets.values)}": request.header("API-Sign")})
        return respond(request, now)

    def issued(now: float) -> str:
        token = issue(now)
        secrets.add(**{f"token {len(secrets.values)}": token})
        return token

    exchange.rest.respond, exchange.tokens.issue = note, issued  # type: ignore[method-assign]  # a double
    return secrets


def tokens(secrets: Secrets) -> list[str]:
    return [str(value) for name, value in secrets.values.items() if name.startswith("token")]


def in_recording(folder: Path) -> list[bytes]:
    """All bytes of a recording, as they are and decompressed."""
    found = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
    with open_folder(folder) as recorded:
        for segment in recorded.segments:
            found += [data for chunk in segment.index.chunks for *_, data in segment.read(chunk)]
            found.append(repr(dict(segment.values)).encode())
    return found


def nothing(exchange: Exchange, secrets: Secrets) -> None:
    """All goes well."""


def resync(exchange: Exchange, secrets: Secrets) -> None:
    exchange.inject(ExpireTokens())
    exchange.inject(SkipSequence())
    exchange.inject(SkipUpdate(channel="level3"))


def lost(exchange: Exchange, secrets: Secrets) -> None:
    exchange.inject(DropConnect(times=2))
    for number in exchange.subscriptions:
        exchange.inject(Drop(connection=number))
    exchange.inject(FillBurst(fills=80))


def repeat(text: str) -> Callable[[Exchange, Secrets], None]:
    """The exchange repeats the token."""

    def do(exchange: Exchange, secrets: Secrets) -> None:
        exchange.inject(Raw(payload=text % tokens(secrets)[-1]))

    return do


def refused(exchange: Exchange, secrets: Secrets) -> None:
    resync(exchange, secrets)
    exchange.inject(Refuse(error=f"EGeneral:no {tokens(secrets)[-1]}", times=3))


def rest_breaks(how: RestBreak, **more: Any) -> Callable[[Exchange, Secrets], None]:
    def do(exchange: Exchange, secrets: Secrets) -> None:
        exchange.inject(BreakRest(how=how, times=None, **more))
        lost(exchange, secrets)

    return do


def without_permissions(exchange: Exchange, secrets: Secrets) -> None:
    exchange.rest.set_key(ApiKey(key=KEY, secret=SECRET, otp=OTP, permissions=READ_ONLY - {"create-ws-token"}))
    lost(exchange, secrets)


STORIES: dict[str, Callable[[Exchange, Secrets], None]] = {
    "success": nothing,
    "resync": resync,
    "outage": lost,
    "repeated in an error": repeat('{"error":"bad token %s","method":"subscribe","success":false}'),
    "repeated as text": repeat("no JSON: %s"),
    "repeated in a status": repeat('{"channel":"status","type":"update","data":[{"system":"%s"}]}'),
    "repeated in data": repeat('{"channel":"executions","type":"update","data":[{"x":"%s"}],"sequence":9}'),
    "refused": refused,
    "html": rest_breaks(RestBreak.HTML),
    "nonce": rest_breaks(RestBreak.ERROR),
    "stale": rest_breaks(RestBreak.ERROR, text="EAPI:Invalid token"),
    "cut": rest_breaks(RestBreak.CUT),
    "no history": rest_breaks(RestBreak.RESET, call="TradesHistory"),
    "no permission": without_permissions,
}


async def use(client: kt.Client, host: str, folder: Path, seen: Collector, story: Callable[[], None]) -> None:
    """Subscribe, record and have everything shown, before and after the story."""
    actor = client._shell
    assert isinstance(actor, Actor)
    actor.tap(seen)
    async with kt.record(client, folder, keyframe_every=1.0, flush_every=0.5, work=in_line) as recording:
        try:
            async with client.subscribe(*REQUESTS[host], capacity=10_000) as feed, trio.open_nursery() as nursery:

                async def drain() -> None:
                    while True:
                        seen.seen.append(await feed.receive())

                nursery.start_soon(drain)
                await trio.sleep(3)
                story()
                await trio.sleep(40)
                seen.seen += [feed, feed.statistics(), client, client.statistics(), recording, recording.statistics()]
                seen.seen += [client.state, client.system_status, actor, actor.session, actor.endpoint]
                nursery.cancel_scope.cancel()
        except* (kt.ConnectError, trio.ClosedResourceError, kt.SubscriptionRejected) as errors:
            seen.seen += [errors, *errors.exceptions]


@pytest.mark.parametrize("host", ["auth", "l3"])
@pytest.mark.parametrize("story", STORIES)
async def test_no_secret_comes_out(
    story: str,
    host: str,
    tmp_path: Path,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.NOTSET)
    seen, traced = Collector(), Traced()
    async with exchange_of(keys=[MARKED], rate=4.0) as exchange:
        secrets = watched(exchange)
        try:
            async with client_of(exchange, host=host, credentials=CREDENTIALS, tracing=traced.tracing) as client:
                await use(client, host, tmp_path, seen, lambda: STORIES[story](exchange, secrets))
        except kt.ConnectError as error:
            seen.seen.append(error)
        sent = [str(asked.data) for asked in exchange.requests]
    assert any(tokens(secrets)[0] in text for text in sent)  # so the exchange got what is looked for
    recording = in_recording(tmp_path)
    assert any(b'"type":"snapshot"' in data for data in recording)  # so it is decompressed
    assert any(b"<token>" in data for data in recording) == story.startswith(("repeated", "refused"))
    assert len(seen.seen) > 20
    assert traced.names[:2] == ["connect.token", "connect"]
    seen.seen += [span.to_json() for span in traced.exporter.get_finished_spans()]
    assert secrets.found_in(*seen.seen, *recording, *caplog.records, *capfd.readouterr()) == []


@pytest.mark.parametrize("host", ["auth", "l3"])
async def test_nor_over_real_sockets(host: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the logs of httpx, httpcore and websockets, at all levels."""
    caplog.set_level(logging.NOTSET)
    seen = Collector()
    async with exchange_of(keys=[MARKED], rate=50.0) as exchange:
        secrets = watched(exchange)
        async with kt.open_client(endpoint_of(exchange, host), credentials=CREDENTIALS) as client:
            actor = client._shell
            assert isinstance(actor, Actor)
            actor.tap(seen)
            async with (
                kt.record(client, tmp_path, flush_every=0.05),
                client.subscribe(*REQUESTS[host], capacity=10_000) as feed,
            ):
                seen.seen.append(await feed.receive())
                resync(exchange, secrets)
                with trio.fail_after(20):
                    await exchange.wait_until(lambda e: e.tokens.issued == 2 and len(e.requests) > 2)
    recording = in_recording(tmp_path)
    assert [record for record in caplog.records if record.name.startswith("httpcore")]
    assert secrets.found_in(*seen.seen, *recording, *caplog.records) == []
