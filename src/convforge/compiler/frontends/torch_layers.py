"""Handlers of what has weights or windows: convolutions, linear layers, norms, pooling, padding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.compiler.frontends.torch_call import (
    Unsupported,
    arguments,
    axis_of,
    pair,
    shape_of,
)

if TYPE_CHECKING:
    from torch import fx

    from convforge.compiler.frontends.torch import Reader
    from convforge.compiler.frontends.torch_call import Handler


def conv2d(reader: Reader, node: fx.Node) -> None:
    """aten.conv2d, and aten.convolution, which also stands for what is refused."""
    a = arguments(node)
    if len(shape_of(a["input"])) != 4:
        raise Unsupported(f"an input of shape {shape_of(a['input'])}; [N, C, H, W] is supported")
    if a.get("transposed"):
        raise Unsupported("a transposed convolution; plain ones are supported")
    dilation = pair(a["dilation"])
    inputs = [reader.value(a["input"]), reader.weight(a["weight"])]
    inputs += [reader.weight(a["bias"])] if a["bias"] is not None else []
    padding = _conv_padding(a["padding"], kernel=shape_of(a["weight"])[2:], dilation=dilation)
    attrs = {"stride": pair(a["stride"]), "padding": padding, "dilation": dilation}
    reader.emit(node, "conv2d", inputs, attrs={**attrs, "groups": int(a["groups"])})


def _conv_padding(
    padding: Any, *, kernel: tuple[int, ...], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding == "same":  # torch puts the odd cell after
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before = [t // 2 for t in total]
        return (before[0], before[1], total[0] - before[0], total[1] - before[1])
    return pair(padding) * 2


def linear(reader: Reader, node: fx.Node) -> None:
    """aten.linear, over the last axis."""
    a = arguments(node)
    inputs = [reader.value(a["input"]), reader.weight(a["weight"])]
    inputs += [reader.weight(a["bias"])] if a["bias"] is not None else []
    reader.emit(node, "linear", inputs)


def batch_norm(reader: Reader, node: fx.Node) -> None:
    """BatchNorm with fixed statistics; the first of its results."""
    a = arguments(node)
    inputs = [
        reader.value(a["input"]),
        *_affine(reader, a, length=shape_of(a["input"])[1]),
        reader.weight(a["running_mean"]),
        reader.weight(a["running_var"]),
    ]
    reader.emit(node, "batch_norm", inputs, attrs={"eps": float(a["eps"])})


def layer_norm(reader: Reader, node: fx.Node) -> None:
    """Over the last axes, which are made one where they are several; the first of its results."""
    a = arguments(node)
    shape, normalized = shape_of(a["input"]), tuple(a["normalized_shape"])
    length, leading = math.prod(normalized), shape[: len(shape) - len(normalized)]
    source = reader.reshape(node, reader.value(a["input"]), shape, (*leading, length))
    inputs = [source, *_affine(reader, a, length=length)]
    reader.emit(node, "layer_norm", inputs, attrs={"axis": len(leading), "eps": float(a["eps"])})
    reader.reshape(node, reader.value(node), (*leading, length), shape)


def group_norm(reader: Reader, node: fx.Node) -> None:
    """Each group as one axis of a layer norm, then a scale and shift a channel."""
    a = arguments(node)
    shape, groups = shape_of(a["input"]), int(a["group"])
    grouped = (shape[0], groups, math.prod(shape[1:]) // groups)
    source = reader.reshape(node, reader.value(a["input"]), shape, grouped)
    reader.emit(node, "layer_norm", [source], attrs={"axis": 2, "eps": float(a["eps"])})
    reader.reshape(node, reader.value(node), grouped, shape)
    if a["weight"] is not None or a["bias"] is not None:
        parameters = _affine(reader, a, length=shape[1])
        reader.emit(node, "scale_shift", [reader.value(node), *parameters])


def _affine(reader: Reader, a: dict[str, Any], *, length: int) -> list[str]:
    # Names of gamma and beta, of one axis.
    neutral = {"weight": ("gamma", np.ones(length)), "bias": ("beta", np.zeros(length))}
    return [
        reader.weight(a[key], shape=(length,))
        if a[key] is not None
        else reader.constant(values, hint)
        for key, (hint, values) in neutral.items()
    ]


def max_pool(reader: Reader, node: fx.Node) -> None:
    """aten.max_pool2d, with indices or without."""
    a = arguments(node)
    kernel, dilation = pair(a["kernel_size"]), pair(a["dilation"])
    attrs = _pool_attrs(node, a, kernel=kernel, dilation=dilation)
    reader.emit(node, "max_pool", [reader.value(node.args[0])], attrs=attrs)


def avg_pool(reader: Reader, node: fx.Node) -> None:
    """aten.avg_pool2d."""
    a = arguments(node)
    if a["divisor_override"] is not None:
        raise Unsupported(f"divisor_override={a['divisor_override']}; None is supported")
    attrs = _pool_attrs(node, a, kernel=pair(a["kernel_size"]), dilation=(1, 1))
    # torch counts the cells of its padding but not those that ceil_mode adds
    attrs["counted"] = pair(a["padding"]) * 2 if a["count_include_pad"] else (0, 0, 0, 0)
    reader.emit(node, "avg_pool", [reader.value(node.args[0])], attrs=attrs)


def _pool_attrs(
    node: fx.Node, a: dict[str, Any], *, kernel: tuple[int, int], dilation: tuple[int, int]
) -> dict[str, Any]:
    # ceil_mode's extra window becomes padding after; in max pooling such cells never win.
    stride = pair(a["stride"] or kernel)
    before, size = pair(a["padding"]), _map_size(node.args[0])
    out = shape_of(node)[2:]
    after = [
        max(before[i], (out[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1
            - size[i] - before[i])
        for i in (0, 1)
    ]  # fmt: skip
    padding = (*before, *after)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


def adaptive_pool(op: str) -> Handler:
    """Handler of adaptive pooling: `op` where its windows tile the map, else the adaptive `op`."""

    def handle(reader: Reader, node: fx.Node) -> None:
        size, out = _map_size(node.args[0]), shape_of(node)[2:]
        if any(size[i] % out[i] for i in (0, 1)):
            source = [reader.value(node.args[0])]
            reader.emit(node, f"adaptive_{op}", source, attrs={"size": (out[0], out[1])})
        else:
            kernel = (size[0] // out[0], size[1] // out[1])
            reader.emit(node, op, [reader.value(node.args[0])], attrs=_tiles(op, kernel))

    return handle


def reduce(op: str) -> Handler:
    """Handler of mean, sum and amax over axes: a global pooling where they are those of maps."""

    def handle(reader: Reader, node: fx.Node) -> None:
        a = arguments(node)
        shape, out = shape_of(a["self"]), shape_of(node)
        axes = tuple(
            sorted({axis_of(dim, len(shape)) for dim in a.get("dim") or range(len(shape))})
        )
        if not out:
            raise Unsupported(f"{op} of all of {shape}; a tensor is supported, not a single number")
        source, kept = reader.value(a["self"]), [1 if i in axes else n for i, n in enumerate(shape)]
        if len(shape) == 4 and axes == (2, 3):
            pool = "max_pool" if op == "amax" else "avg_pool"
            reader.emit(node, pool, [source], attrs=_tiles(pool, (shape[2], shape[3])))
        elif op == "amax":
            raise Unsupported(
                f"amax over {list(axes)} of {shape}; over height and width is supported"
            )
        else:
            reader.emit(node, "mean", [source], attrs={"axes": axes})
        if op == "sum":
            count = float(math.prod(shape[axis] for axis in axes))
            step = ("affine", count, 0.0)
            reader.emit(node, "elementwise", [reader.value(node)], epilogue=(step,))
        reader.reshape(node, reader.value(node), tuple(kept), out)

    return handle


def _tiles(op: str, kernel: tuple[int, int]) -> dict[str, Any]:
    attrs: dict[str, Any] = {"kernel": kernel, "stride": kernel, "dilation": (1, 1)}
    attrs["padding"] = (0, 0, 0, 0)
    return {**attrs, "counted": (0, 0, 0, 0)} if op == "avg_pool" else attrs


def _map_size(node: Any) -> tuple[int, int]:
    shape = shape_of(node)
    if len(shape) != 4:
        raise Unsupported(f"an input of shape {shape}; [N, C, H, W] is supported")
    return (shape[2], shape[3])


def pad(reader: Reader, node: fx.Node) -> None:
    """aten.constant_pad_nd of maps."""
    a = arguments(node)
    amounts = [int(v) for v in a["pad"]]
    left, right, top, bottom, before, after = (amounts + [0] * 6)[:6]
    if len(shape_of(node)) != 4 or any(amounts[6:]) or min(amounts) < 0:
        raise Unsupported(f"padding {amounts} of {shape_of(a['self'])}; 0 or more of maps is")
    attrs: dict[str, Any] = {"padding": (top, left, bottom, right), "channels": (before, after)}
    attrs["fill"] = float(a["value"] or 0)
    reader.emit(node, "pad", [reader.value(a["self"])], attrs=attrs)


def rbf(reader: Reader, node: fx.Node) -> None:
    """LeNet-5's output layer."""
    x, codes = node.args
    reader.emit(node, "rbf", [reader.value(x), reader.weight(codes)])


def local_response_norm(reader: Reader, node: fx.Node) -> None:
    """networks/blocks.py's own operation."""
    a = arguments(node)
    attrs = {"size": int(a["n"]), **{key: float(a[key]) for key in ("k", "alpha", "beta")}}
    reader.emit(node, "lrn", [reader.value(a["x"])], attrs=attrs)
