"""The memory plan: one arena in which buffers that are never alive together share bytes.

Buffers are placed from the largest to the smallest, each at the lowest offset that is free for its
whole lifetime. No plan can be smaller than the largest sum of buffers that are alive at one step;
both numbers are reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.compiler.kernels.family import ALIGNMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.compiler.backend.schedule import Lifetime


@dataclass(frozen=True)
class MemoryPlan:
    """Offset in bytes of every buffer in the arena; `lower_bound` is the largest live set."""

    offsets: dict[str, int]
    arena_bytes: int
    lower_bound: int


def plan_memory(sizes: Mapping[str, int], lifetimes: Mapping[str, Lifetime]) -> MemoryPlan:
    """Place buffers of these sizes in bytes; offsets are multiples of ALIGNMENT."""
    padded = {name: -(-sizes[name] // ALIGNMENT) * ALIGNMENT for name in lifetimes}
    offsets: dict[str, int] = {}
    # Ties are broken by lifetime and name: the same program gives the same plan.
    for name in sorted(padded, key=lambda n: (-padded[n], lifetimes[n].first, n)):
        taken = sorted(
            (offsets[other], offsets[other] + padded[other])
            for other in offsets
            if lifetimes[name].overlaps(lifetimes[other])
        )
        offset = 0
        for start, end in taken:
            if start - offset >= padded[name]:
                break
            offset = max(offset, end)
        offsets[name] = offset
    steps = {step for life in lifetimes.values() for step in (life.first, life.last)}
    live = [
        sum(padded[n] for n, life in lifetimes.items() if life.first <= step <= life.last)
        for step in steps
    ]
    arena = max((offsets[name] + padded[name] for name in offsets), default=0)
    return MemoryPlan(offsets, arena, max(live, default=0))
