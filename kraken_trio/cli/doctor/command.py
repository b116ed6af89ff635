"""``kraken-trio doctor``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import trio

from kraken_trio import Endpoint, __version__
from kraken_trio._address import parse_address
from kraken_trio._text import printable
from kraken_trio.cli.doctor import formats
from kraken_trio.cli.doctor.findings import verdict
from kraken_trio.cli.doctor.probe import Plan, examine
from kraken_trio.cli.running import run_and_exit, url_option
from kraken_trio.errors import ConnectError
from kraken_trio.recording.records import encode
from kraken_trio.requests import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.cli.doctor.findings import Finding

__all__ = ["doctor_command"]


@click.command("doctor", short_help="Say what is wrong with the way to Kraken, and how to cure it.")
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@url_option
@click.option("--proxy", metavar="URL", help="An HTTP proxy to connect through.  [default: $HTTPS_PROXY]")
@click.option("--budget-file", type=click.Path(), metavar="FILE", help="The budget file that programs here share.")
@click.option("--folder", type=click.Path(), metavar="FOLDER", help="The folder of a recording, which is checked, too.")
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
    style: str,
) -> None:
    """Check this machine, the way to the exchange, and the exchange.

    Name lookup, proxy, TCP, TLS and its certificate, the WebSocket, refusals, the clock, round trips, heartbeats; and
    of each SYMBOL (BTC/USD if there is none) the first checksums of its book, and its trades. With --folder also a
    recording's folder: how long its disk lasts, who records into it, and whether its files are whole. Every check shows
    its figure and its limits and, if it fails, what to do. The last line is the verdict.

    Nothing is changed, except that attempts to connect are counted in the budget file. There are at most three, and
    it all takes at most 30 seconds.

    Exit status: 0 if all is well; 1 if something could be better; 2 if something failed, or for a usage error;
    130 after Ctrl-C.

    \b
    Examples:
      kraken-trio doctor
      kraken-trio doctor BTC/USD ETH/EUR --folder data --budget-file /run/kraken/budget
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
    plan = Plan(url=url, symbols=wanted, budget_file=budget_file, folder=folder, proxy=proxy or "auto")

    async def start() -> int:
        return await run(plan, style)

    run_and_exit(start)


async def run(plan: Plan, style: str) -> int:
    """Make the checks and print them. Returns the exit status."""
    findings: list[Finding] = []
    lines = formats.Lines()

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if style == "text":
            for line in lines.take(finding):
                click.echo(line)

    began = trio.current_time()
    await examine(plan, tell)
    for line in lines.end():
        click.echo(line)
    click.echo(_ending(plan, findings, style, trio.current_time() - began))
    return verdict(findings).status


def _ending(plan: Plan, findings: Sequence[Finding], style: str, took: float) -> str:
    """What is printed at the end."""
    if style == "json":
        return encode(formats.plain(findings, url=Endpoint(plan.url).name, version=__version__, took=took)).decode()
    if style == "nagios":
        return formats.nagios(findings)
    if style == "prometheus":
        return formats.prometheus(findings, now=time.time(), took=took).rstrip("\n")
    return f"{verdict(findings).value.upper()}: {formats.summary(findings)}"
