"""Where an artifact runs: file type, instruction-set levels, and the flags that give them.

An x86-64 artifact holds the network three times, compiled for AVX-512, AVX2 and the baseline, and
chooses when it is loaded; the levels are the ones that the x86-64 psABI names v4, v3 and v1. Arm
has NEON and WebAssembly its 128-bit vectors in the one level that they need.

A target is found by its name. `native` is a library for this machine, `wheel` the same within a
Python package, `c` the sources for any machine, `html` a web page with a wasm module in it.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, replace
from typing import Literal

from convforge.errors import UnsupportedError

Binary = Literal["elf", "mach-o", "coff", "wasm"]
# Of the weights, whose sums are float32; bf16 and int8 are that of the values too.
Precision = Literal["float32", "float16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "bf16", "int8")
Form = Literal["library", "page", "sources", "wheel"]


@dataclass(frozen=True)
class Level:
    """One instruction-set level; `x86` is the level of the x86-64 psABI that it needs, if any.

    5 is level 4 with AVX512_VBMI and AVX512_VNNI, whose products are of bytes (Ice Lake, Zen 4); 6
    is 5 with AVX512_BF16, whose products are of bfloat16 (Sapphire Rapids, Zen 4).
    """

    name: str
    flags: tuple[str, ...]
    x86: int = 0


@dataclass(frozen=True)
class Target:
    """One kind of artifact. Levels from the best to the one that every CPU has.

    `triple` is what zig calls the machine, with the oldest system that the artifact runs on; ""
    stands for the machine that compiles, with the system's own compiler before any other.
    `most_threads` bounds how many threads one context computes with; 1 where there are none.
    """

    name: str
    suffix: str
    levels: tuple[Level, ...]
    triple: str
    binary: Binary = "elf"
    form: Form = "library"
    most_threads: int = 64


_VNNI = ("-mavx512vbmi", "-mavx512vnni")
_X86_64 = (
    Level("avx512", ("-march=x86-64-v4", "-mprefer-vector-width=512"), x86=4),
    Level("avx2", ("-march=x86-64-v3",), x86=3),
    Level("baseline", ("-march=x86-64",)),
)
_AVX512_OF = {
    "int8": Level("avx512vnni", (*_X86_64[0].flags, *_VNNI), x86=5),
    "bf16": Level("avx512bf16", (*_X86_64[0].flags, "-mavx512bf16"), x86=6),
}
_AARCH64 = (Level("baseline", ("-march=armv8-a",)),)

# The C libraries of 2014 and later, which is what the tag manylinux_2_17 promises too.
X86_64_LINUX = Target("x86_64-linux", ".so", _X86_64, triple="x86_64-linux-gnu.2.17")
AARCH64_LINUX = Target("aarch64-linux", ".so", _AARCH64, triple="aarch64-linux-gnu.2.17")
X86_64_MACOS = Target(
    "x86_64-macos", ".dylib", _X86_64, triple="x86_64-macos.11.0", binary="mach-o"
)
AARCH64_MACOS = Target(
    "aarch64-macos", ".dylib", _AARCH64, triple="aarch64-macos.11.0", binary="mach-o"
)
X86_64_WINDOWS = Target(
    "x86_64-windows", ".dll", _X86_64, triple="x86_64-windows-gnu", binary="coff"
)
# Without loop strength reduction offsets stay in loads and stores; with it engines compute the
# address of every pixel of a tile (MobileNetV2 takes 17 ms and not 18; Chromium, Zen 4).
_WASM = ("-msimd128", "-mllvm", "-disable-lsr")
WASM32 = Target(
    name="wasm32",
    suffix=".wasm",
    levels=(Level("baseline", _WASM),),
    triple="wasm32-wasi",
    binary="wasm",
    most_threads=1,
)
HTML = replace(WASM32, name="html", suffix=".html", form="page")
# For engines with relaxed SIMD, whose multiply-adds are one instruction; others refuse the module.
HTML_RELAXED = replace(HTML, levels=(Level("baseline", (*_WASM, "-mrelaxed-simd")),))
# Compiled by whoever gets them, so no level but x86-64's says more than its compiler's default.
C_SOURCES = Target(
    name="c",
    suffix="",
    levels=(*_X86_64[:-1], Level("baseline", ())),
    triple="",
    form="sources",
)

_MACHINES = (X86_64_LINUX, AARCH64_LINUX, X86_64_MACOS, AARCH64_MACOS, X86_64_WINDOWS)
# What `platform.machine` says of each.
_SPOKEN = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}

TARGETS = ("native", *(target.name for target in _MACHINES), "wasm32", "html", "c", "wheel")


def find_target(name: str) -> Target:
    """The target of a name in TARGETS; "wasm" is wasm32.

    Raises UnsupportedError, which lists them, for another.
    """
    if name == "native":
        return native()
    if name == "wheel":
        return replace(native(), name="wheel", suffix=".whl", form="wheel")
    for target in (*_MACHINES, WASM32, HTML, C_SOURCES):
        if target.name == ("wasm32" if name == "wasm" else name):
            return target
    raise UnsupportedError(f"target {name!r} is not known; known are: {', '.join(TARGETS)}")


def for_precision(target: Target, precision: Precision) -> Target:
    """The target with the levels that networks of a precision are compiled for."""
    best = _AVX512_OF.get(precision)
    levels = (best if best and level.x86 == 4 else level for level in target.levels)
    return replace(target, levels=tuple(levels))


def largest_byte(target: Target) -> int:
    """Of a map. WebAssembly's products of bytes are only told for factors of seven bits."""
    return 127 if target.binary == "wasm" else 255


def native() -> Target:
    """The machine this runs on. Raises UnsupportedError where it is not a known one."""
    machine = platform.machine().lower()
    name = f"{_SPOKEN.get(machine)}-{_SYSTEMS.get(sys.platform)}"
    for target in _MACHINES:
        if target.name == name:
            return replace(target, triple="")
    known = ", ".join(target.name for target in _MACHINES)
    raise UnsupportedError(
        f"target native: {sys.platform} on {machine} is not supported; supported are {known}, and "
        "the target c gives sources for any machine"
    )
