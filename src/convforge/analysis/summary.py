"""What a network is and costs, layer by layer: `describe(net)` gives a `Summary`.

`trace` runs it once on torch's meta device and sees every operator; `fields` says what each output
sees of the image; `costs` counts; `formulas` fills the numbers in. `drawing` and `page` show it.

Every parameter is counted once, in the row that reads it first. Those that no prediction reads,
such as a side head's, stand apart in `unused`, so that both add up to the network's own sum.
Operators that no rule counts are named in `uncounted`; a count with any there is a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from convforge.analysis.costs import cost_of, peak_activation, tensor_bytes
from convforge.analysis.fields import RESHAPES, Receptive, receptive_fields
from convforge.analysis.formulas import geometry_of, mac_formula, parameter_formula, size_formula
from convforge.analysis.rows import Row, View
from convforge.analysis.source import Source, source_of
from convforge.analysis.timing import Timing, time_steps
from convforge.analysis.trace import label, storage_id, trace
from convforge.errors import NetworkError
from convforge.networks.catalog import create

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from torch import Tensor, nn

    from convforge.analysis.rows import Shape
    from convforge.analysis.trace import Call, Step, Trace

# Operators between layers, by the word that papers use.
KINDS = {
    "add": "add",
    "addmm": "linear",
    "bmm": "matrix product",
    "cat": "concatenate",
    "convolution": "convolution",
    "div": "divide",
    "mean": "average",
    "mm": "linear",
    "mul": "multiply",
    "sub": "subtract",
    "view": "reshape",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A network's rows and totals for one image of `input_shape` (C, H, W) in float32.

    Totals are sums over the rows; `unused` holds, by name, the parameters that no row reads.
    `peak_bytes` is the most activation memory alive at once, while row `peak_row` runs: see
    `costs.peak_activation`. `source` is None for a network outside the catalogue.
    """

    name: str
    input_shape: Shape
    output_shape: Shape
    rows: tuple[Row, ...]
    unused: Mapping[str, int]
    uncounted: tuple[str, ...]
    peak_bytes: int
    peak_row: int
    source: Source | None
    timing: Timing | None

    @property
    def parameters(self) -> int:
        """Parameters that a prediction reads."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds an image."""
        return sum(row.macs for row in self.rows)

    @property
    def flops(self) -> int:
        """Single operations an image, two a multiply-add."""
        return sum(row.flops for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Sum of the outputs of all rows."""
        return sum(row.activation_bytes for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; counts are exact integers."""
        source, timing = self.source, self.timing
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "unused_parameters": dict(self.unused),
            "macs": self.macs,
            "flops": self.flops,
            "activation_bytes": self.activation_bytes,
            "peak_activation_bytes": self.peak_bytes,
            "peak_row": self.rows[self.peak_row].name if self.rows else None,
            "uncounted_operators": list(self.uncounted),
            "source": None
            if source is None
            else {
                "paper": source.paper,
                "parameters": source.parameters,
                "notes": source.notes,
                "deviations": source.deviations,
            },
            "timing": None
            if timing is None
            else {
                "runs": timing.runs,
                "threads": timing.threads,
                "total_milliseconds": timing.total_ms,
            },
            "rows": [row.to_json() for row in self.rows],
        }


def describe(
    network: nn.Module | str,
    *,
    input_shape: tuple[int, int, int] | None = None,
    timing: int | None = None,
) -> Summary:
    """Describe a network for one image of `input_shape` (C, H, W), by default its own.

    Takes the name of a network of the catalogue, or any module that maps images [N, C, H, W] to a
    tensor; a module is left as it was, and may lie on the meta device. `timing` is a number of runs
    to measure every row with, on the CPU. Raises NetworkError where the name is unknown, and where
    the shape is missing or the network cannot take it.
    """
    net = _named(network, real=timing is not None) if isinstance(network, str) else network
    shape = _input_shape(net, input_shape)
    ran = trace(net, shape)
    measured = None if timing is None else time_steps(net, shape, runs=timing)
    reader = _Reader(ran)
    rows = [
        reader.row(step, milliseconds)
        for step, milliseconds in zip(ran.steps, _times(ran, measured, label(net)), strict=True)
    ]
    peak, at = peak_activation(ran, reader.fields)
    kept = [index for index, row in enumerate(rows) if row is not None]
    return Summary(
        name=label(net),
        input_shape=shape,
        output_shape=_shape(ran.outputs[0]),
        rows=tuple(row for row in rows if row is not None),
        unused=dict(reader.unread.values()),
        uncounted=tuple(sorted(reader.uncounted)),
        peak_bytes=peak,
        peak_row=max(sum(index <= at for index in kept) - 1, 0),
        source=source_of(label(net)),
        timing=measured,
    )


def _named(name: str, *, real: bool) -> nn.Module:
    with torch.device("cpu" if real else "meta"):
        return create(name)


def _input_shape(net: nn.Module, given: tuple[int, int, int] | None) -> tuple[int, int, int]:
    shape = given or getattr(net, "input_shape", None)
    if shape is None:
        raise NetworkError(
            f"{label(net)}: it does not say what images it takes; give input_shape=(channels, "
            f"height, width)"
        )
    if len(shape) != 3 or min(shape) < 1:
        raise NetworkError(
            f"{label(net)}: input_shape must be (channels, height, width), each at least 1, got "
            f"{tuple(shape)}"
        )
    return (shape[0], shape[1], shape[2])


def _times(ran: Trace, measured: Timing | None, name: str) -> Sequence[float | None]:
    """Milliseconds a step; raises NetworkError where the CPU ran other steps than the trace."""
    if measured is None:
        return [None] * len(ran.steps)
    if [step.name for step in ran.steps] != [step for step, _ in measured.steps]:
        raise NetworkError(
            f"{name}: on the CPU it runs other operators than those traced, so they cannot be "
            f"timed row by row; describe it without timing"
        )
    return [milliseconds for _, milliseconds in measured.steps]


class _Reader:
    """Makes rows of steps, in order: each parameter goes to the first row that reads it."""

    def __init__(self, ran: Trace) -> None:
        self.fields = receptive_fields(ran)
        self.uncounted: set[str] = set()
        self.unread = dict(ran.parameters)
        self._made_of: dict[int, set[int]] = {}  # what weights that are worked on are made of
        self._held = {storage_id(ran.input)}  # memory that a tensor so far lies in
        self._weights = {storage_id(tensor): tensor for tensor in ran.state}

    def row(self, step: Step, milliseconds: float | None) -> Row | None:
        """The row of a step; None where it does not depend on the input."""
        parameters = self._parameters(step.calls)
        if not step.outputs or id(step.outputs[0]) not in self.fields:
            return None
        calls = [call for call in step.calls if self._active(call.inputs)]
        inputs = self._active(step.inputs)
        geometry = geometry_of(calls)
        macs, flops = self._cost(calls)
        return Row(
            name=step.name,
            kind=type(step.layer).__name__ if step.layer is not None else _kind(step),
            input_shapes=tuple(_shape(tensor) for tensor in inputs),
            output_shape=_shape(step.outputs[0]),
            geometry=geometry,
            size_formula=size_formula(inputs, step.outputs[0], calls=calls, geometry=geometry),
            view=_view(self.fields[id(step.outputs[0])]),
            parameters=parameters,
            parameter_formula=parameter_formula(calls, parameters),
            macs=macs,
            mac_formula=mac_formula(calls, macs),
            flops=flops,
            activation_bytes=self._new_bytes(step.outputs[0]),
            moved_bytes=self._moved_bytes(step),
            milliseconds=milliseconds,
        )

    def _active(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [tensor for tensor in tensors if id(tensor) in self.fields]

    def _cost(self, calls: Sequence[Call]) -> tuple[int, int]:
        macs = flops = 0
        for call in calls:
            cost = cost_of(call)
            if cost is None:
                self.uncounted.add(call.operator)
                continue
            macs, flops = macs + cost.macs, flops + cost.flops
        return macs, flops

    def _parameters(self, calls: Sequence[Call]) -> int:
        """Values of the parameters that calls on the image read first, themselves or worked on."""
        count = 0
        for call in calls:
            read: set[int] = set()
            for tensor in call.inputs:
                key = storage_id(tensor)
                read |= self._made_of.get(key, {key})
            if self._active(call.inputs):
                count += sum(self.unread.pop(key)[1] for key in read & self.unread.keys())
            else:
                self._made_of.update((storage_id(tensor), read) for tensor in call.outputs)
        return count

    def _new_bytes(self, output: Tensor) -> int:
        """Bytes of an output; 0 where it lies in memory that held a tensor before."""
        if storage_id(output) in self._held:
            return 0
        self._held.add(storage_id(output))
        return tensor_bytes([output])

    def _moved_bytes(self, step: Step) -> int:
        """Bytes of what a step reads from outside, weights too, and of what it gives."""
        working = [call for call in step.calls if call.operator not in RESHAPES]
        if not any(self._active(call.inputs) for call in working):
            return 0
        own = {storage_id(t) for call in working for t in call.outputs}
        own -= {storage_id(t) for t in step.inputs}
        read = {
            storage_id(t): t
            for call in working
            for t in self._active(call.inputs)
            if storage_id(t) not in own
        }
        weights = {
            storage_id(t): self._weights[storage_id(t)]
            for call in step.calls
            for t in call.inputs
            if storage_id(t) in self._weights
        }
        return sum(map(tensor_bytes, (read.values(), weights.values(), step.outputs[:1])))


def _kind(step: Step) -> str:
    operator = step.calls[0].operator
    return KINDS.get(operator, operator.strip("_").replace("_", " "))


def _shape(tensor: Tensor) -> Shape:
    return tuple(tensor.shape[1:])


def _view(field: Receptive | None) -> View | None:
    if field is None:
        return None
    axes = (field.rows, field.columns)
    return View(
        size=(axes[0].size, axes[1].size),
        first=(_number(axes[0].first), _number(axes[1].first)),
        jump=(_number(axes[0].jump), _number(axes[1].jump)) if field.spatial else None,
        whole=field.gated,
    )


def _number(value: Fraction | int) -> float:
    return int(value) if value == int(value) else float(value)
