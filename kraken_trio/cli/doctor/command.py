"""``kraken-trio doctor``."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import click
import trio
from click.core import ParameterSource

from kraken_trio import Endpoint, __version__
from kraken_trio._address import parse_address
from kraken_trio._text import printable
from kraken_trio.cli.brokers import broker_options
from kraken_trio.cli.doctor import formats
from kraken_trio.cli.doctor.findings import verdict
from kraken_trio.cli.doctor.probe import Plan, examine
from kraken_trio.cli.running import run_and_exit, url_option
from kraken_trio.errors import ConnectError
from kraken_trio.recording.records import encode
from kraken_trio.requests import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kraken_trio.cli.brokers import Broker
    from kraken_trio.cli.doctor.findings import Finding

__all__ = ["doctor_command"]


@click.command("doctor", short_help="Say what is wrong with the way to Kraken, and how to cure it.")
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@url_option
@click.option("--proxy", metavar="URL", help="An HTTP proxy to connect through.  [default: $HTTPS_PROXY]")
@click.option("--budget-file", type=click.Path(), metavar="FILE", help="The budget file that programs here share.")
@click.option("--folder", type=click.Path(), metavar="FOLDER", help="The folder of a recording, which is checked, too.")
@broker_options(
    "--relay", "Check the relays that publish to this broker instead, and what they publish.", required=False
)
@click.option(
    "--format",
    "style",
    type=click.Choice(formats.FORMATS),
    default="text",
    show_default=True,
    help="For people, for programs, or for monitoring.",
)
def doctor_command(
    symbols: tuple[str, ...],
    url: str,
    proxy: str | None,
    budget_file: str | None,
    folder: str | None,
    broker: Broker | None,
    style: str,
) -> None:
    """Check this machine, the way to the exchange, and the exchange.

    Name lookup, proxy, TCP, TLS and its certificate, the WebSocket, refusals, the clock, round trips, heartbeats; and
    of each SYMBOL (BTC/USD if there is none) the first checksums of its book, and its trades. With --folder also a
    recording's folder: how long its disk lasts, who records into it, and whether its files are whole. Every check shows
    its figure and its limits and, if it fails, what to do. The last line is the verdict.

    With --relay instead: the broker, whether all shards publish and have an owner, how old their catalogs and key
    frames are, clocks and lag, and of each SYMBOL (one of theirs if there is none) the book that a reader gets.

    Nothing is changed, except that attempts to connect are counted in the budget file. There are at most three, and
    it all takes at most 30 seconds.

    Exit status: 0 if all is well; 1 if something could be better; 2 if something failed, or for a usage error;
    130 after Ctrl-C.

    \b
    Examples:
      kraken-trio doctor
      kraken-trio doctor BTC/USD ETH/EUR --folder data --budget-file /run/kraken/budget
      kraken-trio doctor --relay nats://localhost BTC/USD
      kraken-trio doctor --format nagios
      kraken-trio doctor --format prometheus > /var/lib/node_exporter/kraken.prom
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    try:
        wanted = tuple(dict.fromkeys(map(canonical_symbol, symbols or ("BTC/USD",))))
    except ValueError as error:
        raise click.BadParameter(printable(error), param_hint="SYMBOL") from None
    try:
        parse_address(url)
    except ConnectError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
    if broker is not None:
        is_url_given = click.get_current_context().get_parameter_source("url") is not ParameterSource.DEFAULT
        if is_url_given or (budget_file, folder, proxy) != (None, None, None):
            msg = "--relay is about a broker: leave out --url, --budget-file, --folder and --proxy"
            raise click.UsageError(msg)
        run_and_exit(partial(run_relay, broker, wanted if symbols else (), style))
    plan = Plan(url=url, symbols=wanted, budget_file=budget_file, folder=folder, proxy=proxy or "auto")
    run_and_exit(partial(run, plan, style))


async def run(plan: Plan, style: str) -> int:
    """Make the checks and print them. Returns the exit status."""
    return await _run(partial(examine, plan), Endpoint(plan.url).name, style)


async def run_relay(broker: Broker, symbols: tuple[str, ...], style: str) -> int:
    """The same for relays."""
    from kraken_trio.cli.doctor.relay_probe import RelayPlan, examine_relay  # noqa: PLC0415 (only this needs it)
    from kraken_trio.stream import open_stream  # noqa: PLC0415 (likewise)

    engine = broker.engine()
    plan = RelayPlan(engine=engine, open_reader=partial(open_stream, engine), wall_ns=time.time_ns, symbols=symbols)
    return await _run(partial(examine_relay, plan), engine.name, style)


async def _run(examination: Callable[[Callable[[Finding], None]], Awaitable[None]], name: str, style: str) -> int:
    findings: list[Finding] = []
    lines = formats.Lines()

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if style == "text":
            for line in lines.take(finding):
                click.echo(line)

    began = trio.current_time()
    await examination(tell)
    for line in lines.end():
        click.echo(line)
    click.echo(_ending(name, findings, style, trio.current_time() - began))
    return verdict(findings).status


def _ending(name: str, findings: Sequence[Finding], style: str, took: float) -> str:
    """What is printed at the end."""
    if style == "json":
        return encode(formats.plain(findings, url=name, version=__version__, took=took)).decode()
    if style == "nagios":
        return formats.nagios(findings)
    if style == "prometheus":
        return formats.prometheus(findings, now=time.time(), took=took).rstrip("\n")
    return f"{verdict(findings).value.upper()}: {formats.summary(findings)}"
