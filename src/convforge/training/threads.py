"""How many of torch's threads a training step is worth.

Threads meet at the end of every operation. For a network as small as LeNet-5 that costs as much as
it gains, and where another program holds one of the cores, every meeting waits for the scheduler:
20 epochs on the digits took 157 s with 2 threads beside a busy process, 2.7 s with 1 (2 cores of an
AMD EPYC, November 2026).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from convforge.training.cost import PASSES, forward_macs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convforge.networks.contract import ConvNet

ONE_THREAD_FLOPS = 2e9  # of a step; about 10 ms on one core: below it, one thread


@contextlib.contextmanager
def suitable_threads(net: ConvNet, *, batch_size: int) -> Iterator[None]:
    """Within, torch uses one thread where a step of `net` is small, else as many as before."""
    before = torch.get_num_threads()
    if step_flops(net, batch_size=batch_size) < ONE_THREAD_FLOPS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def step_flops(net: ConvNet, *, batch_size: int) -> int:
    """Floating-point operations of a training step: 2 a MAC, by the estimate of `cost`."""
    return 2 * PASSES * batch_size * forward_macs(net)
