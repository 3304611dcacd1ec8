"""ONNX operators on elements: arithmetic with broadcasting, and activations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convforge.compiler.frontends.onnx_call import Call, Fixed, Unsupported, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from convforge.compiler.ir.ops import Step

    Constant: TypeAlias = NDArray[np.float64]

# c the constant: (scale, shift) so that the result is x * scale + shift
_RIGHT: dict[str, Callable[[Constant], tuple[Constant, Constant]]] = {
    "add": lambda c: (np.ones_like(c), c),
    "sub": lambda c: (np.ones_like(c), -c),
    "mul": lambda c: (c, np.zeros_like(c)),
    "div": lambda c: (1 / c, np.zeros_like(c)),
}
_LEFT = {
    "add": _RIGHT["add"],
    "sub": lambda c: (-np.ones_like(c), c),
    "mul": _RIGHT["mul"],
}


def binary(op: str) -> Callable[[Call], Value]:
    """Handler of add, sub, mul and div; one number or one a channel scales and shifts."""

    def handle(call: Call) -> Value:
        return combine(call, op, _term(call, 0), _term(call, 1))

    return handle


def combine(call: Call, op: str, a: Value | Fixed, b: Value | Fixed) -> Value:
    """The result of an operation on two operands, not both of them constants."""
    if isinstance(a, Value) and isinstance(b, Fixed) and (moved := _moved(call, a, b, _RIGHT[op])):
        return moved
    if isinstance(a, Fixed) and isinstance(b, Value) and op in _LEFT:
        moved = _moved(call, b, a, _LEFT[op])
        if moved is not None:
            return moved
    return call.emit(op, *(_with_axes(operand) for operand in (a, b)))


def sum_(call: Call) -> Value:
    """Sum of any number of operands."""
    total = _term(call, 0)
    for position in range(1, len(call.operands)):
        total = combine(call, "add", total, _term(call, position))
    return total if isinstance(total, Value) else call.x()


def extreme(*, largest: bool) -> Callable[[Call], Value]:
    """Handler of Max and Min of a computed value and a number, which is a clip."""

    def handle(call: Call) -> Value:
        terms = [_term(call, i) for i in range(len(call.operands))]
        values = [term for term in terms if isinstance(term, Value)]
        numbers = [term.array for term in terms if isinstance(term, Fixed)]
        if len(values) != 1 or any(n.size != 1 or n.ndim > len(values[0].shape) for n in numbers):
            shapes = ", ".join(str(list(term.shape)) for term in terms)
            raise Unsupported(f"operands {shapes}; one computed value and numbers are supported")
        x, bounds = values[0], [float(n.reshape(-1)[0]) for n in numbers]
        if largest:
            return _clipped(call, x, low=max(bounds, default=-math.inf), high=math.inf)
        return _clipped(call, x, low=-math.inf, high=min(bounds, default=math.inf))

    return handle


def power(call: Call) -> Value:
    """Pow with an exponent of 1/2, 1, 2 or 3."""
    x, exponent = call.x(), call.scalar(1)
    given = call.operands[1]
    if given is not None and len(given.shape) > len(x.shape):
        raise Unsupported("an exponent of more axes than what it is the exponent of")
    if exponent not in {0.5, 1.0, 2.0, 3.0}:
        raise Unsupported(f"the exponent {exponent}; 0.5, 1, 2 and 3 are supported")
    if exponent == 0.5:
        return call.step(x, ("sqrt",))
    result = x
    for _ in range(int(exponent) - 1):
        result = call.emit("mul", result, x)
    return result


def clip(call: Call) -> Value:
    """Clip between two numbers, either of which may be left out."""
    x, low, high = call.x(), call.scalar(1), call.scalar(2)
    return _clipped(
        call, x, low=-math.inf if low is None else low, high=math.inf if high is None else high
    )


def prelu(call: Call) -> Value:
    """PRelu: x where it is positive, else x times a slope."""
    x, slope = call.x(), call.weight(1)
    if slope.array.size == 1 and slope.array.ndim <= len(x.shape):
        return call.step(x, ("leaky_relu", float(slope.array.reshape(-1)[0])))
    per_channel = _per_channel(slope.array, x)
    if per_channel is not None:
        return call.emit("prelu", x, per_channel)
    sizes = zip(reversed(slope.shape), reversed(x.shape), strict=False)
    if len(slope.shape) > len(x.shape) or any(a not in {1, b} for a, b in sizes):
        raise Unsupported(f"slopes of shape {list(slope.shape)} do not fit {list(x.shape)}")
    # One of the two terms is 0.
    negative = call.emit("mul", _clipped(call, x, low=-math.inf, high=0.0), slope)
    return call.emit("add", call.step(x, ("relu",)), negative)


def hard_sigmoid(call: Call) -> Value:
    """HardSigmoid: clip(alpha x + beta, 0, 1)."""
    x, alpha, beta = call.x(), call.number("alpha", 0.2), call.number("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return call.step(x, ("hard_sigmoid",))
    return call.step(x, ("affine", alpha, beta), ("clip", 0.0, 1.0))


def gelu(call: Call) -> Value:
    """Gelu, exact or with tanh."""
    kind = call.word("approximate", "none")
    if kind not in {"none", "tanh"}:
        raise Unsupported(f"approximate={kind!r}; none and tanh are supported")
    return call.step(call.x(), ("gelu",) if kind == "none" else ("gelu_tanh",))


def selu(call: Call) -> Value:
    """Selu: an Elu, scaled."""
    alpha, gamma = call.number("alpha", 1.6732632), call.number("gamma", 1.0507010)
    return call.step(call.x(), ("elu", alpha), ("affine", gamma, 0.0))


def swish(call: Call) -> Value:
    """Swish: x * sigmoid(alpha x)."""
    x, alpha = call.x(), call.number("alpha", 1.0)
    if alpha == 1:
        return call.step(x, ("silu",))
    return call.emit("mul", x, call.step(x, ("affine", alpha, 0.0), ("sigmoid",)))


def steps(make: Callable[[Call], Step]) -> Callable[[Call], Value]:
    """Handler of an operator that is one step of an epilogue."""

    def handle(call: Call) -> Value:
        return call.step(call.x(), make(call))

    return handle


def _term(call: Call, position: int) -> Value | Fixed:
    if isinstance(call.operand(position), Fixed):
        return call.weight(position)
    return call.x(position)


def _moved(
    call: Call, x: Value, fixed: Fixed, rule: Callable[[Constant], tuple[Constant, Constant]]
) -> Value | None:
    """A scale and shift of x, one for all or each channel, None where the constant has more."""
    array = fixed.array.astype(np.float64)
    with np.errstate(divide="ignore"):  # x / 0 is infinite or NaN
        if array.size == 1 and array.ndim <= len(x.shape):
            scale, shift = (float(value.reshape(-1)[0]) for value in rule(array))
            return call.step(x, ("affine", scale, shift))
        channels = _per_channel(array, x)
        return None if channels is None else call.emit("scale_shift", x, *rule(channels))


def _per_channel(array: NDArray[Any], x: Value) -> NDArray[Any] | None:
    rank = len(x.shape)
    shape = (1,) * (rank - array.ndim) + array.shape
    if rank < 2 or shape != (1, x.shape[1], *(1,) * (rank - 2)):
        return None
    return array.reshape(-1)


def _with_axes(operand: Value | Fixed) -> Value | Fixed:
    # A constant that is one number has rank 0 in ONNX, which the graph does not know.
    if isinstance(operand, Fixed) and not operand.shape:
        return Fixed(operand.array.reshape(1), operand.name)
    return operand


def _clipped(call: Call, x: Value, *, low: float, high: float) -> Value:
    # Where the two cross, the upper one wins.
    step = ("relu",) if (low, high) == (0, math.inf) else ("clip", min(low, high), high)
    return call.step(x, step)
