"""The picture of the demo in the README: ``nox -s picture`` plays the demo and draws its last screen.

The times and the port in it are those of the run; everything else follows from the seed.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Final

import trio
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from kraken_trio.cli.play import Outcome, run_demo
from kraken_trio.cli.view.screen import render

TARGET: Final = Path(__file__).parent / "_static" / "demo.svg"
WIDTH, HEIGHT = 100, 47
FONTS: Final = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


async def play() -> Outcome:
    return await run_demo(seconds=12.0, seed=0, stream=io.StringIO(), screen=False)


def drawn(outcome: Outcome) -> str:
    console = Console(width=WIDTH, height=HEIGHT, record=True, file=io.StringIO(), force_terminal=True)
    console.print(render(outcome.board, WIDTH, HEIGHT), height=HEIGHT)
    # Nothing is loaded from elsewhere, and a font that is not there is not asked for.
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code, monospace", FONTS)
    return console.export_svg(title="kraken-trio demo", code_format=template, unique_id="demo")


if __name__ == "__main__":
    result = trio.run(play)
    if not result.held:
        sys.exit("a promise was broken: run the demo, and see which")
    TARGET.write_text(drawn(result), encoding="utf-8")
