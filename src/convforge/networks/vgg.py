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

from convforge.networks.blocks import ConvNormActivation, initialize_kaiming, sequence
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


def vgg11(*, num_classes: int, in_channels: int) -> ConvNet:
    """Column A: [N, in_channels, H, W], H and W from 32 → logits [N, num_classes]."""
    return _vgg("A", _conv_relu, num_classes=num_classes, in_channels=in_channels)


def vgg13(*, num_classes: int, in_channels: int) -> ConvNet:
    """Column B: [N, in_channels, H, W], H and W from 32 → logits [N, num_classes]."""
    return _vgg("B", _conv_relu, num_classes=num_classes, in_channels=in_channels)


def vgg16(*, num_classes: int, in_channels: int) -> ConvNet:
    """Column D: [N, in_channels, H, W], H and W from 32 → logits [N, num_classes]."""
    return _vgg("D", _conv_relu, num_classes=num_classes, in_channels=in_channels)


def vgg19(*, num_classes: int, in_channels: int) -> ConvNet:
    """Column E: [N, in_channels, H, W], H and W from 32 → logits [N, num_classes]."""
    return _vgg("E", _conv_relu, num_classes=num_classes, in_channels=in_channels)


def vgg11_bn(*, num_classes: int, in_channels: int) -> ConvNet:
    """`vgg11` with batch normalisation after every convolution."""
    return _vgg("A", _conv_norm_relu, num_classes=num_classes, in_channels=in_channels)


def vgg13_bn(*, num_classes: int, in_channels: int) -> ConvNet:
    """`vgg13` with batch normalisation after every convolution."""
    return _vgg("B", _conv_norm_relu, num_classes=num_classes, in_channels=in_channels)


def vgg16_bn(*, num_classes: int, in_channels: int) -> ConvNet:
    """`vgg16` with batch normalisation after every convolution."""
    return _vgg("D", _conv_norm_relu, num_classes=num_classes, in_channels=in_channels)


def vgg19_bn(*, num_classes: int, in_channels: int) -> ConvNet:
    """`vgg19` with batch normalisation after every convolution."""
    return _vgg("E", _conv_norm_relu, num_classes=num_classes, in_channels=in_channels)


_conv_relu: Unit = partial(ConvNormActivation, kernel_size=3, norm=None)
# Here the convolution keeps its bias, as in the published weights.
_conv_norm_relu: Unit = partial(ConvNormActivation, kernel_size=3, bias=True)


def _vgg(column: str, unit: Unit, *, num_classes: int, in_channels: int) -> ConvNet:
    layers: dict[str, nn.Module] = {}
    channels = in_channels
    for stage, widths in enumerate(TABLE_1[column], start=1):
        for number, maps in enumerate(widths, start=1):
            layers[f"conv{stage}_{number}"] = unit(channels, maps)
            channels = maps
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    head = sequence(
        pool=nn.AdaptiveAvgPool2d(7),
        flatten=nn.Flatten(),
        linear6=nn.Linear(channels * 7 * 7, HIDDEN),
        relu6=nn.ReLU(),
        dropout6=nn.Dropout(DROPOUT),
        linear7=nn.Linear(HIDDEN, HIDDEN),
        relu7=nn.ReLU(),
        dropout7=nn.Dropout(DROPOUT),
        linear8=nn.Linear(HIDDEN, num_classes),
    )
    net = ConvNet(sequence(**layers), head)
    initialize_kaiming(net)
    return net
