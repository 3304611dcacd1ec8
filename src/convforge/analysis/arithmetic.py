"""The arithmetic of convolutional networks: sizes, receptive fields, parameters, multiply-adds.

Plain functions of whole numbers, each with its derivation; no torch. One letter a quantity:

    n  size of the input along one axis     s  stride       N  output channels
    k  kernel size                          p  padding      M  input channels
    d  dilation                             g  groups       K  kernel size of both axes

A MAC is one multiplication with its addition. Papers often call that a FLOP; here a FLOP is one
operation, so a MAC is two. Biases are parameters but no MACs, as torchvision and fvcore count.
Every function raises NetworkError, naming the numbers, where no such layer can exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Self

from convforge.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterable

Rounding = Literal["floor", "ceil"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """How one layer slides along one axis, in positions of its input; a pointwise layer is k = 1.

    `padding` is one number for both ends, or (before, after).
    """

    kernel: int
    stride: int = 1
    padding: int | tuple[int, int] = 0
    dilation: int = 1
    rounding: Rounding = "floor"

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            _require(f"window: {name}", getattr(self, name), least=1)
        for side in self.pads:
            _require("window: padding", side, least=0)

    @property
    def pads(self) -> tuple[int, int]:
        """Padding (before, after)."""
        return self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)

    @property
    def extent(self) -> int:
        """Positions from the first to the last tap: d (k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def output_size(self, size: int) -> int:
        """Positions that the window takes over an input of `size`.

        The window's first tap may stand at 0, s, 2s, … of the padded input, whose length is
        n + 2p. Its last tap stands d (k - 1) further and must stay inside, so the largest first
        tap is n + 2p - d (k - 1) - 1, and the places are

            out = floor((n + 2p - d (k - 1) - 1) / s) + 1

        With `rounding="ceil"` the last window may hang over the end, but is dropped where it
        would start in the padding after the input, as PyTorch and Caffe do.
        """
        _require("window: input size", size, least=1)
        before, after = self.pads
        slack = size + before + after - self.extent
        places = (slack if self.rounding == "floor" else slack + self.stride - 1) // self.stride + 1
        if places < 1:
            raise NetworkError(
                f"window: a kernel that spans {self.extent} positions (size {self.kernel}, "
                f"dilation {self.dilation}) does not fit an input of {size} with padding "
                f"{before} + {after} = {size + before + after}; "
                f"pad by {-slack} more or use an input of at least {size - slack}"
            )
        hangs_out = self.rounding == "ceil" and (places - 1) * self.stride >= size + before
        return places - 1 if hangs_out else places


def output_size(
    size: int,
    *,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    rounding: Rounding = "floor",
) -> int:
    """Output size along one axis: floor((n + 2p - d (k - 1) - 1) / s) + 1.

    LeNet-5's first layer, n = 32 and k = 5: floor((32 + 0 - 4 - 1) / 1) + 1 = 28. The derivation
    stands at `Window.output_size`.
    """
    window = Window(
        kernel=kernel, stride=stride, padding=padding, dilation=dilation, rounding=rounding
    )
    return window.output_size(size)


def same_padding(kernel: int, *, dilation: int = 1) -> int:
    """Padding at each end that keeps the size at stride 1: p = d (k - 1) / 2.

    out = n + 2p - d (k - 1) = n gives 2p = d (k - 1). At stride s the output is then
    floor((n - 1) / s) + 1 = ceil(n / s). An odd d (k - 1) has no symmetric solution: refused.
    """
    total = Window(kernel=kernel, dilation=dilation).extent - 1
    if total % 2:
        raise NetworkError(
            f"same padding: a kernel of {kernel} with dilation {dilation} needs {total} positions "
            f"in all, which two equal sides cannot share; use an odd kernel or `same_padding_tf`"
        )
    return total // 2


def same_padding_tf(
    size: int, *, kernel: int, stride: int = 1, dilation: int = 1
) -> tuple[int, int]:
    """Padding (before, after) of TensorFlow's "SAME".

    It asks for ceil(n / s) outputs whatever the kernel. The last window ends at
    (out - 1) s + d (k - 1) + 1, so the padding is what that exceeds n by, never below 0, and its
    odd position goes after the input: at n = 224, k = 3, s = 2 it is (0, 1), where the symmetric
    rule says (1, 1). Both give 112 outputs, of windows that lie one pixel apart.
    """
    _require("same padding: input size", size, least=1)
    window = Window(kernel=kernel, stride=stride, dilation=dilation)
    places = -(-size // stride)
    total = max((places - 1) * stride + window.extent - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True, kw_only=True)
class Field:
    """What the positions of one axis of a map see of the input.

    Output i sees `size` input positions from `first` + i * `jump` on. `first` is negative where
    output 0 sees padding. `jump` is the product of the strides so far: a whole number, but for
    adaptive pooling whose sizes do not divide.
    """

    first: int | Fraction = 0
    size: int = 1
    jump: int | Fraction = 1

    @property
    def centre(self) -> Fraction:
        """Input position in the middle of what output 0 sees."""
        return Fraction(self.first) + Fraction(self.size - 1, 2)

    def through(self, window: Window) -> Self:
        """The field after one more layer.

        Its output 0 reads inputs -p … -p + d (k - 1) of this map. The first of them sees from
        first - p * jump on; the last one's view starts d (k - 1) * jump later, so

            first' = first - p * jump,   size' = size + d (k - 1) * jump,   jump' = jump * s
        """
        return type(self)(
            first=self.first - window.pads[0] * self.jump,
            size=int(self.size + (window.extent - 1) * self.jump),
            jump=self.jump * window.stride,
        )


def receptive_field(windows: Iterable[Window]) -> Field:
    """Receptive field, jump and start after a chain of layers, the first of them first.

    Three 3 x 3 layers of stride 1 see 7 positions, as one 7 x 7 layer does: the argument of
    Simonyan & Zisserman 2014, section 2.3. Layers act as `Field.through` derives; a position's
    gradient may reach fewer pixels than this, never more.
    """
    field = Field()
    for window in windows:
        field = field.through(window)
    return field


def convolution_parameters(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int | tuple[int, int],
    groups: int = 1,
    bias: bool = True,
) -> int:
    """Parameters of a convolution: (M / g * KH * KW + 1) * N, without the 1 where it has no bias.

    Each of N filters reads the M / g channels of its own group through KH * KW taps, and has one
    bias. LeNet-5's first layer: (1 * 5 * 5 + 1) * 6 = 156.
    """
    taps = _group_channels(in_channels, out_channels, groups=groups) * _area(kernel_size)
    return (taps + int(bias)) * out_channels


def convolution_macs(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int | tuple[int, int],
    output_size: tuple[int, int],
    groups: int = 1,
) -> int:
    """MACs of a convolution: OH * OW * N * M / g * KH * KW, for `output_size` (OH, OW).

    Every one of OH * OW * N outputs is a sum over M / g * KH * KW products. The bias is not
    counted.
    """
    taps = _group_channels(in_channels, out_channels, groups=groups) * _area(kernel_size)
    return _area(output_size) * out_channels * taps


def linear_parameters(in_features: int, out_features: int, *, bias: bool = True) -> int:
    """Parameters of a fully connected layer: (inputs + 1) * outputs, without the 1 where no bias.

    It is a convolution whose kernel is as large as its input. VGG-16's first one, 7 * 7 * 512 to
    4096, holds 102,764,544 of the network's 138,357,544 parameters.
    """
    return convolution_parameters(in_features, out_features, kernel_size=1, bias=bias)


def linear_macs(in_features: int, out_features: int) -> int:
    """MACs of a fully connected layer: inputs * outputs, once an image."""
    return convolution_macs(in_features, out_features, kernel_size=1, output_size=(1, 1))


def batch_norm_parameters(channels: int) -> int:
    """Parameters of a batch normalisation: a scale and a shift a channel, 2 C.

    Its running mean and variance are buffers, not trained by gradients, and are not counted.
    """
    _require("batch normalisation: channels", channels, least=1)
    return 2 * channels


def pooling_operations(
    channels: int, *, kernel_size: int | tuple[int, int], output_size: tuple[int, int]
) -> int:
    """Operations (not MACs) of max or average pooling: C * OH * OW * KH * KW; no parameters.

    A window of k values takes k - 1 comparisons or additions, and the average one division; both
    are counted as k.
    """
    _require("pooling: channels", channels, least=1)
    return channels * _area(output_size) * _area(kernel_size)


@dataclass(frozen=True, kw_only=True)
class Saving:
    """The same map made two ways: `direct` by one layer, `factored` by two; MACs both."""

    direct: int
    factored: int

    @property
    def ratio(self) -> Fraction:
        """`factored` over `direct`, exact."""
        return Fraction(self.factored, self.direct)


def depthwise_separable_ratio(out_channels: int, *, kernel_size: int) -> Fraction:
    """Cost of a depthwise separable convolution over that of a full one: 1 / N + 1 / K².

    A full convolution costs OH * OW * M * N * K² MACs. The depthwise part applies one K x K filter
    a channel, OH * OW * M * K²; the pointwise part mixes channels, OH * OW * M * N. Divided:
    (K² + N) / (N K²). Howard et al. 2017, section 3.1: at K = 3 eight to nine times less.
    Parameters without biases have the same ratio.
    """
    _require("depthwise separable convolution: out_channels", out_channels, least=1)
    return Fraction(1, out_channels) + Fraction(1, _area(kernel_size))


def depthwise_separable_saving(
    in_channels: int, out_channels: int, *, kernel_size: int, output_size: tuple[int, int]
) -> Saving:
    """MACs of a full convolution and of the depthwise and pointwise pair that stands in for it.

    `Saving.ratio` equals `depthwise_separable_ratio`, exactly: the map's size and M cancel.
    """
    direct = convolution_macs(
        in_channels, out_channels, kernel_size=kernel_size, output_size=output_size
    )
    depthwise = convolution_macs(
        in_channels,
        in_channels,
        kernel_size=kernel_size,
        output_size=output_size,
        groups=in_channels,
    )
    pointwise = convolution_macs(in_channels, out_channels, kernel_size=1, output_size=output_size)
    return Saving(direct=direct, factored=depthwise + pointwise)


def bottleneck_saving(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int,
    output_size: tuple[int, int],
    bottleneck: int,
) -> Saving:
    """MACs of a K x K convolution, alone and behind a 1 x 1 convolution to `bottleneck` channels.

    OH * OW * M * N * K² against OH * OW * (M * B + B * N * K²). The usual example, Inception's
    5 x 5 branch from 28 x 28 x 192 to 32 maps: 120,422,400 alone, 12,443,648 behind 16 channels,
    a tenth. It pays where B < M N K² / (M + N K²). Stride 1, size kept by padding.
    """
    direct = convolution_macs(
        in_channels, out_channels, kernel_size=kernel_size, output_size=output_size
    )
    squeeze = convolution_macs(in_channels, bottleneck, kernel_size=1, output_size=output_size)
    wide = convolution_macs(
        bottleneck, out_channels, kernel_size=kernel_size, output_size=output_size
    )
    return Saving(direct=direct, factored=squeeze + wide)


def _require(what: str, value: int, *, least: int) -> None:
    if value < least:
        raise NetworkError(f"{what}: expected at least {least}, got {value}; change it")


def _area(size: int | tuple[int, int]) -> int:
    height, width = size if isinstance(size, tuple) else (size, size)
    _require("kernel or map size", min(height, width), least=1)
    return height * width


def _group_channels(in_channels: int, out_channels: int, *, groups: int) -> int:
    """Input channels that one filter reads."""
    for name, value in (("in", in_channels), ("out", out_channels)):
        _require(f"convolution: {name}_channels", value, least=1)
    _require("convolution: groups", groups, least=1)
    if in_channels % groups or out_channels % groups:
        raise NetworkError(
            f"convolution: {in_channels} input and {out_channels} output channels cannot be split "
            f"into {groups} groups; use a common divisor of both"
        )
    return in_channels // groups
