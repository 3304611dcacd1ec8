"""ONNX operators that slide a window over a map, and padding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.frontends.onnx_call import Call, Unsupported, Value, axes_of
from convforge.compiler.frontends.onnx_layout import slice_axis

if TYPE_CHECKING:
    from convforge.compiler.ir.ops import Attr

    Pair = tuple[int, int]


def conv(call: Call) -> Value:
    """Conv; a one-dimensional one is refused by its rank."""
    x, weight, bias = call.x(0), call.weight(1), call.optional_weight(2)
    _check_map(x)
    kernel = weight.shape[2:]
    if call.wholes("kernel_shape", kernel) != kernel:
        raise Unsupported(f"a kernel_shape that differs from the weight's, {list(weight.shape)}")
    window = _window(call, x, kernel=_pair(kernel, "the weight's kernel"))
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return call.emit("conv2d", *inputs, **window, groups=call.whole("group", 1))


def max_pool(call: Call) -> Value:
    """MaxPool, its first result."""
    x = call.x()
    _check_map(x)
    call.ignore("storage_order")  # of the second result
    kernel = _kernel(call)
    ceil = call.whole("ceil_mode", 0)
    window = _window(call, x, kernel=kernel)
    padding = _reached(x, kernel, window) if ceil else window["padding"]
    return call.emit("max_pool", x, **{**window, "padding": padding, "kernel": kernel})


def average_pool(call: Call) -> Value:
    """AveragePool; cells that ceil_mode adds never count."""
    x = call.x()
    _check_map(x)
    kernel = _kernel(call)
    ceil, counts = call.whole("ceil_mode", 0), call.whole("count_include_pad", 0)
    window = _window(call, x, kernel=kernel)
    padding = _reached(x, kernel, window) if ceil else window["padding"]
    # What the last window does not reach is not there to be counted either.
    inner = tuple(min(pair) for pair in zip(window["padding"], padding, strict=True))
    attrs: dict[str, Attr] = {**window, "padding": padding, "kernel": kernel}
    return call.emit("avg_pool", x, **attrs, counted=inner if counts else (0, 0, 0, 0))


def global_average_pool(call: Call) -> Value:
    """GlobalAveragePool of any rank."""
    x = call.x()
    if len(x.shape) < 3:
        raise Unsupported(f"a tensor of shape {list(x.shape)}; [N, C, ...] is supported")
    return average_over(call, x, tuple(range(2, len(x.shape))))


def global_max_pool(call: Call) -> Value:
    """GlobalMaxPool of a map."""
    x = call.x()
    _check_map(x)
    return call.emit("max_pool", x, **_whole_map(x))


def average_over(call: Call, x: Value, axes: tuple[int, ...]) -> Value:
    """The mean over axes, which stay: a pool where they are those of a map."""
    if len(x.shape) == 4 and axes == (2, 3):
        return call.emit("avg_pool", x, **_whole_map(x), counted=(0, 0, 0, 0))
    return call.emit("mean", x, axes=axes)


def largest_over(call: Call, x: Value, axes: tuple[int, ...]) -> Value:
    """The largest over axes, which stay: a pool of a map, made for it where x is none."""
    whole = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    if len(x.shape) != 4 or axes != (2, 3):
        others = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
        rows = tuple(math.prod(x.shape[axis] for axis in group) for group in (others, axes))
        if (*others, *axes) != tuple(range(len(x.shape))):
            x = call.emit("transpose", x, perm=(*others, *axes))
        x = call.reshape(x, (1, *rows, 1))
    return call.reshape(call.emit("max_pool", x, **_whole_map(x)), whole)


def pad(call: Call) -> Value:
    """Pad with a constant; a negative amount crops. The batch is not padded."""
    x, amounts, fill = call.x(), call.integers(1), call.scalar(2)
    axes = call.integers(3)
    mode = call.word("mode", "constant")
    rank = len(x.shape)
    chosen = tuple(range(rank)) if axes is None else axes
    axes_of(chosen, rank)
    if mode != "constant" or amounts is None or len(amounts) != 2 * len(chosen):
        raise Unsupported(f"mode {mode!r} with pads {amounts}; constant padding is supported")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(chosen):
        before[axis], after[axis] = amounts[i], amounts[i + len(chosen)]
    for axis in range(rank):
        start, stop = max(-before[axis], 0), x.shape[axis] - max(-after[axis], 0)
        x = slice_axis(call, x, axis, start=start, stop=stop)
    before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    if not any(before + after):
        return x
    if rank != 4 or before[0] or after[0]:
        raise Unsupported(
            f"pads {list(amounts)} of {list(x.shape)}; maps may be padded, [N, C, H, W]"
        )
    return call.emit(
        "pad",
        x,
        padding=(before[2], before[3], after[2], after[3]),
        channels=(before[1], after[1]),
        fill=fill or 0.0,
    )


def _check_map(x: Value) -> None:
    if len(x.shape) != 4:
        raise Unsupported(f"a tensor of shape {list(x.shape)}; maps [N, C, H, W] are supported")


def _whole_map(x: Value) -> dict[str, tuple[int, ...]]:
    size = x.shape[2:]
    return {"kernel": size, "stride": size, "dilation": (1, 1), "padding": (0, 0, 0, 0)}


def _kernel(call: Call) -> Pair:
    kernel = call.wholes("kernel_shape", None)
    if kernel is None:
        raise Unsupported("no kernel_shape")
    return _pair(kernel, "kernel_shape")


def _window(call: Call, x: Value, *, kernel: Pair) -> dict[str, tuple[int, ...]]:
    """Stride, dilation and padding of a node, in the graph's terms."""
    stride = _pair(call.wholes("strides", (1, 1)), "strides")
    dilation = _pair(call.wholes("dilations", (1, 1)), "dilations")
    pads, kind = call.wholes("pads", None), call.word("auto_pad", "NOTSET")
    if kind == "VALID" or (kind == "NOTSET" and pads is None):
        padding: tuple[int, ...] = (0, 0, 0, 0)
    elif kind == "NOTSET":
        padding = pads or ()
    elif kind in {"SAME_UPPER", "SAME_LOWER"}:
        padding = _same(x, kernel, stride=stride, dilation=dilation, lower=kind == "SAME_LOWER")
    else:
        raise Unsupported(
            f"auto_pad {kind!r}; NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported"
        )
    if len(padding) != 4 or min(padding) < 0:
        raise Unsupported(f"pads {padding}; four numbers from 0 on are supported")
    return {"stride": stride, "dilation": dilation, "padding": padding}


def _same(x: Value, kernel: Pair, *, stride: Pair, dilation: Pair, lower: bool) -> tuple[int, ...]:
    # As many results as ⌈size / stride⌉; an odd cell goes behind, with `lower` before.
    before, after = [], []
    for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        before.append((total + 1) // 2 if lower else total // 2)
        after.append(total - before[-1])
    return (*before, *after)


def _reached(x: Value, kernel: Pair, window: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The padding with ceil_mode: as far as the last window, which starts before the end's pads."""
    padding = list(window["padding"])
    for axis in (0, 1):
        size, stride = x.shape[2 + axis], window["stride"][axis]
        reach = window["dilation"][axis] * (kernel[axis] - 1) + 1
        start, end = padding[axis], padding[2 + axis]
        count = -(-(start + size + end - reach) // stride) + 1
        if (count - 1) * stride >= size + start:
            count -= 1
        padding[2 + axis] = max((count - 1) * stride + reach - start - size, 0)
    return tuple(padding)


def _pair(numbers: tuple[int, ...] | None, what: str) -> Pair:
    if numbers is None or len(numbers) != 2 or min(numbers) < 1:
        raise Unsupported(f"{what} {numbers}; two numbers from 1 on are supported")
    return (numbers[0], numbers[1])
