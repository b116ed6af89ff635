"""Samples become rows, rows are judged by the targets, and all of it is one JSON file that names no machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["TARGETS", "Report", "Row", "Target", "Verdict", "judge", "load", "machine", "quantile", "save"]

FORMAT: Final = 1


@attrs.define(kw_only=True)
class Row:
    """One figure: every sample of it, in the order in which they were taken."""

    id: str
    title: str
    unit: str
    samples: list[float] = attrs.Factory(list)
    cpu: list[float] = attrs.Factory(list)
    """The same in CPU time of the measured process, where the samples are of the clock on the wall."""
    notes: dict[str, Any] = attrs.Factory(dict)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        return min(self.samples)

    @property
    def high(self) -> float:
        return max(self.samples)


@attrs.define(kw_only=True)
class Report:
    """Everything that one run found."""

    machine: dict[str, Any]
    versions: dict[str, Any]
    options: dict[str, Any]
    inputs: list[dict[str, Any]] = attrs.Factory(list)
    rows: dict[str, Row] = attrs.Factory(dict)
    skipped: dict[str, str] = attrs.Factory(dict)
    """What was not measured, and why."""
    latencies: dict[str, dict[str, Any]] = attrs.Factory(dict)
    """By ``side/rate``: the counts of a histogram of microseconds, its edges, and how late the sender was."""
    memory: dict[str, list[dict[str, int]]] = attrs.Factory(dict)

    def row(self, id: str, title: str, unit: str) -> Row:  # noqa: A002 (it is the row's)
        return self.rows.setdefault(id, Row(id=id, title=title, unit=unit))

    def median(self, id: str) -> float | None:  # noqa: A002 (the id of a row, as in the JSON)
        row = self.rows.get(id)
        return row.median if row is not None and row.samples else None


@attrs.frozen(kw_only=True)
class Target:
    """One line of what this project set itself: a quotient of two figures, or one figure."""

    work: str
    against: str
    figure: str
    by: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "x"


# at_least: `by` / `figure`, how many times faster. at_most: `figure` / `by`, or the figure itself.
TARGETS: Final = (
    Target(work="decode + apply + verify, depth 10", against="cryptofeed's handler",
           figure="processing/book/10", by="processing/cryptofeed/10", at_least=6),
    Target(work="decode + apply + verify, depth 1000", against="cryptofeed's handler",
           figure="processing/book/1000", by="processing/cryptofeed/1000", at_least=6),
    Target(work="decode + apply + verify, depth 1000", against="our own depth 10",
           figure="processing/book/1000", by="processing/book/10", at_most=1.5),
    Target(work="socket to user code, depth 10, websockets", against="cryptofeed",
           figure="socket/websockets/plain/receive_many/10", by="socket/cryptofeed/plain/10", at_least=3),
    Target(work="socket to user code, depth 10, websockets", against="NautilusTrader, into a strategy",
           figure="socket/websockets/plain/receive_many/10", by="socket/nautilus-node/plain/10", at_least=4),
    Target(work="socket to user code, depth 10, trio-websocket", against="bare trio-websocket, doing nothing",
           figure="socket/trio-websocket/plain/receive_many/10", by="socket/bare trio-websocket/plain/10",
           at_least=0.75),
    Target(work="1000 symbols, per message", against="1 symbol", figure="symbols/1000", by="symbols/1", at_most=1.3),
    Target(work="memory, from message 10^5 to 5·10^6", against="no growth", figure="memory/growth",
           at_most=1.0, unit=" MiB"),
    Target(work="latency at 5 000 messages a second, p99", against="1 ms", figure="latency/websockets/5000/p99",
           at_most=1000.0, unit=" µs"),
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Verdict:
    """How one target was met."""

    target: Target
    value: float | None
    """None: not measured."""

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        if self.target.at_least is not None:
            return self.value >= self.target.at_least
        assert self.target.at_most is not None
        return self.value <= self.target.at_most

    @property
    def wanted(self) -> str:
        target = self.target
        return (
            f"≥ {target.at_least:g}{target.unit}"
            if target.at_least is not None
            else f"≤ {target.at_most:g}{target.unit}"
        )

    @property
    def measured(self) -> str:
        return (
            "not measured"
            if self.value is None
            else f"{self.value:.{0 if self.value >= 100 else 2}f}{self.target.unit}"
        )

    @property
    def word(self) -> str:
        return {True: "reached", False: "not reached", None: "not measured"}[self.reached]


def judge(report: Report) -> list[Verdict]:
    """Every target, by the medians."""
    verdicts = []
    for target in TARGETS:
        figure, by = report.median(target.figure), None if target.by is None else report.median(target.by)
        value = None
        if figure is not None and target.by is None:
            value = figure
        elif figure is not None and by is not None:
            value = by / figure if target.at_least is not None else figure / by
        verdicts.append(Verdict(target=target, value=value))
    return verdicts


def quantile(ordered: list[int], part: float) -> int:
    """Of values in order: the smallest one that so large a part of them does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def machine() -> dict[str, Any]:
    """What a figure depends on. No name of anything."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def save(report: Report, path: Path) -> None:
    """Write it, with medians and spread beside the samples."""
    rows = [
        {
            **attrs.asdict(row),
            "samples": _rounded(row.samples),
            "cpu": _rounded(row.cpu),
            "median": round(row.median, 4),
            "min": round(row.low, 4),
            "max": round(row.high, 4),
        }
        for row in report.rows.values()
        if row.samples
    ]
    verdicts = [
        {
            "work": v.target.work,
            "against": v.target.against,
            "wanted": v.wanted,
            "measured": v.measured,
            "result": v.word,
        }
        for v in judge(report)
    ]
    whole = {"format": FORMAT, **attrs.asdict(report), "rows": rows, "targets": verdicts}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Report:
    """Read what :func:`save` has written. Raises :class:`ValueError` for a file of another format."""
    whole: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if whole.get("format") != FORMAT:
        msg = f"{path.name} is of format {whole.get('format')!r}, not {FORMAT}"
        raise ValueError(msg)
    names = {field.name for field in attrs.fields(Row)}
    rows = {row["id"]: Row(**{name: row[name] for name in names}) for row in whole["rows"]}
    kept = {field.name: whole[field.name] for field in attrs.fields(Report) if field.name != "rows"}
    return Report(rows=rows, **kept)


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]
