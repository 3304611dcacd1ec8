"""VGG-11, 13, 16 and 19, plain and with batch normalisation.

Paper: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image
recognition", table 1, columns A, B, D and E; parameters in table 2.

              column   parameters    with batch normalisation   multiply-adds at 224 pixels
    vgg11     A        132,863,336   132,868,840                 7.61 G
    vgg13     B        133,047,848   133,053,736                11.31 G
    vgg16     D        138,357,544   138,365,992                15.47 G
    vgg19     E        143,667,240   143,678,248                19.63 G

Deviations: Kaiming initialisation (the paper starts from a trained column A and notes that Glorot's
rule would do); average pooling to 7x7, nothing at 224 pixels, lets them take other sizes. The
forms with batch normalisation are torchvision's, younger than the paper.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from convforge.networks.blocks import (
    ConvNormActivation,
    check_multipliers,
    initialize_kaiming,
    round_channels,
    round_repeats,
    sequence,
)
from convforge.networks.contract import ConvNet

if TYPE_CHECKING:
    from collections.abc import Callable

    Unit = Callable[[int, int], nn.Module]

# Maps of each 3x3 convolution, stage by stage; 2x2 max pooling ends a stage.
TABLE_1 = {
    "A": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "B": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "D": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "E": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}

HIDDEN = 4096  # units of both hidden linear layers
DROPOUT = 0.5  # section 3.1


def vgg(
    column: str,
    unit: Unit,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    depth: float = 1.0,
) -> ConvNet:
    """A column of table 1, for images [N, in_channels, H, W], H and W from 32.

    `width` multiplies the maps and the hidden units of every layer, rounded as `round_channels`
    does, `depth` the convolutions of every stage, rounded up. Raises NetworkError where
    one of them is not above 0.
    """
    check_multipliers("vgg", width=width, depth=depth)
    hidden = round_channels(HIDDEN * width)
    layers: dict[str, nn.Module] = {}
    channels = in_channels
    for stage, widths in enumerate(TABLE_1[column], start=1):
        maps = round_channels(widths[0] * width)
        for number in range(1, round_repeats(len(widths), depth=depth) + 1):
            layers[f"conv{stage}_{number}"] = unit(channels, maps)
            channels = maps
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    head = sequence(
        pool=nn.AdaptiveAvgPool2d(7),
        flatten=nn.Flatten(),
        linear6=nn.Linear(channels * 7 * 7, hidden),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(DROPOUT),
        linear7=nn.Linear(hidden, hidden),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(DROPOUT),
        linear8=nn.Linear(hidden, num_classes),
    )
    net = ConvNet(sequence(**layers), head)
    initialize_kaiming(net)
    return net


_conv_relu: Unit = partial(ConvNormActivation, kernel_size=3, norm=None)
# Here the convolution keeps its bias, as in the published weights.
_conv_norm_relu: Unit = partial(ConvNormActivation, kernel_size=3, bias=True)

# Every network is a column and what its convolutions are followed by.
vgg11 = partial(vgg, "A", _conv_relu)
vgg13 = partial(vgg, "B", _conv_relu)
vgg16 = partial(vgg, "D", _conv_relu)
vgg19 = partial(vgg, "E", _conv_relu)
vgg11_bn = partial(vgg, "A", _conv_norm_relu)
vgg13_bn = partial(vgg, "B", _conv_norm_relu)
vgg16_bn = partial(vgg, "D", _conv_norm_relu)
vgg19_bn = partial(vgg, "E", _conv_norm_relu)
