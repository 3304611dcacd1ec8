"""Network in Network, for ImageNet and for CIFAR-10.

Paper: Lin, Chen and Yan 2014, "Network in network". A convolution is followed by a small perceptron
at every position, which is two 1x1 convolutions; global average pooling takes the place of linear
layers. The paper prints no table of sizes; these are the authors' published Caffe networks.

    nin         7,595,176 parameters, 1.10 G multiply-adds at 224 pixels
    nin_cifar     966,986 parameters, 0.22 G multiply-adds at 32 pixels

Deviations from those: Kaiming initialisation. The last 1x1 convolution, whose maps are averaged
to the logits, has a ReLU too, as there.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from convforge.networks.blocks import conv2d, initialize_kaiming, sequence
from convforge.networks.contract import ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.networks.blocks import Padding


class Row(NamedTuple):
    """One MlpConv (maps of its convolution, then of its 1x1 layers) and what follows it."""

    maps: tuple[int, ...]
    kernel_size: int
    stride: int
    padding: Padding
    then: tuple[str, ...]


# Maps, kernel, stride, padding, what follows; the head's 1x1 layer completes the last row.
NIN = (
    Row((96, 96, 96), 11, 4, "valid", ("max",)),
    Row((256, 256, 256), 5, 1, "same", ("max",)),
    Row((384, 384, 384), 3, 1, "same", ("max", "dropout")),
    Row((1024, 1024), 3, 1, "same", ()),
)
NIN_CIFAR = (
    Row((192, 160, 96), 5, 1, "same", ("max", "dropout")),
    Row((192, 192, 192), 5, 1, "same", ("average", "dropout")),
    Row((192, 192), 3, 1, "same", ()),
)

# Caffe rounds the size of pooled maps up.
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "max": partial(nn.MaxPool2d, 3, stride=2, ceil_mode=True),
    "average": partial(nn.AvgPool2d, 3, stride=2, ceil_mode=True),
    "dropout": partial(nn.Dropout, 0.5),
}


class MlpConv(nn.Sequential):
    """A convolution and a perceptron that runs over its maps: 1x1 convolutions, ReLU after each.

    `maps` are those of the convolution and of each 1x1 layer:
    [N, IC, IH, IW] → [N, maps[-1], OH, OW].
    """

    def __init__(
        self,
        in_channels: int,
        maps: tuple[int, ...],
        *,
        kernel_size: int,
        stride: int = 1,
        padding: Padding = "same",
    ) -> None:
        first = conv2d(
            in_channels, maps[0], kernel_size=kernel_size, stride=stride, padding=padding
        )
        super().__init__()
        self.add_module("conv", first)
        self.add_module("relu", nn.ReLU())
        for number, (before, after) in enumerate(pairwise(maps), start=1):
            self.add_module(f"mlp{number}", nn.Conv2d(before, after, 1))
            self.add_module(f"mlp{number}_relu", nn.ReLU())


def nin(*, num_classes: int, in_channels: int) -> ConvNet:
    """Network in Network for ImageNet: [N, in_channels, H, W] → logits [N, num_classes]."""
    return _nin(NIN, num_classes=num_classes, in_channels=in_channels)


def nin_cifar(*, num_classes: int, in_channels: int) -> ConvNet:
    """Network in Network for CIFAR-10: [N, in_channels, H, W] → logits [N, num_classes]."""
    return _nin(NIN_CIFAR, num_classes=num_classes, in_channels=in_channels)


def _nin(table: tuple[Row, ...], *, num_classes: int, in_channels: int) -> ConvNet:
    layers: dict[str, nn.Module] = {}
    channels = in_channels
    for number, row in enumerate(table, start=1):
        layers[f"mlpconv{number}"] = MlpConv(
            channels,
            row.maps,
            kernel_size=row.kernel_size,
            stride=row.stride,
            padding=row.padding,
        )
        for word in row.then:
            layers[f"{word}{number}"] = LAYERS[word]()
        channels = row.maps[-1]
    head = sequence(
        conv=nn.Conv2d(channels, num_classes, 1),
        relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
    )
    net = ConvNet(sequence(**layers), head)
    initialize_kaiming(net)
    return net
