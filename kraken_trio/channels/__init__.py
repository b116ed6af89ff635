"""The state that is kept of each subscription's data: one file per channel. Pure.

:mod:`~kraken_trio.channels.state` is the seam: everything that a session, a feed or an overflow policy may ask.
"""

from typing import Final

from kraken_trio.channels.balances import BalanceState
from kraken_trio.channels.book import BookState
from kraken_trio.channels.candles import CandleState
from kraken_trio.channels.executions import ExecutionState
from kraken_trio.channels.instruments import InstrumentState
from kraken_trio.channels.level3 import Level3State
from kraken_trio.channels.spread import SpreadState
from kraken_trio.channels.state import ChannelState, Failure, Kept, View
from kraken_trio.channels.ticker import TickerState
from kraken_trio.channels.trade import TradeState

__all__ = ["CHANNELS", "ChannelState", "Failure", "Kept", "View"]

CHANNELS: Final[dict[str, type[ChannelState]]] = {
    "book": BookState,
    "level3": Level3State,
    "trade": TradeState,
    "ticker": TickerState,
    "spread": SpreadState,
    "ohlc": CandleState,
    "instrument": InstrumentState,
    "executions": ExecutionState,
    "balances": BalanceState,
}
"""Every channel of the exchange, by its name."""
