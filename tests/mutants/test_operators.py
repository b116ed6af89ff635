"""Each operator changes what it says, and nothing else."""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.mutants.markers import Place, find_places
from tests.mutants.operators import (
    Always,
    Becomes,
    Boundary,
    DoesNotApply,
    Drop,
    DropNow,
    Negate,
    Never,
    Operator,
    Plus,
    Put,
    Reverse,
    SkipFirst,
    Swap,
    Without,
)

if TYPE_CHECKING:
    from pathlib import Path

ROUND_IT = "# before\nwhile True:\n    {}\n    # ein Ö dahinter\n"


def place(folder: Path, source: str) -> Place:
    (folder / "a.py").write_text(source, encoding="utf-8")
    [found] = find_places(folder)
    return found


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        (Drop(), "f(x)  # mutant: m", "pass  # mutant: m"),
        (Drop(), "if x:  # mutant: m\n        f()", "pass"),
        (Drop(), "# mutant: m\n    f(x)", "# mutant: m\n    pass"),
        (Drop(), "x = [\n        'Ä',  # mutant: m\n        2,\n    ]", "x = [2]"),
        (Drop(), "f(\n        1,\n        b=2,  # mutant: m\n    )", "f(1)"),
        (
            Drop(),
            "f(\n        1,\n        b=2,  # why\n        c=3,\n        d=4,  # mutant: m\n    )",
            "f(1, b=2, c=3)",
        ),
        (Drop(), "x = {\n        1: 2,\n        3: 4,  # mutant: m\n    }", "x = {1: 2}"),
        (
            Drop(),
            "x = (\n        a\n        and b(1)  # mutant: m\n        and c\n    )",
            "x = (\n        a and c\n    )",
        ),
        (Always(), "if x < 1 and y:  # mutant: m\n        f()", "if True:  # mutant: m\n        f()"),
        (Never(), "x = 'ß' if (a) else b  # mutant: m", "x = 'ß' if (False) else b  # mutant: m"),
        (Never(), "assert a  # mutant: m", "assert False  # mutant: m"),
        (Never(), "return a == b  # mutant: m", "return False  # mutant: m"),
        (Never(), "while not x:  # mutant: m\n        f()", "while False:  # mutant: m\n        f()"),
        (Never(), "x = [y for y in z if y]  # mutant: m", "x = [y for y in z if False]  # mutant: m"),
        (
            Never(),
            "if a:\n        f()\n    elif b:  # mutant: m\n        f()",
            "if a:\n        f()\n    elif False:  # mutant: m\n        f()",
        ),
        (
            Never(),
            "match x:\n        case y if z:  # mutant: m\n            f()",
            "match x:\n        case y if False:  # mutant: m\n            f()",
        ),
        (
            Never(),
            "if (\n        a\n        and b\n    ):  # mutant: m\n        f()",
            "if (\n        False\n    ):  # mutant: m\n        f()",
        ),
        (Negate(), "if a or b:  # mutant: m\n        f()", "if (not (a or b)):  # mutant: m\n        f()"),
        (Boundary(), "if a == b < c:  # mutant: m\n        f()", "if (a == b <= c):  # mutant: m\n        f()"),
        (Boundary(), "x = a >= b  # mutant: m", "x = (a > b)  # mutant: m"),
        (Plus(5), "x = f(10)  # mutant: m", "x = f((15))  # mutant: m"),
        (Plus(1), "x: Final[int] = 0x10  # mutant: m", "x: Final[int] = (17)  # mutant: m"),
        (Without(0), "if a and b:  # mutant: m\n        f()", "if b:  # mutant: m\n        f()"),
        (Without(1), "if a and b(c or d) and e:  # mutant: m\n        f()", "if a and e:  # mutant: m\n        f()"),
        (Without(-1), "x: tuple[A, B] = (A, B)  # mutant: m", "x: tuple[A, B] = (A,)  # mutant: m"),
        (Without(0), "a, b = c, d  # mutant: m", "a, b = (d,)  # mutant: m"),
        (
            Put(1, "x"),
            "rows = {\n        a: (b, c, d),  # mutant: m\n    }",
            "rows = {\n        a: (b, x, d),  # mutant: m\n    }",
        ),
        (Swap(), "x = f(a, b, c)  # mutant: m", "x = f(b, a, c)  # mutant: m"),
        (Swap(), "a, b = c, d  # mutant: m", "a, b = (d, c)  # mutant: m"),
        (
            Reverse(),
            "for a, b in c.items():  # mutant: m\n        f()",
            "for a, b in reversed([*c.items()]):  # mutant: m\n        f()",
        ),
        (SkipFirst(), "x = [a for a in b]  # mutant: m", "x = [a for a in [*b][1:]]  # mutant: m"),
        (Becomes("return $argument"), "raise f(value, 1)  # mutant: m", "return value  # mutant: m"),
        (Becomes("$target = $receiver.strip()"), "x = (y).lstrip('0')  # mutant: m", "x = y.strip()  # mutant: m"),
        (Becomes("$function(1)\n$value"), "f(\n        2,\n    )  # mutant: m", "f(1)\n    f(2)  # mutant: m"),
        (Becomes("not $value"), "f(\n        a=x,  # mutant: m\n    )", "f(\n        a=not x,  # mutant: m\n    )"),
        (Becomes("{}"), "x = {\n        1: y,  # mutant: m\n    }", "x = {\n        1: {},  # mutant: m\n    }"),
    ],
)
def test_what_an_operator_does(operator: Operator, before: str, after: str, tmp_path: Path) -> None:
    assert place(tmp_path, ROUND_IT.format(before)).mutated(operator) == ROUND_IT.format(after)


def test_now_and_then_a_statement_is_left_out(tmp_path: Path) -> None:
    source = "done = []\nfor number in range(1, 9):\n    done.append(number)  # mutant: m\n"
    names: dict[str, list[int]] = {}
    exec(place(tmp_path, source).mutated(DropNow(3)), names)
    assert names["done"] == [1, 2, 4, 5, 7, 8]


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        (Boundary(), "x = a == b"),
        (Boundary(), "for a in range(b): a < b"),  # not in the body
        (Plus(1), "x = True"),
        (Without(2), "x = a and b"),
        (Without(0), "[x] = y"),
        (Put(2, "z"), "x = a, b"),
        (Swap(), "f(x)"),
        (Reverse(), "while x: y"),
        (Always(), "del x"),
        (DropNow(2), "if x: y"),
        (Becomes("f()"), "if x: y"),
        (Becomes("$receiver"), "f(x)"),
        (Becomes("$argument"), "f()"),
    ],
)
def test_what_an_operator_does_not_find(operator: Operator, line: str, tmp_path: Path) -> None:
    with pytest.raises(DoesNotApply):
        place(tmp_path, f"{line}  # mutant: m\n").mutated(operator)


def test_what_is_no_element_cannot_be_dropped(tmp_path: Path) -> None:
    with pytest.raises(DoesNotApply):
        place(tmp_path, "x = (\n    a  # mutant: m\n)\n").mutated(Drop())


def test_markers(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    source = """\
        '''# mutant: a text'''
        x = 1  # the reason  # mutant: one, two and a half

        # mutant: above
        # and a comment between
        if x:
            pass
        """
    (tmp_path / "sub" / "a.py").write_text(textwrap.dedent(source), encoding="utf-8")
    found = {one.marker: ast.unparse(one.node) for one in find_places(tmp_path)}
    assert found == {"one": "x = 1", "two and a half": "x = 1", "above": "if x:\n    pass"}


@pytest.mark.parametrize(
    "source", ["x = 1\n# mutant: nothing\n", "x = 1  # mutant: hyphen-ated\n", "x = 1 # mutant:\n"]
)
def test_a_marker_that_is_wrong(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="marker"):
        place(tmp_path, source)
