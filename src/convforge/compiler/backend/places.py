"""Where values lie in memory, so that what changes no byte costs nothing.

A reshaped value, and a slice of whole channels, is a view of its source. What a concatenation of
whole channels joins is written where it belongs in the joined value from the start; a part is
copied only where it has another place already. Where channels lie in blocks, whole blocks are what
whole channels are otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from convforge.compiler.kernels.family import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convforge.compiler.ir.graph import Graph, Node, Shape

    Layouts: TypeAlias = Mapping[str, Layout]  # planar where a value has none


@dataclass(frozen=True)
class Place:
    """Where a value lies: a buffer, and how many floats from its start."""

    buffer: str
    offset: int = 0

    def further(self, floats: int) -> Place:
        """The place some floats behind this one."""
        return replace(self, offset=self.offset + floats)


def place_values(graph: Graph, layouts: Layouts) -> dict[str, Place]:
    """Where every value of a graph lies; one that is no part or view has a buffer of its name."""
    # The last concatenation first: what it joins may be joined before by others, which are parts of
    # it then (every layer of a DenseNet block joins all that came before it).
    homes: dict[str, Place] = {}
    for node in reversed(graph.nodes):
        if joins_in_place(graph, node, layouts):
            _settle(graph, node, homes, layouts)
    places = {graph.input: Place(graph.input)}
    for node in graph.nodes:
        if is_view(graph, node):
            offset = _view_offset(graph, node, layouts)
            places[node.name] = places[node.inputs[0]].further(offset)
        else:
            places[node.name] = homes.get(node.name, Place(node.name))
    return places


def _settle(graph: Graph, node: Node, homes: dict[str, Place], layouts: Layouts) -> None:
    """Give the parts of a concatenation their places in it, or it the place of its parts."""
    joined = [(_origin(graph, part), offset) for part, offset in parts(graph, node, layouts)]
    first = homes.get(joined[0][0])
    if (
        first is not None
        and node.name not in {*homes, graph.output}
        and all(homes.get(origin) == first.further(offset) for origin, offset in joined)
    ):
        homes[node.name] = first
        return
    start = homes.setdefault(node.name, Place(node.name))
    for origin, offset in joined:
        if origin not in {*homes, graph.input, graph.output} and not _is_slice(graph, origin):
            homes[origin] = start.further(offset)


def _origin(graph: Graph, value: str) -> str:
    """The value that a reshaped one is the same bytes as."""
    node = graph.producers.get(value)
    while node is not None and node.op == "reshape":
        value = node.inputs[0]
        node = graph.producers.get(value)
    return value


def _is_slice(graph: Graph, value: str) -> bool:
    node = graph.producers.get(value)
    return node is not None and is_view(graph, node)


def is_view(graph: Graph, node: Node) -> bool:
    """Whether a node's value is bytes of its first input."""
    if node.op == "reshape":
        return True
    return node.op == "slice" and node.attrs["step"] == 1 and _is_outermost(graph, node)


def _view_offset(graph: Graph, node: Node, layouts: Layouts) -> int:
    if node.op == "reshape":
        return 0
    start, axis = node.attrs["start"], node.attrs["axis"]
    assert isinstance(start, int)
    assert isinstance(axis, int)
    count = start * math.prod(graph.shapes[node.inputs[0]][axis + 1 :])
    return count * _layout(layouts, node.name).number_bytes // 4


def joins_in_place(graph: Graph, node: Node, layouts: Layouts) -> bool:
    """Whether a node joins values that can lie one behind the other from the start."""
    block = _layout(layouts, node.name).block
    return (
        node.op == "concat"
        and _is_outermost(graph, node)
        and not any(name in graph.constants for name in node.inputs)
        and all(block == 1 or graph.shapes[name][1] % block == 0 for name in node.inputs)
    )


def _layout(layouts: Layouts, name: str) -> Layout:
    return layouts.get(name, Layout.PLANAR)


def _is_outermost(graph: Graph, node: Node) -> bool:
    # Along this axis values are whole pieces of memory.
    axis = node.attrs["axis"]
    assert isinstance(axis, int)
    shape: Shape = graph.shapes[node.name]
    return math.prod(shape[:axis]) == 1


def parts(graph: Graph, node: Node, layouts: Layouts) -> Iterator[tuple[str, int]]:
    """What a concatenation joins, and how many floats from its start each begins."""
    offset = 0
    for name in node.inputs:
        yield name, offset
        offset += _layout(layouts, name).floats(graph.shapes[name])
