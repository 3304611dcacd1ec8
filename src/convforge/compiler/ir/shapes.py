"""The shape that each operation gives for those of its inputs; ValueError where they do not fit.

Letters: N images, C channels, H W map height and width, F features. An `axis` counts from 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.compiler.ir.ops import Attr, Shape, Shapes

LARGEST_RANK = 6


def conv2d(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """[N, OC, OH, OW] of x [N, IC, H, W] and a weight [OC, IC / groups, KH, KW]."""
    (n, ic, h, w), (oc, icg, kh, kw), *bias = inputs
    groups = _int(attrs["groups"])
    if groups < 1 or ic != icg * groups or oc % groups or (bias and bias[0] != (oc,)):
        raise ValueError(f"{ic} channels, weight {inputs[1]}, {groups} groups do not fit together")
    return (n, oc, *_window((h, w), (kh, kw), attrs))


def conv2d_add(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """The shape of the convolution, which its addend has to have too."""
    x, addend, *parameters = inputs
    shape = conv2d((x, *parameters), attrs)
    if addend != shape:
        raise ValueError(f"an addend {addend} does not fit a result {shape}")
    return shape


def conv2d_pair(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """The shape of a depthwise convolution of another convolution."""
    x, weight, bias, filters, shift = inputs
    between = conv2d((x, weight, bias), {**mix_attrs(attrs), "groups": 1})
    if filters[:2] != (weight[0], 1):
        raise ValueError(f"filters {filters} do not fit weight {weight}")
    return conv2d((between, filters, shift), {**attrs, "groups": weight[0]})


def mix_attrs(attrs: Mapping[str, Attr]) -> dict[str, Attr]:
    """Stride, dilation and padding of the first convolution of a pair."""
    return {key: attrs[f"mix_{key}"] for key in ("stride", "dilation", "padding")}


def conv2d_int8(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """The shape of the convolution; every output has a bias, a multiplier and a shift."""
    x, weight, *parameters = inputs
    sizes = [(weight[0],)] * 3 + [(256,)] * (len(parameters) == 4)
    if parameters != sizes:
        raise ValueError(f"parameters {parameters} do not fit weight {weight}")
    return conv2d((x, weight), attrs)


def conv2d_add_int8(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """The shape of the convolution, which its addend has to have too."""
    x, addend, *parameters = inputs
    shape = conv2d_int8((x, *parameters), attrs)
    if addend != shape:
        raise ValueError(f"an addend {addend} does not fit a result {shape}")
    return shape


def concat_int8(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """The inputs' channels one behind the other."""
    return concat(inputs, {"axis": 1})


def mul_int8(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """That of x, which has a factor for each map."""
    x, factor = inputs
    if factor != (*x[:2], 1, 1):
        raise ValueError(f"factors {factor} do not fit maps {x}")
    return x


def mean_maps(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """[N, C, 1, 1]."""
    return (*inputs[0][:2], 1, 1)


def linear_int8(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """[N, OF] of x [N, C, H, W], a weight [OF, C, H, W], a bias and a scale [OF]."""
    x, weight, *parameters = inputs
    if x[1:] != weight[1:] or parameters != [(weight[0],)] * 2:
        raise ValueError(f"{x} and parameters {parameters} do not fit weight {weight}")
    return (x[0], weight[0])


def linear(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """[..., OF] of x [..., IF] and a weight [OF, IF]."""
    (*leading, features), (out, fan_in), *bias = inputs
    if features != fan_in or (bias and bias[0] != (out,)):
        raise ValueError(f"{features} features do not fit weight {inputs[1]}")
    return (*leading, out)


def channelwise(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """That of x [N, C, ...], whose parameters are [C]."""
    if any(parameter != (inputs[0][1],) for parameter in inputs[1:]):
        raise ValueError(f"parameters {inputs[1:]} do not fit {inputs[0][1]} channels")
    return inputs[0]


def layer_norm(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """That of x, whose gamma and beta have one number for each place on the axis."""
    x, *parameters = inputs
    length = x[_axis(attrs["axis"], x)]
    if len(parameters) == 1 or any(parameter != (length,) for parameter in parameters):
        raise ValueError(f"parameters {parameters} do not fit axis {attrs['axis']} of {x}")
    return x


def pool(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """[N, C, OH, OW]."""
    n, c, h, w = inputs[0]
    return (n, c, *_window((h, w), _ints(attrs["kernel"]), attrs))


def avg_pool(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """[N, C, OH, OW]; `counted` lies within the padding."""
    counted, padding = _ints(attrs["counted"]), _ints(attrs["padding"])
    if len(counted) != 4 or any(not 0 <= c <= p for c, p in zip(counted, padding, strict=False)):
        raise ValueError(f"{counted=} of {padding=}, expected four numbers from 0 to the padding")
    return pool(inputs, attrs)


def adaptive_pool(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """[N, C, *size]."""
    size = _ints(attrs["size"])
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{size=}, expected a height and a width from 1 on")
    return (*inputs[0][:2], *size)


def pad(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """[N, before + C + after, top + H + bottom, left + W + right]."""
    (n, c, h, w), (top, left, bottom, right) = inputs[0], _ints(attrs["padding"])
    before, after = _ints(attrs["channels"])
    if min(top, left, bottom, right, before, after) < 0:
        raise ValueError(f"negative padding {attrs['padding']}, {attrs['channels']}")
    return (n, c + before + after, h + top + bottom, w + left + right)


def lrn(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """That of x."""
    if _int(attrs["size"]) < 1:
        raise ValueError(f"a sum over {attrs['size']} channels")
    return inputs[0]


def upsample(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """[N, C, OH, OW]; a map's row and column is named for each of the result's."""
    n, c, h, w = inputs[0]
    rows, columns = _ints(attrs["rows"]), _ints(attrs["columns"])
    for what, places, size in (("rows", rows, h), ("columns", columns, w)):
        if not places or min(places) < 0 or max(places) >= size:
            raise ValueError(f"{what} {places} of a map that has {size}")
    weights = inputs[1:]
    if weights and weights != ((len(rows),), (len(columns),)):
        raise ValueError(f"weights {weights} for {len(rows)} rows and {len(columns)} columns")
    return (n, c, len(rows), len(columns))


def same(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """That of x."""
    return inputs[0]


def along_axis(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """That of x, which has the axis."""
    _axis(attrs["axis"], inputs[0])
    return inputs[0]


def broadcast(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """Numpy's broadcasting: axes are matched from the last one, and 1 is stretched."""
    a, b = inputs
    rank = max(len(a), len(b))
    pairs = list(zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True))
    if any(x != y and 1 not in {x, y} for x, y in pairs):
        raise ValueError(f"shapes {a} and {b} do not broadcast")
    return tuple(max(pair) for pair in pairs)


def concat(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """The inputs one behind the other along the axis."""
    axis = _axis(attrs["axis"], inputs[0])
    if len({(shape[:axis], shape[axis + 1 :]) for shape in inputs}) != 1:
        raise ValueError(f"shapes {inputs} differ in more than axis {axis}")
    total = sum(shape[axis] for shape in inputs)
    return (*inputs[0][:axis], total, *inputs[0][axis + 1 :])


def slice_(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """What Python's slice(start, stop, step) leaves of the axis."""
    axis = _axis(attrs["axis"], inputs[0])
    start, stop, step = (_int(attrs[key]) for key in ("start", "stop", "step"))
    if step < 1 or not 0 <= start < stop <= inputs[0][axis]:
        raise ValueError(f"slice {start}:{stop}:{step} of axis {axis} of {inputs[0]}")
    return (*inputs[0][:axis], -((start - stop) // step), *inputs[0][axis + 1 :])


def reshape(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """The attribute; it has as many elements as x."""
    shape = _ints(attrs["shape"])
    if not 1 <= len(shape) <= LARGEST_RANK or math.prod(shape) != math.prod(inputs[0]):
        raise ValueError(f"{inputs[0]} does not become {shape}")
    return shape


def transpose(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """Axis i of the result is axis perm[i] of x."""
    perm = _ints(attrs["perm"])
    if sorted(perm) != list(range(len(inputs[0]))):
        raise ValueError(f"{perm=} does not name every axis of {inputs[0]} once")
    return tuple(inputs[0][axis] for axis in perm)


def mean(inputs: Shapes, attrs: Mapping[str, Attr]) -> Shape:
    """That of x with 1 at the axes."""
    axes = _ints(attrs["axes"])
    if not axes or len(set(axes)) != len(axes) or not set(axes) <= set(range(len(inputs[0]))):
        raise ValueError(f"{axes=} of {inputs[0]}")
    return tuple(1 if axis in axes else size for axis, size in enumerate(inputs[0]))


def rbf(inputs: Shapes, _attrs: Mapping[str, Attr]) -> Shape:
    """[N, K] of x [N, F] and codes [K, F]."""
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


def _axis(attr: Attr, shape: Shape) -> int:
    axis = _int(attr)
    if not 0 <= axis < len(shape):
        raise ValueError(f"axis {axis} of {shape}")
    return axis


def _int(attr: Attr) -> int:
    assert isinstance(attr, int)
    return attr


def _ints(attr: Attr) -> tuple[int, ...]:
    assert isinstance(attr, tuple)
    return attr
