"""The meaning of every operation, in numpy: the oracle that kernels and passes are held against.

Works in the dtype of its input, so a float64 image gives a float64 answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convforge.compiler.ir import reference_int8
from convforge.compiler.ir.shapes import mix_attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convforge.compiler.ir.graph import Graph, Node
    from convforge.compiler.ir.ops import Step

Values: TypeAlias = Any  # an array; numpy's promotion rules defeat exact types here


def evaluate(graph: Graph, image: Values) -> Values:
    """The graph's output for one image of `graph.input_shape`, float32 or float64."""
    return evaluate_all(graph, image)[graph.output]


def evaluate_all(graph: Graph, image: Values) -> dict[str, Values]:
    """Every value of the graph by name, for one image."""
    values: dict[str, Values] = {graph.input: image}
    values |= {name: array.astype(image.dtype) for name, array in graph.constants.items()}
    for node in graph.nodes:
        values[node.name] = compute(node, [values[name] for name in node.inputs])
    return values


def compute(node: Node, inputs: list[Values]) -> Values:
    """What one node gives for these inputs, epilogue included."""
    if node.op == "conv2d_pair":
        inputs = [_mixed(node, inputs[:3]), *inputs[3:]]
    with np.errstate(all="ignore"):  # infinities and NaN come out, as in torch
        result = _FUNCTIONS[node.op](inputs, node.attrs)
    for step in node.epilogue:
        result = apply_step(step, result)
    return result


def apply_step(step: Step, x: Values) -> Values:
    """One step of an epilogue on every element."""
    name, *numbers = step
    with np.errstate(all="ignore"):
        return _STEPS[str(name)](x, *(x.dtype.type(number) for number in numbers))


def _sigmoid(x: Values) -> Values:
    # exp of a negative number only: no overflow on either side
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _conv2d(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x, weight, *bias = inputs
    oc, icg, kh, kw = weight.shape
    groups = attrs["groups"]
    windows = _windows(x, (kh, kw), attrs, fill=0)  # [1, IC, OH, OW, KH, KW]
    windows = windows.reshape(x.shape[0], groups, icg, *windows.shape[2:])
    kernels = weight.reshape(groups, oc // groups, icg, kh, kw)
    y: Values = np.einsum("ngihwkl,goikl->ngohw", windows, kernels, optimize=True)
    y = y.reshape(x.shape[0], oc, *windows.shape[3:5])
    return y + bias[0][:, None, None] if bias else y


def _mixed(node: Node, inputs: list[Values]) -> Values:
    """The map between the two convolutions of a pair."""
    result = _conv2d(inputs, {**mix_attrs(node.attrs), "groups": 1})
    for step in node.between:
        result = apply_step(step, result)
    return result


def _depthwise(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    return _conv2d(inputs, {**attrs, "groups": inputs[0].shape[1]})


def _linear(inputs: list[Values], _attrs: Mapping[str, Any]) -> Values:
    x, weight, *bias = inputs
    y: Values = x @ weight.T
    return y + bias[0] if bias else y


def _batch_norm(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x, *parameters = inputs
    gamma, beta, mean, variance = (_per_channel(parameter, x) for parameter in parameters)
    return (x - mean) / np.sqrt(variance + x.dtype.type(attrs["eps"])) * gamma + beta


def _scale_shift(inputs: list[Values], _attrs: Mapping[str, Any]) -> Values:
    x, scale, shift = inputs
    return x * _per_channel(scale, x) + _per_channel(shift, x)


def _max_pool(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    return _windows(inputs[0], attrs["kernel"], attrs, fill=-np.inf).max(axis=(-2, -1))


def _avg_pool(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x = inputs[0]
    total = _windows(x, attrs["kernel"], attrs, fill=0).sum(axis=(-2, -1))
    # What counts are the cells of the map and of the `counted` part of its border.
    top, left, bottom, right = attrs["counted"]
    cells = np.ones((1, 1, x.shape[2] + top + bottom, x.shape[3] + left + right), x.dtype)
    rest = tuple(p - c for p, c in zip(attrs["padding"], attrs["counted"], strict=True))
    windows = _windows(cells, attrs["kernel"], {**attrs, "padding": rest}, fill=0)
    return total / windows.sum(axis=(-2, -1))


def _adaptive(function: Callable[..., Values]) -> Callable[..., Values]:
    def pool(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
        x, (oh, ow) = inputs[0], attrs["size"]
        rows, columns = adaptive_windows(x.shape[2], oh), adaptive_windows(x.shape[3], ow)
        lines = [
            [function(x[:, :, top:bottom, left:right], axis=(2, 3)) for left, right in columns]
            for top, bottom in rows
        ]
        return np.moveaxis(np.array(lines), (0, 1), (2, 3))

    return pool


def adaptive_windows(size: int, count: int) -> list[tuple[int, int]]:
    """Begin and end of each of `count` windows that share out `size` cells; they may overlap."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _pad(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    top, left, bottom, right = attrs["padding"]
    edges = ((0, 0), attrs["channels"], (top, bottom), (left, right))
    return np.pad(inputs[0], edges, constant_values=attrs["fill"])


def _lrn(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x, size = inputs[0], attrs["size"]
    before = size // 2
    squares = np.pad(x * x, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
    total = sliding_window_view(squares, size, axis=1).sum(axis=-1)
    kind = x.dtype.type
    return x / (kind(attrs["k"]) + kind(attrs["alpha"]) * total) ** kind(attrs["beta"])


def _upsample_nearest(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    return inputs[0][:, :, list(attrs["rows"])][:, :, :, list(attrs["columns"])]


def _upsample_bilinear(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x, *weights = inputs
    for axis, key, weight in zip((2, 3), ("rows", "columns"), weights, strict=True):
        first = np.array(attrs[key])
        second = np.minimum(first + 1, x.shape[axis] - 1)
        share = weight.reshape(-1, *(1,) * (3 - axis))
        x = np.take(x, first, axis) * (1 - share) + np.take(x, second, axis) * share
    return x


def _layer_norm(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x, *parameters = inputs
    axis = attrs["axis"]
    per_place = (-1, *(1,) * (x.ndim - 1 - axis))
    scale = np.sqrt(x.var(axis=axis, keepdims=True) + x.dtype.type(attrs["eps"]))
    centred = x - x.mean(axis=axis, keepdims=True)
    if not parameters:
        return centred / scale
    gamma, beta = (parameter.reshape(per_place) for parameter in parameters)
    return centred / scale * gamma + beta


def _softmax(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    x, axis = inputs[0], attrs["axis"]
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _slice(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    places = slice(attrs["start"], attrs["stop"], attrs["step"])
    return inputs[0][(slice(None),) * attrs["axis"] + (places,)]


def _rbf(inputs: list[Values], _attrs: Mapping[str, Any]) -> Values:
    x, codes = inputs
    return -((x[:, None, :] - codes[None]) ** 2).sum(axis=-1)


def _windows(
    x: Values, kernel: tuple[int, int], attrs: Mapping[str, Any], *, fill: float
) -> Values:
    (top, left, bottom, right), (dh, dw) = attrs["padding"], attrs["dilation"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    span = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    windows = sliding_window_view(padded, span, axis=(2, 3))
    sh, sw = attrs["stride"]
    return windows[:, :, ::sh, ::sw, ::dh, ::dw]


def _per_channel(parameter: Values, x: Values) -> Values:
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))


def _softplus(x: Values) -> Values:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _elementwise(function: Callable[[float], float], x: Values) -> Values:
    return np.asarray(np.frompyfunc(function, 1, 1)(x)).astype(x.dtype)


def _gelu_tanh(x: Values) -> Values:
    # (1 + tanh u) / 2 = sigmoid(2u), which loses no digits where it is small
    return x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


_FUNCTIONS: dict[str, Callable[[list[Values], Mapping[str, Any]], Values]] = {
    "conv2d": _conv2d,
    "conv2d_add": lambda inputs, attrs: _conv2d([inputs[0], *inputs[2:]], attrs) + inputs[1],
    "conv2d_pair": _depthwise,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "scale_shift": _scale_shift,
    "prelu": lambda inputs, _attrs: np.where(
        inputs[0] >= 0, inputs[0], inputs[0] * _per_channel(inputs[1], inputs[0])
    ),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _adaptive(np.mean),
    "adaptive_max_pool": _adaptive(np.max),
    "pad": _pad,
    "lrn": _lrn,
    "upsample_nearest": _upsample_nearest,
    "upsample_bilinear": _upsample_bilinear,
    "add": lambda inputs, _attrs: inputs[0] + inputs[1],
    "sub": lambda inputs, _attrs: inputs[0] - inputs[1],
    "mul": lambda inputs, _attrs: inputs[0] * inputs[1],
    "div": lambda inputs, _attrs: inputs[0] / inputs[1],
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "mean": lambda inputs, attrs: inputs[0].mean(axis=attrs["axes"], keepdims=True),
    "concat": lambda inputs, attrs: np.concatenate(inputs, axis=attrs["axis"]),
    "slice": _slice,
    "reshape": lambda inputs, attrs: inputs[0].reshape(attrs["shape"]),
    "transpose": lambda inputs, attrs: inputs[0].transpose(attrs["perm"]),
    "rbf": _rbf,
    "elementwise": lambda inputs, _attrs: inputs[0],
    "quantize": lambda inputs, attrs: reference_int8.quantize(inputs[0], attrs),
    "dequantize": lambda inputs, attrs: reference_int8.dequantize(inputs[0], attrs),
    "conv2d_int8": lambda inputs, attrs: reference_int8.conv2d_int8(inputs, attrs, _conv2d),
    "conv2d_add_int8": lambda inputs, attrs: reference_int8.conv2d_add_int8(inputs, attrs, _conv2d),
    "max_pool_int8": _max_pool,
    "concat_int8": lambda inputs, _attrs: np.concatenate(inputs, axis=1),
    "mul_int8": reference_int8.mul_int8,
    "mean_int8": lambda inputs, attrs: reference_int8.mean_int8(inputs[0], attrs),
    "linear_int8": reference_int8.linear_int8,
}

_STEPS: dict[str, Callable[..., Values]] = {
    "affine": lambda x, a, b: x * a + b,
    "relu": lambda x: np.maximum(x, 0),
    "clip": np.clip,
    "leaky_relu": lambda x, slope: np.where(x >= 0, x, x * slope),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "silu": lambda x: x * _sigmoid(x),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * (np.clip(x + 3, 0, 6) / 6),
    "gelu": lambda x: x * _elementwise(math.erfc, -x / math.sqrt(2)) / 2,
    "gelu_tanh": _gelu_tanh,
    "elu": lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "softplus": _softplus,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "erf": lambda x: _elementwise(math.erf, x),
    "reciprocal": lambda x: 1 / x,
}
