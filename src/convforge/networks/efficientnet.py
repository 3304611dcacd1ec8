"""EfficientNet b0 … b7 and lite0 … lite4: one base network and a rule that makes it larger.

Papers: Tan and Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks"
(arXiv:1905.11946), table 1, equation 3; the lite networks: tensorflow/tpu,
models/official/efficientnet/lite, 2020, which has no paper.

Depth, width and resolution grow together, by the coefficients of the authors' code:

             parameters   multiply-adds    at
    b0        5,288,548          0.39 G   224 pixels
    b1        7,794,184          0.69 G   240
    b2        9,109,994          0.99 G   260
    b3       12,233,232          1.83 G   300
    b4       19,341,616          4.39 G   380
    b5       30,389,784         10.27 G   456
    b6       43,040,704         19.07 G   528
    b7       66,347,960         37.75 G   600
    lite0     4,652,008          0.39 G   224
    lite1     5,416,680          0.60 G   240
    lite2     6,092,072          0.86 G   260
    lite3     8,197,096          1.38 G   280
    lite4    13,006,568          2.55 G   300

The lite networks are for processors that do badly at what they leave out: no squeeze and
excitation, ReLU6 instead of SiLU, and the first and the last layers as they are at any scale. The
authors give 0.41, 0.63, 0.90, 1.44 and 2.64 G for them, which counts three more operations for
each value that a convolution gives.

Deviations of b0 … b7: symmetric padding, and for b0 … b4 normalisation with epsilon 1e-5 and
momentum 0.1, as torchvision's weights have it; the authors' form is `padding="same_tf",
norm="tf"`. The drop connect of the authors' code is stochastic depth here, as in the paper. The
lite networks deviate in nothing. Initialisation is that of the authors' code.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torch import nn

from convforge.errors import NetworkError
from convforge.networks.blocks import (
    ConvNormActivation,
    average_head,
    round_channels,
    round_repeats,
    sequence,
)
from convforge.networks.contract import ConvNet
from convforge.networks.mbconv import MBConv

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.networks.blocks import Padding


class Stage(NamedTuple):
    """A row of table 1: blocks of one shape, the first of them with the stride."""

    expansion: int
    kernel_size: int
    stride: int
    channels: int
    repeats: int


STEM = 32
TABLE_1 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
LAST = 1280
SQUEEZE_RATIO = 0.25  # maps of a block's squeeze over its input maps

# Coefficients of the authors' code: width, depth, resolution in pixels, dropout.
COMPOUND = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3),
    "lite4": (1.4, 1.8, 300, 0.3),
}

Norm = Literal["torch", "tf"]
# epsilon and momentum (the new statistics' share) of torch's default and of the authors' code
_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "torch": partial(nn.BatchNorm2d, eps=1e-5, momentum=0.1),
    "tf": partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01),
}


def compound_scaling(phi: float) -> tuple[float, float, float]:
    """Equation 3: (width, depth, resolution in pixels) at the compound coefficient `phi`.

        width = 1.1^phi    depth = 1.2^phi    resolution = 224 * 1.15^phi

    1.2 * 1.1² * 1.15² is about 2, so that multiply-adds grow as 2^phi. `COMPOUND` is what the
    authors made of it: b1, b2 and b3 have phi 0.5, 1 and 2, rounded; b4 … b7 have the width
    and the resolution of phi 4 … 7, and less depth.
    """
    return 1.1**phi, 1.2**phi, 224 * 1.15**phi


def scale(*, width: float, depth: float) -> tuple[Stage, ...]:
    """Table 1 with `width` times the maps and `depth` times the blocks.

    Maps are rounded as `round_channels` does, blocks up. Raises NetworkError where a factor is not
    above 0.
    """
    if min(width, depth) <= 0:
        raise NetworkError(
            f"efficientnet: width and depth must be above 0, got {width} and {depth}; b0 has 1, 1"
        )
    return tuple(
        stage._replace(
            channels=round_channels(stage.channels * width),
            repeats=round_repeats(stage.repeats, depth=depth),
        )
        for stage in TABLE_1
    )


def scale_lite(*, width: float, depth: float) -> tuple[Stage, ...]:
    """As `scale`, but the first and the last stage are not repeated."""
    first, *between, last = scale(width=width, depth=depth)
    repeats = (TABLE_1[0].repeats, TABLE_1[-1].repeats)
    return (first._replace(repeats=repeats[0]), *between, last._replace(repeats=repeats[1]))


def efficientnet(
    *,
    num_classes: int,
    in_channels: int,
    width: float,
    depth: float,
    dropout: float,
    stochastic_depth: float = 0.2,
    padding: Padding = "same",
    norm: Norm = "torch",
) -> ConvNet:
    """Table 1 scaled by `width` and `depth`, for images of any size: the builder of b0 … b7.

    `stochastic_depth` is what the probability grows to, linearly over the blocks from 0 at the
    first. Features: `stem`, `stage1` … `stage7`, `last`, stride 32 in all. Raises NetworkError
    where an argument is out of range.
    """
    return _network(
        scale(width=width, depth=depth),
        num_classes=num_classes,
        in_channels=in_channels,
        ends=(round_channels(STEM * width), round_channels(LAST * width)),
        squeeze_ratio=SQUEEZE_RATIO,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        padding=padding,
        norm=norm,
        activation=nn.SiLU,
    )


def efficientnet_lite(
    *,
    num_classes: int,
    in_channels: int,
    width: float,
    depth: float,
    dropout: float,
    stochastic_depth: float = 0.2,
    padding: Padding = "same_tf",
) -> ConvNet:
    """The builder of lite0 … lite4; arguments, features and errors as `efficientnet`'s."""
    return _network(
        scale_lite(width=width, depth=depth),
        num_classes=num_classes,
        in_channels=in_channels,
        ends=(STEM, LAST),
        squeeze_ratio=0,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        padding=padding,
        norm="tf",
        activation=nn.ReLU6,
    )


def _scaled(
    variant: str, builder: Callable[..., ConvNet], **arguments: Any
) -> Callable[..., ConvNet]:
    # The builder with the coefficients of one variant as its defaults.
    width, depth, _, dropout = COMPOUND[variant]
    return partial(builder, width=width, depth=depth, dropout=dropout, **arguments)


efficientnet_b0 = _scaled("b0", efficientnet)
efficientnet_b1 = _scaled("b1", efficientnet)
efficientnet_b2 = _scaled("b2", efficientnet)
efficientnet_b3 = _scaled("b3", efficientnet)
efficientnet_b4 = _scaled("b4", efficientnet)
efficientnet_b5 = _scaled("b5", efficientnet, norm="tf")
efficientnet_b6 = _scaled("b6", efficientnet, norm="tf")
efficientnet_b7 = _scaled("b7", efficientnet, norm="tf")
efficientnet_lite0 = _scaled("lite0", efficientnet_lite)
efficientnet_lite1 = _scaled("lite1", efficientnet_lite)
efficientnet_lite2 = _scaled("lite2", efficientnet_lite)
efficientnet_lite3 = _scaled("lite3", efficientnet_lite)
efficientnet_lite4 = _scaled("lite4", efficientnet_lite)


def _network(
    stages: tuple[Stage, ...],
    *,
    num_classes: int,
    in_channels: int,
    ends: tuple[int, int],  # maps of the first and of the last convolution
    squeeze_ratio: float,
    dropout: float,
    stochastic_depth: float,
    padding: Padding,
    norm: str,
    activation: Callable[[], nn.Module],
) -> ConvNet:
    _check(norm=norm, stochastic_depth=stochastic_depth)
    style: dict[str, Any] = {"norm": _NORMS[norm], "padding": padding, "activation": activation}
    channels, last = ends
    layers: dict[str, nn.Module] = {
        "stem": ConvNormActivation(in_channels, channels, kernel_size=3, stride=2, **style)
    }
    done, total = 0, sum(stage.repeats for stage in stages)
    for number, stage in enumerate(stages, start=1):
        blocks: dict[str, nn.Module] = {}
        for index in range(stage.repeats):
            blocks[f"block{index + 1}"] = MBConv(
                channels,
                stage.channels,
                kernel_size=stage.kernel_size,
                stride=stage.stride if index == 0 else 1,
                expansion=stage.expansion,
                squeezed=int(channels * squeeze_ratio),
                drop=stochastic_depth * done / total,
                **style,
            )
            channels, done = stage.channels, done + 1
        layers[f"stage{number}"] = sequence(**blocks)
    layers["last"] = ConvNormActivation(channels, last, kernel_size=1, **style)
    net = ConvNet(sequence(**layers), average_head(last, num_classes, dropout=dropout))
    _initialize_as_the_authors(net)
    return net


def _check(*, norm: str, stochastic_depth: float) -> None:
    if norm not in _NORMS:
        raise NetworkError(f"efficientnet: norm {norm!r} is not one of {', '.join(_NORMS)}")
    if not 0 <= stochastic_depth < 1:
        raise NetworkError(
            "efficientnet: stochastic_depth must be at least 0 and below 1, "
            f"got {stochastic_depth}; the authors train with 0.2"
        )


def _initialize_as_the_authors(net: ConvNet) -> None:
    # efficientnet_model.py: convolutions normal with variance 2 / (KH * KW * maps of a group),
    # linear layers uniform up to 1 / sqrt(outputs), normalisation 1 and 0, biases 0
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.out_features)
            nn.init.uniform_(layer.weight, -bound, bound)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
