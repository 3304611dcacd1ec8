"""The op set, on one screen: what each operation takes, and the shape it gives.

`OPS` is the legality of a node as data; `reference.py` is the meaning of every row in numpy.
Letters: N=1 images, C channels, H W map height and width, F features of a vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

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
    position `constants` on must be constants; the last `optional` ones may be missing.
    """

    ranks: tuple[tuple[int, ...], ...]
    attrs: Mapping[str, type]
    shape: Callable[[Shapes, Mapping[str, Attr]], Shape]
    constants: int = 99
    optional: int = 0
    variadic: bool = False


def _conv2d(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    (n, ic, h, w), (oc, icg, kh, kw), *bias = inputs
    groups = _int(attrs["groups"])
    if groups < 1 or ic != icg * groups or oc % groups or (bias and bias[0] != (oc,)):
        raise ValueError(f"{ic} channels, weight {inputs[1]}, {groups} groups do not fit together")
    return (n, oc, *_window((h, w), (kh, kw), attrs))


def _linear(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    (n, features), (out, fan_in), *bias = inputs
    if features != fan_in or (bias and bias[0] != (out,)):
        raise ValueError(f"{features} features do not fit weight {inputs[1]}")
    return (n, out)


def _channelwise(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    if any(parameter != (inputs[0][1],) for parameter in inputs[1:]):
        raise ValueError(f"parameters {inputs[1:]} do not fit {inputs[0][1]} channels")
    return inputs[0]


def _pool(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    n, c, h, w = inputs[0]
    return (n, c, *_window((h, w), _ints(attrs["kernel"]), attrs))


def _pad(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    (n, c, h, w), (top, left, bottom, right) = inputs[0], _ints(attrs["padding"])
    before, after = _ints(attrs["channels"])
    if min(top, left, bottom, right, before, after) < 0:
        raise ValueError(f"negative padding {attrs['padding']}, {attrs['channels']}")
    return (n, c + before + after, h + top + bottom, w + left + right)


def _lrn(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    if _int(attrs["size"]) < 1:
        raise ValueError(f"a sum over {attrs['size']} channels")
    return inputs[0]


def _same(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    return inputs[0]


def _broadcast(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    a, b = inputs
    if len(a) != len(b) or any(x != y and 1 not in {x, y} for x, y in zip(a, b, strict=True)):
        raise ValueError(f"shapes {a} and {b} do not broadcast")
    return tuple(max(x, y) for x, y in zip(a, b, strict=True))


def _concat(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    if len({(shape[0], *shape[2:]) for shape in inputs}) != 1:
        raise ValueError(f"shapes {inputs} differ in more than their channels")
    return (inputs[0][0], sum(shape[1] for shape in inputs), *inputs[0][2:])


def _flatten(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    return (inputs[0][0], math.prod(inputs[0][1:]))


def _rbf(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    if inputs[0][1] != inputs[1][1]:
        raise ValueError(f"{inputs[0][1]} features do not fit codes {inputs[1]}")
    return (inputs[0][0], inputs[1][0])


def _window(size: tuple[int, int], kernel: tuple[int, ...], attrs: Mapping[str, Attr]) -> Shape:
    # ⌊(n + p₀ + p₁ - d(f - 1) - 1) / s⌋ + 1 for each of height and width
    stride, dilation, padding = (_ints(attrs[k]) for k in ("stride", "dilation", "padding"))
    if tuple(map(len, (kernel, stride, dilation, padding))) != (2, 2, 2, 4):
        raise ValueError("kernel, stride and dilation need two numbers, padding four")
    if min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise ValueError(f"{kernel=}, {stride=} and {dilation=} from 1 on, {padding=} from 0 on")
    out = []
    for axis in (0, 1):
        reach = size[axis] + padding[axis] + padding[axis + 2] - dilation[axis] * (kernel[axis] - 1)
        out.append((reach - 1) // stride[axis] + 1)
    if min(out) < 1:
        raise ValueError(f"a {kernel} window does not fit a padded map of {size}")
    return tuple(out)


def _int(attr: Attr) -> int:
    assert isinstance(attr, int)
    return attr


def _ints(attr: Attr) -> tuple[int, ...]:
    assert isinstance(attr, tuple)
    return attr


IMAGE, VECTOR, ANY = (4,), (2,), (2, 4)
# stride (h, w), dilation (h, w), padding (top, left, bottom, right)
WINDOW: dict[str, type] = {"stride": tuple, "dilation": tuple, "padding": tuple}

# name: inputs by rank, attributes, shape
OPS: dict[str, Op] = {
    # x, weight [OC, IC / groups, KH, KW], bias [OC]
    "conv2d": Op((IMAGE, IMAGE, (1,)), {**WINDOW, "groups": int}, _conv2d, 1, optional=1),
    # x, weight [OF, IF], bias [OF]
    "linear": Op((VECTOR, VECTOR, (1,)), {}, _linear, 1, optional=1),
    # x, gamma, beta, mean, variance, all [C]
    "batch_norm": Op((ANY, (1,), (1,), (1,), (1,)), {"eps": float}, _channelwise, constants=1),
    # x, scale, shift, both [C]: x * scale + shift
    "scale_shift": Op((ANY, (1,), (1,)), {}, _channelwise, constants=1),
    # cells of the padding never win
    "max_pool": Op((IMAGE,), {**WINDOW, "kernel": tuple}, _pool),
    # `count_padding` 1: divide by the whole window, 0: by the cells inside the map
    "avg_pool": Op((IMAGE,), {**WINDOW, "kernel": tuple, "count_padding": int}, _pool),
    # H and W grow by `padding` (top, left, bottom, right) cells of `fill`, C by `channels` (before,
    # after) maps of it
    "pad": Op((IMAGE,), {"padding": tuple, "channels": tuple, "fill": float}, _pad),
    # k, alpha, beta as in Krizhevsky et al. 2012, section 3.3: alpha is not divided by size
    "lrn": Op((IMAGE,), {"size": int, "alpha": float, "beta": float, "k": float}, _lrn),
    "add": Op((ANY, ANY), {}, _broadcast),
    "mul": Op((ANY, ANY), {}, _broadcast),
    # along channels
    "concat": Op((ANY,), {}, _concat, variadic=True),
    "flatten": Op((IMAGE,), {}, _flatten),
    # x [1, F], codes [K, F]: minus the squared distance to each code
    "rbf": Op((VECTOR, VECTOR), {}, _rbf, constants=1),
    # nothing but its epilogue
    "elementwise": Op((ANY,), {}, _same),
}

# step of an epilogue: how many numbers it carries
EPILOGUES: dict[str, int] = {
    "affine": 2,  # x * a + b
    "relu": 0,
    "clip": 2,  # min(max(x, low), high)
    "leaky_relu": 1,  # slope of the negative side
    "sigmoid": 0,
    "tanh": 0,
    "silu": 0,  # x * sigmoid(x)
    "hard_sigmoid": 0,  # clip(x + 3, 0, 6) / 6
    "hard_swish": 0,  # x * hard_sigmoid(x)
}


# These move values and compute none, so their results are stored without an epilogue.
WITHOUT_EPILOGUE = frozenset({"pad", "concat", "flatten"})


def result_shape(name: str, op: str, inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """Shape that `op` gives. Raises VerifyError, naming the node, where the inputs do not fit."""
    try:
        return OPS[op].shape(inputs, attrs)
    except (KeyError, ValueError, IndexError) as error:
        raise VerifyError(f"node {name!r} ({op}): {error}") from None
