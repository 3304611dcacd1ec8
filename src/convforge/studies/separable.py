"""What a depthwise separable convolution saves: Howard et al. 2017, section 3.1.

    (OH * OW * M * K² + OH * OW * M * N) / (OH * OW * M * N * K²) = 1/N + 1/K²

Counted, and timed compiled, for maps N = M from few to many: where the time saved begins to follow
the multiply-adds saved, and below which N there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from convforge.analysis.arithmetic import depthwise_separable_ratio
from convforge.networks.blocks import conv2d, sequence
from convforge.studies.latency import ROUNDS, THREADS, remarks, time_by_turns
from convforge.studies.spread import Spread, against
from convforge.studies.study import Column, Finding, Panel, Result, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.studies.latency import Timed
    from convforge.studies.study import Study, Task

KERNELS = (3, 5)
SIDE = 28  # pixels
MAPS = {
    "default": (2, 4, 8, 16, 32, 64, 192),
    "full": (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
}
SESSIONS = {"default": 7, "full": 15}
WINOGRAD = (
    "The full convolution of 3x3 is computed by Winograd's algorithm where that is faster, with "
    "fewer multiplications than are counted here."
)
COLUMNS = (
    Column("kernel"),
    Column("maps N", "count"),
    Column("MACs, full", "count"),
    Column("MACs, separable", "count"),
    Column("share of the MACs", "number"),
    Column("1/N + 1/K²", "number"),
    Column("ms, full", "number"),
    Column("ms, separable", "number"),
    Column("share of the time", "number"),
)


def run(study: Study, task: Task) -> Result:  # noqa: ARG001  (every study's)
    """Compile both for every kernel and number of maps, and time them by turns."""
    sessions, maps = task.seeds or SESSIONS[task.size], MAPS[task.size]
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    for kernel in KERNELS:
        for count in maps:
            modules |= layers(kernel, count)
    timed = time_by_turns(modules, sessions=sessions, task=task)
    return Result(
        sizes={
            "side of the maps in pixels": SIDE,
            "threads": THREADS,
            "sessions": sessions,
            "runs of each in a session": ROUNDS,
        },
        columns=COLUMNS,
        rows=tuple(_row(kernel, count, timed) for kernel in KERNELS for count in maps),
        findings=tuple(
            finding
            for kernel in KERNELS
            for finding in findings(kernel, {n: _pair(kernel, n, timed) for n in maps})
        ),
        panels=tuple(_panel(kernel, maps, timed) for kernel in KERNELS),
        remarks=(
            *remarks(timed),
            WINOGRAD,
        ),
    )


def layers(kernel: int, maps: int) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """A full convolution of `maps` to as many, and the pair that stands in for it, with ReLU."""
    shape = (1, maps, SIDE, SIDE)
    full = sequence(conv=conv2d(maps, maps, kernel_size=kernel), relu=nn.ReLU())
    separable = sequence(
        depthwise=conv2d(maps, maps, kernel_size=kernel, groups=maps),
        relu1=nn.ReLU(),
        pointwise=conv2d(maps, maps, kernel_size=1),
        relu2=nn.ReLU(),
    )
    return {
        f"full {kernel} {maps}": (full, shape),
        f"separable {kernel} {maps}": (separable, shape),
    }


def share_of_time(full: Timed, separable: Timed) -> Spread:
    """Time of the pair over that of the full convolution, one value a session."""
    pairs = zip(separable.ms.values, full.ms.values, strict=True)
    return Spread(tuple(ours / theirs for ours, theirs in pairs))


def findings(kernel: int, pairs: Mapping[int, tuple[Timed, Timed]]) -> tuple[Finding, ...]:
    """Whether the count is as the formula has it, and whether fewer MACs are less time."""
    exact = all(
        separable.macs == full.macs * depthwise_separable_ratio(n, kernel_size=kernel)
        for n, (full, separable) in pairs.items()
    )
    shares = {n: share_of_time(full, separable) for n, (full, separable) in pairs.items()}
    saving = [n for n in pairs if depthwise_separable_ratio(n, kernel_size=kernel) < 1]
    slower = [n for n in saving if against(shares[n], 1.0).high >= 0]
    most = max(pairs)
    predicted = float(depthwise_separable_ratio(most, kernel_size=kernel))
    return (
        Finding(
            claim=f"{kernel}x{kernel}: the pair has 1/N + 1/K² of the multiply-adds",
            rule="holds where the counts of the compiled layers have exactly this ratio",
            measured=f"{'exactly so' if exact else 'not so'} at N = {', '.join(map(str, pairs))}",
            verdict="holds" if exact else "does not hold",
        ),
        Finding(
            claim=f"{kernel}x{kernel}: fewer multiply-adds are less time at every N",
            rule="holds where, at every N that has fewer, the 95 % interval (Student's t) of the "
            "share of the time is below 1",
            measured=_crossover(slower, saving),
            verdict="does not hold" if slower else "holds",
        ),
        Finding(
            claim=f"{kernel}x{kernel}: with many maps it saves as much time as multiply-adds",
            rule=f"at N = {most}: holds where the 95 % interval (Student's t) of the share of the "
            "time is below that of the multiply-adds, does not hold where it is above, undecided "
            "where it is around it",
            measured=f"{shares[most].mean:.3f} ± {shares[most].deviation:.3f} of the time, "
            f"{predicted:.3f} of the multiply-adds",
            verdict=against(shares[most], predicted).verdict_below,
        ),
    )


def _crossover(slower: list[int], saving: list[int]) -> str:
    if not slower:
        return f"faster from N = {min(saving)} on"
    faster = [n for n in saving if n > max(slower)]
    above = f"faster from N = {min(faster)} on" if faster else "never faster"
    return f"not faster at N = {', '.join(map(str, slower))}; {above}"


def _pair(kernel: int, maps: int, timed: Mapping[str, Timed]) -> tuple[Timed, Timed]:
    return timed[f"full {kernel} {maps}"], timed[f"separable {kernel} {maps}"]


def _row(
    kernel: int, maps: int, timed: Mapping[str, Timed]
) -> tuple[str | int | float | Spread, ...]:
    full, separable = _pair(kernel, maps, timed)
    return (
        f"{kernel}x{kernel}",
        maps,
        full.macs,
        separable.macs,
        separable.macs / full.macs,
        float(depthwise_separable_ratio(maps, kernel_size=kernel)),
        full.ms,
        separable.ms,
        share_of_time(full, separable),
    )


def _panel(kernel: int, maps: tuple[int, ...], timed: Mapping[str, Timed]) -> Panel:
    shares = [share_of_time(*_pair(kernel, n, timed)) for n in maps]
    places = tuple(map(float, maps))
    return Panel(
        title=f"{kernel}x{kernel}, {SIDE}x{SIDE} pixels",
        x="maps N",
        y="separable, of the full convolution",
        log="xy",
        level=1.0,
        series=(
            Series(
                label="multiply-adds: 1/N + 1/K²",
                x=places,
                y=tuple(float(depthwise_separable_ratio(n, kernel_size=kernel)) for n in maps),
                style="dashed",
            ),
            Series(
                label="milliseconds, measured",
                x=places,
                y=tuple(one.mean for one in shares),
                low=tuple(min(one.values) for one in shares),
                high=tuple(max(one.values) for one in shares),
                colour=1,
            ),
        ),
    )
