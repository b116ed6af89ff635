"""Imports point downwards, and there is no circle: not even one of types, or of imports in functions.

The contracts in ``pyproject.toml`` name the layers. They do not see circles inside of a layer; this does.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections import deque
from pathlib import Path
from typing import Any

import attrs
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@attrs.frozen
class Imports:
    """The import graph of a package, made from its source.

    A name that a package has imported from one of its modules is an import of that module. Only a name that the
    package has made itself, or the package as a whole, is an import of the package.
    """

    root: str
    trees: dict[str, ast.Module]
    """By the module's name; a package's is that of its ``__init__``."""
    packages: frozenset[str]

    @classmethod
    def of(cls, folder: Path) -> Imports:
        trees, packages = {}, set()
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
                packages.add(".".join(parts))
            trees[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"))
        return cls(folder.name, trees, frozenset(packages))

    def edges(self) -> dict[str, set[str]]:
        """What each module imports of the package, wherever in it the import stands."""
        return {
            module: {target for node in ast.walk(tree) for target in self._targets(node)} - {module}
            for module, tree in self.trees.items()
        }

    def _targets(self, node: ast.AST) -> set[str]:
        if isinstance(node, ast.Import):
            return {alias.name for alias in node.names} & self.trees.keys()
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            return {self._home(module, alias.name) for alias in node.names} if module in self.trees else set()
        return set()

    def _home(self, module: str, name: str) -> str:
        """Where ``from module import name`` has the name from."""
        if f"{module}.{name}" in self.trees:
            return f"{module}.{name}"
        if module in self.packages:
            for node in ast.walk(self.trees[module]):
                if isinstance(node, ast.ImportFrom) and node.module in self.trees and node.module != module:
                    for alias in node.names:
                        if name == (alias.asname or alias.name):
                            return self._home(node.module, alias.name)
        return module


def circles(edges: dict[str, set[str]]) -> list[str]:
    """The shortest circle through each module that is in one."""
    found: dict[frozenset[str], str] = {}
    for start in sorted(edges):
        paths: deque[tuple[str, ...]] = deque([(start,)])
        seen: set[str] = set()
        while paths:
            path = paths.popleft()
            targets = edges[path[-1]]
            if start in targets:
                found.setdefault(frozenset(path), " -> ".join([*path, start]))
                break
            paths.extend((*path, target) for target in sorted(targets - seen))
            seen |= targets
    return list(found.values())


def upwards(edges: dict[str, set[str]], container: str, layers: list[str]) -> list[str]:
    """Imports between the modules of a container that do not point to a lower layer, and modules without a layer."""
    places, mutual = {}, {}
    for height, layer in enumerate(reversed(layers)):
        for name in layer.replace("|", ":").split(":"):
            name = name.strip().strip("()")  # noqa: PLW2901 (in brackets: a module that may be there)
            places[name], mutual[name] = height, ":" in layer
    inside = {
        module: module.removeprefix(f"{container}.").split(".")[0]
        for module in edges
        if module.startswith(f"{container}.")
    }
    wrong = [f"{name} has no layer" for name in sorted(set(inside.values()) - places.keys())]
    for module, name in inside.items():
        for target in sorted(edges[module] & inside.keys()):
            to = inside[target]
            if name == to or name not in places or to not in places:
                continue
            if not (places[to] < places[name] or (places[to] == places[name] and mutual[name])):
                wrong.append(f"{module} -> {target}")
    return wrong


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    return Imports.of(REPOSITORY / "kraken_trio").edges()


def layers() -> list[dict[str, Any]]:
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [contract for contract in contracts["contracts"] if contract["type"] == "layers"]


def test_there_is_no_circle(edges: dict[str, set[str]]) -> None:
    assert circles(edges) == []


def test_imports_point_downwards(edges: dict[str, set[str]]) -> None:
    contracts = [(container, contract["layers"]) for contract in layers() for container in contract["containers"]]
    assert contracts
    assert [wrong for contract in contracts for wrong in upwards(edges, *contract)] == []


def test_no_module_imports_the_package_that_it_is_in(edges: dict[str, set[str]]) -> None:
    """The package imports its modules. The root is for programs, and for what a program could have written."""
    wrong = [
        f"{module} -> {target}"
        for module, targets in edges.items()
        for target in sorted(targets)
        if module.startswith(f"{target}.") and target != "kraken_trio"
    ]
    assert wrong == []


def made(folder: Path, **sources: str) -> dict[str, set[str]]:
    """The graph of a package with these modules; a dot is two underscores."""
    for name, source in {"": "", **sources}.items():
        path = folder / "p" / Path(*name.split("__"))
        path = path / "__init__.py" if name in {"", "sub"} else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
    return Imports.of(folder / "p").edges()


def test_every_import_counts(tmp_path: Path) -> None:
    source = """
        from typing import TYPE_CHECKING
        import p.b
        if TYPE_CHECKING:
            from p.c import C
        def f():
            from p import d
    """
    graph = made(tmp_path, a=source, b="", c="class C: pass", d="import os")
    assert graph == {"p": set(), "p.a": {"p.b", "p.c", "p.d"}, "p.b": set(), "p.c": set(), "p.d": set()}


def test_a_name_is_imported_from_where_it_was_made(tmp_path: Path) -> None:
    package = "from p.sub.x import A, B as C\nD = 1"
    graph = made(tmp_path, sub=package, sub__x="A = B = 1", a="from p.sub import A, C", b="from p.sub import D, x")
    assert graph["p.a"] == {"p.sub.x"}
    assert graph["p.b"] == {"p.sub", "p.sub.x"}


def test_circles_are_found(tmp_path: Path) -> None:
    graph = made(tmp_path, a="import p.b", b="import p.c", c="import p.a, p.d", d="import p.e", e="import p.d")
    assert circles(graph) == ["p.a -> p.b -> p.c -> p.a", "p.d -> p.e -> p.d"]


def test_layers_are_compared(tmp_path: Path) -> None:
    graph = made(tmp_path, a="import p.b, p.c", b="import p.c", c="import p.b, p.e", d="import p.c", e="import p.a")
    assert upwards(graph, "p", ["a", "b : c", "d | e"]) == ["p.d -> p.c", "p.e -> p.a"]
    assert upwards(graph, "p", ["a", "b | c", "e"])[:3] == ["d has no layer", "p.b -> p.c", "p.c -> p.b"]
