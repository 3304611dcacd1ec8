"""The meaning of every operation, in numpy: the oracle that kernels and passes are held against.

Works in the dtype of its input, so a float64 image gives a float64 answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
    result = _FUNCTIONS[node.op](inputs, node.attrs)
    for step in node.epilogue:
        result = apply_step(step, result)
    return result


def apply_step(step: Step, x: Values) -> Values:
    """One step of an epilogue on every element."""
    name, *numbers = step
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
    if attrs["count_padding"]:
        return total / x.dtype.type(math.prod(attrs["kernel"]))
    count = _windows(np.ones_like(x), attrs["kernel"], attrs, fill=0).sum(axis=(-2, -1))
    return total / count


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


_FUNCTIONS: dict[str, Callable[[list[Values], Mapping[str, Any]], Values]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "scale_shift": _scale_shift,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "pad": _pad,
    "lrn": _lrn,
    "add": lambda inputs, _attrs: inputs[0] + inputs[1],
    "mul": lambda inputs, _attrs: inputs[0] * inputs[1],
    "concat": lambda inputs, _attrs: np.concatenate(inputs, axis=1),
    "flatten": lambda inputs, _attrs: inputs[0].reshape(inputs[0].shape[0], -1),
    "rbf": _rbf,
    "elementwise": lambda inputs, _attrs: inputs[0],
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
}
