"""``kraken-trio doctor``: what is wrong with the way to the exchange, and how to cure it.

* :mod:`~kraken_trio.cli.doctor.findings`: what a check says, and :mod:`~kraken_trio.cli.doctor.checks`: what it says of
  measured values; :mod:`~kraken_trio.cli.doctor.formats`: how that is printed (all pure)
* :mod:`~kraken_trio.cli.doctor.probe`: the measuring; :mod:`~kraken_trio.cli.doctor.command`: the command
"""
