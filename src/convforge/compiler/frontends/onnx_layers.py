"""ONNX operators with weights or statistics: matrix products, normalisation, means, softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.frontends.onnx_arithmetic import combine
from convforge.compiler.frontends.onnx_call import Call, Unsupported, Value, axes_of, axis_of
from convforge.compiler.frontends.onnx_windows import average_over, largest_over

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Array


def gemm(call: Call) -> Value:
    """Gemm: alpha A B + beta C with constants B and C."""
    x, weight = call.x(), call.weight(1)
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    if call.whole("transA", 0):
        x = call.emit("transpose", x, perm=(1, 0))
    matrix = weight.array if call.whole("transB", 0) else weight.array.T
    plain = alpha == 1 and matrix is weight.array
    product = weight if plain else (alpha * matrix).astype(np.float32)
    bias = call.operand(2)
    if bias is None:
        return call.emit("linear", x, product)
    if isinstance(bias, Value):
        scaled = bias if beta == 1 else call.step(bias, ("affine", beta, 0.0))
        return call.emit("add", call.emit("linear", x, product), scaled)
    shift = call.weight(2)
    if beta == 1 and shift.shape == matrix.shape[:1]:
        return call.emit("linear", x, product, shift)
    array = (beta * shift.array).astype(np.float32)
    if array.size == 1 or array.shape in {matrix.shape[:1], (1, *matrix.shape[:1])}:
        row = np.ascontiguousarray(np.broadcast_to(array.reshape(-1), matrix.shape[:1]))
        return call.emit("linear", x, product, row)
    return call.emit("add", call.emit("linear", x, product), array)


def matmul(call: Call) -> Value:
    """MatMul of a computed value and a constant matrix or vector."""
    x, weight = call.x(), call.weight(1)
    if weight.array.ndim not in {1, 2}:
        raise Unsupported(
            f"a product with a constant of shape {list(weight.shape)}; a matrix is supported"
        )
    matrix = weight.array.reshape(weight.shape[0], -1).T
    product = call.emit("linear", x, np.ascontiguousarray(matrix))
    if weight.array.ndim == 2:
        return product
    return call.reshape(product, _not_empty(product.shape[:-1]))


def batch_norm(call: Call) -> Value:
    """BatchNormalization in inference."""
    x = call.x()
    parameters = [call.weight(i) for i in range(1, 5)]
    if call.whole("training_mode", 0):
        raise Unsupported("training_mode=1; inference is supported")
    call.ignore("momentum")
    return call.emit("batch_norm", x, *parameters, eps=call.number("epsilon", 1e-5))


def instance_norm(call: Call) -> Value:
    """InstanceNormalization: a layer norm of every map, then a scale and shift a channel."""
    x, gamma, beta = call.x(), call.weight(1), call.weight(2)
    epsilon = call.number("epsilon", 1e-5)
    maps = (math.prod(x.shape[:2]), math.prod(x.shape[2:]))
    return call.emit("scale_shift", _normalized(call, x, maps, epsilon=epsilon), gamma, beta)


def group_norm(call: Call) -> Value:
    """GroupNormalization, whose scale and bias are one a channel (ONNX refuses the older form)."""
    x, gamma, beta = call.x(), call.weight(1), call.weight(2)
    groups, epsilon = call.whole("num_groups", 0), call.number("epsilon", 1e-5)
    call.ignore("stash_type")  # of a type that is float32 anyway
    if len(x.shape) < 2 or groups < 1 or x.shape[1] % groups:
        raise Unsupported(f"{groups} groups of {list(x.shape)}")
    maps = (x.shape[0] * groups, math.prod(x.shape[1:]) // groups)
    return call.emit("scale_shift", _normalized(call, x, maps, epsilon=epsilon), gamma, beta)


def layer_norm(call: Call) -> tuple[Value, ...]:
    """LayerNormalization over the axes from `axis` on; mean and 1/deviation where they are read."""
    x, gamma, beta = call.x(), call.weight(1), call.optional_weight(2)
    axis = axis_of(call.whole("axis", -1), len(x.shape))
    epsilon = call.number("epsilon", 1e-5)
    call.ignore("stash_type")  # of a type that is float32 anyway
    inner = x.shape[axis:]
    scale, shift = (_spread(a, inner) for a in (gamma.array, _array(beta)))
    rows = call.reshape(x, (*x.shape[:axis], math.prod(inner)))
    done = call.emit("layer_norm", rows, scale, shift, axis=axis, eps=epsilon)
    result = call.reshape(done, x.shape)
    return (result, *_statistics(call, x, axis, epsilon=epsilon))


def lrn(call: Call) -> Value:
    """LRN over channels; ONNX divides alpha by the size."""
    x, size = call.x(), call.whole("size", 0)
    if size < 1 or size % 2 == 0:
        raise Unsupported(f"size {size}; odd sizes are supported")
    alpha, beta = call.number("alpha", 1e-4), call.number("beta", 0.75)
    return call.emit("lrn", x, size=size, alpha=alpha / size, beta=beta, k=call.number("bias", 1.0))


def softmax(call: Call) -> Value:
    """Softmax along one axis; up to opset 12 over all axes from `axis` on."""
    x = call.x()
    rank = len(x.shape)
    if call.opset >= 13:
        return call.emit("softmax", x, axis=axis_of(call.whole("axis", -1), rank))
    axis = call.whole("axis", 1)
    axis = rank if axis == rank else axis_of(axis, rank)
    rows = call.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return call.reshape(call.emit("softmax", rows, axis=1), x.shape)


def mean(call: Call) -> Value:
    """ReduceMean."""
    x = call.x()
    axes = _reduced(call, x)
    keep = call.whole("keepdims", 1)
    return _kept(call, average_over(call, x, axes) if axes else x, axes, keep=keep)


def sum_(call: Call) -> Value:
    """ReduceSum: as many times the mean."""
    x = call.x()
    axes = _reduced(call, x)
    keep = call.whole("keepdims", 1)
    if not axes:
        return x
    count = math.prod(x.shape[axis] for axis in axes)
    total = call.step(average_over(call, x, axes), ("affine", float(count), 0.0))
    return _kept(call, total, axes, keep=keep)


def maximum(call: Call) -> Value:
    """ReduceMax."""
    x = call.x()
    axes = _reduced(call, x)
    keep = call.whole("keepdims", 1)
    if not axes:
        return x
    return _kept(call, largest_over(call, x, axes), axes, keep=keep)


def _reduced(call: Call, x: Value) -> tuple[int, ...]:
    # An attribute in earlier opsets, an input in later ones.
    axes = call.wholes("axes", None)
    axes = call.integers(1) if axes is None else axes
    every = tuple(range(len(x.shape)))
    nothing = bool(call.whole("noop_with_empty_axes", 0))
    if not axes:
        return () if nothing else every
    return axes_of(axes, len(x.shape))


def _kept(call: Call, x: Value, axes: tuple[int, ...], *, keep: int) -> Value:
    if keep:
        return x
    return call.reshape(x, _not_empty(tuple(s for a, s in enumerate(x.shape) if a not in axes)))


def _normalized(call: Call, x: Value, rows: tuple[int, int], *, epsilon: float) -> Value:
    ones, zeros = np.ones(rows[1], np.float32), np.zeros(rows[1], np.float32)
    done = call.emit("layer_norm", call.reshape(x, rows), ones, zeros, axis=1, eps=epsilon)
    return call.reshape(done, x.shape)


def _statistics(call: Call, x: Value, axis: int, *, epsilon: float) -> tuple[Value, ...]:
    read = [bool(name) for name in call.node.output[1:]]
    if not any(read):
        return ()
    axes = tuple(range(axis, len(x.shape)))
    average = call.emit("mean", x, axes=axes)
    centred = combine(call, "sub", x, average)
    variance = call.emit("mean", call.emit("mul", centred, centred), axes=axes)
    return average, call.step(variance, ("affine", 1.0, epsilon), ("sqrt",), ("reciprocal",))


def _array(beta: object) -> Array:
    return getattr(beta, "array", np.zeros(1, np.float32))


def _spread(array: Array, shape: tuple[int, ...]) -> Array:
    try:
        return np.ascontiguousarray(np.broadcast_to(array, shape).reshape(-1))
    except ValueError:
        raise Unsupported(f"parameters of shape {list(array.shape)} on {list(shape)}") from None


def _not_empty(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape:
        raise Unsupported("a result that is one number; tensors of rank 1 on are supported")
    return shape
