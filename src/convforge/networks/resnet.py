"""ResNet for ImageNet and for CIFAR-10, and the plain networks that the paper compares with.

Paper: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", table 1 and
section 4.2. Parameters and multiply-adds (at 224 pixels; at 32 for CIFAR-10):

    resnet18   11,689,512    1.81 G        resnet20, plain20     269,722    40.6 M
    resnet34   21,797,672    3.66 G        resnet32, plain32     464,154    68.9 M
    resnet50   25,557,032    4.09 G        resnet44, plain44     658,586    97.2 M
    resnet101  44,549,160    7.80 G        resnet56, plain56     853,018   125.5 M
    resnet152  60,192,808   11.51 G        resnet110           1,727,962   252.9 M
    plain18    11,515,688    1.79 G        resnet50_v1        25,557,032    3.86 G
    plain34    21,623,848    3.64 G

Deviations: `resnet50`, `101` and `152` halve the map in the 3x3 convolution of a bottleneck, as
torchvision ("v1.5") and its weights do; the paper does so in the first 1x1, as `resnet50_v1` does.
`resnet18` and `resnet34` project where the shape changes (option B, as torchvision); the CIFAR-10
networks pad with zeros (option A, as the paper), half of the new maps before and half behind.
A plain network is its twin without shortcuts. Initialisation is Kaiming's, the paper's reference.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

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
    from collections.abc import Callable

    # (in_channels, out_channels, *, stride)
    Block = Callable[..., nn.Module]
    # (in_channels, out_channels, stride)
    Shortcut = Callable[[int, int, int], nn.Module]

STEM = 64  # maps of conv1
# Table 1, layers: maps that conv2_x gives (each later stage doubles them), blocks in conv2_x … 5_x
TABLE_1 = {
    18: (64, (2, 2, 2, 2)),
    34: (64, (3, 4, 6, 3)),
    50: (256, (3, 4, 6, 3)),
    101: (256, (3, 4, 23, 3)),
    152: (256, (3, 8, 36, 3)),
}

# Section 4.2, layers: maps that the first stage gives, blocks in the three stages: 6n + 2 layers
CIFAR_TABLE = {
    20: (16, (3, 3, 3)),
    32: (16, (5, 5, 5)),
    44: (16, (7, 7, 7)),
    56: (16, (9, 9, 9)),
    110: (16, (18, 18, 18)),
}


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Shortcut B: nothing where the shape stays, else a 1x1 convolution with normalisation."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvNormActivation(
        in_channels, out_channels, kernel_size=1, stride=stride, activation=None
    )


def zero_padding(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Shortcut A: nothing where the shape stays, else `ZeroPadding`."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ZeroPadding(in_channels, out_channels, stride)


class ZeroPadding(nn.Module):
    """Every `stride`-th pixel of every map, and maps of zeros; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        added = out_channels - in_channels
        self.before, self.behind = added // 2, added - added // 2
        self.subsample = nn.AvgPool2d(1, stride=stride)  # of one pixel: takes it as it is

    def forward(self, x: Tensor) -> Tensor:
        """[N, IC, H, W] → [N, OC, ceil(H / stride), ceil(W / stride)]."""
        return F.pad(self.subsample(x), (0, 0, 0, 0, self.before, self.behind))


class Residual(nn.Module):
    """Figure 5, left: two 3x3 convolutions and a shortcut, ReLU after the sum.

    [N, IC, H, W] → [N, OC, ceil(H / stride), ceil(W / stride)].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        shortcut: Shortcut = projection,
    ) -> None:
        super().__init__()
        self.body = sequence(
            conv1=ConvNormActivation(in_channels, out_channels, kernel_size=3, stride=stride),
            conv2=ConvNormActivation(out_channels, out_channels, kernel_size=3, activation=None),
        )
        self.shortcut = shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, IC, H, W] → [N, OC, OH, OW]."""
        result: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return result


class Bottleneck(nn.Module):
    """Figure 5, right: 1x1 to a quarter of the maps, 3x3, 1x1 back, and a shortcut.

    `strided` names the convolution that halves the map: "conv2", the 3x3, or "conv1", the paper's.
    [N, IC, H, W] → [N, OC, ceil(H / stride), ceil(W / stride)].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        strided: Literal["conv1", "conv2"] = "conv2",
    ) -> None:
        super().__init__()
        width = out_channels // 4
        first, second = (stride, 1) if strided == "conv1" else (1, stride)
        self.body = sequence(
            conv1=ConvNormActivation(in_channels, width, kernel_size=1, stride=first),
            conv2=ConvNormActivation(width, width, kernel_size=3, stride=second),
            conv3=ConvNormActivation(width, out_channels, kernel_size=1, activation=None),
        )
        self.shortcut = projection(in_channels, out_channels, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, IC, H, W] → [N, OC, OH, OW]."""
        result: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return result


def plain(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """The two layers of a `Residual` without the shortcut: figure 3, middle."""
    return sequence(
        conv1=ConvNormActivation(in_channels, out_channels, kernel_size=3, stride=stride),
        conv2=ConvNormActivation(out_channels, out_channels, kernel_size=3),
    )


def resnet(
    layers: int,
    block: Block,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    depth: float = 1.0,
) -> ConvNet:
    """Table 1: the builder of the networks for ImageNet, for images [N, in_channels, H, W].

    `width` multiplies the maps of every layer, rounded as `round_channels` does, `depth` the blocks
    of every stage, rounded up. Raises NetworkError where one of them is not above 0.
    """
    check_multipliers("resnet", width=width, depth=depth)
    maps, counts = TABLE_1[layers]
    stem = round_channels(STEM * width)
    maps = stem * (maps // STEM)
    stages = _stages(stem, maps, counts=counts, block=block, depth=depth)
    features = sequence(
        conv1=ConvNormActivation(in_channels, stem, kernel_size=7, stride=2),
        pool1=nn.MaxPool2d(3, stride=2, padding=1),
        **{f"conv{number}": stage for number, stage in enumerate(stages, start=2)},
    )
    net = ConvNet(features, average_head(maps * 8, num_classes))
    initialize_kaiming(net)
    return net


def cifar_resnet(
    layers: int,
    block: Block,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    depth: float = 1.0,
) -> ConvNet:
    """Section 4.2: the builder of the networks for CIFAR-10; arguments and errors as `resnet`'s."""
    check_multipliers("resnet", width=width, depth=depth)
    maps, counts = CIFAR_TABLE[layers]
    maps = round_channels(maps * width)
    stages = _stages(maps, maps, counts=counts, block=block, depth=depth)
    features = sequence(
        conv1=ConvNormActivation(in_channels, maps, kernel_size=3),
        **{f"stage{number}": stage for number, stage in enumerate(stages, start=1)},
    )
    net = ConvNet(features, average_head(maps * 4, num_classes))
    initialize_kaiming(net)
    return net


def _stages(
    channels: int, maps: int, *, counts: tuple[int, ...], block: Block, depth: float
) -> list[nn.Sequential]:
    # `counts` blocks a stage; every stage but the first halves the size and doubles the maps.
    stages = []
    for stage, count in enumerate(counts):
        blocks: dict[str, nn.Module] = {}
        for number in range(1, round_repeats(count, depth=depth) + 1):
            halves = stage > 0 and number == 1
            blocks[f"block{number}"] = block(channels, maps << stage, stride=2 if halves else 1)
            channels = maps << stage
        stages.append(sequence(**blocks))
    return stages


_residual_a: Block = partial(Residual, shortcut=zero_padding)
_bottleneck_v1: Block = partial(Bottleneck, strided="conv1")

# Every network is (layers, block) of one of the two builders, with `width` and `depth` 1.
resnet18 = partial(resnet, 18, Residual)
resnet34 = partial(resnet, 34, Residual)
resnet50 = partial(resnet, 50, Bottleneck)
resnet101 = partial(resnet, 101, Bottleneck)
resnet152 = partial(resnet, 152, Bottleneck)
resnet50_v1 = partial(resnet, 50, _bottleneck_v1)
plain18 = partial(resnet, 18, plain)
plain34 = partial(resnet, 34, plain)
resnet20 = partial(cifar_resnet, 20, _residual_a)
resnet32 = partial(cifar_resnet, 32, _residual_a)
resnet44 = partial(cifar_resnet, 44, _residual_a)
resnet56 = partial(cifar_resnet, 56, _residual_a)
resnet110 = partial(cifar_resnet, 110, _residual_a)
plain20 = partial(cifar_resnet, 20, plain)
plain32 = partial(cifar_resnet, 32, plain)
plain44 = partial(cifar_resnet, 44, plain)
plain56 = partial(cifar_resnet, 56, plain)
