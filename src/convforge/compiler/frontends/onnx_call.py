"""One node of an ONNX model, as its handler sees it.

A handler reads attributes and inputs by what it expects and gives the node's results in order.
What it has not looked at when it is done is refused, so nothing of a node is ignored in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from onnx import AttributeProto, helper

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from onnx import NodeProto

    from convforge.compiler.ir.ops import Attr, Shape, Step

    # op, name of the node, inputs, attributes, epilogue
    Emit: TypeAlias = Callable[
        [str, str, tuple["Operand", ...], dict[str, Attr], tuple[Step, ...]], "Value"
    ]

_T = TypeVar("_T")


class Unsupported(Exception):  # noqa: N818  (the reader turns it into UnsupportedError with the node)
    """What a handler found that it does not understand, and what is supported instead."""


@dataclass(frozen=True)
class Value:
    """What the graph computes: a float32 tensor."""

    name: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Fixed:
    """A constant of the model, of any type; `name` is where it comes from."""

    array: NDArray[Any]
    name: str

    @property
    def shape(self) -> Shape:
        """The array's."""
        return tuple(self.array.shape)


Operand: TypeAlias = Value | Fixed


@dataclass
class Call:
    """A node with its operands, None for an optional input that is left out."""

    node: NodeProto
    opset: int
    operands: tuple[Operand | None, ...]
    emitter: Emit
    _attributes: dict[str, AttributeProto] = field(init=False)
    _unread: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._attributes = {attribute.name: attribute for attribute in self.node.attribute}
        self._unread = {i for i, operand in enumerate(self.operands) if operand is not None}

    @property
    def name(self) -> str:
        """The node's name, or that of its first result where it has none."""
        return self.node.name or next(filter(None, self.node.output), self.node.op_type)

    # -- attributes --------------------------------------------------------------------------

    def number(self, name: str, default: float) -> float:
        """A real attribute."""
        return float(self._attribute(name, default))

    def whole(self, name: str, default: int) -> int:
        """A whole attribute."""
        return int(self._attribute(name, default))

    def wholes(self, name: str, default: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers."""
        found = self._attribute(name, default)
        return None if found is None else tuple(int(number) for number in found)

    def word(self, name: str, default: str) -> str:
        """A text attribute."""
        found = self._attribute(name, default)
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def ignore(self, *names: str) -> None:
        """Attributes that change nothing about what is computed."""
        for name in names:
            self._attributes.pop(name, None)

    def _attribute(self, name: str, default: _T) -> Any:
        found = self._attributes.pop(name, None)
        return default if found is None else helper.get_attribute_value(found)

    # -- inputs ------------------------------------------------------------------------------

    def operand(self, position: int) -> Operand | None:
        """An input of either kind, None where it is left out."""
        self._unread.discard(position)
        return self.operands[position] if position < len(self.operands) else None

    def x(self, position: int = 0) -> Value:
        """An input that is computed."""
        found = self.operand(position)
        if not isinstance(found, Value):
            raise Unsupported(f"input {position} is {_what(found)}; a computed value is supported")
        return found

    def fixed(self, position: int) -> Fixed | None:
        """An input that is a constant of any type, None where it is left out."""
        found = self.operand(position)
        if isinstance(found, Value):
            raise Unsupported(f"input {position} is {_what(found)}; a constant is supported")
        return found

    def weight(self, position: int) -> Fixed:
        """An input that is a float32 constant."""
        found = self.fixed(position)
        if found is None or found.array.dtype != np.float32:
            raise Unsupported(
                f"input {position} is {_what(found)}; a float32 constant is supported"
            )
        return found

    def optional_weight(self, position: int) -> Fixed | None:
        """A float32 constant, None where it is left out."""
        return None if self.operand(position) is None else self.weight(position)

    def scalar(self, position: int) -> float | None:
        """A constant that is one real number, None where it is left out."""
        found = self.optional_weight(position)
        if found is not None and found.array.size != 1:
            raise Unsupported(f"input {position} is {_what(found)}; one number is supported")
        return None if found is None else float(found.array.reshape(-1)[0])

    def integers(self, position: int) -> tuple[int, ...] | None:
        """A constant list of whole numbers, None where it is left out."""
        found = self.fixed(position)
        if found is None:
            return None
        if found.array.dtype.kind not in "iu" or found.array.ndim > 1:
            raise Unsupported(f"input {position} is {_what(found)}; whole numbers are supported")
        return tuple(int(number) for number in found.array.reshape(-1))

    # -- results -----------------------------------------------------------------------------

    def emit(self, op: str, *inputs: Operand | NDArray[Any], **attrs: Attr) -> Value:
        """Add a node to the graph; an array among the inputs becomes a constant of it."""
        operands = tuple(
            Fixed(value, f"{self.name}.constant") if isinstance(value, np.ndarray) else value
            for value in inputs
        )
        return self.emitter(op, self.name, operands, attrs, ())

    def step(self, x: Value, *steps: Step) -> Value:
        """Do these steps to every element."""
        return self.emitter("elementwise", self.name, (x,), {}, steps)

    def reshape(self, x: Value, shape: Shape) -> Value:
        """The same elements in another shape."""
        return x if x.shape == shape else self.emit("reshape", x, shape=shape)

    def check_all_was_read(self) -> None:
        """Raise Unsupported where an attribute or an input was not looked at."""
        for name, attribute in self._attributes.items():
            value = helper.get_attribute_value(attribute)
            raise Unsupported(f"attribute {name}={value!r}; a node without it is supported")
        for position in sorted(self._unread):
            found = self.operands[position]
            raise Unsupported(f"input {position}, {_what(found)}; a node without it is supported")


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from 0; negative ones count from the last. Raises Unsupported."""
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def axes_of(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Axes counted from 0, in order. Raises Unsupported where one is named twice."""
    found = tuple(sorted(axis_of(axis, rank) for axis in axes))
    if len(set(found)) != len(found):
        raise Unsupported(f"axes {axes} of a tensor of rank {rank}, one of them twice")
    return found


def _what(operand: Operand | None) -> str:
    if operand is None:
        return "left out"
    if isinstance(operand, Value):
        return f"the computed value {operand.name!r} of shape {list(operand.shape)}"
    return f"the constant {operand.name!r}, {operand.array.dtype} of shape {list(operand.shape)}"
