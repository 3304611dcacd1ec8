"""The op set, on one screen: what each operation takes, and the shape it gives.

`OPS` is the legality of a node as data; `reference.py` is the meaning of every row in numpy.
Letters: N images, C channels, H W map height and width, F features. An `axis` counts from 0.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from convforge.compiler.ir import shapes
from convforge.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Attr: TypeAlias = int | float | tuple[int, ...]
Step: TypeAlias = tuple[str | float, ...]
Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = tuple[Shape, ...]


@dataclass(frozen=True)
class Op:
    """Legality of an operation: ranks of its inputs, its attributes, its result's shape.

    `ranks` holds the allowed ranks of each input; with `variadic` the last one repeats. Inputs from
    position `constants` on must be constants; the last `optional` ones may be missing. What is
    `per_image` works on each image, a place on axis 0 of its first input, apart from the others.
    """

    ranks: tuple[tuple[int, ...], ...]
    attrs: Mapping[str, type]
    shape: Callable[[Shapes, Mapping[str, Attr]], Shape]
    constants: int = sys.maxsize
    optional: int = 0
    variadic: bool = False
    per_image: bool = False


ANY = tuple(range(1, shapes.LARGEST_RANK + 1))
IMAGE, VECTOR, CHANNELS = (4,), (2,), ANY[1:]
# stride (h, w), dilation (h, w), padding (top, left, bottom, right)
WINDOW: dict[str, type] = {"stride": tuple, "dilation": tuple, "padding": tuple}
POOL = {**WINDOW, "kernel": tuple}
# attributes of a convolution of each cell by itself
POINTWISE: dict[str, Attr] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "padding": (0, 0, 0, 0),
    "groups": 1,
}
# the row of x for each row of the result, and the column for each column
PLACES: dict[str, type] = {"rows": tuple, "columns": tuple}
SCALED: dict[str, type] = {"scale": float, "zero": int, "top": int}
# of what is stored as bytes the scale and the zero that they have, and the largest one
CONV_INT8 = {**WINDOW, "groups": int, "zero_in": int, **SCALED}
SLICE: dict[str, type] = {"axis": int, "start": int, "stop": int, "step": int}

# name: inputs by rank, attributes, shape
OPS: dict[str, Op] = {
    # x, weight [OC, IC / groups, KH, KW], bias [OC]
    "conv2d": Op(
        (IMAGE, IMAGE, (1,)), {**WINDOW, "groups": int}, shapes.conv2d, 1, 1, per_image=True
    ),
    # x, addend of the result's shape, weight, bias: what a residual block ends with
    "conv2d_add": Op(
        (IMAGE, IMAGE, IMAGE, (1,)),
        {**WINDOW, "groups": int},
        shapes.conv2d_add,
        2,
        1,
        per_image=True,
    ),
    # x, weight [C, IC, KH, KW], bias [C], filters [C, 1, FH, FW], bias [C]: a convolution of the
    # attributes mix_…, the node's steps between, a depthwise convolution of the others
    "conv2d_pair": Op(
        (IMAGE, IMAGE, (1,), IMAGE, (1,)),
        {**WINDOW, **{f"mix_{key}": kind for key, kind in WINDOW.items()}},
        shapes.conv2d_pair,
        1,
        per_image=True,
    ),
    # x [..., IF], weight [OF, IF], bias [OF]
    "linear": Op((ANY, (2,), (1,)), {}, shapes.linear, 1, 1),
    # x, gamma, beta, mean, variance, all [C]
    "batch_norm": Op(
        (CHANNELS, (1,), (1,), (1,), (1,)), {"eps": float}, shapes.channelwise, 1, per_image=True
    ),
    # x, scale, shift, both [C]: x * scale + shift
    "scale_shift": Op((CHANNELS, (1,), (1,)), {}, shapes.channelwise, 1, per_image=True),
    # x, slope of the negative side [C]
    "prelu": Op((CHANNELS, (1,)), {}, shapes.channelwise, 1, per_image=True),
    # cells of the padding never win
    "max_pool": Op((IMAGE,), POOL, shapes.pool, per_image=True),
    # divided by the number of cells in the map and the `counted` part of the padding's zeros
    "avg_pool": Op((IMAGE,), {**POOL, "counted": tuple}, shapes.avg_pool, per_image=True),
    # row i of the result is over rows ⌊i · H / OH⌋ to ⌈(i + 1) · H / OH⌉ - 1, columns likewise
    "adaptive_avg_pool": Op((IMAGE,), {"size": tuple}, shapes.adaptive_pool, per_image=True),
    "adaptive_max_pool": Op((IMAGE,), {"size": tuple}, shapes.adaptive_pool, per_image=True),
    # H and W grow by `padding` (top, left, bottom, right) cells of `fill`, C by `channels` (before,
    # after) maps of it
    "pad": Op(
        (IMAGE,), {"padding": tuple, "channels": tuple, "fill": float}, shapes.pad, per_image=True
    ),
    # k, alpha, beta as in Krizhevsky et al. 2012, section 3.3: alpha is not divided by size
    "lrn": Op(
        (IMAGE,),
        {"size": int, "alpha": float, "beta": float, "k": float},
        shapes.lrn,
        per_image=True,
    ),
    "upsample_nearest": Op((IMAGE,), PLACES, shapes.upsample, per_image=True),
    # x, weights [OH] and [OW] of the row below and the column to the right of the named ones, which
    # weigh the rest; behind the last row or column there is that one again
    "upsample_bilinear": Op((IMAGE, (1,), (1,)), PLACES, shapes.upsample, 1, per_image=True),
    # numpy's broadcasting; one of the two may be a constant
    "add": Op((ANY, ANY), {}, shapes.broadcast),
    "sub": Op((ANY, ANY), {}, shapes.broadcast),
    "mul": Op((ANY, ANY), {}, shapes.broadcast),
    "div": Op((ANY, ANY), {}, shapes.broadcast),
    # (x - mean) / √(variance + eps) · gamma + beta, statistics along one axis; gamma and beta, a
    # number each for every place on the axis, may be missing together
    "layer_norm": Op((ANY, (1,), (1,)), {"axis": int, "eps": float}, shapes.layer_norm, 1, 2),
    "softmax": Op((ANY,), {"axis": int}, shapes.along_axis),
    # the axes stay, with one place each
    "mean": Op((ANY,), {"axes": tuple}, shapes.mean),
    "concat": Op((ANY,), {"axis": int}, shapes.concat, variadic=True),
    # 0 ≤ start < stop ≤ size, 1 ≤ step
    "slice": Op((ANY,), SLICE, shapes.slice_),
    # elements keep their order, in which the last axis runs first
    "reshape": Op((ANY,), {"shape": tuple}, shapes.reshape),
    # axis i of the result is axis perm[i] of x
    "transpose": Op((ANY,), {"perm": tuple}, shapes.transpose),
    # x [N, F], codes [K, F]: minus the squared distance to each code
    "rbf": Op((VECTOR, VECTOR), {}, shapes.rbf, 1, per_image=True),
    # nothing but its epilogue
    "elementwise": Op((ANY,), {}, shapes.same),
    # to and from numbers of one byte, q in 0 … 255: x = scale · (q - zero)
    "quantize": Op((IMAGE,), SCALED, shapes.same, per_image=True),
    "dequantize": Op((IMAGE,), SCALED, shapes.same, per_image=True),
    # what these take and give are such numbers; reference_int8.py has their meaning. x, weight
    # -127 … 127, bias, multiplier and shift, each [OC], and, of what is looked up, table [256]
    "conv2d_int8": Op(
        (IMAGE, IMAGE, *((1,),) * 4), CONV_INT8, shapes.conv2d_int8, 1, 1, per_image=True
    ),
    # x, addend of the result's shape, and the same
    "conv2d_add_int8": Op(
        (IMAGE, IMAGE, IMAGE, *((1,),) * 4),
        {**CONV_INT8, "addend": int},
        shapes.conv2d_add_int8,
        2,
        1,
        per_image=True,
    ),
    "max_pool_int8": Op((IMAGE,), {**POOL, **SCALED}, shapes.pool, per_image=True),
    "concat_int8": Op((IMAGE,), SCALED, shapes.concat_int8, variadic=True, per_image=True),
    # x, a factor [N, C, 1, 1] for each of its maps, which is no such number, as the result is:
    # ratio · factor · (x - zero_in) + zero
    "mul_int8": Op(
        (IMAGE, IMAGE),
        {"zero_in": int, "ratio": float, **SCALED},
        shapes.mul_int8,
        per_image=True,
    ),
    # the mean of each map, as a number of the usual kind
    "mean_int8": Op((IMAGE,), SCALED, shapes.mean_maps, per_image=True),
    # the same of x [N, C, H, W] and weight [OF, C, H, W], with a bias and a scale of each output
    "linear_int8": Op(
        (IMAGE, IMAGE, (1,), (1,)), {"zero_in": int}, shapes.linear_int8, 1, per_image=True
    ),
}

# step of an epilogue: how many numbers it carries
EPILOGUES: dict[str, int] = {
    "affine": 2,  # x * a + b
    "relu": 0,
    "clip": 2,  # min(max(x, low), high); either may be infinite
    "leaky_relu": 1,  # slope of the negative side
    "sigmoid": 0,
    "tanh": 0,
    "silu": 0,  # x * sigmoid(x)
    "hard_sigmoid": 0,  # clip(x + 3, 0, 6) / 6
    "hard_swish": 0,  # x * hard_sigmoid(x)
    "gelu": 0,  # x * (1 + erf(x / √2)) / 2
    "gelu_tanh": 0,  # x * (1 + tanh(√(2 / π) (x + 0.044715 x³))) / 2
    "elu": 1,  # alpha (eˣ - 1) on the negative side
    "softplus": 0,  # log(1 + eˣ)
    "mish": 0,  # x * tanh(softplus(x))
    "exp": 0,
    "log": 0,
    "sqrt": 0,
    "abs": 0,
    "erf": 0,
    "reciprocal": 0,  # 1 / x
}


# Without an epilogue is stored what is moved and not computed, and what has its own way to a byte.
MOVES = frozenset({"pad", "concat", "slice", "reshape", "transpose", "upsample_nearest"})
WITHOUT_EPILOGUE = MOVES | {
    *("quantize", "dequantize", "conv2d_int8", "conv2d_add_int8", "max_pool_int8", "concat_int8"),
    *("mul_int8", "mean_int8"),
}


def result_shape(name: str, op: str, inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """Shape that `op` gives. Raises VerifyError, naming the node, where the inputs do not fit."""
    try:
        return OPS[op].shape(inputs, attrs)
    except (KeyError, ValueError, IndexError) as error:
        raise VerifyError(f"node {name!r} ({op}): {error}") from None
