"""How fast kraken_trio is, beside its peers, on the same frames: ``nox -s benchmarks``, or ``python -m benchmarks``.

The map: ``inputs`` makes the frames; ``exchange`` is the process that sends them; each file in ``sides`` is a process
that receives them, ours or a peer's, in an environment of its own (``environments``); ``suites`` says what is run,
round by round; ``results`` turns samples into rows, and judges them by the targets; ``pictures`` and ``tables`` show
them.
"""
