"""The command line: needs the extra ``cli`` (click and rich).

* :mod:`~kraken_trio.cli.app`: the command group; one file per command beside it
* :mod:`~kraken_trio.cli.running`: options and exit statuses; :mod:`~kraken_trio.cli.formatting`: numbers and names
* ``record`` writes lines (:mod:`~kraken_trio.cli.record`); ``watch`` and ``demo`` show a :mod:`~kraken_trio.cli.view`
* ``demo``: :mod:`~kraken_trio.cli.play` is what happens; :mod:`kraken_trio.testing.oracle` compares what the exchange
  sent with what the feed yielded
* ``verify``: :mod:`~kraken_trio.recording.foreign` reads files, :mod:`~kraken_trio.cli.verification` checks their
  frames (both pure)
* ``audit`` and ``info``: :mod:`kraken_trio.storage.auditing` reads files, :mod:`kraken_trio.recording.audit` checks
  them, :mod:`kraken_trio.recording.findings` is the result (both pure)

A peer's text is printed only through :func:`kraken_trio._text.printable`, and is never read as rich's markup.
"""
