"""``python -m kraken_trio.testing``: the fake exchange as a separate process, which can be killed.

It serves the given symbols (by default :data:`~kraken_trio.testing.DEFAULT_MARKETS`), prints a line
of JSON with its ``url``, and then answers each line of its standard input with one:

``publish N [SYMBOL]``
    make N market events: ``{"frames": 12}``
``book SYMBOL [DEPTH]``
    the exchange's own book: ``{"bids": [["100.5", "0.10"], ...], "asks": [...], "checksum": 1396696505}``
``pause``, ``resume``
    pause or resume the market: ``{}``
``statistics``
    the numbers of :class:`~kraken_trio.testing.ExchangeStatistics`
``help``
    the commands: ``{"commands": [...]}``

It ends with its standard input. If that is closed or ``/dev/null`` from the start, it
serves until it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.testing import checks
from kraken_trio.testing.exchange.market import MAX_RATE
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.exchange.server import Exchange, open_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

COMMANDS: Final = {
    "publish N [SYMBOL]": "make N market events",
    "book SYMBOL [DEPTH]": "the exchange's own book",
    "pause": "let the market stand still",
    "resume": "let the market go on",
    "statistics": "what the exchange has done so far",
    "help": "what can be typed",
}
"""The commands, and what they do."""
_STDIN: Final = 0
_CHUNK: Final = 65536
_BY_SIGNAL: Final = 128
"""More than the number of the signal: the exit status after it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the standard input ends, or an interrupt. Returns the exit status."""
    given = _parser().parse_args(arguments)
    markets = tuple(dict.fromkeys(given.symbols)) or DEFAULT_MARKETS
    try:
        return trio.run(_until_interrupted, markets, given.port, given.seed, given.rate)
    except OSError as error:
        sys.stderr.write(f"cannot listen on port {given.port}: {error.strerror or error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="python -m kraken_trio.testing",
        description="A fake Kraken exchange on a loopback WebSocket. It prints its url, as a line of JSON.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="What can be typed while it runs (each line is answered with a line of JSON):\n"
        + "".join(f"  {command:<{width}}  {what}\n" for command, what in COMMANDS.items())
        + "\nIt ends when its standard input does; without one (closed, /dev/null), when it is interrupted.",
    )
    parser.add_argument(
        "symbols",
        nargs="*",
        metavar="SYMBOL",
        type=_market,
        help=f"what is traded, such as SOL/EUR ({' '.join(spec.symbol for spec in DEFAULT_MARKETS)})",
    )
    parser.add_argument(
        "--port", type=_number(int, checks.port), default=0, help="0, which is the default: any free one"
    )
    parser.add_argument("--seed", type=_number(int, checks.seed), default=0, help="of the markets (0)")
    rate = checks.number(least=0, most=MAX_RATE)
    parser.add_argument("--rate", type=_number(float, rate), default=100.0, help="market events a second (100)")
    return parser


def _market(symbol: str) -> MarketSpec:
    """The market of this symbol: one of the defaults, or a generic one."""
    usual = {spec.symbol: spec for spec in DEFAULT_MARKETS}
    if symbol in usual:
        return usual[symbol]
    try:
        return MarketSpec(symbol=symbol, price_precision=2, qty_precision=8, start_price="100.00", levels=300)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(kind: Callable[[str], float], check: checks.Check) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        try:
            check("it", value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # argparse names it: "invalid number value"
    return parse


async def _until_interrupted(markets: Sequence[MarketSpec], port: int, seed: int, rate: float) -> int:
    status = 0
    async with open_hidden_nursery() as nursery:

        async def interrupt(signals: AsyncIterator[int]) -> None:
            nonlocal status
            async for number in signals:
                status = _BY_SIGNAL + number
                nursery.cancel_scope.cancel()

        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            nursery.start_soon(interrupt, signals)
            await _serve(markets, port, seed, rate)
            nursery.cancel_scope.cancel()
    return status


async def _serve(markets: Sequence[MarketSpec], port: int, seed: int, rate: float) -> None:
    async with open_exchange(markets=markets, port=port, seed=seed, rate=rate, journal_limit=0) as exchange:
        _say({"url": exchange.url})
        was_typed = False
        async for line in _lines():
            was_typed = True
            if words := line.split():
                _say(await _answer(exchange, line, words))
        if not was_typed and not (sys.stdin is not None and sys.stdin.isatty()):
            await trio.sleep_forever()


async def _lines() -> AsyncIterator[str]:  # noqa: ASYNC900, ASYNC911 (used by the one loop below, to its end)
    """The lines of the standard input; none if it is closed.

    They are read by a thread, because not every system lets a standard input be waited for. It dies with the process,
    and holds no lock of Python's, as reading ``sys.stdin`` would.
    """
    rest = b""
    while sys.stdin is not None:  # or the file of this number is another one
        data = await trio.to_thread.run_sync(os.read, _STDIN, _CHUNK, abandon_on_cancel=True)
        *lines, rest = (rest + data).split(b"\n")
        if not data and rest:
            lines.append(rest)
        for line in lines:
            yield line.decode(errors="replace")  # noqa: ASYNC911 (reading is in a thread, which waits)
        if not data:
            return  # noqa: ASYNC911 (see above)


async def _answer(exchange: Exchange, line: str, words: list[str]) -> dict[str, Any]:
    try:
        return await _do(exchange, words)
    except (ValueError, TypeError) as error:
        return {"error": f"{line.strip()!r}: {error}"}
    except KeyError as error:
        return {"error": f"{line.strip()!r}: {error.args[0]!r} is not traded here, but {', '.join(exchange.symbols)}"}


async def _do(exchange: Exchange, words: list[str]) -> dict[str, Any]:
    match words:
        case ["publish", count]:
            return {"frames": await exchange.publish(int(count))}
        case ["publish", count, symbol]:
            return {"frames": await exchange.publish(int(count), symbol)}
        case ["book", symbol]:
            return _book(exchange, symbol, None)
        case ["book", symbol, depth]:
            return _book(exchange, symbol, int(depth))
        case ["pause"]:
            exchange.pause()
        case ["resume"]:
            exchange.resume()
        case ["statistics"]:
            return attrs.asdict(exchange.statistics())
        case ["help"]:
            return {"commands": list(COMMANDS)}
        case _:
            msg = f"not one of: {', '.join(COMMANDS)}"
            raise ValueError(msg)
    return {}


def _book(exchange: Exchange, symbol: str, depth: int | None) -> dict[str, Any]:
    book = exchange.book(symbol, depth)
    return {"bids": book.bids, "asks": book.asks, "checksum": book.checksum()}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
