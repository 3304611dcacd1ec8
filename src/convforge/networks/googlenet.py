"""GoogLeNet, as its paper has it, and with batch normalisation, as published weights use it.

Paper: Szegedy et al. 2015, "Going deeper with convolutions", table 1, figures 2(b) and 3.
Parameters without and with the two side heads, multiply-adds at 224 pixels without:

    googlenet      6,998,552   13,378,280   1.58 G
    googlenet_bn   6,624,904   13,004,888   1.50 G

The side heads sit behind inception 4a and 4d, their losses count 0.3 each, and only training runs
them. Initialisation is Kaiming's.

`googlenet`. Deviations: none from what the paper states; it states no constants of the response
normalisation (AlexNet's here) and no initialisation. Its table's row conv1 says 2.7K parameters
where 64 kernels of 7x7 on 3 channels have 9.4K; some of its other figures are rounded so that they
differ from their own row by up to 7 %.

`googlenet_bn`. Deviations: those of torchvision and its weights: batch normalisation after every
convolution instead of biases and response normalisation, 3x3 kernels where the paper has 5x5 (a
slip in the original port that its weights keep), 2x2 pooling before inception 5a, dropout 0.2
instead of 0.4, side heads that average to 4x4 at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from convforge.networks.blocks import (
    ConvNormActivation,
    LocalResponseNorm,
    average_head,
    initialize_kaiming,
    sequence,
)
from convforge.networks.contract import ConvNet, map_shape

if TYPE_CHECKING:
    from collections.abc import Callable

# Maps: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj; None: max pooling with stride 2.
TABLE_1 = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "pool3": None,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "pool4": None,
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
SIDE_HEADS = ("inception4a", "inception4d")  # section 5: behind which blocks
SIDE_WEIGHT = 0.3
SIDE_DROPOUT = 0.7


@dataclass(frozen=True, kw_only=True)
class Form:
    """Where the two forms differ."""

    unit: Callable[..., nn.Module]  # a convolution and what belongs to it
    large_kernel: int  # of the "5x5" branch
    response_norm: Callable[[], nn.Module] | None
    pool4_kernel: int
    side_pool: Callable[[], nn.Module]
    dropout: float


PAPER = Form(
    unit=partial(ConvNormActivation, norm=None),
    large_kernel=5,
    response_norm=LocalResponseNorm,
    pool4_kernel=3,
    side_pool=partial(nn.AvgPool2d, 5, stride=3),
    dropout=0.4,
)
BATCH_NORM = Form(
    unit=partial(ConvNormActivation, norm=partial(nn.BatchNorm2d, eps=1e-3)),
    large_kernel=3,
    response_norm=None,
    pool4_kernel=2,
    side_pool=partial(nn.AdaptiveAvgPool2d, 4),
    dropout=0.2,
)


class Inception(nn.Module):
    """Figure 2(b): 1x1, 3x3, 5x5 and pooling side by side, their maps put together.

    `maps` is a row of `TABLE_1`. [N, IC, H, W] → [N, maps[0] + maps[2] + maps[4] + maps[5], H, W].
    """

    def __init__(
        self, in_channels: int, maps: tuple[int, int, int, int, int, int], *, form: Form = PAPER
    ) -> None:
        super().__init__()
        ones, reduce3, threes, reduce5, fives, project = maps
        unit = form.unit
        self.branch1 = unit(in_channels, ones, kernel_size=1)
        self.branch2 = sequence(
            reduce=unit(in_channels, reduce3, kernel_size=1),
            conv=unit(reduce3, threes, kernel_size=3),
        )
        self.branch3 = sequence(
            reduce=unit(in_channels, reduce5, kernel_size=1),
            conv=unit(reduce5, fives, kernel_size=form.large_kernel),
        )
        self.branch4 = sequence(
            pool=nn.MaxPool2d(3, stride=1, padding=1),
            project=unit(in_channels, project, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, IC, H, W] → [N, OC, H, W]."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)


class GoogLeNet(ConvNet):
    """A ConvNet with side heads, each named after the child of `features` whose maps it reads."""

    def __init__(
        self, features: nn.Sequential, head: nn.Sequential, side_heads: nn.ModuleDict
    ) -> None:
        super().__init__(features, head)
        del self.head  # registered again below: published weights have the side heads first
        self.side_heads = side_heads
        self.head = head

    def weighted_logits(self, x: Tensor) -> tuple[tuple[Tensor, float], ...]:
        """The main logits at 1; in training mode also the side heads' at 0.3 each."""
        if not self.training:
            return super().weighted_logits(x)
        sides = []
        for name, layer in self.features.named_children():
            x = layer(x)
            if name in self.side_heads:
                sides.append((self.side_heads[name](x), SIDE_WEIGHT))
        return ((self.head(x), 1.0), *sides)

    def heads(self) -> tuple[nn.Module, ...]:
        """The main head and the side heads."""
        return (self.head, *self.side_heads.values())


def googlenet(*, num_classes: int, in_channels: int, input_size: int) -> ConvNet:
    """GoogLeNet of 2015: [N, in_channels, input_size, input_size] → logits [N, num_classes].

    The side heads' first linear layers follow their maps, 4x4 at 224 pixels.
    """
    return _googlenet(
        PAPER, num_classes=num_classes, in_channels=in_channels, input_size=input_size
    )


def googlenet_bn(*, num_classes: int, in_channels: int, input_size: int) -> ConvNet:
    """GoogLeNet with batch normalisation: [N, in_channels, H, W] → logits [N, num_classes]."""
    return _googlenet(
        BATCH_NORM, num_classes=num_classes, in_channels=in_channels, input_size=input_size
    )


def _googlenet(form: Form, *, num_classes: int, in_channels: int, input_size: int) -> ConvNet:
    features = _features(form, in_channels)
    _, *pooled = map_shape(  # the same behind both blocks
        "googlenet",
        lambda: sequence(maps=_up_to(SIDE_HEADS[0], form, in_channels), pool=form.side_pool()),
        in_channels=in_channels,
        input_size=input_size,
    )
    side_heads = nn.ModuleDict(
        {
            name: _side_head(form, _width(name), pixels=math.prod(pooled), num_classes=num_classes)
            for name in SIDE_HEADS
        }
    )
    head = average_head(_width("inception5b"), num_classes, dropout=form.dropout)
    net = GoogLeNet(features, head, side_heads)
    initialize_kaiming(net)
    return net


def _features(form: Form, in_channels: int) -> nn.Sequential:
    layers: dict[str, nn.Module] = {
        "conv1": form.unit(in_channels, 64, kernel_size=7, stride=2),
        "pool1": _pool(3),
    }
    if form.response_norm:
        layers["norm1"] = form.response_norm()
    layers["conv2_reduce"] = form.unit(64, 64, kernel_size=1)
    layers["conv2"] = form.unit(64, 192, kernel_size=3)
    if form.response_norm:
        layers["norm2"] = form.response_norm()
    layers["pool2"] = _pool(3)
    channels = 192
    for name, maps in TABLE_1.items():
        if maps is None:
            layers[name] = _pool(form.pool4_kernel if name == "pool4" else 3)
        else:
            layers[name] = Inception(channels, maps, form=form)
            channels = _width(name)
    return sequence(**layers)


def _up_to(name: str, form: Form, in_channels: int) -> nn.Sequential:
    features = _features(form, in_channels)
    names = [child for child, _ in features.named_children()]
    return features[: names.index(name) + 1]


def _width(name: str) -> int:
    maps = TABLE_1[name]
    assert maps is not None
    return maps[0] + maps[2] + maps[4] + maps[5]


def _pool(kernel_size: int) -> nn.MaxPool2d:
    # rounded up: 112 → 56 → 28 → 14 → 7, as in table 1
    return nn.MaxPool2d(kernel_size, stride=2, ceil_mode=True)


def _side_head(form: Form, channels: int, *, pixels: int, num_classes: int) -> nn.Sequential:
    return sequence(
        pool=form.side_pool(),
        conv=form.unit(channels, 128, kernel_size=1),
        flatten=nn.Flatten(),
        linear1=nn.Linear(128 * pixels, 1024),
        relu=nn.ReLU(),
        dropout=nn.Dropout(SIDE_DROPOUT),
        linear2=nn.Linear(1024, num_classes),
    )
