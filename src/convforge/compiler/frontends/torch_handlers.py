"""What each ATen operation becomes in the graph.

`HANDLERS`, by the name that `torch.export` gives an operation, is the list of what is supported.
A handler reads the node's arguments, refuses what it does not understand by raising `Unsupported`,
and calls `reader.emit` or `reader.alias`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx

    from convforge.compiler.frontends.torch import Reader
    from convforge.compiler.ir.ops import Step

    Handler: TypeAlias = Callable[[Reader, fx.Node], None]
    Constant: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Unsupported(Exception):  # noqa: N818  (the reader turns it into UnsupportedError with the layer)
    """What a handler found that it does not understand, and what is supported instead."""


def _arguments(node: fx.Node) -> dict[str, Any]:
    # Every argument by its name in the operation's schema, defaults filled in.
    schema = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    return {**defaults, **given, **node.kwargs}


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _pair(value: Any) -> tuple[int, int]:
    values = [value, value] if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


def _conv2d(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    if len(_shape(a["input"])) != 4:
        raise Unsupported(f"an input of shape {_shape(a['input'])}; [N, C, H, W] is supported")
    if a.get("transposed"):
        raise Unsupported("a transposed convolution; plain ones are supported")
    dilation = _pair(a["dilation"])
    inputs = [reader.value(a["input"]), reader.weight(a["weight"])]
    inputs += [reader.weight(a["bias"])] if a["bias"] is not None else []
    padding = _conv_padding(a["padding"], kernel=_shape(a["weight"])[2:], dilation=dilation)
    attrs = {"stride": _pair(a["stride"]), "padding": padding, "dilation": dilation}
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
    return _pair(padding) * 2


def _linear(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    if len(_shape(a["input"])) != 2:
        raise Unsupported(f"an input of shape {_shape(a['input'])}; [N, F] is supported")
    inputs = [reader.value(a["input"]), reader.weight(a["weight"])]
    inputs += [reader.weight(a["bias"])] if a["bias"] is not None else []
    reader.emit(node, "linear", inputs)


def _batch_norm(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    channels = _shape(a["input"])[1]
    gamma, beta = a["weight"], a["bias"]
    inputs = [
        reader.value(a["input"]),
        reader.weight(gamma) if gamma is not None else reader.constant(np.ones(channels), "gamma"),
        reader.weight(beta) if beta is not None else reader.constant(np.zeros(channels), "beta"),
        reader.weight(a["running_mean"]),
        reader.weight(a["running_var"]),
    ]
    reader.emit(node, "batch_norm", inputs, attrs={"eps": float(a["eps"])})


def _first_result(reader: Reader, node: fx.Node) -> None:
    source, index = node.args
    if index != 0:
        raise Unsupported(f"result {index} of {source}; only the first is supported")
    reader.alias(node, source)


def _max_pool(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    kernel, dilation = _pair(a["kernel_size"]), _pair(a["dilation"])
    attrs = _pool_attrs(node, a, kernel=kernel, dilation=dilation)
    reader.emit(node, "max_pool", [reader.value(node.args[0])], attrs=attrs)


def _avg_pool(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    if a["divisor_override"] is not None:
        raise Unsupported(f"divisor_override={a['divisor_override']}; None is supported")
    attrs = _pool_attrs(node, a, kernel=_pair(a["kernel_size"]), dilation=(1, 1))
    # torch counts the cells of its padding but not those that ceil_mode adds
    attrs["counted"] = _pair(a["padding"]) * 2 if a["count_include_pad"] else (0, 0, 0, 0)
    reader.emit(node, "avg_pool", [reader.value(node.args[0])], attrs=attrs)


def _pool_attrs(
    node: fx.Node, a: dict[str, Any], *, kernel: tuple[int, int], dilation: tuple[int, int]
) -> dict[str, Any]:
    # ceil_mode's extra window becomes padding after; in max pooling such cells never win.
    stride = _pair(a["stride"] or kernel)
    before, size = _pair(a["padding"]), _shape(node.args[0])[2:]
    value = node.meta["val"]
    out = tuple((value[0] if isinstance(value, (tuple, list)) else value).shape)[2:]
    after = [
        max(before[i], (out[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1
            - size[i] - before[i])
        for i in (0, 1)
    ]  # fmt: skip
    padding = (*before, *after)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


def _adaptive_avg_pool(reader: Reader, node: fx.Node) -> None:
    size, out = _shape(node.args[0])[2:], _shape(node)[2:]
    if any(size[i] % out[i] for i in (0, 1)):
        raise Unsupported(f"adaptive pooling from {size} to {out}; a whole multiple is supported")
    _emit_mean(reader, node, kernel=(size[0] // out[0], size[1] // out[1]))


def _mean(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    shape = _shape(a["self"])
    dims = {int(d) % len(shape) for d in a["dim"] or range(len(shape))}
    if len(shape) != 4 or dims != {2, 3} or not a["keepdim"]:
        raise Unsupported(
            f"a mean over {sorted(dims)} of {shape}, keepdim={a['keepdim']}; "
            "over height and width with keepdim=True is supported"
        )
    _emit_mean(reader, node, kernel=(shape[2], shape[3]))


def _emit_mean(reader: Reader, node: fx.Node, *, kernel: tuple[int, int]) -> None:
    attrs: dict[str, Any] = {"kernel": kernel, "stride": kernel, "dilation": (1, 1)}
    attrs.update(padding=(0, 0, 0, 0), counted=(0, 0, 0, 0))
    reader.emit(node, "avg_pool", [reader.value(node.args[0])], attrs=attrs)


def _reshape(reader: Reader, node: fx.Node) -> None:
    before, after = _shape(node.args[0]), _shape(node)
    if before == after:
        reader.alias(node, node.args[0])
    elif len(before) == 4 and len(after) == 2 and before[0] == after[0]:
        reader.emit(node, "reshape", [reader.value(node.args[0])], attrs={"shape": after})
    else:
        raise Unsupported(f"a reshape from {before} to {after}; flattening maps is supported")


def _same_value(reader: Reader, node: fx.Node) -> None:
    reader.alias(node, node.args[0])


def _concat(reader: Reader, node: fx.Node) -> None:
    sources, dim = node.args[0], int(node.args[1]) if len(node.args) > 1 else 0  # type: ignore[arg-type]
    rank = len(_shape(node))
    if rank != 4 or dim % rank != 1:
        raise Unsupported(f"concatenation of rank {rank} along {dim}; maps, along channels, are")
    if any(source in reader.tensors for source in sources):  # type: ignore[union-attr]
        raise Unsupported("a constant among what it joins; computed maps are supported")
    reader.emit(node, "concat", [reader.value(source) for source in sources], attrs={"axis": 1})  # type: ignore[union-attr]


def _pad(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    amounts = [int(v) for v in a["pad"]]
    left, right, top, bottom, before, after = (amounts + [0] * 6)[:6]
    if len(_shape(node)) != 4 or any(amounts[6:]) or min(amounts) < 0:
        raise Unsupported(f"padding {amounts} of {_shape(a['self'])}; 0 or more of maps is")
    attrs: dict[str, Any] = {"padding": (top, left, bottom, right), "channels": (before, after)}
    attrs["fill"] = float(a["value"] or 0)
    reader.emit(node, "pad", [reader.value(a["self"])], attrs=attrs)


def _rbf(reader: Reader, node: fx.Node) -> None:
    x, codes = node.args
    reader.emit(node, "rbf", [reader.value(x), reader.weight(codes)])


def _local_response_norm(reader: Reader, node: fx.Node) -> None:
    a = _arguments(node)
    attrs = {"size": int(a["n"]), **{key: float(a[key]) for key in ("k", "alpha", "beta")}}
    reader.emit(node, "lrn", [reader.value(a["x"])], attrs=attrs)


def _binary(op: str) -> Handler:
    """Handler of add, sub, mul and div: with a constant it scales and shifts, else it is `op`."""

    def handle(reader: Reader, node: fx.Node) -> None:
        a = _arguments(node)
        if a.get("alpha", 1) != 1:
            raise Unsupported(f"alpha={a['alpha']}; 1 is supported")
        left, right = _fixed(reader, a["self"]), _fixed(reader, a["other"])
        if left is not None:
            _emit_scale_shift(reader, node, a["other"], fixed=left, op=f"constant {op}")
        elif right is not None:
            _emit_scale_shift(reader, node, a["self"], fixed=right, op=op)
        else:
            shapes = _shape(a["self"]), _shape(a["other"])
            if op not in {"add", "mul"} or len(shapes[0]) != len(shapes[1]):
                raise Unsupported(
                    f"{op} of two computed values {shapes[0]} and {shapes[1]}; add and mul of "
                    "equal ranks are supported"
                )
            reader.emit(node, op, [reader.value(a["self"]), reader.value(a["other"])])

    return handle


def _fixed(reader: Reader, operand: Any) -> Constant | None:
    if isinstance(operand, (int, float)):
        return np.asarray(float(operand))
    if operand in reader.tensors:
        return reader.tensors[operand].double().numpy()  # type: ignore[no-any-return]
    return None


# c the constant, x what is computed: (scale, shift) so that the result is x * scale + shift
_SCALE_SHIFT: dict[str, Callable[[Constant], tuple[Constant, Constant]]] = {
    "add": lambda c: (np.ones_like(c), c),
    "constant add": lambda c: (np.ones_like(c), c),
    "sub": lambda c: (np.ones_like(c), -c),
    "constant sub": lambda c: (-np.ones_like(c), c),
    "mul": lambda c: (c, np.zeros_like(c)),
    "constant mul": lambda c: (c, np.zeros_like(c)),
    "div": lambda c: (1 / c, np.zeros_like(c)),
}


def _emit_scale_shift(
    reader: Reader, node: fx.Node, source: Any, *, fixed: Constant, op: str
) -> None:
    shape = _shape(source)
    per_channel = (1, shape[1], *(1,) * (len(shape) - 2))
    if op not in _SCALE_SHIFT:
        raise Unsupported("a constant divided by a computed value; the other way round is")
    try:
        value = np.broadcast_to(fixed, per_channel).reshape(-1)
    except ValueError:
        raise Unsupported(
            f"a constant of shape {fixed.shape} on {shape}; one number, or one a channel, is"
        ) from None
    with np.errstate(divide="ignore"):  # x / 0 is infinite or NaN here as in torch
        scale, shift = _SCALE_SHIFT[op](value)
    inputs = [reader.constant(scale, "scale"), reader.constant(shift, "shift")]
    reader.emit(node, "scale_shift", [reader.value(source), *inputs])


def _unary(step: Callable[[dict[str, Any]], Step]) -> Handler:
    def handle(reader: Reader, node: fx.Node) -> None:
        source = reader.value(node.args[0])
        reader.emit(node, "elementwise", [source], epilogue=(step(_arguments(node)),))

    return handle


def _clamp(a: dict[str, Any]) -> Step:
    low, high = a["min"], a["max"]
    if low == 0 and high is None:
        return ("relu",)
    if low is None or high is None:
        raise Unsupported(f"clamp from {low} to {high}; both ends are needed")
    return ("clip", float(low), float(high))


HANDLERS: dict[str, Handler] = {
    "aten.conv2d.default": _conv2d,
    "aten.conv2d.padding": _conv2d,
    "aten.convolution.default": _conv2d,
    "aten.linear.default": _linear,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "<built-in function getitem>": _first_result,
    "aten.max_pool2d.default": _max_pool,
    "aten.max_pool2d_with_indices.default": _max_pool,
    "aten.avg_pool2d.default": _avg_pool,
    "aten.adaptive_avg_pool2d.default": _adaptive_avg_pool,
    "aten.mean.dim": _mean,
    "aten.view.default": _reshape,
    "aten.clone.default": _same_value,
    "aten.cat.default": _concat,
    "aten.constant_pad_nd.default": _pad,
    "aten.add.Tensor": _binary("add"),
    "aten.sub.Tensor": _binary("sub"),
    "aten.mul.Tensor": _binary("mul"),
    "aten.div.Tensor": _binary("div"),
    "aten.neg.default": _unary(lambda _a: ("affine", -1.0, 0.0)),
    "convforge.rbf.default": _rbf,  # LeNet-5's output layer, networks/lenet.py
    "convforge.local_response_norm.default": _local_response_norm,  # networks/blocks.py
    "aten.relu.default": _unary(lambda _a: ("relu",)),
    "aten.hardtanh.default": _unary(lambda a: ("clip", float(a["min_val"]), float(a["max_val"]))),
    "aten.clamp.default": _unary(_clamp),
    "aten.leaky_relu.default": _unary(lambda a: ("leaky_relu", float(a["negative_slope"]))),
    "aten.sigmoid.default": _unary(lambda _a: ("sigmoid",)),
    "aten.tanh.default": _unary(lambda _a: ("tanh",)),
    "aten.silu.default": _unary(lambda _a: ("silu",)),
    "aten.hardsigmoid.default": _unary(lambda _a: ("hard_sigmoid",)),
    "aten.hardswish.default": _unary(lambda _a: ("hard_swish",)),
}
