"""ONNX operators that move values and compute none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.frontends.onnx_call import (
    Call,
    Unsupported,
    Value,
    axes_of,
    axis_of,
)

if TYPE_CHECKING:
    from convforge.compiler.ir.ops import Shape


def identity(call: Call) -> Value:
    """The input itself."""
    return call.x()


def dropout(call: Call) -> Value:
    """Dropout in inference: nothing."""
    x = call.x()
    training = call.fixed(2)
    if training is not None and training.array.any():
        raise Unsupported("training_mode is true; inference is supported")
    call.operand(1)  # the ratio
    call.ignore("ratio", "seed")
    return x


def cast(call: Call) -> Value:
    """Cast from float32 to float32, which exporters leave behind."""
    call.ignore("saturate", "round_mode")
    if call.whole("to", 0) != 1:
        raise Unsupported("a computed value that becomes another type than float32")
    return call.x()


def reshape(call: Call) -> Value:
    """Reshape to a constant shape; 0 keeps a size, -1 is what remains."""
    x, wanted = call.x(), call.integers(1)
    keep = not call.whole("allowzero", 0)
    if wanted is None:
        raise Unsupported("no shape")
    shape = [
        x.shape[axis] if size == 0 and keep and axis < len(x.shape) else size
        for axis, size in enumerate(wanted)
    ]
    if shape.count(-1) == 1:
        known = -math.prod(shape)
        if known < 1 or math.prod(x.shape) % known:
            raise Unsupported(f"{list(x.shape)} does not become {list(wanted)}")
        shape[shape.index(-1)] = math.prod(x.shape) // known
    return _reshaped(call, x, tuple(shape))


def flatten(call: Call) -> Value:
    """Flatten to a matrix: the axes before `axis`, and the rest."""
    x, axis = call.x(), call.whole("axis", 1)
    rank = len(x.shape)
    axis = rank if axis == rank else axis_of(axis, rank)
    return call.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def squeeze(call: Call) -> Value:
    """Squeeze the named axes, or all of size 1."""
    x, axes = call.x(), _axes(call)
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(x.shape) if size == 1)
    axes = axes_of(axes, len(x.shape))
    if any(x.shape[axis] != 1 for axis in axes):
        raise Unsupported(f"axes {axes} of {list(x.shape)}; axes of size 1 are supported")
    return _reshaped(call, x, tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


def unsqueeze(call: Call) -> Value:
    """Unsqueeze: axes of size 1 where they are named."""
    x, axes = call.x(), _axes(call)
    if axes is None:
        raise Unsupported("no axes")
    rank = len(x.shape) + len(axes)
    sizes = iter(x.shape)
    new = axes_of(axes, rank)
    return _reshaped(call, x, tuple(1 if axis in new else next(sizes) for axis in range(rank)))


def transpose(call: Call) -> Value:
    """Transpose, by default to the opposite order of axes."""
    x = call.x()
    perm = call.wholes("perm", tuple(reversed(range(len(x.shape)))))
    return call.emit("transpose", x, perm=perm or ())


def concat(call: Call) -> Value:
    """Concat of computed values."""
    parts = [call.x(position) for position in range(len(call.operands))]
    axis = axis_of(call.whole("axis", 0), len(parts[0].shape))
    return call.emit("concat", *parts, axis=axis) if len(parts) > 1 else parts[0]


def split(call: Call) -> tuple[Value, ...]:
    """Split into named sizes, or into equal parts of which the last may be smaller."""
    x, sizes = call.x(), call.wholes("split", None)
    sizes = call.integers(1) if sizes is None else sizes
    axis = axis_of(call.whole("axis", 0), len(x.shape))
    length, count = x.shape[axis], len(call.node.output)
    if call.whole("num_outputs", count) != count:
        raise Unsupported(f"num_outputs differs from the node's {count} results")
    if sizes is None:
        each = -(-length // count)
        sizes = (each,) * (count - 1) + (length - each * (count - 1),)
    if sum(sizes) != length or len(sizes) != count or min(sizes) < 1:
        raise Unsupported(f"sizes {list(sizes)} of {length}; sizes from 1 on that add up are")
    starts = [sum(sizes[:i]) for i in range(count)]
    return tuple(
        slice_axis(call, x, axis, start=start, stop=start + size)
        for start, size in zip(starts, sizes, strict=True)
    )


def slice_(call: Call) -> Value:
    """Slice with steps from 1 on."""
    x, starts, ends = call.x(), call.integers(1), call.integers(2)
    axes, steps = call.integers(3), call.integers(4)
    if starts is None or ends is None:
        raise Unsupported("no starts or ends")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    axes_of(axes, len(x.shape))
    if min(steps) < 1:
        raise Unsupported(f"steps {list(steps)}; steps from 1 on are supported")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        places = range(x.shape[axis])[start:end:step]
        if not places:
            raise Unsupported(f"nothing is left of axis {axis} of {list(x.shape)}")
        x = slice_axis(call, x, axis, start=places[0], stop=places[-1] + 1, step=step)
    return x


def gather(call: Call) -> Value:
    """Gather of one place, or of all places of a range, in any order that axes can give them."""
    x, axis = call.x(), axis_of(call.whole("axis", 0), len(call.x().shape))
    indices, length = call.fixed(1), x.shape[axis]
    if indices is None or not indices.array.size:
        raise Unsupported("no indices")
    grid = np.asarray(indices.array, np.int64)
    grid = np.where(grid < 0, grid + length, grid)
    if grid.min() < 0 or grid.max() >= length:
        raise Unsupported(f"indices {grid.min()} to {grid.max()} of {length}")
    # The axis along which indices grow fastest is the first one of the range.
    strides = [int(np.diff(grid, axis=k).max(initial=0)) for k in range(grid.ndim)]
    order = sorted(range(grid.ndim), key=lambda k: -strides[k])
    back = [order.index(k) for k in range(grid.ndim)]
    first, sizes = int(grid.min()), tuple(grid.shape[k] for k in order)
    if not np.array_equal(np.arange(first, first + grid.size).reshape(sizes).transpose(back), grid):
        raise Unsupported("indices that are no range in an order of axes; such are supported")
    x = slice_axis(call, x, axis, start=first, stop=first + grid.size)
    x = _reshaped(call, x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))
    behind = range(axis + grid.ndim, len(x.shape))
    perm = (*range(axis), *(axis + k for k in back), *behind)
    return x if perm == tuple(range(len(perm))) else call.emit("transpose", x, perm=perm)


def depth_to_space(call: Call) -> Value:
    """DepthToSpace, from channels into blocks of a map (PixelShuffle)."""
    x, size, mode = call.x(), call.whole("blocksize", 0), call.word("mode", "DCR")
    n, c, h, w = _map(x)
    if size < 1 or c % size**2 or mode not in {"DCR", "CRD"}:
        raise Unsupported(f"blocksize {size}, mode {mode!r} of {c} channels; DCR and CRD are")
    inner, perm = c // size**2, (0, 3, 4, 1, 5, 2)
    shape = (n, size, size, inner, h, w)
    if mode == "CRD":
        shape, perm = (n, inner, size, size, h, w), (0, 1, 4, 2, 5, 3)
    moved = call.emit("transpose", call.reshape(x, shape), perm=perm)
    return call.reshape(moved, (n, inner, h * size, w * size))


def space_to_depth(call: Call) -> Value:
    """SpaceToDepth, from blocks of a map into channels."""
    x, size, mode = call.x(), call.whole("blocksize", 0), call.word("mode", "DCR")
    n, c, h, w = _map(x)
    if size < 1 or h % size or w % size or mode not in {"DCR", "CRD"}:
        raise Unsupported(f"blocksize {size}, mode {mode!r} of {h}x{w}; DCR and CRD are supported")
    parts = call.reshape(x, (n, c, h // size, size, w // size, size))
    perm = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    moved = call.emit("transpose", parts, perm=perm)
    return call.reshape(moved, (n, c * size**2, h // size, w // size))


def slice_axis(call: Call, x: Value, axis: int, *, start: int, stop: int, step: int = 1) -> Value:
    """Part of one axis; x itself where that is all of it."""
    axis = axis_of(axis, len(x.shape))
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    return call.emit("slice", x, axis=axis, start=start, stop=stop, step=step)


def _axes(call: Call) -> tuple[int, ...] | None:
    # An attribute up to opset 12, an input from 13 on.
    axes = call.wholes("axes", None)
    return call.integers(1) if axes is None else axes


def _reshaped(call: Call, x: Value, shape: Shape) -> Value:
    if not shape:
        raise Unsupported(f"a number from {list(x.shape)}; tensors of rank 1 on are supported")
    return call.reshape(x, shape)


def _map(x: Value) -> tuple[int, int, int, int]:
    if len(x.shape) != 4:
        raise Unsupported(f"a tensor of shape {list(x.shape)}; maps [N, C, H, W] are supported")
    n, c, h, w = x.shape
    return n, c, h, w
