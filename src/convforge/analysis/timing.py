"""Milliseconds of every layer of a network, measured on this machine."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from convforge.analysis.trace import Recorder, evaluating, label
from convforge.errors import NetworkError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._ops import OpOverload

    from convforge.analysis.trace import Step

WARM_UP = 2  # runs before the first that counts


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Medians of `runs` runs of one image in torch on the CPU, after a warm-up, in milliseconds.

    `steps` is (name, time inside its operators) a step of the trace, in order; `total_ms` a whole
    forward, measured by itself without the clock in between: it holds Python's own time too.
    """

    runs: int
    threads: int
    total_ms: float
    steps: tuple[tuple[str, float], ...]


def time_steps(net: nn.Module, input_shape: tuple[int, ...], *, runs: int) -> Timing:
    """Time a network on zeros of `input_shape` (C, H, W).

    Raises NetworkError where `runs` is below 1 or the weights are not on the CPU.
    """
    if runs < 1:
        raise NetworkError(f"{label(net)}: timing needs at least 1 run, got {runs}")
    devices = {str(value.device) for value in net.parameters()} - {"cpu"}
    if devices:
        raise NetworkError(
            f"{label(net)}: timing runs on the CPU, but weights are on {', '.join(sorted(devices))}"
            "; move the network there with `.cpu()`"
        )
    x = torch.zeros(1, *input_shape)
    with evaluating(net), torch.no_grad():
        for _ in range(WARM_UP):
            net(x)
        # by turns, so that whatever else the machine does meets both alike
        pairs = [(_milliseconds_of(net, x), _clocked(net, x)) for _ in range(runs)]
    records = [record for _, record in pairs]
    names = [step.name for step in records[0].steps]
    times = [[record.seconds[index] for record in records] for index in range(len(names))]
    return Timing(
        runs=runs,
        threads=torch.get_num_threads(),
        total_ms=statistics.median(whole for whole, _ in pairs),
        steps=tuple(
            (name, statistics.median(seconds) * 1e3)
            for name, seconds in zip(names, times, strict=True)
        ),
    )


class _Clock(Recorder):  # type: ignore[no-untyped-call]  # torch leaves its base untyped
    """Seconds that each step spends in its operators; keeps no tensor alive."""

    def __init__(self) -> None:
        super().__init__()
        self._spent: dict[int, float] = {}

    @property
    def seconds(self) -> list[float]:
        return [self._spent.get(id(step), 0.0) for step in self.steps]

    def run(self, step: Step, func: OpOverload[..., Any], args: Any, kwargs: Any) -> Any:
        start = time.perf_counter()
        result = func(*args, **kwargs)
        spent = time.perf_counter() - start
        self._spent[id(step)] = self._spent.get(id(step), 0.0) + spent
        return result

    def keep(self, value: Any) -> tuple[Tensor, ...]:  # noqa: ARG002
        return ()


def _clocked(net: nn.Module, x: Tensor) -> _Clock:
    clock = _Clock()
    with clock.following(net):
        net(x)
    return clock


def _milliseconds_of(net: nn.Module, x: Tensor) -> float:
    start = time.perf_counter()
    net(x)
    return (time.perf_counter() - start) * 1e3
