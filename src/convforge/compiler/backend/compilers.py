"""Which C compiler there is, what it calls things, and what it says when it fails.

`$CC` comes before any other. For this machine the system's compiler is next and the one in the
`ziglang` wheel last; for another machine, or for systems older than this one, only zig will do.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convforge.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Sequence

# zig knows the processors by other names.
_ZIG_WORDS = {
    "-march=x86-64-v4": "-mcpu=x86_64_v4",
    "-march=x86-64-v3": "-mcpu=x86_64_v3",
    "-march=x86-64": "-mcpu=x86_64",
    "-march=armv8-a": "-mcpu=generic",
}


def find_compiler(triple: str = "") -> tuple[str, ...]:
    """Command of the C compiler for the machine of a triple, "" for this one.

    Raises ToolchainError where there is none.
    """
    aim = ("-target", triple) if triple else ()
    chosen = os.environ.get("CC")
    if chosen:
        command = _chosen(chosen)
        return (*command, *aim) if _is_zig(command) else command
    if not triple:
        for name in ("cc", "gcc", "clang"):
            if shutil.which(name) is not None:
                return (name,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc", *aim)
    missing = (
        f"no C compiler for {triple}: the package ziglang is not installed"
        if triple
        else "no C compiler: neither cc, gcc nor clang is on PATH and the package ziglang is not "
        "installed"
    )
    raise ToolchainError(
        f'{missing}; install the latter with `pip install "convforge[compile]"`, or set CC'
    )


def in_its_words(flags: Sequence[str], *, compiler: Sequence[str]) -> list[str]:
    """The flags in a compiler's dialect."""
    return [_ZIG_WORDS.get(flag, flag) for flag in flags] if _is_zig(compiler) else list(flags)


def identity(compiler: Sequence[str]) -> str:
    """What objects depend on besides their source and flags; "" where it cannot be known."""
    program = _program(compiler)
    if program is None:
        return ""
    # An upgrade may change the program without changing its words.
    stat = program.stat()
    version = _version(tuple(compiler), str(program), stat.st_mtime_ns)
    return f"{program} {stat.st_size} {stat.st_mtime_ns} {version}" if version else ""


def run_compiler(command: Sequence[str], *, folder: Path) -> None:
    """Run the compiler in a folder. Raises ToolchainError with its own first words."""
    # What zig keeps between calls, objects full of weights among them, goes with the folder.
    environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": str(folder / "zig")}
    try:
        done = subprocess.run(  # noqa: S603  (the compiler and its flags, no shell)
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ToolchainError(
            f"the C compiler could not be started: {command[0]} ({error.strerror}); "
            "unset CC or name another compiler"
        ) from None
    if done.returncode != 0:
        raise ToolchainError(
            f"the C compiler failed with exit status {done.returncode}; set CC to use another\n"
            f"{shlex.join(command)}\n{_first_words(done.stderr or done.stdout)}"
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


def _program(compiler: Sequence[str]) -> Path | None:
    """The file that is run; of zig's wheel not the interpreter that starts it."""
    if "ziglang" in compiler:
        package = importlib.util.find_spec("ziglang")
        folder = Path(package.origin).parent if package and package.origin else Path()
        return next(iter(folder.glob("zig*")), None)
    found = shutil.which(compiler[0])
    return Path(found) if found is not None else None


@functools.cache
def _version(compiler: tuple[str, ...], _program: str, _changed: int) -> str:
    try:
        done = subprocess.run(  # noqa: S603  (the compiler, no shell)
            [*compiler, "--version"], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _is_zig(command: Sequence[str]) -> bool:
    return "ziglang" in command or Path(command[0]).stem == "zig"


def _first_words(text: str) -> str:
    said = text.strip().splitlines()
    # Some compilers list all processors that they know before they say what is wrong.
    first = next((i for i, line in enumerate(said) if "error" in line), 0)
    return "\n".join(said[first : first + 12])
