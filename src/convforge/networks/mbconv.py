"""The block of EfficientNet and its parts: squeeze and excitation, stochastic depth, MBConv."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convforge.networks.blocks import ConvNormActivation, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.networks.blocks import Padding


class SqueezeExcite(nn.Module):
    """Hu et al. 2018, figure 2: each map is scaled by a factor that is computed from all maps.

    factors = sigmoid(expand(activation(reduce(mean over the map)))). [N, C, H, W] → [N, C, H, W].
    """

    def __init__(
        self, channels: int, squeezed: int, *, activation: Callable[[], nn.Module] = nn.SiLU
    ) -> None:
        super().__init__()
        self.factors = sequence(
            pool=nn.AdaptiveAvgPool2d(1),
            reduce=nn.Conv2d(channels, squeezed, 1),
            activation=activation(),
            expand=nn.Conv2d(squeezed, channels, 1),
            gate=nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        result: Tensor = self.factors(x) * x
        return result


class StochasticDepth(nn.Module):
    """Huang et al. 2016: in training, each image's maps are 0 with probability `p`, else scaled up.

    Survivors are divided by 1 - p, so that nothing is to be done in evaluation.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        if not self.training or self.p == 0:
            return x
        survives = torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
        return x * survives.bernoulli_(1 - self.p).div_(1 - self.p)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class MBConv(nn.Module):
    """`expand`, depthwise, `squeeze`, `project`; a shortcut where the shape stays.

    MobileNet v2's inverted residual with squeeze and excitation of `squeezed` maps between
    depthwise and projection; none where that is 0. The expansion is left out where it is 1.
    `drop` is the probability of stochastic depth. [N, IC, IH, IW] → [N, OC, OH, OW].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        expansion: int,
        squeezed: int,
        drop: float = 0.0,
        padding: Padding = "same",
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        inside = in_channels * expansion
        unit = partial(ConvNormActivation, norm=norm, padding=padding)
        layers: dict[str, nn.Module] = {}
        if expansion != 1:
            layers["expand"] = unit(in_channels, inside, kernel_size=1, activation=activation)
        layers["depthwise"] = unit(
            inside,
            inside,
            kernel_size=kernel_size,
            stride=stride,
            groups=inside,
            activation=activation,
        )
        if squeezed:
            layers["squeeze"] = SqueezeExcite(inside, squeezed, activation=activation)
        layers["project"] = unit(inside, out_channels, kernel_size=1, activation=None)
        self.body = sequence(**layers)
        self.drop = StochasticDepth(drop)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, IC, IH, IW] → [N, OC, OH, OW]."""
        result: Tensor = self.body(x)
        return self.drop(result) + x if self.has_shortcut else result
