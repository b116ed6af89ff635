"""Compiles the core, which is every ``.pyx`` of the package, where that can be done. Without it the package is slower.

Hatchling loads this file for every sdist, wheel and editable install. The environment says what it shall do:

* ``KRAKEN_TRIO_BUILD``: ``require`` makes it an error if there is no compiled core, ``skip`` does not try.
* ``KRAKEN_TRIO_BUILD_DEBUG``: ``1`` checks assertions, ``sanitize`` also has ASan and UBSan look on.

An sdist carries the C code, so that building from it needs no Cython. A wheel carries the extension modules alone. An
editable install has them beside the source.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from contextlib import chdir
from enum import Enum
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Mapping

E = TypeVar("E", bound=Enum)

PACKAGE = "kraken_trio"

CYTHON = "cython~=3.3"
SETUPTOOLS = "setuptools>=68"
"""It finds the compiler, and knows how to call it."""


class Build(Enum):
    """What ``KRAKEN_TRIO_BUILD`` may be."""

    IF_POSSIBLE = ""
    REQUIRE = "require"
    SKIP = "skip"


class Debug(Enum):
    """What ``KRAKEN_TRIO_BUILD_DEBUG`` may be."""

    OFF = ""
    ASSERTIONS = "1"
    SANITIZERS = "sanitize"


class Flags(NamedTuple):
    """What compiler and linker are told, after the flags that Python itself was built with."""

    compile: list[str]
    link: list[str]


class NoCoreError(Exception):
    """Why there will be no compiled core, and where possible what to do about it."""


# What is asked for


def build_of(environment: Mapping[str, str]) -> Build:
    """Whether to compile."""
    return _chosen(Build, "KRAKEN_TRIO_BUILD", environment)


def debug_of(environment: Mapping[str, str]) -> Debug:
    """How to compile."""
    return _chosen(Debug, "KRAKEN_TRIO_BUILD_DEBUG", environment)


def _chosen(kind: type[E], name: str, environment: Mapping[str, str]) -> E:
    value = environment.get(name, "")
    try:
        return kind(value)
    except ValueError:
        choices = " or ".join(repr(choice.value) for choice in kind if choice.value)
        sys.exit(f"{name} is {value!r}: set it to {choices}, or leave it unset")


def flags_of(debug: Debug, platform: str = sys.platform) -> Flags:
    """No flag depends on the processor of this machine: others are to run the wheel, too."""
    if platform == "win32":
        if debug is not Debug.OFF:
            msg = "KRAKEN_TRIO_BUILD_DEBUG is for GCC and Clang only"
            raise NoCoreError(msg)
        return Flags(["/O2", "/DCYTHON_WITHOUT_ASSERTIONS"], [])
    if debug is Debug.OFF:
        return Flags(
            ["-O3", "-g0", "-DNDEBUG", "-DCYTHON_WITHOUT_ASSERTIONS"],
            ["-Wl,-s"] if platform == "linux" else [],  # no symbols: half the size
        )
    checked = ["-O1", "-g", "-UNDEBUG"]
    if debug is Debug.ASSERTIONS:
        return Flags(checked, [])
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    # Python's own flags let integers wrap around, which would keep UBSan from reporting it.
    return Flags([*checked, *sanitizers, "-fno-omit-frame-pointer", "-fno-wrapv"], sanitizers)


# What can be done


def obstacle(environment: Mapping[str, str], platform: str = sys.platform) -> str | None:
    """Why there is no point in trying to compile. On Windows, only trying shows that there is no compiler."""
    if sys.implementation.name != "cpython":
        return "it is for CPython only"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it needs the GIL, and this Python is free-threaded"
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        return f"there is no Python.h in {include}: install this Python's headers (on Debian: python3-dev)"
    if platform != "win32":
        compiler = shlex.split(environment.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        if shutil.which(compiler) is None:
            return f"there is no C compiler {compiler!r}: install one (on Debian: gcc, libc6-dev), or name it in CC"
    return None


def requirements(environment: Mapping[str, str], target: str, *, translated: bool) -> list[str]:
    """What the build needs besides hatchling."""
    if build_of(environment) is Build.SKIP or (target != "sdist" and obstacle(environment)):
        return []
    if translated:
        return [] if target == "sdist" else [SETUPTOOLS]
    return [CYTHON, SETUPTOOLS]


def sources(root: Path) -> list[Path]:
    """What is compiled, each into a module of its own; seen from the root."""
    return sorted(path.relative_to(root) for path in (root / PACKAGE).rglob("*.pyx"))


def is_translated(root: Path) -> bool:
    """Whether the C code is there, and made from the sources as they are now."""
    stamp = _stamp(root)
    codes = [root / source.with_suffix(".c") for source in sources(root)]
    return all(code.is_file() and code.read_text(encoding="utf-8").endswith(stamp) for code in codes)


def _stamp(root: Path) -> str:
    """The last line of C code made from these sources. Times would not do: unpacking an sdist may set any."""
    digest = sha256()
    for path in sorted((root / PACKAGE).rglob("*")):
        if path.suffix in {".pyx", ".pxd", ".pxi"}:
            digest.update(path.read_bytes())
    return f"/* made from {digest.hexdigest()} */\n"


# Doing it


def translate(root: Path) -> None:
    """Make the C code, beside the sources."""
    try:
        from Cython.Build import cythonize
        from Cython.Compiler.Errors import CompileError
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed: install {CYTHON!r} and {SETUPTOOLS!r}"
        raise NoCoreError(msg) from error
    with chdir(root):  # relative paths: those of this machine shall not stand in the C code
        try:
            cythonize(list(map(str, sources(root))), force=True, quiet=True)
        except CompileError as error:
            msg = f"Cython failed: {error}"
            raise NoCoreError(msg) from error
    for source in sources(root):
        with (root / source.with_suffix(".c")).open("a", encoding="utf-8") as code:
            code.write(_stamp(root))


def compile_core(root: Path, folder: Path, flags: Flags) -> list[Path]:
    """Compile the C code; returns the extension modules, which lie in the folder as they do in the source."""
    try:
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext
        from setuptools.errors import BaseError, CCompilerError
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed: install {SETUPTOOLS!r}"
        raise NoCoreError(msg) from error
    modules = [
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source.with_suffix(".c"))],
            extra_compile_args=flags.compile,
            extra_link_args=flags.link,
        )
        for source in sources(root)
    ]
    command = build_ext(Distribution({"ext_modules": modules}))
    command.build_lib, command.build_temp = str(folder / "modules"), str(folder / "objects")
    command.ensure_finalized()
    with chdir(root):
        try:
            command.run()
        except (BaseError, CCompilerError) as error:
            msg = f"the compiler failed: {error}"
            raise NoCoreError(msg) from error
    return [Path(path) for path in command.get_outputs()]


class CoreHook(BuildHookInterface[Any]):
    """What hatchling calls, before and after it packs."""

    _folder: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        return requirements(os.environ, self.target_name, translated=is_translated(Path(self.root)))

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = build_of(os.environ)
        if self.target_name == "sdist":
            if build is not Build.SKIP:
                self._add_c_code(build_data)
            return
        modules = {} if build is Build.SKIP else self._modules(required=build is Build.REQUIRE)
        if modules:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        if version == "editable":
            self._leave_beside_sources(modules)
        else:
            build_data["force_include"].update({str(built): str(place) for place, built in modules.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if self._folder is not None:
            self._folder.cleanup()

    def _add_c_code(self, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        try:
            if not is_translated(root):
                translate(root)
        except NoCoreError as error:
            sys.exit(f"The sdist shall carry the C code of the core: {error}")
        build_data["artifacts"] += [f"/{source.with_suffix('.c').as_posix()}" for source in sources(root)]

    def _modules(self, *, required: bool) -> dict[Path, Path]:
        """The place of each module in the package, and the file; none if they cannot be compiled."""
        root, debug, reason = Path(self.root), debug_of(os.environ), obstacle(os.environ)
        if reason is None:
            self._folder = TemporaryDirectory(prefix="kraken-trio-")
            try:
                if not is_translated(root):
                    translate(root)
                built = compile_core(root, Path(self._folder.name), flags_of(debug))
                return dict(zip(map(_place, sources(root)), built, strict=True))
            except NoCoreError as error:
                reason = str(error)
        if required:
            sys.exit(f"KRAKEN_TRIO_BUILD=require, but the core cannot be compiled: {reason}")
        self.app.display_info(f"kraken-trio will be pure Python; its core cannot be compiled: {reason}")
        return {}

    def _leave_beside_sources(self, modules: Mapping[Path, Path]) -> None:
        """Replace what an earlier build has left there, also by nothing: it is of other sources, or of other flags."""
        root = Path(self.root)
        for place in map(_place, sources(root)):
            if place in modules:
                new = (root / place).with_suffix(".new")
                shutil.copy2(modules[place], new)
                new.replace(root / place)  # a program that runs keeps the old one
            else:
                (root / place).unlink(missing_ok=True)


def _place(source: Path) -> Path:
    """Where the module stands in the package of this Python."""
    return source.with_name(source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
