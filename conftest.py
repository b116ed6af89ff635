"""How hard Hypothesis tries; and the examples of README.md and docs/, which are tests.

Every ``python`` block runs, as a reader would run it. The blocks of a page share one namespace, top to bottom.
``await``, ``async with`` and ``async for`` may stand at the top level of a block: then it runs in Trio, and must end
within a minute. A block with

    <!-- needs: kraken -->

on the line above its fence needs the real exchange (or never ends): it is only compiled, and every public name that
it uses must exist. A block that is no program at all is left out with Sybil's ``<!-- skip: next -->``.
"""

from __future__ import annotations

import ast
import inspect
import logging
import os
import types
from typing import TYPE_CHECKING, cast

import trio
from hypothesis import Phase, settings
from sybil import Sybil
from sybil.parsers.myst import CodeBlockParser, SkipParser

if TYPE_CHECKING:
    from sybil import Example

# Wall-clock deadlines fail on a busy machine and say nothing about the code.
settings.register_profile("dev", max_examples=50, deadline=None)
# In CI the same commit gives the same result: the examples follow from the test's own code.
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
# For `nox -s coverage`, and for the second and third Python of `.ci/run`: which branches are reached, and where Pythons
# differ, is seen with fewer; each test has its full number elsewhere.
settings.register_profile("covered", settings.get_profile("ci"), max_examples=30)
# For `nox -s mutants`: that a test fails is all it wants to know.
settings.register_profile("unshrunk", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate])
# Before a release, or overnight: `pytest --hypothesis-profile=thorough`.
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
# An explicit --hypothesis-profile is applied after this, and wins.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

NEEDS_KRAKEN = "<!-- needs: kraken -->"
LOGGERS = (logging.getLogger(), logging.getLogger("kraken_trio"))
BLOCK_SECONDS = 60.0
"""The longest that an asynchronous block may take."""


def evaluate(example: Example) -> None:
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed  # a traceback names the page's line
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, example.path, "exec", flags=flags, dont_inherit=True)
    if example.document.text[: example.region.start].rstrip().endswith(NEEDS_KRAKEN):
        check_names(ast.parse(source))
    elif code.co_flags & inspect.CO_COROUTINE:
        trio.run(run_block, types.FunctionType(code, example.namespace))
    else:
        exec(code, example.namespace)  # noqa: S102 (running the page's code is the purpose)


async def run_block(block: types.FunctionType) -> None:
    with trio.fail_after(BLOCK_SECONDS):
        await block()


def check_names(tree: ast.Module) -> None:
    """Run the block's imports, and look up what it takes from the modules it has imported."""
    imports: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    namespace: dict[str, object] = {}
    exec(compile(ast.Module(imports, type_ignores=[]), "<imports>", "exec"), namespace)  # noqa: S102 (see above)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = namespace.get(node.value.id)
            if isinstance(module, types.ModuleType):
                getattr(module, node.attr)


def keep_logging(namespace: dict[str, object]) -> None:
    namespace["_logging"] = [(logger, logger.level, logger.handlers[:]) for logger in LOGGERS]


def restore_logging(namespace: dict[str, object]) -> None:
    """What a page configures is its own: no test after it writes there."""
    kept = cast("list[tuple[logging.Logger, int, list[logging.Handler]]]", namespace["_logging"])
    for logger, level, handlers in kept:
        logger.setLevel(level)
        logger.handlers[:] = handlers


pytest_collect_file = Sybil(
    parsers=[CodeBlockParser(language="python", evaluator=evaluate), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    excludes=["docs/_build/**", "docs/examples/javascript/node_modules/**"],
    setup=keep_logging,
    teardown=restore_logging,
).pytest()
