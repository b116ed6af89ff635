"""The markets of an exchange: :class:`MarketSpec`, and the defaults."""

from __future__ import annotations

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = ["DEFAULT_MARKETS", "MarketSpec"]

_PRECISION = checks.integer(least=0, most=18)


@attrs.frozen(kw_only=True)
class MarketSpec:
    """One symbol of the fake exchange: its reference data, and how its market behaves."""

    symbol: str = attrs.field(validator=valid(checks.symbol))
    price_precision: int = attrs.field(validator=valid(_PRECISION))
    """Decimals of a price."""
    qty_precision: int = attrs.field(validator=valid(_PRECISION))
    """Decimals of a quantity."""
    start_price: str = attrs.field(validator=valid(checks.decimal_text()))
    """The initial price: a decimal number as text."""
    levels: int = attrs.field(default=1200, validator=valid(checks.integer(least=0, most=100_000)))
    """Levels per side at the beginning, and roughly afterwards."""
    typical_qty: str = attrs.field(default="1", validator=valid(checks.decimal_text()))
    """A typical quantity of one level: a decimal number as text."""
    spacing: int = attrs.field(default=3, validator=valid(checks.integer(least=1)))
    """Mean distance of neighbouring levels, in price increments."""
    weight: float = attrs.field(default=1.0, validator=valid(checks.number(least=0)))
    """This market's share of all events, relative to the other weights. 0: no events by itself."""
    history: int = attrs.field(default=60, validator=valid(checks.integer(least=0, most=100_000)))
    """Trades in the half hour before the start. 0: it hardly trades, and its candles have no snapshot."""
    status: str = attrs.field(default="online", validator=valid(checks.text("the name of a status")))
    """The status in the ``instrument`` channel."""
    marginable: bool = attrs.field(default=False, validator=valid(checks.boolean))
    multiplier: str | None = attrs.field(default=None, validator=valid(checks.optional(checks.decimal_text())))
    """For a tokenised asset, which the ``instrument`` channel shows only on request; None for others."""

    def __attrs_post_init__(self) -> None:
        checks.decimal_text(decimals=self.price_precision)("start_price", self.start_price)
        checks.decimal_text(decimals=self.qty_precision)("typical_qty", self.typical_qty)

    @property
    def base(self) -> str:
        return self.symbol.partition("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("/")[2]


DEFAULT_MARKETS: tuple[MarketSpec, ...] = (
    MarketSpec(
        symbol="BTC/USD", price_precision=1, qty_precision=8, start_price="64525.0", levels=1500,
        typical_qty="0.35", spacing=4, weight=5, marginable=True,
    ),
    MarketSpec(
        symbol="ETH/USD", price_precision=2, qty_precision=8, start_price="1877.30", levels=1500,
        typical_qty="4", spacing=5, weight=3, marginable=True,
    ),
    MarketSpec(
        symbol="XRP/USD", price_precision=5, qty_precision=8, start_price="1.08100", levels=1200,
        typical_qty="2500", spacing=4, weight=2, marginable=True,
    ),
    MarketSpec(
        symbol="SHIB/USD", price_precision=8, qty_precision=5, start_price="0.00001234", levels=400,
        typical_qty="8000000", spacing=1, weight=1,
    ),
    MarketSpec(
        symbol="BTC/JPY", price_precision=0, qty_precision=8, start_price="9876543", levels=300,
        typical_qty="0.05", spacing=150, weight=0.5,
    ),
    MarketSpec(
        symbol="TRX/BTC", price_precision=10, qty_precision=8, start_price="0.0000035000", levels=300,
        typical_qty="9000", spacing=8, weight=0.5,
    ),
    MarketSpec(
        symbol="AAPLx/USD", price_precision=2, qty_precision=8, start_price="231.17", levels=100,
        typical_qty="0.4", spacing=2, weight=0, multiplier="1.0000",
    ),
    MarketSpec(
        symbol="GST/EUR", price_precision=3, qty_precision=8, start_price="0.021", levels=5,
        typical_qty="700", spacing=2, weight=0.5,
    ),
)  # fmt: skip
"""The default markets of an exchange: various precisions, deep ones, a thin one, and a
tokenised share whose market is closed."""
