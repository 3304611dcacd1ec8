"""What each operator costs: multiply-adds, operations, and the activations alive at once.

MACs are those of convolutions and matrix products, without biases, as papers, torchvision and
fvcore count. FLOPs are single operations:

    convolution, matrix product     2 a MAC, 1 a bias added
    addition, ReLU, sigmoid, …      1 a value, whatever the function
    batch normalisation             2 a value (one scale, one shift)
    pooling                         1 a value in a window
    mean, sum, maximum              1 a value that goes in
    softmax                         5 a value (maximum, difference, exponential, sum, division)
    local response normalisation    n + 4 a value (square, n - 1 sums, alpha, k, power, product)
    radial basis functions          3 a pair of values (difference, square, sum)
    view, copy, concatenation       0

An operator without a rule costs None: `summary` names it instead of counting it as nothing.
Operators that work on weights alone, whose result is the same for every image, are not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.analysis.fields import REDUCTIONS, RESHAPES, windows_of
from convforge.analysis.trace import storage_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from torch import Tensor

    from convforge.analysis.trace import Call, Trace

MOVES = frozenset({
    "_to_copy", "alias", "cat", "clone", "constant_pad_nd", "copy", "detach", "empty", "index",
    "index_select", "lift_fresh", "slice", "stack",
})  # fmt: skip
BATCH_NORMS = frozenset(
    {"native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"}
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Multiply-adds and single operations of one operator, for one image."""

    macs: int = 0
    flops: int = 0


def cost_of(call: Call) -> Cost | None:
    """Cost of one operator, None where there is no rule for it."""
    name = call.operator
    if name in RESHAPES or name in MOVES:
        return Cost()
    if name in _RULES:
        return _RULES[name](call)
    if call.pointwise or name in {"hardswish", "_prelu_kernel"}:
        return Cost(flops=_values(call.outputs[0]))
    if name in BATCH_NORMS:
        return Cost(flops=2 * _values(call.outputs[0]))
    if name in REDUCTIONS:
        return Cost(flops=_values(call.inputs[0]))
    return None


def peak_activation(trace: Trace, activations: Collection[int]) -> tuple[int, int]:
    """(bytes, index of the step) where the most activation memory is alive.

    A tensor lives from the operator that makes it to the last one that reads it: the input from the
    start, the network's outputs to the end, views as part of what they view. Weights, scratch
    space and results that nothing reads are not counted. `activations` holds the `id` of every
    tensor that depends on the input.
    """
    owners = [index for index, step in enumerate(trace.steps) for _ in step.calls]
    calls = [call for step in trace.steps for call in step.calls]
    sizes: dict[int, int] = {}
    born: dict[int, int] = {}
    last: dict[int, int] = {}
    for time, call in enumerate(calls):
        for tensor in _active(call.inputs, activations):
            last[storage_id(tensor)] = time
        for tensor in _active((*call.inputs, *call.outputs), activations):
            sizes[storage_id(tensor)] = tensor.untyped_storage().nbytes()
            born.setdefault(storage_id(tensor), time)
    born[storage_id(trace.input)] = 0
    sizes[storage_id(trace.input)] = trace.input.untyped_storage().nbytes()
    last.update((storage_id(tensor), len(calls) - 1) for tensor in trace.outputs)
    alive = [0] * max(len(calls), 1)
    for key, end in last.items():
        for time in range(born.get(key, 0), end + 1):
            alive[time] += sizes[key]
    peak = max(alive)
    return peak, owners[alive.index(peak)] if owners else 0


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the values of several tensors, each counted once."""
    return sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors}.values())


def _active(tensors: Iterable[Tensor], activations: Collection[int]) -> list[Tensor]:
    return [tensor for tensor in tensors if id(tensor) in activations]


def _convolution(call: Call) -> Cost:
    weight, output = call.inputs[1], call.outputs[0]
    transposed = call.arguments[6]
    macs = _values(call.inputs[0] if transposed else output) * math.prod(weight.shape[1:])
    return Cost(macs=macs, flops=2 * macs + _values(output) * (len(call.inputs) - 2))


def _product(call: Call) -> Cost:
    macs = _values(call.outputs[0]) * int(call.inputs[-2].shape[-1])
    biases = _values(call.outputs[0]) * (len(call.inputs) - 2)
    return Cost(macs=macs, flops=2 * macs + biases)


def _pooling(call: Call) -> Cost | None:
    windows = windows_of(call)
    if windows is None:
        return None
    rows, columns = windows
    return Cost(flops=_values(call.outputs[0]) * rows.kernel * columns.kernel)


def _volume_pooling(call: Call) -> Cost:
    return Cost(flops=_values(call.outputs[0]) * math.prod(call.arguments[1]))


def _softmax(call: Call) -> Cost:
    return Cost(flops=5 * _values(call.outputs[0]))


def _response_norm(call: Call) -> Cost:
    return Cost(flops=_values(call.outputs[0]) * (int(call.arguments[1]) + 4))


def _distances(call: Call) -> Cost:
    return Cost(flops=3 * _values(call.outputs[0]) * int(call.inputs[0].shape[-1]))


def _values(tensor: Tensor) -> int:
    return int(tensor.numel())


_RULES: dict[str, Callable[[Call], Cost | None]] = {
    "convolution": _convolution,
    "addmm": _product,
    "baddbmm": _product,
    "bmm": _product,
    "mm": _product,
    "max_pool2d_with_indices": _pooling,
    "avg_pool2d": _pooling,
    "_adaptive_avg_pool2d": _pooling,
    "adaptive_max_pool2d": _pooling,
    "avg_pool3d": _volume_pooling,
    "_softmax": _softmax,
    "_log_softmax": _softmax,
    "local_response_norm": _response_norm,
    "_cdist_forward": _distances,
    "rbf": _distances,
}
