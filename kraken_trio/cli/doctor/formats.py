"""Findings as lines for people, as JSON, as a Nagios plugin's line, and as text for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kraken_trio.cli.doctor.checks import seconds
from kraken_trio.cli.doctor.findings import Level, verdict
from kraken_trio.cli.formatting import counted, listed, shortened_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.cli.doctor.findings import Finding

__all__ = ["FORMATS", "Lines", "nagios", "plain", "prometheus", "summary"]

FORMATS: Final = ("text", "json", "nagios", "prometheus")
_WORDS: Final = {Level.OK: "ok", Level.WARNING: "WARNING", Level.FAILED: "FAILED", Level.SKIPPED: "skipped"}
_WIDTH: Final = 20


class Lines:
    """Findings as lines for people, as they come: one for each, and one for its cure.

    Neighbours that were skipped for the same reason share a line.
    """

    def __init__(self) -> None:
        self._skipped: list[Finding] = []

    def take(self, finding: Finding) -> list[str]:
        """The lines that can be printed now."""
        if finding.level is Level.SKIPPED and all(other.says == finding.says for other in self._skipped):
            self._skipped.append(finding)
            return []
        lines = self.end()
        if finding.level is Level.SKIPPED:
            self._skipped.append(finding)
            return lines
        threshold = ""
        if finding.limit is not None:
            limit, where = finding.limit, "below" if finding.limit.lower_is_worse else "above"
            warns, fails = _figure(limit.warns, finding.unit), _figure(limit.fails, finding.unit)
            threshold = f" [warns {where} {warns}, fails {where} {fails}]"
        lines.append(f"{_WORDS[finding.level]:8}{finding.name:{_WIDTH}} {finding.says}{threshold}")
        if finding.cure:
            lines.append(f"{'':8}  cure: {finding.cure}")
        return lines

    def end(self) -> list[str]:
        """What is left to be printed."""
        skipped, self._skipped = self._skipped, []
        if not skipped:
            return []
        names = ", ".join(finding.name for finding in skipped)
        colon = ":" if len(skipped) > 1 else ""
        return [f"{_WORDS[Level.SKIPPED]:8}{names + colon:{_WIDTH}} {skipped[0].says}"]


def _figure(value: float, unit: str) -> str:
    if unit == "s":
        return seconds(value)
    return shortened_bytes(int(value)) if unit == "B" else f"{value:g}"


def summary(findings: Sequence[Finding]) -> str:
    """The verdict, in a line."""
    level = verdict(findings)
    made = [finding for finding in findings if finding.level is not Level.SKIPPED]
    if level is Level.OK:
        return f"all {counted(len(made), 'check')} passed"
    names = [finding.name for finding in made if finding.level is level]
    return f"{listed(names)} {'failed' if level is Level.FAILED else 'could be better'} ({counted(len(made), 'check')})"


def plain(findings: Sequence[Finding], *, url: str, version: str, took: float) -> dict[str, Any]:
    """Everything as plain values, for JSON. Keys are added in later versions, and never removed."""
    level = verdict(findings)
    return {
        "verdict": level.value,
        "status": level.status,
        "summary": summary(findings),
        "url": url,
        "version": version,
        "seconds": round(took, 3),
        "checks": [
            {
                "check": finding.check,
                "subject": finding.subject,
                "level": finding.level.value,
                "says": finding.says,
                "value": finding.value,
                "unit": finding.unit,
                "warns": None if finding.limit is None else finding.limit.warns,
                "fails": None if finding.limit is None else finding.limit.fails,
                "lower_is_worse": finding.limit is not None and finding.limit.lower_is_worse,
                "cure": finding.cure,
            }
            for finding in findings
        ],
    }


def nagios(findings: Sequence[Finding]) -> str:
    """One line: the state, what is wrong, and performance data, as Nagios' plugin guidelines want them."""
    level = verdict(findings)
    state = {Level.OK: "OK", Level.WARNING: "WARNING", Level.FAILED: "CRITICAL"}[level]
    bad = [f"{finding.name}: {finding.says}" for finding in findings if finding.level is level is not Level.OK]
    text = "; ".join([summary(findings), *bad]).replace("|", "/")
    figures = [_perfdata(finding) for finding in findings if finding.value is not None]
    return f"KRAKEN {state} - {text} | {' '.join(figures)}" if figures else f"KRAKEN {state} - {text}"


def _perfdata(finding: Finding) -> str:
    label = finding.name.replace("'", "").replace("=", "")
    warns = fails = ""
    if finding.limit is not None:
        colon = ":" if finding.limit.lower_is_worse else ""
        warns, fails = f"{finding.limit.warns:.15g}{colon}", f"{finding.limit.fails:.15g}{colon}"
    return f"'{label}'={finding.value:.6f}{finding.unit};{warns};{fails}"


def prometheus(findings: Sequence[Finding], *, now: float, took: float) -> str:
    """Gauges in Prometheus' text format, for the node exporter's textfile collector. ``now`` is Unix time."""
    level = "kraken_trio_doctor_check_status"
    value = "kraken_trio_doctor_check_value"
    lines = [
        f"# HELP {level} 0 ok, 1 warning, 2 failed, 3 skipped.",
        f"# TYPE {level} gauge",
        *(f"{level}{_labels(finding)} {finding.level.status}" for finding in findings),
        f"# HELP {value} The figure of the check, in its unit.",
        f"# TYPE {value} gauge",
        *(
            f"{value}{_labels(finding, unit=finding.unit)} {finding.value!r}"
            for finding in findings
            if finding.value is not None
        ),
    ]
    for name, words, number in (
        ("status", "The worst of the checks: 0 ok, 1 warning, 2 failed.", verdict(findings).status),
        ("duration_seconds", "How long the checks took.", took),
        ("timestamp_seconds", "When they ended, in Unix time.", now),
    ):
        lines += [
            f"# HELP kraken_trio_doctor_{name} {words}",
            f"# TYPE kraken_trio_doctor_{name} gauge",
            f"kraken_trio_doctor_{name} {number!r}",
        ]
    return "\n".join([*lines, ""])


def _labels(finding: Finding, **more: str) -> str:
    labels = {"check": finding.check, "subject": finding.subject, **more}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
