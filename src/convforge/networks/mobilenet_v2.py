"""MobileNet v2: shortcuts between thin layers, wide ones inside the blocks.

Paper: Sandler et al. 2018, "MobileNetV2: Inverted residuals and linear bottlenecks"
(arXiv:1801.04381), table 2.

A 3x3 convolution, 17 inverted residual blocks, a 1x1 convolution to 1280 maps, global average
pooling, one linear layer. A block goes the other way round than ResNet's bottleneck: few maps
between blocks, many inside, and no activation on the way out (section 3.2: ReLU on few maps loses
information), so that the shortcut joins the thin ends.

3,504,872 parameters, 301 M multiply-adds at width 1 and 224 pixels.

Deviations: the last layer is linear where the paper writes a 1x1 convolution on the pooled map, the
same arithmetic. Initialisation is Kaiming's; the paper gives none. Padding is symmetric, as in
torchvision's weights; the authors' want `padding="same_tf"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from convforge.networks.blocks import (
    ConvNormActivation,
    average_head,
    check_multipliers,
    initialize_kaiming,
    round_channels,
    round_repeats,
    sequence,
)
from convforge.networks.contract import ConvNet

if TYPE_CHECKING:
    from convforge.networks.blocks import Padding

# Table 2: t expansion, c output maps, n blocks, s stride of the first of them.
STEM = 32
TABLE_2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST = 1280


class InvertedResidual(nn.Module):
    """Table 1: 1x1 `expand`, 3x3 depthwise, 1x1 `project` without activation, and a shortcut.

    The shortcut is there where the shape stays, and the expansion where it is not 1.
    [N, IC, IH, IW] → [N, OC, ceil(IH / stride), ceil(IW / stride)].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        expansion: int,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        inside = in_channels * expansion
        layers: dict[str, nn.Module] = {}
        if expansion != 1:
            layers["expand"] = ConvNormActivation(
                in_channels, inside, kernel_size=1, activation=nn.ReLU6
            )
        layers["depthwise"] = ConvNormActivation(
            inside,
            inside,
            kernel_size=3,
            stride=stride,
            padding=padding,
            groups=inside,
            activation=nn.ReLU6,
        )
        layers["project"] = ConvNormActivation(inside, out_channels, kernel_size=1, activation=None)
        self.body = sequence(**layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, IC, IH, IW] → [N, OC, OH, OW]."""
        result: Tensor = self.body(x)
        return x + result if self.has_shortcut else result


def mobilenet_v2(
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    padding: Padding = "same",
) -> ConvNet:
    """MobileNet v2 for images of any size; `width` is the width multiplier, above 0.

    `depth`, above 0, multiplies the blocks of every row of table 2, rounded up.
    The last convolution keeps its 1280 maps below width 1 (section 5, "for multipliers less than
    one, we apply width multiplier to all layers except the very last convolutional layer").
    Features: `stem`, `block1` … (`block17` at depth 1), `last`, stride 32 in all. Raises
    NetworkError where an argument is out of range.
    """
    check_multipliers("mobilenet_v2", width=width, depth=depth)
    channels = round_channels(STEM * width)
    layers: dict[str, nn.Module] = {
        "stem": ConvNormActivation(
            in_channels, channels, kernel_size=3, stride=2, padding=padding, activation=nn.ReLU6
        )
    }
    for expansion, maps, blocks, first_stride in TABLE_2:
        for index in range(round_repeats(blocks, depth=depth)):
            layers[f"block{len(layers)}"] = InvertedResidual(
                channels,
                round_channels(maps * width),
                stride=first_stride if index == 0 else 1,
                expansion=expansion,
                padding=padding,
            )
            channels = round_channels(maps * width)
    last = round_channels(LAST * max(width, 1.0))
    layers["last"] = ConvNormActivation(channels, last, kernel_size=1, activation=nn.ReLU6)
    net = ConvNet(sequence(**layers), average_head(last, num_classes, dropout=dropout))
    initialize_kaiming(net)
    return net
