"""What a training took: time, images, and an estimate of its arithmetic.

    multiply-adds of a training ≈ 3 · those of one image forward · images

A backward pass has two products for each of the forward pass: one for the inputs' gradient, one for
the weights'. All images are taken for ones of the full size; validation is left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from torch.overrides import TorchFunctionMode

from convforge.classifier import evaluation_mode
from convforge.processors import processor_name, processors

if TYPE_CHECKING:
    from convforge.networks.contract import ConvNet
    from convforge.training.course import Course
    from convforge.training.learner import Learner
    from convforge.training.recipe import Recipe

PASSES = 3  # forward, and two as dear backward


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What the loop did: `steps` on `images` in `seconds`, validation and saving included.

    A run that was `continued` has those of earlier commands in them. `busy` is how many processors
    this process kept busy in this command, on average.
    """

    steps: int
    images: int
    seconds: float
    busy: float
    continued: bool


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A network of so many `parameters`, `macs` multiply-adds an image, and what trained it.

    Each of `processes` had `threads` for its arithmetic; `processor`, `gpu` ("": none) and
    `processors`, those that it may use, are of the first. `loop` is None where no loop was run.
    """

    parameters: int
    macs: int
    processor: str
    processors: int
    gpu: str
    threads: int
    processes: int
    loop: Loop | None

    @property
    def training_macs(self) -> int | None:
        """Of the whole training, by the estimate above; None without a loop."""
        return None if self.loop is None else PASSES * self.macs * self.loop.images


class Stopwatch:
    """Runs from when it is made: seconds, and processor seconds of this process."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """(seconds, processors that were busy on average) so far."""
        seconds = time.perf_counter() - self._started[0]
        return seconds, (time.process_time() - self._started[1]) / seconds


def loop_of(
    course: Course, stopwatch: Stopwatch, recipe: Recipe, *, count: int, continued: bool
) -> Loop:
    """What a loop over `count` images did, which the stopwatch ran for in this command."""
    seconds, busy = stopwatch.read()
    return Loop(
        steps=course.step,
        images=course.step * min(recipe.batch_size, count),
        seconds=course.seconds or seconds,  # a run without a folder does not count its own
        busy=busy,
        continued=continued,
    )


def cost_of(learner: Learner, loop: Loop | None) -> Cost:
    """The cost of what a learner has learnt, with torch's threads as they are now."""
    net, device = learner.net, learner.machine.device
    return Cost(
        parameters=sum(p.numel() for half in (net.features, net.head) for p in half.parameters()),
        macs=forward_macs(net),
        processor=processor_name(),
        processors=processors(),
        gpu=torch.cuda.get_device_name(device) if learner.machine.is_gpu else "",
        threads=torch.get_num_threads(),
        processes=learner.team.size,
        loop=loop,
    )


def forward_macs(net: ConvNet) -> int:
    """Multiply-adds of one image: of convolutions and linear layers, which are nearly all.

    By running one: torch's meta device would do without, and takes a second to be imported.
    """
    x = torch.zeros(1, *net.input_shape, device=next(net.parameters()).device)
    counter = _Counter()
    with evaluation_mode(net), torch.no_grad(), counter:
        net(x)
    return counter.macs


class _Counter(TorchFunctionMode):
    """Counts what is called within; torch's own counter takes 1.5 s to be imported."""

    macs: int = 0

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in {F.conv2d, F.linear}:
            self.macs += found.numel() * args[1][0].numel()
        return found
