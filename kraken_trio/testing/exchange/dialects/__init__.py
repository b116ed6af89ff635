"""The protocols that the fake exchange speaks. The seam is :mod:`~kraken_trio.testing.exchange.dialects.base`."""
