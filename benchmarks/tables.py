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
    lines += ["", "wanted, and found"]
    for verdict in judge(report):
        target = verdict.target
        mark = "" if verdict.reached is not False else "  <- not reached"
        lines.append(f"  {verdict.wanted:>8} {verdict.measured:>14}  {target.work}, against {target.against}{mark}")
    return "\n".join(lines)


def write(report: Report, folder: Path) -> list[Path]:
    """One Markdown fragment per table."""
    parts = {
        "against": _against(report),
        "targets": _targets(report),
        "processing": _processing(report),
        "socket": _socket(report),
        "profile": _profile(report),
        "scale": _list(report, ("symbols", "fan-out", "resync")),
        "latency": _latency(report),
        "memory": _list(report, ("memory", "allocations"), leave_out=_DETAILS),
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


_UNMEASURED: Final = ["(not measured)"]


def _against(report: Report) -> list[str]:
    """The figures that matter most, side by side."""
    rows = (
        ("a lone message, each ms: from send to your code, p50", *_lone("p50")),
        ("the same, p99", *_lone("p99")),
        ("a burst: from the socket to your code, `async for`", *_burst("iterate")),
        ("the same, `receive_many`", *_burst("receive_many")),
        ("from the bytes to the verified book, depth 10", *_processed(10)),
        ("the same, depth 1000", *_processed(1000)),
    )
    cells = []
    for title, *ids in rows:
        found = [report.median(row_id) if row_id else None for row_id in ids]
        if any(value is not None for value in found):
            cells.append([title, *("-" if value is None else _number(value) for value in found)])
    if not cells:
        return _UNMEASURED
    return _table(("µs per message", "kraken_trio", "its pure core", "cryptofeed", "NautilusTrader"), cells)


def _lone(part: str) -> list[str]:
    return [f"latency/{side}/1000/send/{part}" for side in ("compiled", "pure", "cryptofeed", "nautilus-node")]


def _burst(call: str) -> list[str]:
    ours = [f"socket/plain/10/{core}/{call}" for core in ("compiled", "pure")]
    return [*ours, "socket/plain/10/cryptofeed", "socket/plain/10/nautilus-node"]


def _processed(depth: int) -> list[str]:
    ours = [f"processing/{core}/book/{depth}" for core in ("compiled", "pure")]
    return [*ours, f"processing/cryptofeed/{depth}", ""]


def _targets(report: Report) -> list[str]:
    return _table(
        ("work", "against", "wanted", "found"),
        (
            (v.target.work.replace("^5", "⁵").replace("^6", "⁶"), v.target.against, v.wanted, v.measured)
            for v in judge(report)
        ),
    )


def _pivot(report: Report, prefix: str, columns: list[str], key: Callable[[str], str]) -> list[list[str]]:
    """Rows of cells: one line per title, one cell per column."""
    cells: dict[str, dict[str, str]] = {}
    for row in report.rows.values():
        if row.id.startswith(prefix):
            cells.setdefault(row.title, {})[key(row.id)] = _cell(row)
    return [[title, *(found.get(column, "-") for column in columns)] for title, found in cells.items()]


def _processing(report: Report) -> list[str]:
    columns = ["10", "100", "1000", "v2_book25_ethusd", "v2_book25_xrpusd"]
    titles = ["depth 10", "depth 100", "depth 1000", "recording ETH/USD, 25", "recording XRP/USD, 25"]
    rows = _pivot(report, "processing/", columns, lambda name: name.rpartition("/")[2])
    return _table(("µs per message", *titles), rows) if rows else _UNMEASURED


def _socket(report: Report) -> list[str]:
    sides: dict[str, dict[str, str]] = {}
    for row in report.rows.values():
        if row.id.startswith("socket/"):
            way = "/".join(row.id.split("/")[1:3])
            found = sides.setdefault(row.title, {})
            found[way] = _cell(row)
            if row.cpu:
                found[f"{way}@cpu"] = _number(statistics.median(row.cpu))
    columns = ("plain/10", "plain/10@cpu", "plain/1000", "tls/10", "pieces/10@cpu")
    titles = ("depth 10", "depth 10, processor time", "depth 1000", "TLS, depth 10", "small reads, processor time")
    rows = [[title, *(found.get(column, "-") for column in columns)] for title, found in sides.items()]
    return _table(("µs per message", *titles), rows) if rows else _UNMEASURED


_PROFILE: Final = (
    ("read the socket, cut the frames", "transport", None),
    ("decode a frame, apply it to the book, verify the checksum", "book", None),
    ("find the subscription, count, sort into feeds", "session", "book"),
)


def _profile(report: Report) -> list[str]:
    """The stages by themselves: a row of the suite, less the row that it builds on. In CPU time."""
    columns = []
    for core in ("compiled", "pure"):
        prefix = f"stages/{core}/"
        spent = {
            row.id.removeprefix(prefix): statistics.median(row.cpu or row.samples)
            for row in report.rows.values()
            if row.id.startswith(prefix)
        }
        if "whole" in spent:
            parts = [spent[stage] - (spent[base] if base else 0.0) for _, stage, base in _PROFILE]
            rest = spent["whole"] - sum(parts)
            columns.append([core, *map(_number, [*parts, rest, spent["whole"]])])
    if not columns:
        return _UNMEASURED
    titles = [title for title, _, _ in _PROFILE]
    titles += ["hand over to the consumer, whose own book follows; the event loop", "the whole client"]
    (*heads,), *lines = zip(*columns, strict=True)
    return _table(("µs of processor time per message", *heads), ([a, *b] for a, b in zip(titles, lines, strict=True)))


def _latency(report: Report) -> list[str]:
    if not report.latencies:
        return _UNMEASURED
    figures = [("send", part) for part in ("p50", "p99", "p99.9")]
    figures += [("read", "p50"), ("read", "p99"), ("late", "p99")]
    lines = []
    load = ""
    for load_id, kept in report.latencies.items():
        if kept["load"] != load:
            load = kept["load"]
            lines.append([f"**{load}**", *([""] * len(figures))])
        cells = []
        for kind, part in figures:
            row = report.rows.get(f"latency/{load_id}/{kind}/{part}")
            is_meant = row is not None and (part != "p99.9" or row.notes.get("messages", 0) >= _ENOUGH)
            cells.append(_number(row.median) if row is not None and is_meant else "-")
        lines.append([kept["title"], *cells])
    head = ("µs", "send to user, p50", "p99", "p99.9", "read to user, p50", "p99", "sender late, p99")
    return _table(head, lines)


_ENOUGH: Final = 1000
"""Messages without which there is no p99.9."""


_DETAILS: Final = ("kept_", "peak_", "collections_", "memory/blocks", "memory/traced")
"""What only the results' file has."""


def _list(report: Report, groups: tuple[str, ...], *, leave_out: tuple[str, ...] = ()) -> list[str]:
    rows = [
        row
        for row in report.rows.values()
        if row.id.partition("/")[0] in groups and not any(part in row.id for part in leave_out)
    ]
    if not rows:
        return _UNMEASURED
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
    busiest = max(report.others.values(), default=None)
    load = f"other processes took {busiest:.2f} processors at most" if busiest is not None else "load not watched"
    run = f"{rounds} rounds ({report.options['plan']} plan), {load}"
    if "predecessor" in report.options:
        run += f"; the predecessor is {report.options['predecessor']}"
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
