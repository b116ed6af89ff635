"""The order book, and how it is checked. Pure: values in, values out.

* :mod:`~kraken_trio.book.row`: what the book needs of a level: its digits.
* :mod:`~kraken_trio.book.side`: one side: sorted levels, and what the checksum needs of each.
* :mod:`~kraken_trio.book.book`: :class:`OrderBook`: both sides, the rules of an update, the verification.
"""

from kraken_trio.book.book import CHECKED_LEVELS, OrderBook

__all__ = ["CHECKED_LEVELS", "OrderBook"]
