"""The results as pictures for the documentation: SVG on no background, in colours that read on white and on black."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Report

__all__ = ["draw"]

_INK: Final = "#808080"
_OURS: Final = ("#0a84c6", "#39a35a", "#7f63d2")
_THEIRS: Final = ("#d2791e", "#c2478f", "#b0912b", "#c0504d", "#8a7a6a")
_STYLE: Final[Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "kraken_trio",  # the same results give the same file
}


def draw(report: Report, folder: Path) -> list[Path]:
    """Write each picture that there are results for."""
    written = []
    with mpl.rc_context(_STYLE):
        for name, make in (("throughput", _throughput), ("latency", _latency), ("memory", _memory)):
            figure = make(report)
            if figure is not None:
                path = folder / f"{name}.svg"
                figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
                plt.close(figure)
                # matplotlib ends lines with spaces.
                path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
                written.append(path)
    return written


def _throughput(report: Report) -> Any:
    """Messages a second by depth, each step of ours and each peer's handler; the bars show the spread."""
    depths = [10, 100, 1000]
    sides = [
        ("compiled/book", "kraken_trio: decode + apply + verify", _OURS[0]),
        ("compiled/session", "kraken_trio: the whole session", _OURS[2]),
        ("pure/book", "kraken_trio, pure: decode + apply + verify", _OURS[1]),
        ("cryptofeed", "cryptofeed", _THEIRS[0]),
        ("ccxt", "ccxt.pro (verifies nothing)", _THEIRS[1]),
        ("kraken-sdk", "python-kraken-sdk", _THEIRS[2]),
    ]
    figure, axes = plt.subplots(figsize=(7.5, 4))
    drawn = 0
    for side, label, colour in sides:
        rows = [report.rows.get(f"processing/{side}/{depth}") for depth in depths]
        if any(row is None for row in rows):
            continue
        found = [row for row in rows if row is not None]
        middle = [1e6 / row.median for row in found]
        spread = [[m - 1e6 / row.high for m, row in zip(middle, found, strict=True)],
                  [1e6 / row.low - m for m, row in zip(middle, found, strict=True)]]  # fmt: skip
        ours = label.startswith("kraken_trio")
        axes.errorbar(
            depths, middle, yerr=spread, label=label, color=colour, marker="o" if ours else "s", capsize=3,
            linestyle="-" if ours else "--",
        )  # fmt: skip
        drawn += 1
    if not drawn:
        plt.close(figure)
        return None
    axes.set(xscale="log", yscale="log", xlabel="depth of the book", ylabel="messages a second, one core")
    axes.set_xticks(depths, [str(depth) for depth in depths])
    low, high = axes.get_ylim()
    powers = [10**power for power in range(8) if low <= 10**power <= high]
    axes.set_yticks(powers, [f"{power:,}".replace(",", " ") for power in powers])
    axes.minorticks_off()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _latency(report: Report) -> Any:
    """How large a part of the messages takes longer than so many microseconds, at one load per panel."""
    found = list(dict.fromkeys(kept["load"] for kept in report.latencies.values()))
    loads = [load for load in found if "ten times" not in load and not load.startswith(("100 ", "5 "))]
    if not loads:
        return None
    figure, panels = plt.subplots(1, len(loads), figsize=(3.1 * len(loads), 3.6), sharey=True, squeeze=False)
    names = sorted(
        {kept["title"] for kept in report.latencies.values()}, key=lambda title: (not title.startswith("kraken"), title)
    )
    ours, theirs = iter(_OURS), iter(_THEIRS)
    colours = {title: next(ours if title.startswith("kraken") else theirs) for title in names}
    lines: dict[str, Any] = {}
    for axes, load in zip(panels[0], loads, strict=True):
        for kept in report.latencies.values():
            if kept["load"] == load:
                title = kept["title"]
                where, part = _survival(kept)
                style = "-" if title.startswith("kraken") else "--"
                (lines[title],) = axes.plot(
                    where, part, color=colours[title], linestyle=style, drawstyle="steps-post"
                )  # fmt: skip
        axes.set(xscale="log", yscale="log", title=load.replace(", its own pace", ""))
        axes.set_xticks([10, 1e3, 1e5, 1e7], ["10 µs", "1 ms", "0.1 s", "10 s"])
        axes.set_yticks([1, 0.1, 0.01, 0.001], ["all", "10 %", "1 %", "0.1 %"])
        axes.set_ylim(0.0005, 1.2)
    panels[0][0].set_ylabel("messages that take longer")
    shown = [name for name in names if name in lines]
    figure.legend(
        [lines[name] for name in shown], shown, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 0.0)
    )  # fmt: skip
    return figure


def _survival(kept: dict[str, Any]) -> tuple[list[float], list[float]]:
    whole = sum(kept["counts"])
    left, where, part = whole, [], []
    for edge, count in zip(kept["edges_us"], kept["counts"], strict=False):
        left -= count
        where.append(edge)
        part.append(left / whole)
    return where, part


def _memory(report: Report) -> Any:
    """Resident memory of a process that follows one book, over the messages."""
    points = report.memory.get("process")
    if not points:
        return None
    figure, axes = plt.subplots(figsize=(7.5, 3))
    x = [point["messages"] / 1e6 for point in points]
    axes.plot(x, [point["rss_kib"] / 1024 for point in points], color=_OURS[0], marker="o")
    axes.set(xlabel="million messages", ylabel="MiB, resident")
    axes.set_ylim(0, 1.2 * max(point["rss_kib"] for point in points) / 1024)
    return figure
