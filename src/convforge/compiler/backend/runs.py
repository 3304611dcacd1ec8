"""The weight blob in fewer bytes: runs of numbers in 16 bits where that loses nothing, else in 32.

A blob of rounded weights is mostly float16 numbers in whatever order the kernels read them; what is
not is kept whole, so that reading gives the same bits as the blob in every case.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Array

_UNIT = 64  # numbers that are judged together, so that there are few runs


@dataclass(frozen=True)
class Runs:
    """`runs` of (how many numbers, bits of each), little endian, one behind the other in `data`."""

    runs: tuple[tuple[int, int], ...]
    data: bytes


def pack_runs(blob: Array) -> Runs:
    """The runs of a blob, float32 [N]."""
    # What is none, weights of one byte say, has to keep its bits.
    numbers = np.where(np.isfinite(blob), blob, 0)
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16)
    exact = halves.astype(np.float32).view(np.uint32) == blob.view(np.uint32)
    starts = range(0, blob.size, _UNIT)
    units = [bool(exact[start : start + _UNIT].all()) for start in starts]
    runs, data, start = [], [], 0
    for half, group in groupby(units):
        stop = min(blob.size, start + _UNIT * sum(1 for _ in group))
        numbers = halves[start:stop].astype("<f2") if half else blob[start:stop].astype("<f4")
        runs.append((stop - start, 16 if half else 32))
        data.append(numbers.tobytes())
        start = stop
    return Runs(tuple(runs), b"".join(data))
