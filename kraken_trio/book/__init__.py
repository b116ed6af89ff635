"""The order book, and how it is checked. Pure: values in, values out.

* :mod:`~kraken_trio.book.row`: what the book needs of a level: its digits.
* :mod:`~kraken_trio.book.side`: one side: sorted levels, and what the checksum needs of each.
* :mod:`~kraken_trio.book.verified`: what all kinds of books have: when they can be read, and the verification.
* :mod:`~kraken_trio.book.book`: :class:`OrderBook`: both sides, and the rules of an update.
* :mod:`~kraken_trio.book.level3`: :class:`Level3Book`: the same with single orders.
"""

from kraken_trio.book.book import CHECKED_LEVELS, OrderBook
from kraken_trio.book.level3 import Level3Book, OrderQueue, QueuePosition

__all__ = ["CHECKED_LEVELS", "Level3Book", "OrderBook", "OrderQueue", "QueuePosition"]
