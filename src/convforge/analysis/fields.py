"""Receptive fields through any network: branches, additions, concatenations, gates.

Walks a `Trace` operator by operator and gives each tensor that depends on the input a `Receptive`.

- A window (convolution, pooling) goes through `arithmetic.Field.through`, rows and columns apart.
- Where branches meet (addition, concatenation), the field spans all of theirs: the shallow path of
  a residual block adds nothing, the widest branch of an Inception module decides.
- Where a map is multiplied by one value a channel that saw the whole input (squeeze and
  excitation), every position depends on the whole input from there on. That is said by `gated`;
  `rows` and `columns` go on with what the map's own path sees.
- Flattening joins the fields of all positions.

Fields are those of an unbounded input, as papers count them: they may exceed the image. An operator
without a rule gives None, unknown, and so does all that follows from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from convforge.analysis.arithmetic import Field, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from convforge.analysis.trace import Call, Trace

Axes = tuple[int, int]  # of rows and of columns

# Operators that keep positions where they are, beside those that torch tags as pointwise.
KEEPS_POSITIONS = frozenset({
    "_native_batch_norm_legit_no_training", "_prelu_kernel", "_to_copy", "alias", "avg_pool3d",
    "cat", "clone", "copy", "cudnn_batch_norm", "detach", "hardswish", "lift_fresh",
    "local_response_norm", "native_batch_norm",
})  # fmt: skip
RESHAPES = frozenset({
    "_unsafe_view", "chunk", "expand", "permute", "select", "split", "split_with_sizes", "squeeze",
    "t", "transpose", "unbind", "unsqueeze", "view",
})  # fmt: skip
REDUCTIONS = frozenset({
    "_log_softmax", "_softmax", "amax", "amin", "max", "mean", "min", "prod", "std", "sum", "var",
})  # fmt: skip
CONSTANTS = frozenset({  # the input's shape matters to them, its values do not
    "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like",
    "zeros_like",
})  # fmt: skip
PRODUCTS = frozenset({"_cdist_forward", "addmm", "baddbmm", "bmm", "mm", "rbf"})


@dataclass(frozen=True, kw_only=True)
class Receptive:
    """What the positions of a map see of the input.

    `rows` and `columns` are the last two axes of the map where `spatial`, else one field for all
    values. `gated`: every position depends on the whole input besides.
    """

    rows: Field
    columns: Field
    spatial: bool = True
    gated: bool = False

    def covers(self, *, input_size: Axes, map_size: Axes) -> bool:
        """Whether the positions of a map of `map_size` together see all of the input."""
        joined = _joined(self, map_size)
        return self.gated or all(
            field.first <= 0 and field.first + field.size >= size
            for field, size in zip((joined.rows, joined.columns), input_size, strict=True)
        )


def windows_of(call: Call) -> tuple[Window, Window] | None:
    """The windows (rows, columns) of a convolution, pooling or padding; None for other operators.

    Padding alone is a window of kernel 1. Adaptive pooling gives its largest window; where its
    sizes do not divide, its windows are not evenly spaced: see `receptive_fields`.
    """
    name, size = call.operator, _map_size(call.inputs[0]) if call.inputs else (1, 1)
    if name == "convolution" and len(call.arguments[3]) == 2:
        transposed = call.arguments[6]
        kernel = tuple(call.inputs[1].shape[2:])
        return None if transposed else _windows(kernel, *call.arguments[3:6])
    if name in {"max_pool2d_with_indices", "avg_pool2d"}:
        dilated = name == "max_pool2d_with_indices"
        kernel = call.arguments[1]
        return _windows(
            kernel,
            call.argument(2) or kernel,
            call.argument(3, (0, 0)),
            call.argument(4, (1, 1)) if dilated else (1, 1),
            ceil=bool(call.argument(5 if dilated else 4, default=False)),
        )
    if name in {"_adaptive_avg_pool2d", "adaptive_max_pool2d"}:
        out = _map_size(call.outputs[0])
        rows, columns = (_adaptive(n, m) for n, m in zip(size, out, strict=True))
        return rows, columns
    if name == "constant_pad_nd":
        left, right, top, bottom = (*call.arguments[1], 0, 0, 0, 0)[:4]
        if min(left, right, top, bottom) < 0:
            return None
        return Window(kernel=1, padding=(top, bottom)), Window(kernel=1, padding=(left, right))
    return None


def receptive_fields(trace: Trace) -> dict[int, Receptive | None]:
    """Receptive by `id` of every tensor that depends on the input; None where unknown.

    Adaptive pooling whose sizes do not divide is taken as windows of its largest size, spaced by
    the mean distance.
    """
    known: dict[int, Receptive | None] = {
        id(trace.input): Receptive(rows=Field(), columns=Field()),
    }
    size = _map_size(trace.input)
    for step in trace.steps:
        for call in step.calls:
            sources = [tensor for tensor in call.inputs if id(tensor) in known]
            if not sources or call.operator in CONSTANTS:
                continue
            result = _propagate(call, sources, known, size)
            known.update((id(tensor), result) for tensor in call.outputs)
    return known


def _propagate(
    call: Call,
    sources: Sequence[Tensor],
    known: Mapping[int, Receptive | None],
    input_size: Axes,
) -> Receptive | None:
    fields = [known[id(tensor)] for tensor in sources]
    given = [field for field in fields if field is not None]
    if len(given) < len(fields):
        return None
    name = call.operator
    for names, rule in _RULES:
        if name in names:
            return rule(call, sources[0], given[0])
    if name in PRODUCTS and not any(_is_wide(*pair) for pair in zip(given, sources, strict=True)):
        return _merge(given, (1, 1))
    if call.pointwise or name in KEEPS_POSITIONS:
        return _meet(call, sources, given, input_size)
    windows = windows_of(call)
    return None if windows is None else _through(call, sources[0], given[0], windows)


def _through(
    call: Call, source: Tensor, field: Receptive, windows: tuple[Window, Window]
) -> Receptive | None:
    if not field.spatial:
        return None
    rows, columns = field.rows.through(windows[0]), field.columns.through(windows[1])
    if call.operator.startswith(("_adaptive", "adaptive")):
        steps = [
            Fraction(n, m)
            for n, m in zip(_map_size(source), _map_size(call.outputs[0]), strict=True)
        ]
        rows = replace(rows, jump=_whole(field.rows.jump * steps[0]))
        columns = replace(columns, jump=_whole(field.columns.jump * steps[1]))
    return replace(field, rows=rows, columns=columns)


def _meet(
    call: Call, sources: Sequence[Tensor], fields: Sequence[Receptive], input_size: Axes
) -> Receptive | None:
    """Where tensors are joined value by value, or stacked."""
    size = _map_size(call.outputs[0])
    if call.operator == "cat" and call.argument(1, 0) % call.outputs[0].ndim > 1:
        return None  # stacked along rows or columns: positions of unlike origin in one map
    wide: list[tuple[Tensor, Receptive]] = []
    gates: list[tuple[Tensor, Receptive]] = []
    for source, field in zip(sources, fields, strict=True):
        broadcast = not field.spatial or (size != (1, 1) and _map_size(source) == (1, 1))
        (gates if broadcast else wide).append((source, field))
    if not wide:
        return _merge(fields, (1, 1))
    merged = _merge([field for _, field in wide], size)
    seen = all(
        gate.covers(input_size=input_size, map_size=_map_size(source)) for source, gate in gates
    )
    if merged is None or not seen:
        return None
    return replace(merged, gated=merged.gated or bool(gates))


def _reshape(call: Call, source: Tensor, field: Receptive) -> Receptive | None:
    if not field.spatial:
        return field
    output = call.outputs[0]
    if call.operator in {"permute", "transpose"}:
        axes = list(range(source.ndim))
        if call.operator == "permute":
            axes = [axis % source.ndim for axis in call.arguments[1]]
        else:
            first, second = (axis % source.ndim for axis in call.arguments[1:3])
            axes[first], axes[second] = axes[second], axes[first]
        kept = axes[-2:] == [source.ndim - 2, source.ndim - 1]
    else:
        kept = output.ndim > 2 and _map_size(output) == _map_size(source)
    if kept:
        return field
    if _map_size(source) != (1, 1) and call.operator not in {"view", "_unsafe_view"}:
        return None
    return replace(_joined(field, _map_size(source)), spatial=False)


def _reduce(call: Call, source: Tensor, field: Receptive) -> Receptive | None:
    """A sum, mean, maximum or softmax over some axes; over rows or columns it joins positions."""
    axes = call.argument(1)
    axes = range(source.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    folded = {axis % source.ndim for axis in axes} & {source.ndim - 2, source.ndim - 1}
    if not field.spatial or not folded:
        return field
    joined = _joined(field, _map_size(source))
    return replace(joined, spatial=call.outputs[0].ndim == source.ndim)


def _slice(call: Call, source: Tensor, field: Receptive) -> Receptive | None:
    axis = call.argument(1, 0) % source.ndim
    start, step = call.argument(2, None) or 0, call.argument(4, 1)
    if not field.spatial or axis < source.ndim - 2:
        return field
    name = "rows" if axis == source.ndim - 2 else "columns"
    old: Field = getattr(field, name)
    start += source.shape[axis] if start < 0 else 0
    new = replace(old, first=old.first + start * old.jump, jump=old.jump * step)
    return replace(field, rows=new) if name == "rows" else replace(field, columns=new)


_RULES: tuple[tuple[frozenset[str], Callable[[Call, Tensor, Receptive], Receptive | None]], ...] = (
    (RESHAPES, _reshape),
    (REDUCTIONS, _reduce),
    (frozenset({"slice"}), _slice),
)


def _merge(fields: Sequence[Receptive], map_size: Axes) -> Receptive | None:
    """The span of several fields; None where positions of the same index lie at different steps."""
    rows = _span([field.rows for field in fields], map_size[0])
    columns = _span([field.columns for field in fields], map_size[1])
    if rows is None or columns is None:
        return None
    return Receptive(
        rows=rows,
        columns=columns,
        spatial=all(field.spatial for field in fields),
        gated=any(field.gated for field in fields),
    )


def _span(fields: Sequence[Field], positions: int) -> Field | None:
    if positions > 1 and len({field.jump for field in fields}) > 1:
        return None
    first = min(field.first for field in fields)
    end = max(field.first + field.size for field in fields)
    return Field(first=first, size=math.ceil(end - first), jump=max(f.jump for f in fields))


def _joined(field: Receptive, map_size: Axes) -> Receptive:
    """One field for all positions of a map of `map_size`."""
    axes = [
        Field(
            first=axis.first,
            size=math.ceil(axis.size + (count - 1) * axis.jump) if field.spatial else axis.size,
            jump=axis.jump * count,
        )
        for axis, count in zip((field.rows, field.columns), map_size, strict=True)
    ]
    return replace(field, rows=axes[0], columns=axes[1])


def _is_wide(field: Receptive, tensor: Tensor) -> bool:
    return field.spatial and _map_size(tensor) != (1, 1)


def _windows(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    ceil: bool = False,
) -> tuple[Window, Window]:
    rows, columns = (
        Window(
            kernel=_axis(kernel, axis),
            stride=_axis(stride, axis),
            padding=_axis(padding, axis),
            dilation=_axis(dilation, axis),
            rounding="ceil" if ceil else "floor",
        )
        for axis in (0, 1)
    )
    return rows, columns


def _axis(values: Sequence[int], axis: int) -> int:
    return values[axis] if len(values) > 1 else values[0]


def _adaptive(size: int, places: int) -> Window:
    """The largest of the windows floor(i n / m) … ceil((i + 1) n / m) - 1, and their distance."""
    spans = [-(-(i + 1) * size // places) - i * size // places for i in range(places)]
    return Window(kernel=max(spans), stride=max(size // places, 1))


def _map_size(tensor: Tensor) -> Axes:
    """Size of the last two axes; (1, 1) for a tensor of values without positions."""
    return (int(tensor.shape[-2]), int(tensor.shape[-1])) if tensor.ndim > 2 else (1, 1)


def _whole(value: Fraction | int) -> Fraction | int:
    return int(value) if value == int(value) else value
