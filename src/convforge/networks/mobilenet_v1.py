"""MobileNet v1: convolutions split in two, and two multipliers that trade accuracy for cost.

Paper: Howard et al. 2017, "MobileNets: Efficient convolutional neural networks for mobile vision
applications" (arXiv:1704.04861), table 1.

A 3x3 convolution, 13 depthwise separable blocks, global average pooling, one linear layer. A block
splits a convolution in two: 3x3 within each map, then 1x1 across the maps, for 1/OC + 1/9 of the
multiply-adds. The width multiplier (section 3.3) thins every layer alike, the resolution multiplier
(section 3.4) is `input_size` / 224: both shrink multiply-adds by about their square.

4,231,976 parameters, 569 M multiply-adds at width 1 and 224 pixels.

Deviations: the paper's table gives the last depthwise layer stride 2 and yet an output of 7x7, so
it has stride 1 here, as in the authors' code. Activations are ReLU6, as in the authors' code
(tensorflow/models, research/slim) and every published set of weights; the paper's figure 3 says
ReLU, which is `activation="relu"`. Initialisation is Kaiming's; the paper gives none. The authors'
weights want `padding="same_tf"`.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from torch import nn

from convforge.errors import NetworkError
from convforge.networks.blocks import (
    ConvNormActivation,
    average_head,
    check_multipliers,
    initialize_kaiming,
    round_repeats,
    sequence,
)
from convforge.networks.contract import ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.networks.blocks import Padding

# Table 1: output maps of the first convolution (stride 2), then (output maps, stride) a block.
STEM = 32
TABLE_1 = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)

Activation = Literal["relu6", "relu"]
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu6": nn.ReLU6, "relu": nn.ReLU}


class DepthwiseSeparable(nn.Sequential):
    """`depthwise` 3x3, then `pointwise` 1x1, each normalised and activated (figure 3, right).

    [N, IC, IH, IW] → [N, OC, ceil(IH / stride), ceil(IW / stride)].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        padding: Padding = "same",
        activation: Callable[[], nn.Module] = nn.ReLU6,
    ) -> None:
        depthwise = ConvNormActivation(
            in_channels,
            in_channels,
            kernel_size=3,
            stride=stride,
            padding=padding,
            groups=in_channels,
            activation=activation,
        )
        pointwise = ConvNormActivation(
            in_channels, out_channels, kernel_size=1, activation=activation
        )
        super().__init__(OrderedDict(depthwise=depthwise, pointwise=pointwise))


def thin(channels: int, width: float) -> int:
    """Maps of a layer under the width multiplier: rounded down, and 8 at least.

    As in the authors' code; section 3.3 does not say how to round. The published multipliers 0.25,
    0.5 and 0.75 leave nothing to round.
    """
    return max(int(channels * width), 8)


def deepen(depth: float) -> tuple[tuple[int, int], ...]:
    """Table 1 with `depth` times as many blocks of each number of maps, rounded up.

    Blocks of one number of maps keep their first strides in their order; what is added has stride 1
    and what is left out are blocks of stride 1, so that the maps keep their sizes.
    """
    rows: list[tuple[int, int]] = []
    for maps, group in itertools.groupby(TABLE_1, key=lambda row: row[0]):
        strides = [stride for _, stride in group]
        wanted = round_repeats(len(strides), depth=depth)
        halving = [stride for stride in strides if stride > 1]
        rows += [(maps, stride) for stride in (halving + [1] * wanted)[: max(wanted, len(halving))]]
    return tuple(rows)


def mobilenet_v1(
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.001,
    padding: Padding = "same",
    activation: Activation = "relu6",
) -> ConvNet:
    """MobileNet v1 for images of any size; `width` is the width multiplier, above 0.

    `depth`, above 0, multiplies the blocks of each number of maps, as `deepen` does. Features:
    `stem`, `block1` … (`block13` at depth 1), stride 32 in all. Raises NetworkError where an
    argument is out of range.
    """
    check_multipliers("mobilenet_v1", width=width, depth=depth)
    if activation not in _ACTIVATIONS:
        raise NetworkError(
            f"mobilenet_v1: activation {activation!r} is not one of {', '.join(_ACTIVATIONS)}"
        )
    act = _ACTIVATIONS[activation]
    channels = thin(STEM, width)
    layers: dict[str, nn.Module] = {
        "stem": ConvNormActivation(
            in_channels, channels, kernel_size=3, stride=2, padding=padding, activation=act
        )
    }
    for number, (out, stride) in enumerate(deepen(depth), start=1):
        layers[f"block{number}"] = DepthwiseSeparable(
            channels, thin(out, width), stride=stride, padding=padding, activation=act
        )
        channels = thin(out, width)
    net = ConvNet(sequence(**layers), average_head(channels, num_classes, dropout=dropout))
    initialize_kaiming(net)
    return net
