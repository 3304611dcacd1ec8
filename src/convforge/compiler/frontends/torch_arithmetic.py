"""Handlers of what is done element by element, and of softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convforge.compiler.frontends.torch_call import Unsupported, arguments, axis_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx

    from convforge.compiler.frontends.torch import Reader
    from convforge.compiler.frontends.torch_call import Handler
    from convforge.compiler.ir.ops import Step

    Constant: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def binary(op: str) -> Handler:
    """Handler of add, sub, mul and div; with one number, or one a channel, it scales and shifts."""

    def handle(reader: Reader, node: fx.Node) -> None:
        a = arguments(node)
        left, right = _fixed(reader, a["self"]), _fixed(reader, a["other"])
        factor = float(a.get("alpha", 1))
        if right is not None:
            _with_constant(reader, node, a["self"], fixed=right * factor, op=op)
        elif left is not None and factor == 1:
            _with_constant(reader, node, a["other"], fixed=left, op=f"constant {op}")
        else:
            other = reader.value(a["other"])
            if factor != 1:
                step = ("affine", factor, 0.0)
                reader.emit(node, "elementwise", [other], epilogue=(step,))
                other = reader.value(node)
            first = reader.value(a["self"]) if left is None else reader.weight(a["self"])
            reader.emit(node, op, [first, other])

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


def _with_constant(reader: Reader, node: fx.Node, source: Any, *, fixed: Constant, op: str) -> None:
    shape, x = shape_of(source), reader.value(source)
    value = _per_channel(fixed, shape)
    if op not in _SCALE_SHIFT or value is None:
        constant = reader.constant(fixed if fixed.ndim else fixed.reshape(1), "constant")
        name = op.removeprefix("constant ")
        reader.emit(node, name, [constant, x] if op.startswith("constant") else [x, constant])
        return
    with np.errstate(divide="ignore"):  # x / 0 is infinite or NaN here as in torch
        scale, shift = _SCALE_SHIFT[op](value)
    inputs = [reader.constant(scale, "scale"), reader.constant(shift, "shift")]
    reader.emit(node, "scale_shift", [x, *inputs])


def _per_channel(fixed: Constant, shape: tuple[int, ...]) -> Constant | None:
    if len(shape) < 2:
        return None
    try:
        return np.broadcast_to(fixed, (1, shape[1], *(1,) * (len(shape) - 2))).reshape(-1)
    except ValueError:
        return None


def power(reader: Reader, node: fx.Node) -> None:
    """aten.pow by some numbers that are products or roots."""
    source, exponent = node.args
    x = reader.value(source)
    steps: dict[float, tuple[Step, ...]] = {
        0.5: (("sqrt",),),
        -0.5: (("sqrt",), ("reciprocal",)),
        -1.0: (("reciprocal",),),
    }
    if exponent in {2, 3}:
        reader.emit(node, "mul", [x, x])
        if exponent == 3:
            reader.emit(node, "mul", [reader.value(node), x])
    elif exponent in steps:
        reader.emit(node, "elementwise", [x], epilogue=steps[exponent])  # type: ignore[index]
    else:
        known = ", ".join(f"{number:g}" for number in sorted([2.0, 3.0, *steps]))
        raise Unsupported(f"the power {exponent}; {known} are supported")


def softmax(reader: Reader, node: fx.Node) -> None:
    """aten._softmax."""
    a = arguments(node)
    axis = axis_of(a["dim"], len(shape_of(node)))
    reader.emit(node, "softmax", [reader.value(a["self"])], attrs={"axis": axis})


def prelu(reader: Reader, node: fx.Node) -> None:
    """aten._prelu_kernel: a slope a channel, or one for all."""
    source = node.args[0]
    slope: Any = node.args[1]
    if slope not in reader.tensors:
        raise Unsupported("computed slopes; constant ones are supported")
    values = reader.tensors[slope].ravel()
    if len(values) == 1:
        step = ("leaky_relu", float(values[0]))
        reader.emit(node, "elementwise", [reader.value(source)], epilogue=(step,))
        return
    inputs = [reader.value(source), reader.constant(values, f"{reader.path(node)}.slope")]
    reader.emit(node, "prelu", inputs)


def unary(*steps: Step | Callable[[dict[str, Any]], tuple[Step, ...]]) -> Handler:
    """Handler of a function of every element, by its steps or by what gives them for arguments."""

    def handle(reader: Reader, node: fx.Node) -> None:
        a = arguments(node)
        chosen: list[Step] = []
        for step in steps:
            chosen += step(a) if callable(step) else (step,)
        reader.emit(node, "elementwise", [reader.value(node.args[0])], epilogue=tuple(chosen))

    return handle


def clamp(a: dict[str, Any]) -> tuple[Step, ...]:
    """Steps of aten.clamp; an end that is None is open."""
    low, high = a["min"], a["max"]
    if low == 0 and high is None:
        return (("relu",),)
    return (
        (
            "clip",
            *(-math.inf if low is None else float(low),),
            math.inf if high is None else float(high),
        ),
    )


def gelu(a: dict[str, Any]) -> tuple[Step, ...]:
    """Steps of aten.gelu, exact or by tanh."""
    return (("gelu_tanh",) if a["approximate"] == "tanh" else ("gelu",),)


def elu(a: dict[str, Any]) -> tuple[Step, ...]:
    """Steps of aten.elu, which SELU is too."""
    if a["input_scale"] != 1:
        raise Unsupported(f"input_scale={a['input_scale']}; 1 is supported")
    scale: tuple[Step, ...] = (("affine", float(a["scale"]), 0.0),) if a["scale"] != 1 else ()
    return (("elu", float(a["alpha"])), *scale)


def celu(a: dict[str, Any]) -> tuple[Step, ...]:
    """Steps of aten.celu: alpha · ELU(x / alpha)."""
    alpha = float(a["alpha"])
    return (("affine", 1 / alpha, 0.0), ("elu", 1.0), ("affine", alpha, 0.0))


def softplus(a: dict[str, Any]) -> tuple[Step, ...]:
    """Steps of aten.softplus: above its threshold torch leaves out what float32 cannot show."""
    beta, threshold = float(a["beta"]), float(a["threshold"])
    if threshold < 17:
        raise Unsupported(f"threshold={threshold:g}; 17 or more is supported")
    if beta == 1:
        return (("softplus",),)
    return (("affine", beta, 0.0), ("softplus",), ("affine", 1 / beta, 0.0))
