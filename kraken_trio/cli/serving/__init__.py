"""Serving a recording in the exchange's own protocol: :mod:`.desk` decides, :mod:`.server` moves frames."""
