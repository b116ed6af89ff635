"""What checks say: findings, and the verdict over all of them."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "Level", "Limit", "verdict"]


class Level(enum.Enum):
    """How bad something is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but something should be done."""
    FAILED = "failed"
    """It does not work."""
    SKIPPED = "skipped"
    """It was not checked, because something before it failed, or because nobody asked for it."""

    @property
    def status(self) -> int:
        """0, 1 or 2, as an exit status; 3 for what was skipped. These are the numbers of Nagios."""
        return _STATUS[self]


_STATUS = {Level.OK: 0, Level.WARNING: 1, Level.FAILED: 2, Level.SKIPPED: 3}


@attrs.frozen
class Limit:
    """From where on a figure is bad: above both numbers, or below both if ``lower_is_worse``."""

    warns: float
    fails: float
    lower_is_worse: bool = False

    def judge(self, value: float) -> Level:
        """How bad this value is. The limits themselves are still good."""
        sign = -1 if self.lower_is_worse else 1
        if not sign * value <= sign * self.fails:  # not a number is bad, too
            return Level.FAILED
        return Level.OK if sign * value <= sign * self.warns else Level.WARNING


@attrs.frozen(kw_only=True)
class Finding:
    """What one check found."""

    check: str
    """The name of the check: letters and hyphens."""
    subject: str = ""
    """What it was about, if there is more than one: a symbol."""
    level: Level
    says: str
    """One printable line."""
    value: float | None = None
    """Its figure."""
    unit: str = ""
    """``s`` or ``B`` (bytes); nothing for a count."""
    limit: Limit | None = None
    """How the figure was judged."""
    cure: str = ""
    """What to do about it: given with every warning and failure."""

    @property
    def name(self) -> str:
        """The check and its subject."""
        return f"{self.check} {self.subject}".rstrip()


def verdict(findings: Iterable[Finding]) -> Level:
    """The worst of them. What was skipped does not count; what made it impossible has failed."""
    levels = [finding.level for finding in findings if finding.level is not Level.SKIPPED]
    return max(levels, key=lambda level: level.status, default=Level.OK)
