"""The peers, each from its own package in an environment of its own, and which versions of what were measured.

Their licences differ (AGPL-3.0, LGPL-3.0, Apache-2.0, MIT): they are run where they are installed, and nothing of them
is part of this project.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

import attrs

__all__ = ["PEERS", "ROOT", "Environment", "Peer", "Unavailable", "ours", "prepare", "revision"]

ROOT: Final = Path(__file__).resolve().parent.parent
_FOLDER: Final = ROOT / ".nox" / "benchmarks-peers"
_MINUTES: Final = 15


class Unavailable(Exception):  # noqa: N818 (named by what happened)
    """This peer cannot be run here."""


@attrs.frozen(kw_only=True)
class Peer:
    """Somebody else's client."""

    name: str
    title: str
    requirements: tuple[str, ...]
    oldest: tuple[int, int] = (3, 11)
    verifies: bool = True
    """Does it check Kraken's checksum of a book?"""


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(name="cryptofeed", title="cryptofeed", requirements=("cryptofeed==3.0.1",), oldest=(3, 13)),
        Peer(name="kraken-sdk", title="python-kraken-sdk", requirements=("python-kraken-sdk==3.5.1",)),
        # It takes orjson when that is there.
        Peer(name="ccxt", title="ccxt.pro", requirements=("ccxt==4.5.90", "orjson", "uvloop"), verifies=False),
        Peer(
            name="nautilus",
            title="NautilusTrader",
            requirements=("nautilus_trader==1.231.0",),
            oldest=(3, 12),
            verifies=False,
        ),
    )
}


@attrs.frozen(kw_only=True)
class Environment:
    """A Python, and what is installed in it."""

    python: str
    version: str
    packages: dict[str, str]


_INTERESTING: Final = {
    "attrs", "aiohttp", "ccxt", "cryptofeed", "kraken-trio", "msgspec", "nautilus-trader", "order-book", "orjson",
    "python-kraken-sdk", "trio", "trio-websocket", "uvloop", "websockets", "wsproto",
}  # fmt: skip
_LIST: Final = """
import importlib.metadata, json, platform
found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
print(json.dumps({"version": platform.python_version(), "packages": found}))
"""


def _look(python: str) -> Environment:
    found = json.loads(subprocess.run([python, "-c", _LIST], check=True, capture_output=True, text=True).stdout)
    packages = {name: version for name, version in sorted(found["packages"].items()) if name in _INTERESTING}
    return Environment(python=python, version=found["version"], packages=packages)


def revision(checkout: Path) -> str:
    """The short name of the commit that is checked out."""
    ask = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    ran = subprocess.run(ask, check=False, capture_output=True, text=True)
    return ran.stdout.strip() or "unknown"


def ours() -> Environment:
    """The one that this runs in."""
    return _look(sys.executable)


def prepare(peer: Peer) -> Environment:
    """Make the environment of ``peer``, or find it made. Raises :class:`Unavailable`, with the reason."""
    base = _python(peer.oldest)
    folder = _FOLDER / peer.name
    python, stamp = folder / "bin" / "python", folder / "made-of.txt"
    made_of = "\n".join([_look(base).version, *peer.requirements])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_of:
        shutil.rmtree(folder, ignore_errors=True)
        if base == sys.executable:
            venv.create(folder, with_pip=True)
        else:
            subprocess.run([base, "-m", "venv", str(folder)], check=True, capture_output=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *peer.requirements]
        try:
            subprocess.run(install, check=True, capture_output=True, text=True, timeout=60 * _MINUTES)
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            msg = f"{' '.join(peer.requirements)} cannot be installed: {said[-1] if said else 'pip failed'}"
            raise Unavailable(msg) from error
        stamp.write_text(made_of, encoding="utf-8")
    return _look(str(python))


def _python(oldest: tuple[int, int]) -> str:
    """This Python if it is new enough, so that all sides have the same one; else any that is."""
    if sys.version_info >= oldest:
        return sys.executable
    for minor in range(oldest[1], oldest[1] + 3):
        name = f"python{oldest[0]}.{minor}"
        for candidate in (shutil.which(name), *_of_pyenv(f"{oldest[0]}.{minor}")):
            if candidate and subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
                return candidate
    msg = f"it needs Python {oldest[0]}.{oldest[1]}, which is not here"
    raise Unavailable(msg)


def _of_pyenv(version: str) -> list[str]:
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return []
    root = subprocess.run([pyenv, "root"], check=False, capture_output=True, text=True).stdout.strip()
    folders = Path(root, "versions").glob(f"{version}.*") if root else ()
    return [str(folder / "bin" / f"python{version}") for folder in sorted(folders) if os.access(folder, os.X_OK)]
