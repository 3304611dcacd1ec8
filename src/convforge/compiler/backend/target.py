"""Where an artifact runs: file type, instruction-set levels, and the flags that give them.

An x86-64 artifact holds the network three times, compiled for AVX-512, AVX2 and the baseline, and
chooses when it is loaded; the levels are the ones that the x86-64 psABI names v4, v3 and v1.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from convforge.errors import UnsupportedError


@dataclass(frozen=True)
class Level:
    """One instruction-set level; `probe` is the C condition under which the CPU has it."""

    name: str
    flags: tuple[str, ...]
    probe: str


@dataclass(frozen=True)
class Target:
    """One kind of artifact. Levels from the best to the one that every CPU has.

    `most_threads` bounds how many threads one context computes with; 1 where there are none.
    """

    name: str
    suffix: str
    levels: tuple[Level, ...]
    most_threads: int = 64


X86_64_LINUX = Target(
    name="x86_64-linux",
    suffix=".so",
    levels=(
        Level("avx512", ("-march=x86-64-v4", "-mprefer-vector-width=512"), "cf_x86_level() >= 4"),
        Level("avx2", ("-march=x86-64-v3",), "cf_x86_level() >= 3"),
        Level("baseline", ("-march=x86-64",), "1"),
    ),
)
AARCH64_LINUX = Target(
    name="aarch64-linux",
    suffix=".so",
    levels=(Level("baseline", ("-march=armv8-a",), "1"),),
)


def native() -> Target:
    """The machine this runs on. Raises UnsupportedError where it is not a known one."""
    machine = platform.machine().lower()
    known = {"x86_64": X86_64_LINUX, "amd64": X86_64_LINUX, "aarch64": AARCH64_LINUX}
    if sys.platform != "linux" or machine not in known:
        raise UnsupportedError(
            f"target native: {sys.platform} on {machine} is not supported; "
            f"supported are linux on {', '.join(sorted(set(known) - {'amd64'}))}"
        )
    return known[machine]
