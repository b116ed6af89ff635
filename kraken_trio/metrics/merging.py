"""Pages of several processes as one: each sample gets the label ``shard``. Pure code, for Prometheus's text format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["merged"]

_COMMENT: Final = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*)(?: .*)?")
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:(\{)(\}?))?( ?\S.*)")


def merged(pages: Mapping[str, str]) -> str:
    """The pages of these shards as one. A family that several have has its help and its type once.

    Lines that are none of this format are left out.
    """
    comments: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for shard, page in pages.items():
        label = 'shard="{}"'.format(shard.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        family = ""
        for line in page.split("\n"):
            comment = _COMMENT.fullmatch(line)
            if comment is not None:
                family = comment[2]
                comments.setdefault(family, {}).setdefault(comment[1], line)
                continue
            sample = None if line.startswith("#") else _SAMPLE.fullmatch(line)
            if sample is not None:
                name, has_labels, are_none, rest = sample.groups()
                comma = "," if has_labels and not are_none else ""
                end = "" if has_labels and not are_none else "}"
                samples.setdefault(family, []).append(f"{name}{{{label}{comma}{end}{rest}")
    families = dict.fromkeys((*comments, *samples))
    lines = [line for name in families for line in (*comments.get(name, {}).values(), *samples.get(name, ()))]
    return "".join(f"{line}\n" for line in lines)
