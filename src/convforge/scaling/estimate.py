"""What a network would take, from those that were measured: so that few have to be compiled.

    ms ≈ ms of the nearest measured one * work / its work
    work = multiply-adds + 16 a value that a layer gives + 50,000 a layer

The weights are those of a processor with wide vectors; the nearer the nearest, the less they
matter. A network is counted on torch's meta device, without memory or arithmetic.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from convforge.networks.catalog import create
from convforge.scaling.latency import Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

A_VALUE = 16  # multiply-adds that take as long as moving a value
A_LAYER = 50_000  # multiply-adds that take as long as beginning a layer

# They change no shape and have no multiply-adds; on the meta device most of the time is theirs.
_UNCOUNTED = (nn.BatchNorm2d, nn.Dropout, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Sigmoid)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Counts of a network; `signature` is equal for networks that are one and the same."""

    macs: int
    values: int
    layers: int
    parameters: int
    signature: str

    @property
    def work(self) -> float:
        """What the time is taken to grow with."""
        return float(self.macs + A_VALUE * self.values + A_LAYER * self.layers)


def size_of(network: str, arguments: Mapping[str, Any]) -> Size:
    """Count a network of the catalogue that takes inputs of any size.

    Raises as `networks.create` does for all but the input's size.
    """
    fields = {**arguments}
    side = fields.pop("input_size", None)
    with torch.device("meta"):
        net = create(network, **fields).eval()
    shapes = [(name, list(value.shape)) for name, value in net.state_dict().items()]
    parameters = sum(p.numel() for p in net.parameters())
    channels, default, _ = net.input_shape
    input_shape = (channels, side or default, side or default)
    counts = _counts(net, input_shape)
    text = json.dumps([network, input_shape, shapes])
    return Size(
        macs=sum(macs for _, macs in counts),
        values=sum(values for values, _ in counts),
        layers=len(counts),
        parameters=parameters,
        signature=hashlib.sha256(text.encode()).hexdigest(),
    )


def _counts(net: nn.Module, input_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """(values, multiply-adds) of each convolution and linear layer; the network is used up."""
    counts: list[tuple[int, int]] = []

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        counts.append((output.numel(), output.numel() * weight[0].numel()))

    for parent in list(net.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _UNCOUNTED):
                setattr(parent, name, nn.Identity())
            elif isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.register_forward_hook(count)
    with torch.no_grad():
        net(torch.empty(1, *input_shape, device="meta"))
    return counts


class Estimate:
    """Costs that were measured, by the size of their network, and those of others from them."""

    def __init__(self) -> None:
        self._known: dict[Size, Cost] = {}

    def add(self, size: Size, cost: Cost) -> None:
        """Take in what was measured."""
        self._known[size] = cost

    def known(self) -> list[tuple[Size, Cost]]:
        """All that were measured, in that order."""
        return list(self._known.items())

    def measured(self, size: Size) -> Cost | None:
        """What was measured of this network."""
        return self._known.get(size)

    def cost(self, size: Size) -> Cost:
        """Measured, or estimated from the nearest one; there must be one."""
        if size in self._known:
            return self._known[size]
        near = min(self._known, key=lambda one: abs(math.log(one.work / size.work)))
        cost = self._known[near]
        code = cost.file_bytes - 4 * near.parameters
        return Cost(
            ms=cost.ms * size.work / near.work,
            file_bytes=4 * size.parameters + code,
            macs=size.macs,
            parameters=size.parameters,
            seconds=cost.seconds,
        )
