"""The terminal view of ``watch`` and ``demo``.

Events and samples change a :class:`~.board.Board`; :mod:`.screen` draws one (both pure); :mod:`.live` shows it several
times a second, as a screen or as plain lines.
"""
