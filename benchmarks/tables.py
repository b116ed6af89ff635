"""The results as text for a terminal, and as Markdown that the documentation includes: no figure is typed by hand."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from benchmarks.results import Report, Row, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["as_text", "write"]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _spread(row: Row) -> str:
    if len(row.samples) == 1 or row.low == row.high:
        return _number(row.median)
    return f"{_number(row.median)} ({_number(row.low)} … {_number(row.high)})"


def _cell(row: Row) -> str:
    """The median, and below it the spread, which does not break."""
    if len(row.samples) == 1 or row.low == row.high:
        return _number(row.median)
    return f"{_number(row.median)}<br>{_number(row.low)}\u00a0…\u00a0{_number(row.high)}"


def as_text(report: Report) -> str:
    """Everything, for whoever ran it."""
    width = max((len(row.id) for row in report.rows.values()), default=0)
    lines = [""]
    group = ""
    for row in report.rows.values():
        if row.id.partition("/")[0] != group:
            group = row.id.partition("/")[0]
            lines += ["", group]
        lines.append(f"  {row.id:{width}}  {_spread(row):28} {row.unit}  ({len(row.samples)} samples; {row.title})")
    if report.skipped:
        lines += ["", "not measured"]
        lines += [f"  {what}: {why}" for what, why in report.skipped.items()]
    lines += ["", "targets"]
    for verdict in judge(report):
        target = verdict.target
        lines.append(
            f"  {verdict.word:12} {verdict.measured:>14} ({verdict.wanted})  {target.work}, against {target.against}"
        )
    return "\n".join(lines)


def write(report: Report, folder: Path) -> list[Path]:
    """One Markdown fragment per table."""
    parts = {
        "targets": _targets(report),
        "processing": _processing(report),
        "socket": _socket(report),
        "profile": _profile(report),
        "scale": _list(report, ("symbols", "fan-out", "resync")),
        "latency": _latency(report),
        "memory": _list(report, ("memory", "allocations")),
        "setting": _setting(report),
    }
    written = []
    for name, lines in parts.items():
        path = folder / f"{name}.inc"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _targets(report: Report) -> list[str]:
    return _table(
        ("work", "against", "wanted", "measured", ""),
        (
            (v.target.work.replace("^5", "⁵").replace("^6", "⁶"), v.target.against, v.wanted, v.measured,
             v.word if v.reached is not False else f"**{v.word}**")
            for v in judge(report)
        ),
    )  # fmt: skip


def _pivot(
    report: Report, prefix: str, columns: list[str], key: Callable[[str], tuple[str, str] | None]
) -> list[list[str]]:
    """Rows of cells: one line per title, one cell per column."""
    cells: dict[str, dict[str, str]] = {}
    for row in report.rows.values():
        if row.id.startswith(prefix):
            place = key(row.id)
            if place is not None and place[1] in columns:
                cells.setdefault(row.title, {})[place[1]] = _cell(row)
    return [[title, *(found.get(column, "-") for column in columns)] for title, found in cells.items()]


def _processing(report: Report) -> list[str]:
    columns = ["10", "100", "1000", "v2_book25_ethusd", "v2_book25_xrpusd"]
    titles = ["depth 10", "depth 100", "depth 1000", "recording ETH/USD, 25", "recording XRP/USD, 25"]

    def key(id: str) -> tuple[str, str]:  # noqa: A002 (the id of a row, as in the JSON)
        _, side, column = id.split("/", 2)
        return side, column

    return _table(("µs per message", *titles), _pivot(report, "processing/", columns, key))


def _socket(report: Report) -> list[str]:
    columns = ["plain 10", "plain 1000", "tls 10", "tls 1000"]

    def key(id: str) -> tuple[str, str]:  # noqa: A002 (the id of a row, as in the JSON)
        parts = id.split("/")
        return parts[1], f"{parts[2]} {parts[-1]}"

    titles = ("depth 10", "depth 1000", "TLS, depth 10", "TLS, depth 1000")
    return _table(("µs per message", *titles), _pivot(report, "socket/", columns, key))


_PROFILE: Final = (
    ("read the socket, cut the frames", "transport", None),
    ("decode a frame into its event", "decode", None),
    ("apply the event to the book, verify the checksum", "book", "decode"),
    ("find the subscription, note digits for the feeds' books, count, sort into feeds", "session", "book"),
)


def _profile(report: Report) -> list[str]:
    """The stages by themselves: a row of the suite, less the row that it builds on. In CPU time."""
    spent = {
        row.id.partition("/")[2]: statistics.median(row.cpu or row.samples)
        for row in report.rows.values()
        if row.id.startswith("stages/")
    }
    if not spent:
        return ["(not measured)"]
    parts = [(title, spent[stage] - (spent[base] if base else 0.0)) for title, stage, base in _PROFILE]
    rest = spent["whole"] - sum(cost for _, cost in parts)
    parts.append(("hand over to the consumer, whose own book follows; it reads the best price; the event loop", rest))
    cells = [(title, _number(cost), f"{cost / spent['whole']:.0%}") for title, cost in parts]
    return _table(("stage", "µs of CPU per message", ""), [*cells, ("the whole client", _number(spent["whole"]), "")])


def _latency(report: Report) -> list[str]:
    names = ("p50", "p99", "p99.9")
    lines = []
    for id, kept in report.latencies.items():  # noqa: A001 (the id of a row, as in the JSON)
        rows = [report.rows.get(f"latency/{id}/{name}") for name in names]
        cells = [_cell(row) if row is not None else "-" for row in rows]
        lines.append([kept["title"], f"{kept['rate']:,}".replace(",", " "), *cells])
    return _table(("µs", "messages a second", *names), lines)


def _list(report: Report, groups: tuple[str, ...]) -> list[str]:
    rows = [row for row in report.rows.values() if row.id.partition("/")[0] in groups]
    return _table(
        ("", "figure", "unit"), ((_named(row), _spread(row).replace(" ", "\u00a0"), row.unit) for row in rows)
    )


def _named(row: Row) -> str:
    depth = row.id.rpartition("/")[2]
    return f"{row.title}, depth {depth}" if row.id.startswith("allocations") else row.title


def _packages(found: dict[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in found.items() if package != "python")


def _setting(report: Report) -> list[str]:
    machine, rounds = report.machine, report.options["rounds"]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    run = f"{rounds} rounds ({report.options['plan']} plan), begun at a load of {machine['load_before']}"
    lines = [f"{where}; {run}. Median, and lowest … highest sample.", ""]
    lines += _table(
        ("", "Python", "packages"),
        (
            (name, found["python"], _packages(found))
            for name, found in report.versions.items()
        ),
    )  # fmt: skip
    lines += ["", *_table(("input", "symbols", "depth", "updates", "bytes per update", "levels per update"),
                          ([str(value) for value in one.values()] for one in report.inputs))]  # fmt: skip
    if report.skipped:
        lines += ["", *_table(("not measured", "why"), report.skipped.items())]
    return lines
