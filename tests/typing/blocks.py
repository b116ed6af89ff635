"""The Python blocks of README.md and docs/, type-checked as their readers would: ``python -m tests.typing.blocks``.

Each page becomes one module, because its blocks share their names. What awaits at the top level of a block is put into
an ``async def`` of its own, as a reader would do. A block marked ``needs: kraken`` is a program, and so a module of its
own. The messages of mypy name the page and its line.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "modules", "pages"]

_BLOCK: Final = re.compile(
    r"(?P<marker><!-- needs: kraken -->\n)?^```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
_PLACE: Final = re.compile(r"^(?P<module>\w+\.py):(?P<line>\d+):", re.MULTILINE)


class Line(NamedTuple):
    """A line of a module, and the number of the page's line that it stands for."""

    number: int
    text: str


def pages(root: Path) -> list[Path]:
    """All pages that may hold blocks, relative to ``root``."""
    docs = (page.relative_to(root) for page in (root / "docs").rglob("*.md"))
    return [Path("README.md"), *sorted(page for page in docs if "_build" not in page.parts)]


def modules(text: str) -> list[list[Line]]:
    """The modules that a page of this ``text`` makes: one for the blocks that share names, and one for each program."""
    shared: list[Line] = []
    programs: list[list[Line]] = []
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start("code")) + 1
        if block["marker"]:
            programs.append([Line(*line) for line in enumerate(block["code"].splitlines(), first)])
        else:
            shared += _without_await_at_top_level(block["code"], first)
    return [shared] * bool(shared) + programs


def _without_await_at_top_level(code: str, first: int) -> Iterator[Line]:
    """The lines of a block that begins in the page's line ``first``."""
    lines = code.splitlines()
    statements = ast.parse(code).body
    ends = [0, *(statement.end_lineno or 0 for statement in statements)]
    parts = zip(statements, pairwise(ends), strict=True)
    for awaits, group in groupby(parts, lambda part: _awaits(part[0])):
        spans = [span for _statement, span in group]
        begin, end = spans[0][0], spans[-1][1]
        if awaits:
            yield Line(first + begin, f"async def line_{first + begin}() -> None:")
        for number in range(begin, end):
            yield Line(first + number, f"    {lines[number]}" if awaits else lines[number])


def _awaits(node: ast.AST) -> bool:
    if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef | ast.Lambda):
        return False
    return isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) or any(map(_awaits, ast.iter_child_nodes(node)))


def main() -> int:
    """Check all pages."""
    origins: dict[str, tuple[Path, list[Line]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for page in pages(Path()):
            for index, lines in enumerate(modules(page.read_text(encoding="utf-8"))):
                name = re.sub(r"\W", "_", f"{page.with_suffix('')}_{index}") + ".py"
                origins[name] = page, lines
                Path(folder, name).write_text("".join(f"{line.text}\n" for line in lines), encoding="utf-8")
        mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={folder}/cache"]
        result = subprocess.run([*mypy, *sorted(origins)], cwd=folder, capture_output=True, text=True, check=False)

    def on_page(message: re.Match[str]) -> str:
        page, lines = origins[message["module"]]
        return f"{page}:{lines[int(message['line']) - 1].number}:"

    sys.stdout.write(_PLACE.sub(on_page, result.stdout))
    sys.stderr.write(result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
