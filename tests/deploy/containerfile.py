"""A Containerfile's commands, run without a container engine: each stage is a folder with a Debian, as its root.

Only what ours uses is understood: anything else is an error. Needs root, and debootstrap.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Image", "build", "instructions"]

_BASE: Final = re.compile(r"debian:(?P<suite>[a-z]+)-slim")
_CHROOT: Final = shutil.which("chroot", path=f"{os.defpath}:/usr/sbin:/sbin") or "chroot"
_NOTED: Final = ("STOPSIGNAL", "EXPOSE")
"""Of no consequence for a command."""
_HOSTS_OWN: Final = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
"""What an engine, or whoever uses it, gives to a build, so that it reaches the network."""
_PASSED: Final = re.compile(
    r"(?i)(https?|no|all)_proxy|PIP_(INDEX_URL|EXTRA_INDEX_URL|CERT|DEFAULT_TIMEOUT|TRUSTED_HOST)"
)


@attrs.define
class Image:
    """A stage: a root, and what its commands are run with."""

    root: Path
    env: dict[str, str] = attrs.Factory(
        lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    user: str = "0"
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()

    def run(self, *command: str, extra: Mapping[str, str] | None = None) -> str:
        """Run it there; what it writes. Raises :class:`AssertionError` if it fails."""
        done = subprocess.run(
            [_CHROOT, f"--userspec={self.user}:{self.user}", self.root, *command],
            env={**self.env, **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout[-4000:]}"
        return done.stdout

    def start(self, *arguments: str) -> str:
        """What its entry point writes, with these arguments or its own ones."""
        return self.run(*self.entrypoint, *(arguments or self.command))


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions, and the rest of their lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def build(file: Path, context: Path, folder: Path) -> Image:
    """The last stage, in a folder below ``folder``."""
    stages: dict[str, Image] = {}
    image = Image(folder)
    for name, rest in instructions(file.read_text(encoding="utf-8")):
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            image = stages[alias] = Image(_debian(base, folder / f"stage{len(stages)}"))
        elif name == "RUN":
            _give_network(image.root)
            image.run(
                "sh", "-c", rest, extra={name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
            )
        elif name == "COPY":
            _copy(rest, context, stages, image)
        elif name == "ENV":
            image.env |= dict(one.split("=", 1) for one in shlex.split(rest))
        elif name == "USER":
            image.user = rest
        elif name == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif name == "CMD":
            image.command = json.loads(rest)
        else:
            assert name in _NOTED, f"{name} is not understood here"
    return image


def _debian(name: str, root: Path) -> Path:
    """A fresh one; a second one of the same suite is a copy."""
    match = _BASE.fullmatch(name)
    assert match is not None, f"{name} is not understood here"
    fresh = root.parent / match["suite"]
    if not fresh.exists():
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", match["suite"], fresh],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    subprocess.run(["cp", "-a", fresh, root], check=True)
    return root


def _give_network(root: Path) -> None:
    for path in map(Path, _HOSTS_OWN):
        if (Path("/") / path).is_file():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/") / path, root / path)


def _copy(rest: str, context: Path, stages: Mapping[str, Image], image: Image) -> None:
    *sources, target = rest.split()
    if sources[0].startswith("--from="):
        context = stages[sources.pop(0).removeprefix("--from=")].root
    for source in sources:
        found = context / source.lstrip("/")
        into = image.root / target.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, into, symlinks=True)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, into / found.name)
