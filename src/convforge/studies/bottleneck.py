"""What a 1x1 convolution before a 5x5 one saves: Szegedy et al. 2015, table 1.

Inception 3a's branch, 28x28x192 → 32 maps of 5x5 behind 16 of 1x1, and those of other inception
blocks; multiply-adds exactly, milliseconds of the compiled layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from convforge.analysis.arithmetic import bottleneck_saving
from convforge.networks.blocks import conv2d, sequence
from convforge.networks.googlenet import TABLE_1
from convforge.studies.latency import ROUNDS, THREADS, remarks, time_by_turns
from convforge.studies.spread import Spread, against
from convforge.studies.study import Column, Finding, Panel, Result, Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convforge.studies.latency import Timed
    from convforge.studies.study import Study, Task

KERNEL = 5
EXACT = (120_422_400, 12_443_648)  # of Inception 3a's branch: alone, and behind the bottleneck
# block: side of the map, maps that come in
INPUTS: dict[str, tuple[int, int]] = {
    "inception3a": (28, 192),
    "inception3b": (28, 256),
    "inception4a": (14, 480),
    "inception4b": (14, 512),
    "inception4c": (14, 512),
    "inception4d": (14, 512),
    "inception4e": (14, 528),
    "inception5a": (7, 832),
    "inception5b": (7, 832),
}
TIMED = {
    "default": ("inception3a", "inception3b", "inception4a", "inception4e", "inception5b"),
    "full": tuple(INPUTS),
}
RATIO_RULE = (
    "holds where the 95 % interval (Student's t) of the ratio of the times, one a session, is "
    "above {what}, does not hold where it is below, undecided where it is within"
)
SESSIONS = {"default": 7, "full": 15}
COLUMNS = (
    Column("block"),
    Column("in → 1x1 → 5x5"),
    Column("MACs alone", "count"),
    Column("MACs behind 1x1", "count"),
    Column("MACs, times fewer", "number"),
    Column("ms alone", "number"),
    Column("ms behind 1x1", "number"),
    Column("times faster", "number"),
)


def run(study: Study, task: Task) -> Result:  # noqa: ARG001  (every study's)
    """Compile both branches of every block, and time them by turns."""
    sessions, blocks = task.seeds or SESSIONS[task.size], TIMED[task.size]
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    for block in blocks:
        modules |= branches(block)
    timed = time_by_turns(modules, sessions=sessions, task=task)
    faster = {block: ratio(timed, block) for block in blocks}
    return Result(
        sizes={
            "blocks": len(blocks),
            "threads": THREADS,
            "sessions": sessions,
            "runs of each in a session": ROUNDS,
        },
        columns=COLUMNS,
        rows=tuple(_row(block, timed, faster[block]) for block in blocks),
        findings=findings(timed, faster),
        panels=(_panel(timed, faster),),
        remarks=remarks(timed),
    )


def branches(block: str) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """The 5x5 branch of an inception block, alone and behind its 1x1, with ReLU after each."""
    side, channels = INPUTS[block]
    squeezed, maps = _maps(block)
    alone = sequence(
        conv=conv2d(channels, maps, kernel_size=KERNEL),
        relu=nn.ReLU(),
    )
    behind = sequence(
        reduce=conv2d(channels, squeezed, kernel_size=1),
        relu1=nn.ReLU(),
        conv=conv2d(squeezed, maps, kernel_size=KERNEL),
        relu2=nn.ReLU(),
    )
    shape = (1, channels, side, side)
    return {f"{block} alone": (alone, shape), f"{block} behind": (behind, shape)}


def ratio(timed: Mapping[str, Timed], block: str) -> Spread:
    """How many times faster the branch is behind its 1x1, one value a session."""
    alone, behind = timed[f"{block} alone"].ms.values, timed[f"{block} behind"].ms.values
    return Spread(tuple(a / b for a, b in zip(alone, behind, strict=True)))


def findings(timed: Mapping[str, Timed], faster: Mapping[str, Spread]) -> tuple[Finding, ...]:
    """The notes' numbers, whether it is faster, and whether by as much."""
    first = "inception3a"
    counted = (timed[f"{first} alone"].macs, timed[f"{first} behind"].macs)
    times, fewer = faster[first], counted[0] / counted[1]
    measured = f"{times.mean:.2f} ± {times.deviation:.2f} times faster"
    slower = [block for block, one in faster.items() if against(one, 1.0).low <= 0]
    return (
        Finding(
            claim="Inception 3a's branch costs 120 M multiply-adds alone and 12.4 M behind 16 maps",
            rule="holds where the compiled layers have exactly these counts",
            measured=f"{counted[0]:,} and {counted[1]:,}, {fewer:.2f} times fewer",
            verdict="holds" if counted == EXACT else "does not hold",
        ),
        Finding(
            claim="Inception 3a's branch takes less time behind 16 maps",
            rule=RATIO_RULE.format(what="1"),
            measured=measured,
            verdict=against(times, 1.0).verdict_above,
        ),
        Finding(
            claim="It gains at least as much in time as in multiply-adds",
            rule=RATIO_RULE.format(what="that of the multiply-adds"),
            measured=f"{measured}, {fewer:.2f} times fewer",
            verdict=against(times, fewer).verdict_above,
        ),
        Finding(
            claim="Every branch that was timed takes less time behind its 1x1",
            rule="holds where the 95 % interval of every ratio is above 1",
            measured=f"{len(faster) - len(slower)} of {len(faster)}",
            verdict="does not hold" if slower else "holds",
        ),
    )


def _maps(block: str) -> tuple[int, int]:
    row = TABLE_1[block]
    assert row is not None, "a block, not a pooling"
    return row[3], row[4]


def _row(
    block: str, timed: Mapping[str, Timed], faster: Spread
) -> tuple[str | int | float | Spread, ...]:
    side, channels = INPUTS[block]
    squeezed, maps = _maps(block)
    saving = bottleneck_saving(
        channels, maps, kernel_size=KERNEL, output_size=(side, side), bottleneck=squeezed
    )
    alone, behind = timed[f"{block} alone"], timed[f"{block} behind"]
    assert (alone.macs, behind.macs) == (saving.direct, saving.factored), "counted alike"
    return (
        block,
        f"{side}x{side}x{channels} → {squeezed} → {maps}",
        alone.macs,
        behind.macs,
        alone.macs / behind.macs,
        alone.ms,
        behind.ms,
        faster,
    )


def _panel(timed: Mapping[str, Timed], faster: Mapping[str, Spread]) -> Panel:
    blocks: Sequence[str] = tuple(faster)
    places = tuple(map(float, range(len(blocks))))
    return Panel(
        title="what a 1x1 before the 5x5 saves",
        x="block of GoogLeNet",
        y="times less than without it",
        ticks=tuple(block.removeprefix("inception") for block in blocks),
        level=1.0,
        series=(
            Series(
                label="multiply-adds",
                x=places,
                y=tuple(timed[f"{b} alone"].macs / timed[f"{b} behind"].macs for b in blocks),
                style="bars",
            ),
            Series(
                label="milliseconds, measured",
                x=places,
                y=tuple(faster[b].mean for b in blocks),
                low=tuple(min(faster[b].values) for b in blocks),
                high=tuple(max(faster[b].values) for b in blocks),
                style="bars",
                colour=1,
            ),
        ),
    )
