"""The command line: needs the extra ``cli`` (click and rich).

* :mod:`~kraken_trio.cli.app`: commands, options and exit statuses
* ``verify``: :mod:`~kraken_trio.recordings` reads files (pure), :mod:`~kraken_trio.cli.verification` checks their
  frames (pure), :mod:`~kraken_trio.cli.verify` reports
* ``watch`` and ``demo``: events change a :class:`~kraken_trio.cli.board.Board`; :mod:`~kraken_trio.cli.view` draws one
  (both pure); :mod:`~kraken_trio.cli.live` does so several times a second, on a terminal or as plain lines
* ``demo`` alone: :mod:`~kraken_trio.cli.walk` compares what the exchange sent with what the feed yielded, and
  :mod:`~kraken_trio.cli.oracle` judges (both pure)

Every text of a peer goes through :func:`kraken_trio.errors.printable`, and none is ever read as rich's markup.
"""
