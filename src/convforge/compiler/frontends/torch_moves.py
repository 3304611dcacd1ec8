"""Handlers of what computes nothing: reshapes, transposes, slices, concatenations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.frontends.torch_call import Unsupported, arguments, axis_of, shape_of

if TYPE_CHECKING:
    from torch import fx

    from convforge.compiler.frontends.torch import Reader

_BROADCASTING = {f"aten.{op}.Tensor" for op in ("add", "sub", "mul", "div")}


def same_value(reader: Reader, node: fx.Node) -> None:
    """A clone, a copy to float32."""
    if node.meta["val"].dtype != node.args[0].meta["val"].dtype:  # type: ignore[union-attr]
        raise Unsupported(f"a copy to {node.meta['val'].dtype}; torch.float32 is supported")
    reader.alias(node, node.args[0])


def no_value(_reader: Reader, _node: fx.Node) -> None:
    """What only checks something while torch traces."""


def result(reader: Reader, node: fx.Node) -> None:
    """One of the results of an operation that has several."""
    source, number = node.args
    if source in reader.parts:
        reader.values[node] = reader.parts[source][number]  # type: ignore[index]
    elif number == 0:
        reader.alias(node, source)
    else:
        raise Unsupported(f"result {number} of {source}; only the first is supported")


def reshape(reader: Reader, node: fx.Node) -> None:
    """Any reshape: view, squeeze, unsqueeze."""
    source = node.args[0]
    reader.alias(node, source)
    reader.reshape(node, reader.value(source), shape_of(source), shape_of(node))


def permute(reader: Reader, node: fx.Node) -> None:
    """aten.permute."""
    a = arguments(node)
    rank = len(shape_of(node))
    perm = tuple(axis_of(dim, rank) for dim in a["dims"])
    reader.emit(node, "transpose", [reader.value(a["self"])], attrs={"perm": perm})


def slice_(reader: Reader, node: fx.Node) -> None:
    """aten.slice: Python's slice of one axis."""
    a = arguments(node)
    shape = shape_of(a["self"])
    axis = axis_of(a["dim"], len(shape))
    start, stop, step = slice(a["start"], a["end"], int(a["step"])).indices(shape[axis])
    if (start, stop, step) == (0, shape[axis], 1):
        reader.alias(node, a["self"])
        return
    if start >= stop:
        raise Unsupported(f"slice {start}:{stop} of axis {axis} of {shape}, which is empty")
    attrs = {"axis": axis, "start": start, "stop": stop, "step": step}
    reader.emit(node, "slice", [reader.value(a["self"])], attrs=attrs)


def select(reader: Reader, node: fx.Node) -> None:
    """aten.select: one place of an axis, which goes."""
    a = arguments(node)
    shape = shape_of(a["self"])
    axis = axis_of(a["dim"], len(shape))
    start = axis_of(a["index"], shape[axis])
    attrs = {"axis": axis, "start": start, "stop": start + 1, "step": 1}
    reader.emit(node, "slice", [reader.value(a["self"])], attrs=attrs)
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    reader.reshape(node, reader.value(node), kept, shape_of(node))


def split(reader: Reader, node: fx.Node) -> None:
    """aten.split_with_sizes, which chunk and split become."""
    a = arguments(node)
    axis, parts, start = axis_of(a["dim"], len(shape_of(a["self"]))), [], 0
    for size in a["split_sizes"]:
        if size < 1:
            raise Unsupported(f"parts of {a['split_sizes']} places; 1 or more are supported")
        attrs = {"axis": axis, "start": start, "stop": start + size, "step": 1}
        reader.emit(node, "slice", [reader.value(a["self"])], attrs=attrs)
        parts.append(reader.values.pop(node))
        start += size
    reader.parts[node] = tuple(parts)


def concat(reader: Reader, node: fx.Node) -> None:
    """aten.cat of computed values, along any axis."""
    a = arguments(node)
    if any(source in reader.tensors for source in a["tensors"]):
        raise Unsupported("a constant among what it joins; computed values are supported")
    sources = [reader.value(source) for source in a["tensors"]]
    if len(sources) == 1:
        reader.alias(node, a["tensors"][0])
        return
    reader.emit(node, "concat", sources, attrs={"axis": axis_of(a["dim"], len(shape_of(node)))})


def expand(reader: Reader, node: fx.Node) -> None:
    """aten.expand, where whoever reads the value would stretch it as far."""
    shape = shape_of(node)
    if shape_of(node.args[0]) != shape:
        for user in node.users:
            others = [shape_of(other) for other in user.all_input_nodes if other is not node]
            if str(user.target) not in _BROADCASTING or shape not in others:
                raise Unsupported(
                    f"stretching {shape_of(node.args[0])} to {shape}; before a sum, difference, "
                    "product or quotient with a value of that shape it is supported"
                )
    reader.alias(node, node.args[0])
