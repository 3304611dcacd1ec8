"""The C compiler: the system's where there is one, otherwise the one in the `ziglang` wheel.

`$CC` overrides both. Units are compiled in parallel and linked to one shared library.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convforge.compiler.backend.target import Target

_COMMON = ("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-pthread")
# A multiply and an add may become one operation in the network; never in the preprocessing, whose
# arithmetic has to give Pillow's bits.
_NETWORK = ("-ffp-contract=fast", "-fno-trapping-math")
_EXACT = ("-ffp-contract=off",)


@dataclass(frozen=True)
class Unit:
    """One object file: a source, and the flags it is compiled with."""

    source: str
    object: str
    flags: tuple[str, ...]


def find_compiler() -> tuple[str, ...]:
    """Command of the C compiler. Raises ToolchainError where there is none."""
    chosen = os.environ.get("CC")
    if chosen:
        return _chosen(chosen)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name) is not None:
            return (name,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    raise ToolchainError(
        "no C compiler: neither cc, gcc nor clang is on PATH and the package ziglang is not "
        'installed; install the latter with `pip install "convforge[compile]"`'
    )


def _chosen(text: str) -> tuple[str, ...]:
    try:
        command = tuple(shlex.split(text))
    except ValueError as error:
        raise ToolchainError(
            f"CC={text!r}: not a command ({error}); unset CC or name an existing compiler"
        ) from None
    if not command or shutil.which(command[0]) is None:
        raise ToolchainError(
            f"CC={text!r}: no such program on PATH; unset CC or name an existing compiler"
        )
    return command


def units(target: Target) -> tuple[Unit, ...]:
    """What a target compiles: the network and the preprocessing once a level, the rest once."""
    levels = [
        Unit(f"{source}.c", f"{source}_{level.name}.o", (*_COMMON, *flags, *level.flags, rename))
        for level in target.levels
        for source, flags, rename in (
            ("model", _NETWORK, f"-DCF_STEPS=cf_steps_{level.name}"),
            ("preprocess", _EXACT, f"-Dcf_preprocess=cf_preprocess_{level.name}"),
        )
    ]
    # The level that every CPU has, said aloud: some compilers take the host's otherwise.
    exact = (*_COMMON, *_EXACT, *target.levels[-1].flags)
    return (
        *levels,
        Unit("artifact.c", "artifact.o", exact),
        Unit("weights.S", "weights.o", ()),
    )


def build_library(
    sources: Mapping[str, bytes], *, target: Target, extra: Sequence[str] = ()
) -> bytes:
    """Compile and link the sources; `extra` flags go to every unit and to the link.

    Raises ToolchainError with the compiler's own first words where it fails.
    """
    compiler = find_compiler()
    with tempfile.TemporaryDirectory(prefix="convforge-") as folder:
        for name, content in sources.items():
            (Path(folder) / name).write_bytes(content)
        parts = [unit for unit in units(target) if unit.source in sources]

        def compile_unit(unit: Unit) -> None:
            flags = _spoken(compiler, unit.flags)
            _run([*compiler, *flags, *extra, "-c", unit.source, "-o", unit.object], folder)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_unit, parts))
        objects = [unit.object for unit in parts]
        _run(
            [*compiler, *extra, "-shared", "-pthread", "-o", "artifact.so", *objects, "-lm"], folder
        )
        return (Path(folder) / "artifact.so").read_bytes()


def _spoken(compiler: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The flags in the compiler's dialect: zig names the same processors with underscores."""
    if "ziglang" not in compiler and Path(compiler[0]).stem != "zig":
        return list(flags)
    names = {
        "-march=x86-64-v4": "-mcpu=x86_64_v4",
        "-march=x86-64-v3": "-mcpu=x86_64_v3",
        "-march=x86-64": "-mcpu=x86_64",
        "-march=armv8-a": "-mcpu=generic",
    }
    return [names.get(flag, flag) for flag in flags]


def _run(command: Sequence[str], folder: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603  (the compiler and flags above, no shell)
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise ToolchainError(
            f"the C compiler could not be started: {command[0]} ({error.strerror}); "
            "unset CC or name another compiler"
        ) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        # Some compilers list all processors that they know before they say what is wrong.
        first = next((i for i, line in enumerate(said) if "error" in line), 0)
        words = "\n".join(said[first : first + 12])
        raise ToolchainError(
            f"the C compiler failed with exit status {done.returncode}; set CC to use another\n"
            f"{shlex.join(command)}\n{words}"
        )
