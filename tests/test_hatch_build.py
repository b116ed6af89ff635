"""When the core is compiled, how, and what that needs. The builds themselves are the business of ``nox -s wheels``."""

from __future__ import annotations

import sysconfig
from typing import TYPE_CHECKING

import pytest

from hatch_build import (
    CYTHON,
    SETUPTOOLS,
    Build,
    Debug,
    NoCoreError,
    build_of,
    debug_of,
    flags_of,
    is_translated,
    obstacle,
    requirements,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMPILER = {"CC": "sh"}
"""A program that is there; none of these tests runs it."""


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A Python on which the core can be compiled, whichever this one is."""
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr("sys.implementation.name", "cpython")
    monkeypatch.setitem(sysconfig.get_config_vars(), "Py_GIL_DISABLED", 0)
    monkeypatch.setattr("sysconfig.get_path", {"include": str(tmp_path)}.get)
    return monkeypatch


@pytest.mark.parametrize(
    ("environment", "build", "debug"),
    [
        ({}, Build.IF_POSSIBLE, Debug.OFF),
        ({"KRAKEN_TRIO_BUILD": "", "KRAKEN_TRIO_BUILD_DEBUG": ""}, Build.IF_POSSIBLE, Debug.OFF),
        ({"KRAKEN_TRIO_BUILD": "require", "KRAKEN_TRIO_BUILD_DEBUG": "1"}, Build.REQUIRE, Debug.ASSERTIONS),
        ({"KRAKEN_TRIO_BUILD": "skip", "KRAKEN_TRIO_BUILD_DEBUG": "sanitize"}, Build.SKIP, Debug.SANITIZERS),
    ],
)
def test_the_environment_chooses(environment: Mapping[str, str], build: Build, debug: Debug) -> None:
    assert build_of(environment) is build
    assert debug_of(environment) is debug


def test_any_other_value_ends_the_build() -> None:
    with pytest.raises(SystemExit, match="KRAKEN_TRIO_BUILD is 'yes': set it to 'require' or 'skip'"):
        build_of({"KRAKEN_TRIO_BUILD": "yes"})
    with pytest.raises(SystemExit, match="KRAKEN_TRIO_BUILD_DEBUG is '2': set it to '1' or 'sanitize'"):
        debug_of({"KRAKEN_TRIO_BUILD_DEBUG": "2"})


def test_nothing_is_in_the_way(usual: pytest.MonkeyPatch) -> None:
    assert obstacle(COMPILER) is None


def test_a_compiler_that_is_not_there(usual: pytest.MonkeyPatch) -> None:
    assert "no C compiler '/nonexistent'" in str(obstacle({"CC": "/nonexistent -m64"}, "linux"))


def test_on_windows_only_the_build_finds_out_about_the_compiler(usual: pytest.MonkeyPatch) -> None:
    assert obstacle({"CC": "/nonexistent"}, "win32") is None


def test_headers_that_are_not_there(usual: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Python.h").unlink()
    assert f"no Python.h in {tmp_path}" in str(obstacle(COMPILER))


def test_a_free_threaded_python(usual: pytest.MonkeyPatch) -> None:
    usual.setitem(sysconfig.get_config_vars(), "Py_GIL_DISABLED", 1)
    assert "free-threaded" in str(obstacle(COMPILER))


def test_another_implementation(usual: pytest.MonkeyPatch) -> None:
    usual.setattr("sys.implementation.name", "pypy")
    assert "CPython only" in str(obstacle(COMPILER))


@pytest.mark.parametrize(
    ("target", "translated", "needed"),
    [
        ("sdist", False, [CYTHON, SETUPTOOLS]),
        ("sdist", True, []),
        ("wheel", False, [CYTHON, SETUPTOOLS]),
        ("wheel", True, [SETUPTOOLS]),
    ],
)
def test_only_what_is_used_is_required(
    usual: pytest.MonkeyPatch, target: str, translated: bool, needed: list[str]
) -> None:
    assert requirements(COMPILER, target, translated=translated) == needed
    assert requirements(COMPILER | {"KRAKEN_TRIO_BUILD": "skip"}, target, translated=translated) == []


def test_without_a_compiler_a_wheel_requires_nothing_and_an_sdist_what_it_always_does(
    usual: pytest.MonkeyPatch,
) -> None:
    usual.setitem(sysconfig.get_config_vars(), "Py_GIL_DISABLED", 1)
    assert requirements({}, "wheel", translated=False) == []
    assert requirements({}, "sdist", translated=False) == [CYTHON, SETUPTOOLS]


def test_c_code_counts_only_if_it_was_made_from_these_sources(tmp_path: Path) -> None:
    folder = tmp_path / "kraken_trio" / "book"
    folder.mkdir(parents=True)
    source, code = folder / "_core.pyx", folder / "_core.c"
    source.write_text("1")
    (folder / "_core.pyi").write_text("a stub: it is not compiled")
    assert sources(tmp_path) == [source.relative_to(tmp_path)]
    assert not is_translated(tmp_path)
    code.write_text("int x;\n")
    assert not is_translated(tmp_path)
    code.write_text("int x;\n/* made from 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b */\n")
    assert is_translated(tmp_path)
    source.write_text("2")
    assert not is_translated(tmp_path)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_a_wheel_runs_on_other_processors_and_asserts_nothing(platform: str) -> None:
    flags = flags_of(Debug.OFF, platform)
    assert not any("march" in flag or "mtune" in flag for flag in flags.compile)
    assert any(flag.endswith("DCYTHON_WITHOUT_ASSERTIONS") for flag in flags.compile)


def test_debug_builds_assert() -> None:
    for debug in (Debug.ASSERTIONS, Debug.SANITIZERS):
        flags = flags_of(debug, "linux")
        assert "-UNDEBUG" in flags.compile
        assert "-DCYTHON_WITHOUT_ASSERTIONS" not in flags.compile
        assert ("-fsanitize=address,undefined" in flags.link) is (debug is Debug.SANITIZERS)
    with pytest.raises(NoCoreError, match="GCC"):
        flags_of(Debug.ASSERTIONS, "win32")
