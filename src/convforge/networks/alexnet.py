"""AlexNet, as its paper has it, and the one tower that published weights use.

`alexnet`, 60,965,224 parameters, 724 M multiply-adds at 227 pixels. Paper: Krizhevsky, Sutskever
and Hinton 2012, "ImageNet classification with deep convolutional neural networks", section 3 and
figure 2. Convolutions 2, 4 and 5 see only half of the maps before them, those that lay on the same
GPU: two groups. Deviations: the paper writes 224 pixels, its figures (55x55 maps after 11x11 with
stride 4) need 227; response normalisation sums over all maps, as section 3.3 writes it, where the
authors' program stayed within a GPU's half.

`alexnet_owt`, 61,100,840 parameters, 714 M multiply-adds at 224 pixels. Krizhevsky 2014, "One weird
trick for parallelizing convolutional neural networks", footnote 1: one tower, fewer maps, no
response normalisation. As torchvision has it: average pooling to 6x6 lets it take other sizes,
dropout stands before the linear layers. Deviations: Kaiming initialisation; the paper gives none.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import nn

from convforge.networks.blocks import LocalResponseNorm, initialize_kaiming, sequence
from convforge.networks.contract import ConvNet, map_shape


class Layer(NamedTuple):
    """One convolution and what follows it: ReLU, then each of `then`."""

    maps: int
    kernel_size: int
    stride: int
    padding: int
    groups: int
    then: tuple[str, ...]


# 2012: maps, kernel, stride, padding (pixels), groups, after the ReLU
ALEXNET = (
    Layer(96, 11, 4, 0, 1, ("norm", "pool")),
    Layer(256, 5, 1, 2, 2, ("norm", "pool")),
    Layer(384, 3, 1, 1, 1, ()),
    Layer(384, 3, 1, 1, 2, ()),
    Layer(256, 3, 1, 1, 2, ("pool",)),
)

# 2014: maps, kernel, stride, padding (pixels), groups, after the ReLU
ALEXNET_OWT = (
    Layer(64, 11, 4, 2, 1, ("pool",)),
    Layer(192, 5, 1, 2, 1, ("pool",)),
    Layer(384, 3, 1, 1, 1, ()),
    Layer(256, 3, 1, 1, 1, ()),
    Layer(256, 3, 1, 1, 1, ("pool",)),
)

HIDDEN = 4096  # units of both hidden linear layers
DROPOUT = 0.5  # section 4.2

# Section 5: weights are normal with deviation 0.01; these layers' biases are 1, all others 0.
DEVIATION = 0.01
BIAS_OF_1 = ("conv2", "conv4", "conv5", "linear6", "linear7")


def alexnet(*, num_classes: int, in_channels: int, input_size: int) -> ConvNet:
    """AlexNet of 2012: [N, in_channels, input_size, input_size] → logits [N, num_classes].

    Its first linear layer follows the map, 6x6 at 227 pixels.
    """
    shape = map_shape(
        "alexnet",
        lambda: _features(ALEXNET, in_channels),
        in_channels=in_channels,
        input_size=input_size,
    )
    head = sequence(
        flatten=nn.Flatten(),
        linear6=nn.Linear(math.prod(shape), HIDDEN),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(DROPOUT),
        linear7=nn.Linear(HIDDEN, HIDDEN),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(DROPOUT),
        linear8=nn.Linear(HIDDEN, num_classes),
    )
    net = ConvNet(_features(ALEXNET, in_channels), head)
    _initialize_as_section_5(net)
    return net


def alexnet_owt(*, num_classes: int, in_channels: int) -> ConvNet:
    """AlexNet of 2014, one tower: [N, in_channels, H, W] → logits [N, num_classes]."""
    features = _features(ALEXNET_OWT, in_channels)
    head = sequence(
        pool=nn.AdaptiveAvgPool2d(6),
        flatten=nn.Flatten(),
        dropout5=nn.Dropout(DROPOUT),
        linear6=nn.Linear(ALEXNET_OWT[-1].maps * 6 * 6, HIDDEN),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(DROPOUT),
        linear7=nn.Linear(HIDDEN, HIDDEN),
        relu7=nn.ReLU(),
        linear8=nn.Linear(HIDDEN, num_classes),
    )
    net = ConvNet(features, head)
    initialize_kaiming(net)
    return net


def _features(table: tuple[Layer, ...], in_channels: int) -> nn.Sequential:
    layers: dict[str, nn.Module] = {}
    channels = in_channels
    for number, row in enumerate(table, start=1):
        layers[f"conv{number}"] = nn.Conv2d(
            channels,
            row.maps,
            row.kernel_size,
            stride=row.stride,
            padding=row.padding,
            groups=row.groups,
        )
        layers[f"relu{number}"] = nn.ReLU()
        if "norm" in row.then:
            layers[f"norm{number}"] = LocalResponseNorm()
        if "pool" in row.then:
            layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2)  # section 3.4: overlapping
        channels = row.maps
    return sequence(**layers)


def _initialize_as_section_5(net: ConvNet) -> None:
    for part in (net.features, net.head):
        for name, layer in part.named_children():
            if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=DEVIATION)
                nn.init.constant_(layer.bias, 1.0 if name in BIAS_OF_1 else 0.0)
