"""Every ``kraken-trio relay`` and ``stream`` that the docs show is a command line that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kraken_trio.cli.app import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
OURS = ("relay", "stream")
SETTINGS = dict(
    line.split("=", 1) for line in (DEPLOY / "relay.env").read_text(encoding="utf-8").splitlines() if line[:1].isalpha()
)


def of_pages() -> Iterator[list[str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))):
        if "node_modules" in page.parts:
            continue
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                yield shlex.split(line.rstrip("&"), comments=True)


def of_units() -> Iterator[list[str]]:
    for unit in sorted((DEPLOY / "systemd").glob("*.service")):
        text = unit.read_text(encoding="utf-8").replace("\\\n", " ").replace("%i", "0")
        for line in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
            filled = re.sub(r"\$\{(\w+)\}", lambda match: SETTINGS[match[1]], line)
            yield ["kraken-trio", *shlex.split(filled)[1:]]


def of_manifests() -> Iterator[list[str]]:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    for service in compose["services"].values():
        if "build" in service:
            yield ["kraken-trio", *service["command"]]
    for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")):
        if document["kind"] == "StatefulSet":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            yield ["kraken-trio", *(argument.replace("$(SHARD)", "0") for argument in container["args"])]


LINES = [
    words
    for words in (*of_pages(), *of_units(), *of_manifests())
    if words[:1] == ["kraken-trio"] and words[1:2] and words[1] in OURS
]


def test_there_are_some_of_each_kind() -> None:
    assert {words[1] for words in LINES} == set(OURS)
    assert len(list(of_units())) == 2
    assert len(list(of_manifests())) == 4


@pytest.mark.parametrize("words", LINES, ids=range(len(LINES)))
def test_the_program_takes_it(words: list[str]) -> None:
    _, name, *arguments = words
    if not {"-h", "--help"} & set(arguments):
        cli.commands[name].make_context(name, arguments)
