"""LeNet-5, as its paper has it and as courses teach it.

Paper: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE; section II.B, figure 2, table I, appendix A.

`lenet5`, 60,000 trainable parameters, on 32x32 grey images:

    layer        maps    size    trainable
    C1  conv 5x5    6   28x28          156   = (25 + 1) * 6
    S2  sum 2x2     6   14x14           12   = a coefficient and a bias a map
    C3  conv 5x5   16   10x10        1,516   = 60 kernels of 25, 16 biases; connections: table I
    S4  sum 2x2    16     5x5           32
    C5  conv 5x5  120     1x1       48,120   = (16 * 25 + 1) * 120
    F6  linear     84               10,164   = (120 + 1) * 84
    output: RBF    10                    0   = distance to fixed codes, 7x12 drawings of the digits

A scaled tanh follows every layer up to F6. The logits are minus the squared distances, so that
softmax cross-entropy is the paper's equation 9 but for its constant "rubbish class". Deviations:
the drawings of the digits are our own (the paper prints figure 3 only); another number of classes
gets random codes of +1 and -1, always the same; at another input size C5's kernel follows the map.

`lenet5_relu`, 61,706 parameters: ReLU, max pooling, C3 connected to all of S2, linear output.
Kaiming initialisation. At another input size its first linear layer follows the map.
"""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from convforge.networks.blocks import sequence
from convforge.networks.contract import ConvNet, map_shape

# Table I: row = map of S2, column = map of C3, X where the two are connected.
TABLE_I = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)

# Codes of the ten classes: 12 rows of 7 pixels, # is +1 and . is -1; digits 0…4, then 5…9.
DIGITS = (
    """
    ..###..   ...##..   ..###..   #######   ....##.
    .#...#.   ..###..   .#...#.   .....#.   ...###.
    #.....#   .##.#..   #.....#   ....#..   ...#.#.
    #.....#   ....#..   ......#   ...#...   ..#..#.
    #.....#   ....#..   ......#   ..####.   ..#..#.
    #.....#   ....#..   .....#.   .....#.   .#...#.
    #.....#   ....#..   ....#..   ......#   .#...#.
    #.....#   ....#..   ...#...   ......#   #######
    #.....#   ....#..   ..#....   ......#   .....#.
    #.....#   ....#..   .#.....   #.....#   .....#.
    .#...#.   ....#..   #......   .#...#.   .....#.
    ..###..   .######   #######   ..###..   .....#.
    """,
    """
    #######   ...###.   #######   ..###..   ..###..
    #......   ..#....   ......#   .#...#.   .#...#.
    #......   .#.....   .....#.   #.....#   #.....#
    #......   #......   .....#.   #.....#   #.....#
    #.###..   #......   ....#..   .#...#.   #.....#
    ##...#.   #.###..   ....#..   ..###..   .#...##
    ......#   ##...#.   ...#...   .#...#.   ..###.#
    ......#   #.....#   ...#...   #.....#   ......#
    ......#   #.....#   ..#....   #.....#   ......#
    #.....#   #.....#   ..#....   #.....#   .....#.
    .#...#.   .#...#.   .#.....   .#...#.   ....#..
    ..###..   ..###..   .#.....   ..###..   .###...
    """,
)


def lenet5(*, num_classes: int, in_channels: int, input_size: int) -> ConvNet:
    """LeNet-5 of 1998: [N, in_channels, input_size, input_size] → logits [N, num_classes].

    Every weight and bias is drawn uniformly from ±2.4 / fan-in of its unit (appendix A).
    """

    def up_to_s4() -> nn.Sequential:
        return sequence(
            c1=sequence(conv=nn.Conv2d(in_channels, 6, 5), squash=ScaledTanh()),
            s2=sequence(pool=SubSampling(6), squash=ScaledTanh()),
            c3=sequence(conv=TableConv2d(), squash=ScaledTanh()),
            s4=sequence(pool=SubSampling(16), squash=ScaledTanh()),
        )

    channels, side, _ = map_shape(
        "lenet5", up_to_s4, in_channels=in_channels, input_size=input_size
    )
    features = up_to_s4()
    features.add_module("c5", sequence(conv=nn.Conv2d(channels, 120, side), squash=ScaledTanh()))
    head = sequence(
        flatten=nn.Flatten(),
        f6=sequence(linear=nn.Linear(120, 84), squash=ScaledTanh()),
        output=RBF(84, num_classes),
    )
    net = ConvNet(features, head)
    _initialize_as_appendix_a(net)
    return net


def lenet5_relu(*, num_classes: int, in_channels: int, input_size: int) -> ConvNet:
    """LeNet-5 of today's courses: [N, in_channels, input_size, input_size] → [N, num_classes]."""

    def maps() -> nn.Sequential:
        return sequence(
            conv1=nn.Conv2d(in_channels, 6, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
        )

    shape = map_shape("lenet5_relu", maps, in_channels=in_channels, input_size=input_size)
    head = sequence(
        flatten=nn.Flatten(),
        linear1=nn.Linear(math.prod(shape), 120),
        relu1=nn.ReLU(),
        linear2=nn.Linear(120, 84),
        relu2=nn.ReLU(),
        linear3=nn.Linear(84, num_classes),
    )
    net = ConvNet(maps(), head)
    _initialize_as_kaiming(net)
    return net


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 a), appendix A: f(1) = 1, f(-1) = -1 and the bend is largest there."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, element by element."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class SubSampling(nn.Module):
    """Sum of each 2x2 square, times the map's coefficient, plus the map's bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.empty(channels, 1, 1, 1))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H // 2, W // 2]: a depthwise convolution of four equal weights."""
        weight = self.coefficient.expand(-1, 1, 2, 2)
        return F.conv2d(x, weight, self.bias, stride=2, groups=x.shape[1])


class TableConv2d(nn.Module):
    """C3: 5x5 kernels for the connected pairs of table I only, [60, 5, 5], and 16 biases.

    `forward` spreads the kernels over a dense weight [16, 6, 5, 5]; a compiler sees a constant.
    """

    kernel_of: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(j, i) for j in range(16) for i in range(6) if TABLE_I[i][j] == "X"]
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(16))
        # (map of C3, map of S2) → its kernel; the one after the last, all 0, where unconnected
        unconnected = len(pairs)
        kernel_of = [
            [pairs.index((j, i)) if (j, i) in pairs else unconnected for i in range(6)]
            for j in range(16)
        ]
        self.register_buffer("kernel_of", torch.tensor(kernel_of), persistent=False)

    def dense_weight(self) -> Tensor:
        """The weight of the equivalent dense convolution, [16, 6, 5, 5]."""
        return F.pad(self.weight, (0, 0, 0, 0, 0, 1))[self.kernel_of]

    def forward(self, x: Tensor) -> Tensor:
        """[N, 6, H, W] → [N, 16, H - 4, W - 4]."""
        return F.conv2d(x, self.dense_weight(), self.bias)


class RBF(nn.Module):
    """Output units with fixed codes: minus the squared distance to each, so the largest wins.

    `codes` [K, F] of +1 and -1 are saved with the weights but never learn. A torch.export graph
    holds the layer as one node, `convforge.rbf`.
    """

    codes: Tensor

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(class_codes(in_features, num_classes)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, F] → [N, K]."""
        logits: Tensor = torch.ops.convforge.rbf(x, self.codes)
        return logits


def class_codes(length: int, num_classes: int) -> list[list[float]]:
    """Codes of +1.0 and -1.0: the drawn digits for ten classes, else random, always the same."""
    if (length, num_classes) == (84, 10):
        columns = [
            [row.split()[column] for row in block.strip().splitlines()]
            for block in DIGITS
            for column in range(5)
        ]
        return [[1.0 if dot == "#" else -1.0 for dot in "".join(rows)] for rows in columns]
    generator = random.Random(0)
    return [[generator.choice((-1.0, 1.0)) for _ in range(length)] for _ in range(num_classes)]


def _initialize_as_appendix_a(net: ConvNet) -> None:
    # fan-in: the inputs of one unit; those of C3 differ by map, table I
    for layer in net.modules():
        if isinstance(layer, SubSampling):
            _draw(layer.coefficient, fan_in=4)
            _draw(layer.bias, fan_in=4)
        elif isinstance(layer, TableConv2d):
            inputs = [row.count("X") for row in map("".join, zip(*TABLE_I, strict=True))]
            kernel = 0
            for unit, count in enumerate(inputs):
                _draw(layer.weight[kernel : kernel + count], fan_in=25 * count)
                _draw(layer.bias[unit : unit + 1], fan_in=25 * count)
                kernel += count
        elif isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
            fan_in = layer.weight[0].numel()
            _draw(layer.weight, fan_in=fan_in)
            _draw(layer.bias, fan_in=fan_in)


def _initialize_as_kaiming(net: ConvNet) -> None:
    # He et al. 2015, equation 10. `blocks.initialize_kaiming` gives linear layers a deviation of
    # 0.01, which suits one; three of them would hand a thousandth of their input on to the logits.
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def _draw(tensor: Tensor, *, fan_in: int) -> None:
    nn.init.uniform_(tensor, -2.4 / fan_in, 2.4 / fan_in)


# By `torch.library.define` and not its `custom_op`: see blocks.py, LocalResponseNorm.
torch.library.define("convforge::rbf", "(Tensor x, Tensor codes) -> Tensor")


@torch.library.impl("convforge::rbf", "CompositeExplicitAutograd")
def _rbf(x: Tensor, codes: Tensor) -> Tensor:
    return -(x.unsqueeze(1) - codes).square().sum(-1)


def _rbf_shape(x: Tensor, codes: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], codes.shape[0], dtype=torch.result_type(x, codes))


def _rbf_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs)


def _rbf_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    # of -|x - c|²: -2 (x - c) by x, 2 (x - c) by c, summed over the codes and over the images
    x, codes = ctx.saved_tensors
    to_x = -2 * (x * grad.sum(1, keepdim=True) - grad @ codes)
    to_codes = 2 * (grad.T @ x - codes * grad.sum(0).unsqueeze(1))
    return to_x.to(x.dtype), to_codes.to(codes.dtype)


torch.library.register_fake("convforge::rbf", _rbf_shape)
torch.library.register_autograd("convforge::rbf", _rbf_backward, setup_context=_rbf_context)
