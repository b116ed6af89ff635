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

FORMAT: Final = 2


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
    others: dict[str, float] = attrs.Factory(dict)
    """By suite: the load of all other processes meanwhile, in processors. Only of a run that is to be published."""
    skipped: dict[str, str] = attrs.Factory(dict)
    """What was not measured, and why."""
    latencies: dict[str, dict[str, Any]] = attrs.Factory(dict)
    """By ``side/load``: the counts of a histogram of microseconds from send to user, and its edges."""
    memory: dict[str, list[dict[str, int]]] = attrs.Factory(dict)

    def row(self, row_id: str, title: str, unit: str) -> Row:
        return self.rows.setdefault(row_id, Row(id=row_id, title=title, unit=unit))

    def median(self, row_id: str) -> float | None:
        """Of a row's samples; with ``@cpu`` after its id, of its processor time."""
        name, _, kind = row_id.partition("@")
        row = self.rows.get(name)
        samples = [] if row is None else row.cpu if kind == "cpu" else row.samples
        return statistics.median(samples) if samples else None


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
def _faster(work: str, against: str, figure: str, by: str, times: float) -> Target:
    return Target(work=work, against=against, figure=figure, by=by, at_least=times)


def _at_most(work: str, against: str, figure: str, by: str, times: float) -> Target:
    return Target(work=work, against=against, figure=figure, by=by, at_most=times)


_PURE: Final = "the pure core"
_OLD: Final = "the predecessor"
_PROCESSING: Final = "decode + apply + verify, 16 frames a call"

TARGETS: Final = (
    _faster(f"{_PROCESSING}, depth 10", _PURE, "processing/compiled/book/10", "processing/pure/book/10", 7),
    _faster(f"{_PROCESSING}, depth 1000", _PURE, "processing/compiled/book/1000", "processing/pure/book/1000", 8),
    _faster("the same, one frame a call", _PURE, "processing/compiled/book1/10", "processing/pure/book/10", 5),
    _faster("the session, 16 frames a call", _PURE, "processing/compiled/session/10", "processing/pure/session/10", 7),
    _faster("the consumer's book, depth 10", _PURE, "processing/compiled/follow/10", "processing/pure/follow/10", 3),
    _faster("the consumer's book, depth 1000", _PURE,
            "processing/compiled/follow/1000", "processing/pure/follow/1000", 5),
    _faster("socket to user, receive_many", _OLD,
            "socket/plain/10/compiled/receive_many", "socket/plain/10/predecessor/receive_many", 5),
    _faster("socket to user, async for", _OLD,
            "socket/plain/10/compiled/iterate", "socket/plain/10/predecessor/iterate", 4),
    _faster(_PROCESSING, "cryptofeed", "processing/compiled/book/10", "processing/cryptofeed/10", 15),
    _faster("socket to user, receive_many", "cryptofeed",
            "socket/plain/10/compiled/receive_many", "socket/plain/10/cryptofeed", 8),
    _faster("socket to user, async for", "cryptofeed",
            "socket/plain/10/compiled/iterate", "socket/plain/10/cryptofeed", 5),
    _faster("socket to user, receive_many, processor time", "NautilusTrader's client",
            "socket/plain/10/compiled/receive_many@cpu", "socket/plain/10/nautilus@cpu", 5),
    *(
        _at_most(f"{load}, {kind} to user, {part}", against, f"latency/compiled/{at}/{kind}/{part}",
                 f"latency/{by}/{at}/{kind}/{part}", times)
        for kind, by, against, times in (("send", "cryptofeed", "cryptofeed", 0.8),
                                         ("read", "floor", "a bare Trio reader", 1.5))
        for at, load in (("1000", "1 message a ms"), ("ETH", "recording ETH/USD"), ("XRP", "recording XRP/USD"))
        for part in ("p50", "p99")
    ),
    _at_most(f"{_PROCESSING}, depth 1000", "depth 10", "processing/compiled/book/1000", "processing/compiled/book/10",
             1.5),
    _at_most("1000 symbols, per message", "1 symbol", "symbols/compiled/1000", "symbols/compiled/1", 1.3),
    Target(work="memory, from message 10^5 to 5·10^6", against="no growth", figure="memory/growth",
           at_most=1.0, unit=" MiB"),
    _at_most("pure core, socket to user, receive_many", _OLD,
             "socket/plain/10/pure/receive_many", "socket/plain/10/predecessor/receive_many", 1.0),
    _faster("pure core, socket to user, async for", _OLD,
            "socket/plain/10/pure/iterate", "socket/plain/10/predecessor/iterate", 1.6),
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
