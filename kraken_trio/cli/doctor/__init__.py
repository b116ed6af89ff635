"""``kraken-trio doctor``: what is wrong with the way to the exchange, and how to cure it.

* :mod:`~kraken_trio.cli.doctor.findings`: what a check says, and :mod:`~kraken_trio.cli.doctor.checks`: what it says of
  measured values; :mod:`~kraken_trio.cli.doctor.formats`: how that is printed (all pure)
* :mod:`~kraken_trio.cli.doctor.machine`: what is outside of the program; :mod:`~kraken_trio.cli.doctor.folder` looks at
  a recording, :mod:`~kraken_trio.cli.doctor.listening` at what comes over a connection
* :mod:`~kraken_trio.cli.doctor.probe`: the examination; :mod:`~kraken_trio.cli.doctor.command`: the command
"""
