"""The fake exchange: its decisions (``core`` and its imports, pure), and its real socket (``server``)."""
