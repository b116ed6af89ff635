"""The protocols that the fake exchange speaks: of each, what it reads (``_requests``) and what it writes (``_frames``).

The seam is :mod:`~kraken_trio.testing.exchange.dialects.base`.
"""
