"""What runs in Trio: the owner of the socket, and how events get from it to a program.

``actor`` owns the socket and the session; ``feed`` is the bounded channel to a program; ``overflow`` is what happens
when that is full (pure, tested without Trio).
"""
