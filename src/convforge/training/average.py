"""A moving average of a network's weights and statistics, which is often better than the last ones.

    average ← decay · average + (1 - decay) · weights      after every step

In a run that was shortened the decay is taken to the power of the stride (`pace`): what the average
forgets in a share of the course stays the same.

The decay starts lower, min(decay, (1 + step) / (10 + step)) as in TensorFlow's, so that the first,
random weights are soon forgotten.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


class Average:
    """The average of every floating-point parameter and buffer of `net`, by its name."""

    def __init__(self, net: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.values = {name: tensor.clone() for name, tensor in _floating(net).items()}

    @torch.no_grad()
    def update(self, net: nn.Module, *, step: int, stride: float = 1.0) -> None:
        """Take in the weights as they are after `step`, counted from 1, of so long a stride."""
        decay = min(self.decay, (1 + step) / (10 + step)) ** stride
        current = _floating(net)
        torch._foreach_lerp_(
            list(self.values.values()), [current[name] for name in self.values], 1 - decay
        )

    @contextlib.contextmanager
    def inside(self, net: nn.Module) -> Iterator[None]:
        """Put the average into `net`, and the weights back afterwards."""
        current = {name: tensor.clone() for name, tensor in _floating(net).items()}
        put(net, self.values)
        try:
            yield
        finally:
            put(net, current)


@torch.no_grad()
def put(net: nn.Module, values: dict[str, Tensor]) -> None:
    """Copy tensors into the parameters and buffers of the same names."""
    state = net.state_dict()
    for name, value in values.items():
        state[name].copy_(value)


def _floating(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in net.state_dict().items() if tensor.is_floating_point()}
