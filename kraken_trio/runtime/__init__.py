"""The Trio part of a client: the owner of the socket, and the feeds through which a program gets events.

``shell`` is the seam below :class:`~kraken_trio.Client`; ``actor`` owns the socket and the session; ``feed`` is the
bounded channel to a program; ``overflow`` has the policies for a full one (pure, tested without Trio).
"""
