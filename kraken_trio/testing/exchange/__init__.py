"""The fake exchange: what it decides (``core`` and what that imports: pure), and its real socket (``server``)."""
