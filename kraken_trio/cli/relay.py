"""``kraken-trio relay``: publish to a broker, with a process for each shard, or one shard of several."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs
import click
import trio

from kraken_trio import (
    LEVEL3_V2,
    PUBLIC_V2,
    ConnectError,
    Credentials,
    Endpoint,
    KrakenTrioError,
    open_client,
)
from kraken_trio._address import parse_address
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.admission.process import SNAPSHOTS
from kraken_trio.broker.messages import Form
from kraken_trio.cli.brokers import Broker, broker_options, in_words_of_options
from kraken_trio.cli.formatting import counted
from kraken_trio.cli.log import needed_log, say
from kraken_trio.cli.planned import show_plan
from kraken_trio.cli.running import positive_duration, run_and_exit
from kraken_trio.cli.wanted import read_credentials
from kraken_trio.relay.budget import BrokerBudget
from kraken_trio.relay.lines import encode_control, named_json, named_text
from kraken_trio.relay.log import log
from kraken_trio.relay.planning import ALL_SYMBOLS, PEAK, RATES, Load, plan
from kraken_trio.relay.producer import Backpressure, new_holder, open_relay
from kraken_trio.relay.shard import SETTINGS, Shard
from kraken_trio.relay.sources import Sources, parse_channels, parse_symbols
from kraken_trio.relay.standby import Patient
from kraken_trio.relay.supervision import HOPELESS
from kraken_trio.relay.supervisor import ALIVE_EVERY, Program, ProgramState, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from kraken_trio.cli.log import CommandLog
    from kraken_trio.metrics.shards import ShardPage
    from kraken_trio.relay import Relay
    from kraken_trio.relay.sources import Channel
    from kraken_trio.relay.supervisor import ProgramStatistics

__all__ = ["Options", "relay_command", "supervise"]

_USUAL: Final = "book:10,trades"
"""The channels, unless others are named."""
_LOOK_AGAIN: Final = 0.1
"""Seconds between two looks at whether a shard is ready."""


class HopelessError(click.ClickException):
    """A peer refuses this process for good. The exit status tells the supervisor not to try again."""

    exit_code: ClassVar[int] = HOPELESS


@attrs.frozen(kw_only=True)
class Options:
    """What is published, and how. All that a shard's process needs to know."""

    symbols: frozenset[str] | None
    channels: tuple[Channel, ...]
    broker: Broker
    shards: int
    standby: bool
    policy: str
    form: Form
    keyframe_every: float
    budget_file: str | None
    budget_in_broker: bool
    url: str | None
    level3_url: str | None
    rest: str | None
    key_file: str | None
    metrics_host: str
    metrics_port: int | None

    def sources(self, shard: int) -> Sources:
        return Sources(self.symbols, self.channels, shard, self.shards)

    @property
    def public(self) -> Endpoint:
        return PUBLIC_V2 if self.url is None else attrs.evolve(PUBLIC_V2, url=self.url)

    @property
    def level3(self) -> Endpoint:
        endpoint = LEVEL3_V2 if self.level3_url is None else attrs.evolve(LEVEL3_V2, url=self.level3_url)
        return endpoint if self.rest is None else attrs.evolve(endpoint, rest=self.rest)

    def credentials(self) -> Credentials | None:
        """The API key of Kraken, if one is needed. Raises :class:`click.ClickException`."""
        return read_credentials(self.key_file) if self.sources(0).needs_key else None


def _channels(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Channel, ...]:
    try:
        return parse_channels(texts or (_USUAL,))
    except ValueError as error:
        raise click.BadParameter(printable(error)) from None


def _symbols(
    context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> frozenset[str] | int | None:
    """The symbols; None for all; of a plan also their number."""
    if not texts:
        raise click.MissingParameter(ctx=context, param_type="option", param_hint="'--symbols'")
    if len(texts) == 1 and texts[0].isdecimal():
        return int(texts[0])
    lines: list[str] = []
    for text in texts:
        if text.startswith("@"):
            try:
                lines += Path(text[1:]).expanduser().read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is no text"
                msg = f"{printable(text[1:])} cannot be read: {why}"
                raise click.BadParameter(msg) from None
        else:
            lines.append(text)
    try:
        return parse_symbols(lines)
    except ValueError as error:
        raise click.BadParameter(printable(error)) from None


def _shard(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """``2/8``."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text, re.ASCII)
    if match is None or not int(match[1]) < int(match[2]):
        msg = f"{printable(text, 40)!r} is no shard: write its number, from 0 on, and how many there are: 2/8"
        raise click.BadParameter(msg)
    return int(match[1]), int(match[2])


def _url(_context: click.Context, _parameter: click.Parameter, url: str | None) -> str | None:
    """What can be connected to: no process is started for another."""
    if url is not None:
        try:
            parse_address(url)
        except ConnectError as error:
            raise click.BadParameter(str(error)) from None
    return url


def _rates(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, float]:
    """``book:12,trades:0.5``."""
    found: dict[str, float] = {}
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        name, _, number = text.partition(":")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if name not in RATES or not 0 <= value < 1e9:
            msg = f"{printable(text, 40)!r} is no rate: write a channel and its events a second and symbol: book:12"
            raise click.BadParameter(msg)
        found[name] = value
    return found


@click.command("relay", short_help="Publish to NATS or Kafka, over any number of processes and machines.")
@click.option(
    "--symbols",
    multiple=True,
    callback=_symbols,
    metavar="all|A,B|@FILE",
    help="all that the exchange lists (new listings join, delisted ones leave); names; or a file with a name a line.",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    callback=_channels,
    metavar="NAME[:VARIANT],…",
    help="book:DEPTH, trades, ticker[:bbo], candles:MINUTES, level3:DEPTH (needs an API key), instruments; may be "
    f"repeated.  [default: {_USUAL}]",
)
@click.option("--shards", type=click.IntRange(1, 1000), help="How many processes share the symbols.  [default: 1]")
@click.option(
    "--shard",
    callback=_shard,
    metavar="I/N",
    help="Be one of N shards, from 0 on, instead of starting them: for orchestrators, and for several machines.",
)
@click.option(
    "--standby",
    is_flag=True,
    help="With --shards: a second process for each shard, which takes over within seconds. With --shard: let another "
    "process have the shard, if there is one, and take over from it.",
)
@click.option(
    "--policy",
    type=click.Choice(["hold", "conflate"]),
    default="conflate",
    show_default=True,
    help="When the broker takes no more: read no more from the exchange, or skip to the latest state, with a gap.",
)
@click.option(
    "--form",
    type=click.Choice([form.value for form in Form]),
    default=Form.JSON.value,
    show_default=True,
    help="How messages are written.",
)
@click.option(
    "--keyframe-every",
    type=float,
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    callback=positive_duration,
    help="How often the state of everything is published; who joins late begins there.",
)
@broker_options("--to", required=False)
@click.option("--budget-file", type=click.Path(), metavar="FILE", help="Share Kraken's connect limit on this machine.")
@click.option(
    "--budget-in-broker", is_flag=True, help="Share it by means of the broker: among machines that have one address."
)
@click.option("--key-file", metavar="FILE", help="For level3: a file with an API key.  [default: $KRAKEN_API_KEY …]")
@click.option(
    "--url", callback=_url, metavar="URL", help="A server that speaks Kraken's v2 protocol.  [default: Kraken's]"
)
@click.option("--level3-url", callback=_url, metavar="URL", help="The same, for level3.")
@click.option("--rest", metavar="URL", help="The REST interface that takes the API key.  [default: Kraken's]")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve numbers of all shards for Prometheus at /metrics (0: any port), and /healthz.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to serve them at."
)
@click.option("--plan", "is_plan", is_flag=True, help="Only say what it would need; --symbols may be a number.")
@click.option(
    "--rate",
    "rates",
    multiple=True,
    callback=_rates,
    metavar="NAME:N,…",
    help="For --plan: events a second and symbol.  "
    f"[default: {', '.join(f'{name}:{rate:g}' for name, rate in RATES.items())}]",
)
@click.option("--peak", type=float, default=PEAK, show_default=True, metavar="N", help="For --plan: N times at peak.")
@click.option("--replicas", type=click.IntRange(1, 9), default=1, show_default=True, help="For --plan: of the stream.")
@click.option("--supervised", is_flag=True, hidden=True)
def relay_command(
    symbols: frozenset[str] | int | None,
    channels: tuple[Channel, ...],
    shards: int | None,
    shard: tuple[int, int] | None,
    broker: Broker | None,
    rates: dict[str, float],
    peak: float,
    replicas: int,
    form: str,
    *,
    standby: bool,
    is_plan: bool,
    supervised: bool,
    **more: Any,
) -> None:
    """Publish what the exchange sends to NATS JetStream or Kafka, for any number of readers ("kraken-trio stream").

    The symbols are divided among shards, each a process of its own, which is started again if it ends. Of several
    processes with the same shard only one publishes; the others follow the exchange, and take over. Everything that is
    lost on the way is told as a gap. Its log, and that of its shards, is on standard error.

    \b
    The login of the broker comes from the environment, or from files that it names:
      KRAKEN_BROKER_USER and _PASSWORD; _TOKEN; _NKEY_FILE; _CREDS_FILE

    Exit status: 0 after --plan; 1 if no shard can be kept running; 2 for a usage error; 130 after Ctrl-C, 143 after
    SIGTERM: what was received is published first, for ten seconds at most.

    \b
    Examples:
      kraken-trio relay --symbols BTC/USD,ETH/USD --to nats://localhost
      kraken-trio relay --symbols all --channel book:10,trades --to nats://broker --shards 4 --standby
      kraken-trio relay --symbols @symbols.txt --to kafka://broker/kraken --shard 2/8
      kraken-trio relay --symbols all --channel book:1000,trades --plan
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    if shards is not None and shard is not None:
        msg = "--shards starts all of them, and --shard is one: give one of the two"
        raise click.UsageError(msg)
    if is_plan:
        count = ALL_SYMBOLS if symbols is None else symbols if isinstance(symbols, int) else len(symbols)
        if count < 1 or not peak >= 1:
            msg = "a plan needs at least one symbol, and a peak of at least 1"
            raise click.UsageError(msg)
        load = Load(
            symbols=count,
            channels=channels,
            rates=rates,
            peak=peak,
            shards=shards if shard is None else shard[1],
            standbys=int(standby),
            form=Form(form),
            keyframe_every=more["keyframe_every"],
            broker="kafka" if broker is not None and broker.url.startswith("kafka") else "nats",
            replicas=replicas,
        )
        show_plan(load, plan(load), is_assumed=symbols is None)
        return
    if isinstance(symbols, int):
        msg = f"--symbols {symbols}: a number of symbols is for --plan"
        raise click.UsageError(msg)
    if broker is None:
        raise click.MissingParameter(param_type="option", param_hint="'--to'")
    if more["budget_in_broker"] and more["budget_file"] is not None:
        msg = "--budget-file and --budget-in-broker are two ways to do the same: give one of the two"
        raise click.UsageError(msg)
    if more["level3_url"] is not None and more["rest"] is None:
        msg = "--level3-url needs --rest, too: from there comes the token that is sent to the URL"
        raise click.UsageError(msg)
    options = Options(
        symbols=symbols,
        channels=channels,
        broker=broker,
        shards=shard[1] if shard is not None else shards or 1,
        standby=standby,
        form=Form(form),
        **more,
    )
    options.credentials()  # what is wrong is said at once, and once
    options.broker.engine()
    command_log = needed_log()
    run_and_exit(
        partial(supervise, options, command_log)
        if shard is None
        else partial(run_shard, options, shard[0], supervised=supervised)
    )


# One shard


async def run_shard(options: Options, number: int, *, supervised: bool) -> int:
    """Publish one shard until cancelled; supervised, until the supervisor is gone. Returns the exit status."""
    try:
        with in_words_of_options():
            return await _run_shard(options, number, supervised=supervised)
    except ConnectError as error:
        if error.retryable or not supervised:
            raise
        raise HopelessError(str(error)) from None


async def _run_shard(options: Options, number: int, *, supervised: bool) -> int:
    credentials, engine = options.credentials(), options.broker.engine()
    # Standbys are not counted: clients take half of what Kraken allows a key.
    SNAPSHOTS.share(options.shards)
    admission = BrokerBudget(engine, new_holder(), wall_ns=time.time_ns) if options.budget_in_broker else None
    opener = partial(open_client, settings=SETTINGS, budget_file=options.budget_file, admission=admission)
    async with open_hidden_nursery() as nursery:
        if supervised:
            nursery.start_soon(_until_orphaned, nursery.cancel_scope)
        async with open_relay(
            Patient(engine) if options.standby else engine,
            shard=number,
            shards=options.shards,
            policy=Backpressure(options.policy),
            form=options.form,
            keyframe_every=options.keyframe_every,
            require_broker=False,  # it may come later: a broker that is away is no reason to give up
        ) as relay:
            shard = Shard(
                options.sources(number),
                relay,
                partial(opener, options.public),
                partial(opener, options.level3, credentials=credentials),
            )
            async with _shard_metrics(shard, relay, options) as port:
                if supervised:
                    _tell(begun=True, metrics_port=port)
                    nursery.start_soon(_report, shard, relay)
                elif port is not None:
                    say(f"metrics at http://{options.metrics_host}:{port}/metrics")
                nursery.start_soon(_log_begun, shard, relay, f"{number}/{options.shards}", options)
                # The broker first: what is wrong there must not cost attempts to connect to Kraken.
                await relay.wait_placed()
                await shard.run()
        nursery.cancel_scope.cancel()
    return 0


def _tell(**fields: object) -> None:
    """Tell the supervisor something."""
    sys.stdout.buffer.write(encode_control(**fields))
    sys.stdout.flush()


def _has_begun(shard: Shard, relay: Relay) -> bool:
    """Whether this process publishes, or stands by."""
    return shard.is_confirmed and relay.statistics().is_connected


async def _log_begun(shard: Shard, relay: Relay, name: str, options: Options) -> None:
    """Log what this process publishes, or stands by for, as soon as it does."""
    await relay.wait_placed()
    while not _has_begun(shard, relay):  # noqa: ASYNC110 (nothing tells when a shard's requests are confirmed)
        await trio.sleep(_LOOK_AGAIN)
    is_owner = relay.statistics().is_owner
    requests = shard.requests - shard.refused
    symbols = {request.symbol for request in requests} - {None}
    what = f"{counted(len(requests), 'request')} of {counted(len(symbols), 'symbol')}"
    channels = ", ".join(map(str, options.channels))
    does = "it publishes" if is_owner else "it stands by, to take over"
    fields = {"requests": len(requests), "symbols": len(symbols), "is_owner": is_owner}
    log("shard_begun", f"shard {name}: {does} {what} ({channels})", shard=name, **fields)


async def _report(shard: Shard, relay: Relay) -> None:
    """Tell it when this process publishes, or stands by; and that it is alive."""
    is_told = False
    while True:
        _tell(alive=True)
        if not is_told and _has_begun(shard, relay):
            is_told = True
            _tell(ready=True)
        await trio.sleep(ALIVE_EVERY if is_told else _LOOK_AGAIN)


async def _until_orphaned(scope: trio.CancelScope) -> None:
    """Wait until the other end of standard input is closed: the supervisor wants that, or is gone."""
    while await trio.to_thread.run_sync(os.read, 0, 4096, abandon_on_cancel=True):
        pass
    scope.cancel()


@asynccontextmanager
async def _shard_metrics(shard: Shard, relay: Any, options: Options) -> AsyncIterator[int | None]:
    """Serve the shard's numbers while a block runs. The value is the port."""
    if options.metrics_port is None:
        yield None
        return
    _check_metrics()
    from kraken_trio.metrics.relays import serve_relay  # noqa: PLC0415 (it needs an extra)

    async with open_hidden_nursery() as nursery:
        serve = partial(
            serve_relay, relay.statistics, lambda: shard.clients, options.metrics_port, host=options.metrics_host
        )
        try:
            yield await _listening(nursery, serve, options)
        finally:
            nursery.cancel_scope.cancel()


def _check_metrics() -> None:
    try:
        import prometheus_client  # noqa: F401, PLC0415 (an extra, which takes long to import)
    except ImportError as error:
        msg = f"--metrics-port needs an extra: pip install 'kraken-trio[metrics]' ({error})"
        raise KrakenTrioError(msg) from None


async def _listening(nursery: trio.Nursery, serve: Callable[..., Any], options: Options) -> int:
    try:
        port: int = await nursery.start(serve)
    except OSError as error:
        where = f"{printable(options.metrics_host)}:{options.metrics_port}"
        msg = f"--metrics-port: cannot listen at {where}: {error.strerror or error}"
        raise KrakenTrioError(msg) from error
    return port


# All shards


async def supervise(options: Options, command_log: CommandLog) -> int:
    """Keep a process running for each shard until cancelled. Returns the exit status."""
    programs = []
    for number in range(options.shards):
        name = f"{number}/{options.shards}"
        # Who is started again lets its standby go first, whose books are verified already.
        again = ("--standby",) if options.standby else ()
        programs.append(Program(name, _command(options, number, command_log.style), again))
        if options.standby:
            command = _command(options, number, command_log.style, "--standby")
            programs.append(Program(f"{name} standby", command))
    supervisor = Supervisor(programs, partial(_pass_on, command_log))
    say(f"publishing to {options.broker.url}, with {counted(len(programs), 'process', 'processes')} (Ctrl-C stops)")
    async with open_hidden_nursery() as nursery:
        if options.metrics_port is not None:
            _check_metrics()
            from kraken_trio.metrics.shards import serve_shards  # noqa: PLC0415 (it needs an extra)

            pages = partial(_pages, supervisor)
            serve = partial(serve_shards, pages, options.metrics_port, host=options.metrics_host)
            port = await _listening(nursery, serve, options)
            say(f"metrics at http://{options.metrics_host}:{port}/metrics")
        await supervisor.run()
        nursery.cancel_scope.cancel()
    return 0


def _command(options: Options, shard: int, style: str, *more: str) -> tuple[str, ...]:
    """How a shard's process is called."""
    given: dict[str, Any] = {
        "--shard": f"{shard}/{options.shards}",
        "--symbols": "all" if options.symbols is None else ",".join(sorted(options.symbols)),
        "--channel": ",".join(map(str, options.channels)),
        "--to": options.broker.url,
        "--policy": options.policy,
        "--form": options.form.value,
        "--keyframe-every": options.keyframe_every,
        "--budget-file": options.budget_file,
        "--key-file": options.key_file,
        "--url": options.url,
        "--level3-url": options.level3_url,
        "--rest": options.rest,
        "--metrics-port": None if options.metrics_port is None else 0,
        "--log-format": style,
        **dict(options.broker.files),
    }
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    if options.budget_in_broker:
        words.append("--budget-in-broker")
    return (sys.executable, "-m", "kraken_trio", "relay", "--supervised", *words, *more)


def _pass_on(command_log: CommandLog, name: str, stream: str, line: bytes) -> None:
    """A line of a shard's log becomes one of this log."""
    named = named_json(line, name) if command_log.style == "json" else named_text(line, name)
    if named is not None:
        command_log.pass_on(named)
    else:
        log("shard_says", line.decode("utf-8", "backslashreplace"), shard=name, stream=stream)


def _pages(supervisor: Supervisor) -> Mapping[str, ShardPage]:
    from kraken_trio.metrics.shards import ShardPage  # noqa: PLC0415 (it needs an extra)

    return {
        name: ShardPage(port=_port(now), restarts=now.restarts, problem=_problem(now))
        for name, now in supervisor.statistics().items()
    }


def _port(now: ProgramStatistics) -> int | None:
    port = now.told.get("metrics_port")
    return port if isinstance(port, int) and now.state in {ProgramState.BEGUN, ProgramState.READY} else None


def _problem(now: ProgramStatistics) -> str:
    if now.state is ProgramState.READY:
        return ""
    if now.state is ProgramState.BEGUN:
        return "it does not publish, nor stand by, yet"
    ended = "" if now.exit_status is None else f", the last time with exit status {now.exit_status}"
    return f"its process does not work ({now.state.value}{ended})"
