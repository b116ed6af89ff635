"""Escaping of texts from peers and programs. Pure, and below everything else."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object, limit: int = 200) -> str:
    """``text`` as one line of printable characters, at most ``limit`` of them: safe for a terminal or a log."""
    full = str(text)
    if len(full) <= limit and full.isprintable():
        return full
    cut = full[: limit + 1]
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return line if len(full) <= limit and len(line) <= limit else line[: max(limit - 1, 0)] + "…"
