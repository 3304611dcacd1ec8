"""What every call of a program sees of the network's input: its receptive field.

Along one axis, position i of a map sees `size` input positions from `first` + i * `jump` on. A
window of k taps, stride s, dilation d and p cells of padding before makes of that

    first - p * jump,   size + d (k - 1) * jump,   jump * s

as Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks", have
it. Where branches meet, a field spans all of theirs. A call without a rule has none, nor has what
follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convforge.compiler.backend.program import Call, Program
    from convforge.compiler.ir.graph import Shape
    from convforge.compiler.kernels.family import Layer

Pair: TypeAlias = tuple[int, int]  # of rows and of columns

# Work value by value, or along the channels of one position.
_KEEP = frozenset({
    "add", "batch_norm", "concat", "dequantize", "div", "elementwise", "lrn", "mul", "prelu",
    "quantize", "scale_shift", "slice", "sub",
})  # fmt: skip
_ALONG_CHANNELS = frozenset({"layer_norm", "softmax"})
_JOIN = frozenset({"linear", "rbf"})  # every number of the result from every number of the input


@dataclass(frozen=True)
class Field:
    """What the positions of a map see; where `gated`, each depends on the whole input besides.

    A gate is one number a channel that saw everything, as in squeeze and excitation.
    """

    first: Pair = (0, 0)
    size: Pair = (1, 1)
    jump: Pair = (1, 1)
    gated: bool = False

    def through(self, window: Window) -> Field:
        """The field behind a window."""
        first, size, jump = (
            zip(self.first, self.jump, window.padding, strict=True),
            zip(self.size, self.jump, window.kernel, window.dilation, strict=True),
            zip(self.jump, window.stride, strict=True),
        )
        return replace(
            self,
            first=_pair(at - padding * step for at, step, padding in first),
            size=_pair(wide + apart * (taps - 1) * step for wide, step, taps, apart in size),
            jump=_pair(step * stride for step, stride in jump),
        )

    def joined(self, positions: Pair) -> Field:
        """What all positions of a map see together, as one."""
        steps = zip(self.size, self.jump, positions, strict=True)
        return replace(
            self, size=_pair(size + (n - 1) * jump for size, jump, n in steps), jump=(1, 1)
        )


@dataclass(frozen=True)
class Window:
    """How a convolution or a pooling slides; `padding` is that before the first row and column."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @classmethod
    def of(cls, layer: Layer) -> Window | None:
        """The window of a layer; None where it has none."""
        if layer.node.op == "pad":
            return cls((1, 1), (1, 1), _before(layer), (1, 1))
        if layer.operation in {"conv2d", "conv2d_add"}:
            kernel = layer.constants[0].shape[2:]
        elif layer.operation in {"max_pool", "avg_pool"}:
            kernel = layer.numbers("kernel")
        else:
            return None
        stride, dilation = layer.numbers("stride"), layer.numbers("dilation")
        return cls(_pair(kernel), _pair(stride), _before(layer), _pair(dilation))


def sources(program: Program) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """For each input of each call the calls whose results it reads; -1 is the network's input."""
    found = []
    for number, call in enumerate(program.calls):
        reads = []
        for place, shape, layout in zip(
            call.inputs, call.layer.inputs, call.layer.takes, strict=True
        ):
            end = place.offset + call.images * layout.floats(shape)
            writers = [
                earlier
                for earlier, other in enumerate(program.calls[:number])
                if other.output.buffer == place.buffer
                and other.output.offset < end
                and place.offset < other.output.offset + _floats(other)
            ]
            reads.append(tuple(writers) if writers else (-1,))
        found.append(tuple(reads))
    return tuple(found)


def receptive_fields(program: Program) -> tuple[Field | None, ...]:
    """The field of every call's result; None where there is no rule for it."""
    known: dict[int, tuple[Field | None, Shape]] = {-1: (Field(), program.input_shape)}
    for number, (call, reads) in enumerate(zip(program.calls, sources(program), strict=True)):
        joins = call.layer.operation in _JOIN
        inputs = [
            _read(shape, [known[writer] for writer in writers], joins=joins)
            for writers, shape in zip(reads, call.layer.inputs, strict=True)
        ]
        known[number] = _field(call.layer, inputs), call.layer.output
    return tuple(known[number][0] for number in range(len(program.calls)))


def _read(
    shape: Shape, written: Sequence[tuple[Field | None, Shape]], *, joins: bool
) -> Field | None:
    """The field of one input, whose parts several calls may have written."""
    fields = []
    for field, gives in written:
        if field is None:
            return None
        if joins:
            fields.append(field.joined(_positions(gives)))
        elif _positions(gives) == _positions(shape):
            fields.append(field)
        else:
            return None  # its positions are others now
    return _meet(fields)


def _meet(fields: Sequence[Field]) -> Field | None:
    if len({field.jump for field in fields}) != 1:
        return None
    first = _pair(map(min, zip(*(field.first for field in fields), strict=True)))
    ends = [
        [at + size for at, size in zip(field.first, field.size, strict=True)] for field in fields
    ]
    last = map(max, zip(*ends, strict=True))
    size = _pair(end - at for end, at in zip(last, first, strict=True))
    gated = any(field.gated for field in fields)
    return Field(first, size, fields[0].jump, gated)


def _field(layer: Layer, inputs: Sequence[Field | None]) -> Field | None:
    fields = [field for field in inputs if field is not None]
    if len(fields) < len(inputs) or not fields:
        return None
    op, attrs = layer.operation, layer.node.attrs
    if op in _JOIN:
        return _meet(fields)
    if op in _KEEP or (op in _ALONG_CHANNELS and attrs["axis"] == 1):
        if op in {"concat", "slice"} and attrs.get("axis", 1) != 1:
            return None
        return _keep(layer, fields)
    window = _adaptive(layer) or (_all(layer) if op == "mean" else None)
    if window is not None:
        return fields[0].through(window)
    own: Field | None = fields[0]
    for part in layer.parts:
        slides = Window.of(part)
        own = None if own is None or slides is None else own.through(slides)
    return own if own is None or len(fields) == 1 else _meet([own, *fields[1:]])


def _keep(layer: Layer, fields: Sequence[Field]) -> Field | None:
    positions = _positions(layer.output)
    sides = list(zip(fields, map(_positions, layer.inputs), strict=True))
    wide = [field for field, size in sides if size == positions]
    if not wide or len(wide) == len(sides):
        return _meet(wide or fields)
    own = _meet(wide)
    return None if own is None else replace(own, gated=True)


def _adaptive(layer: Layer) -> Window | None:
    if not layer.node.op.startswith("adaptive_"):
        return None
    before, behind = _positions(layer.inputs[0]), _positions(layer.output)
    if any(n % m for n, m in zip(before, behind, strict=True)):
        return None  # windows of several sizes
    step = _pair(n // m for n, m in zip(before, behind, strict=True))
    return Window(step, step, (0, 0), (1, 1))


def _all(layer: Layer) -> Window | None:
    """A mean over all positions as a window."""
    if layer.node.attrs.get("axes", (2, 3)) != (2, 3) or len(layer.inputs[0]) != 4:
        return None
    return Window(_positions(layer.inputs[0]), (1, 1), (0, 0), (1, 1))


def _positions(shape: Shape) -> Pair:
    return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)


def _before(layer: Layer) -> Pair:
    top, left, _, _ = layer.numbers("padding")
    return top, left


def _floats(call: Call) -> int:
    return call.images * call.layer.gives.floats(call.layer.output)


def _pair(numbers: Iterable[int]) -> Pair:
    rows, columns = numbers
    return rows, columns
