"""What two networks or more share.

Named sequences, the rounding of scaled widths and depths, convolutions with an explicit padding
policy, local response normalisation, the head of the all-convolutional networks, Kaiming
initialisation.

No activation works in place: every layer's output keeps its value, so that explanations, summaries
and comparisons layer by layer can read it afterwards.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable  # noqa: TC003 (public annotations, read at run time)
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from convforge.errors import NetworkError

Padding = Literal["valid", "same", "same_tf"]


def sequence(**layers: nn.Module) -> nn.Sequential:
    """A Sequential whose children carry the keywords' names, in the order given."""
    return nn.Sequential(OrderedDict(layers))


def round_channels(channels: float, *, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, one more where rounding down would lose over a tenth.

    The rule of MobileNet v2's authors (tensorflow/models, research/slim/nets/mobilenet), and of
    EfficientNet's; halves round up.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def round_repeats(count: int, *, depth: float) -> int:
    """`depth` times as many blocks as `count`, rounded up: the rule of EfficientNet's authors.

    A product that is whole but for the last bits of a float stays as it is: 10 * 1.1 is 11.
    """
    return math.ceil(round(count * depth, 9))


def check_multipliers(name: str, **multipliers: float) -> None:
    """Raise NetworkError, with the network's name, where a multiplier is no number above 0."""
    for argument, value in multipliers.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and 0 < value < math.inf):
            raise NetworkError(f"{name}: {argument} must be above 0, got {value}; the paper has 1")


class SameTFConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's "SAME" does: ceil(size / stride) outputs a side.

    The padding follows the input's size and, where it is odd, has its extra pixel at the bottom and
    the right: total = max((ceil(size / stride) - 1) * stride + kernel - size, 0).
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (nn.Conv2d's own name)
        """[N, IC, IH, IW] → [N, OC, ceil(IH / SH), ceil(IW / SW)]."""
        pads: list[int] = []
        for axis in (1, 0):  # F.pad takes the last axis first
            size, step = input.shape[2 + axis], self.stride[axis]
            covered = (math.ceil(size / step) - 1) * step + self.kernel_size[axis]
            total = max(covered - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


def conv2d(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int,
    stride: int = 1,
    padding: Padding = "same",
    groups: int = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """A square convolution with its padding named.

    `valid` pads nothing; `same` pads (kernel_size - 1) // 2 pixels on all four sides; `same_tf`
    pads as TensorFlow does, asymmetrically, for weights that were trained so. Raises NetworkError
    for any other policy.
    """
    kind = SameTFConv2d if padding == "same_tf" else nn.Conv2d
    pixels = {"valid": 0, "same": (kernel_size - 1) // 2, "same_tf": 0}
    if padding not in pixels:
        raise NetworkError(
            f"convolution: padding {padding!r} is not one of {', '.join(pixels)}; choose one"
        )
    return kind(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=pixels[padding],
        groups=groups,
        bias=bias,
    )


class ConvNormActivation(nn.Sequential):
    """`conv`, then `norm`, then `activation`; the last two are left out where they are None.

    `norm` takes the channels, `activation` nothing: `ConvNormActivation(3, 32, kernel_size=3,
    activation=nn.ReLU6)`. `bias` None gives the convolution a bias only where no normalisation
    follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int = 1,
        padding: Padding = "same",
        groups: int = 1,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        bias: bool | None = None,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = conv2d(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            groups=groups,
            bias=norm is None if bias is None else bias,
        )
        if norm is not None:
            layers["norm"] = norm(out_channels)
        if activation is not None:
            layers["activation"] = activation()
        super().__init__(layers)


def average_head(in_channels: int, num_classes: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Global average pooling and one linear layer: [N, C, H, W] → [N, num_classes].

    Children: `pool`, `flatten`, `dropout` (left out at 0), `linear`.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["linear"] = nn.Linear(in_channels, num_classes)
    return nn.Sequential(layers)


def initialize_kaiming(module: nn.Module) -> None:
    """Draw every weight, after He et al. 2015, section 2.2.

    Convolutions: normal with variance 2 / fan-out; linear layers: normal with deviation 0.01;
    normalisation: 1 and 0; all biases: 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class LocalResponseNorm(nn.Module):
    """Normalisation across neighbouring maps, Krizhevsky et al. 2012, section 3.3.

        b_i = a_i / (k + alpha * sum of a_j² over the n maps around i) ** beta

    The sum stops at the first and the last map. torch's `LocalResponseNorm` and Caffe's divide
    alpha by n; the paper does not, and neither does this. `n` must be odd. A torch.export graph
    holds it as one node, `convforge.local_response_norm`.
    """

    def __init__(
        self, *, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
    ) -> None:
        super().__init__()
        if n < 1 or n % 2 == 0:
            raise NetworkError(f"LocalResponseNorm: n must be odd and above 0, got {n}")
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        result: Tensor = torch.ops.convforge.local_response_norm(
            x, self.n, self.k, self.alpha, self.beta
        )
        return result

    def extra_repr(self) -> str:
        """The constants, in the paper's letters."""
        return f"n={self.n}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


def _sum_neighbours(x: Tensor, n: int) -> Tensor:
    """Sum over the n maps around each map: [N, C, H, W] → [N, C, H, W]."""
    total = x.clone()
    for distance in range(1, min(n // 2, x.shape[1] - 1) + 1):
        total[:, distance:] += x[:, :-distance]
        total[:, :-distance] += x[:, distance:]
    return total


# Registered with `torch.library.define` and not its `custom_op`: the latter imports torch's
# compiler at the first call, two seconds that a first prediction would wait for.
torch.library.define(
    "convforge::local_response_norm",
    "(Tensor x, int n, float k, float alpha, float beta) -> Tensor",
)


@torch.library.impl("convforge::local_response_norm", "CompositeExplicitAutograd")
def _local_response_norm(x: Tensor, n: int, k: float, alpha: float, beta: float) -> Tensor:
    scale: Tensor = k + alpha * _sum_neighbours(x.square(), n)
    return x * scale**-beta


def _local_response_norm_shape(x: Tensor, *constants: float) -> Tensor:  # noqa: ARG001
    return torch.empty_like(x)


def _local_response_norm_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, *ctx.constants = inputs
    ctx.save_for_backward(x)


def _local_response_norm_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    # d b_j / d a_i = [i = j] s_j^-beta - 2 alpha beta a_i a_j s_j^(-beta - 1), i and j neighbours
    (x,) = ctx.saved_tensors
    n, k, alpha, beta = ctx.constants
    scale = k + alpha * _sum_neighbours(x.square(), n)
    power = scale**-beta
    pulled = _sum_neighbours(grad * x * power / scale, n)
    return grad * power - 2 * alpha * beta * x * pulled, None, None, None, None


torch.library.register_fake("convforge::local_response_norm", _local_response_norm_shape)
torch.library.register_autograd(
    "convforge::local_response_norm",
    _local_response_norm_backward,
    setup_context=_local_response_norm_context,
)
