"""The program: one call a layer, places in buffers instead of values, all weights in one blob.

What changes no byte costs nothing. A reshaped value, and a slice of whole channels, is a view of
its source. What a concatenation of whole channels joins is written where it belongs in the joined
value from the start; a part is copied only where it has another place already.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.costs import macs
from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.ops import OPS
from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.family import ALIGNMENT, Kernel, Layer, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convforge.compiler.ir.graph import Array, Graph, Shape

_FLOATS = ALIGNMENT // 4  # floats in one aligned unit


@dataclass(frozen=True)
class Place:
    """Where a value lies: a buffer, and how many floats from its start."""

    buffer: str
    offset: int = 0

    def further(self, floats: int) -> Place:
        """The place some floats behind this one."""
        return replace(self, offset=self.offset + floats)


@dataclass(frozen=True)
class Call:
    """One layer: the kernel that computes it, the places it reads and writes, its weights.

    `weights` are offsets into the program's blob, in floats. `layer` is that of one image; the call
    is made for each of `images`, which lie one behind the other in every place.
    """

    symbol: str
    kernel: Kernel
    layer: Layer
    inputs: tuple[Place, ...]
    output: Place
    weights: tuple[int, ...]
    images: int = 1

    @property
    def units(self) -> int:
        """Into how many pieces the call can be cut."""
        return self.images * (self.kernel.units(self.layer) if self.kernel.units else 1)

    @property
    def macs(self) -> int:
        """Multiply-adds of all images."""
        layer = self.layer
        weight = layer.constants[0].shape if layer.constants else ()
        return self.images * macs(layer.node.op, weight=weight, output=layer.output)


@dataclass(frozen=True)
class Program:
    """Calls in order; `buffers` gives each buffer's size in floats; `weights` is the blob.

    `output` is a buffer of its own, never the input's.
    """

    calls: tuple[Call, ...]
    buffers: Mapping[str, int]
    input: str
    output: str
    weights: Array
    input_shape: Shape
    output_shape: Shape

    @property
    def weight_bytes(self) -> int:
        """Size of the blob, alignment included."""
        return self.weights.nbytes

    @property
    def workspace_bytes(self) -> int:
        """What every thread needs besides the buffers, in whole units of the alignment."""
        floats = max((call.kernel.workspace(call.layer) for call in self.calls), default=0)
        return -(-4 * floats // ALIGNMENT) * ALIGNMENT


def build_program(graph: Graph, layouts: Mapping[str, Layout] | None = None) -> Program:
    """Choose a kernel for every node of a graph after its passes and pack its weights.

    Values are planar where `layouts` says nothing else; the graph's input and output always are.
    """
    builder = _Builder(graph, _places(graph), layouts or {})
    for node in graph.nodes:
        builder.add(node)
    output = builder.places[graph.output]
    size = math.prod(graph.shapes[graph.output])
    if output.buffer == graph.input or builder.buffers[output.buffer] != size:
        output = Place(f"{graph.output}, output")
        builder.copy(graph.output, builder.places[graph.output], output)
    return Program(
        calls=tuple(builder.calls),
        buffers=builder.buffers,
        input=graph.input,
        output=output.buffer,
        weights=np.concatenate(builder.blob) if builder.blob else np.zeros(0, np.float32),
        input_shape=graph.input_shape,
        output_shape=graph.shapes[graph.output],
    )


@dataclass
class _Builder:
    graph: Graph
    places: dict[str, Place]
    layouts: Mapping[str, Layout]
    calls: list[Call] = field(default_factory=list)
    buffers: dict[str, int] = field(default_factory=dict)
    blob: list[Array] = field(default_factory=list)
    used: int = 0

    def __post_init__(self) -> None:
        shapes = self.graph.shapes
        self.buffers = {
            name: self.layout(name).floats(shapes[name])
            for name, place in self.places.items()
            if place.buffer == name
        }

    def layout(self, value: str) -> Layout:
        """How a value is stored."""
        return self.layouts.get(value, Layout.PLANAR)

    def add(self, node: Node) -> None:
        """The calls of a node, none where its value is a view."""
        if _is_view(self.graph, node):
            return
        if _joins_in_place(self.graph, node):
            for part, offset in _parts(self.graph, node):
                target = self.places[node.name].further(offset)
                if self.places[part] != target:
                    self.copy(part, self.places[part], target)
            return
        computed = [name for name in node.inputs if name not in self.graph.constants]
        layouts = tuple(self.layout(name) for name in (*computed, node.name))
        layer = replace(Layer.of(self.graph, node), layouts=layouts)
        self.call(layer, tuple(self.places[name] for name in computed), self.places[node.name])

    def copy(self, value: str, source: Place, target: Place) -> None:
        """A call that copies a value; the buffer it goes to is made where there is none."""
        shape, layout = self.graph.shapes[value], self.layout(value)
        self.buffers.setdefault(target.buffer, layout.floats(shape))
        node = Node(f"{value}, copy", "elementwise", (value,))
        self.call(Layer(node, (shape,), (), shape, (layout, layout)), (source,), target)

    def call(self, layer: Layer, inputs: tuple[Place, ...], output: Place) -> None:
        """One call, with the layer's weights packed into the blob."""
        images = layer.output[0] if getattr(OPS[layer.node.op], "per_image", False) else 1
        one = _one_image(layer) if images > 1 else layer
        kernel = select(one)
        offsets = []
        for array in kernel.pack(one):
            offsets.append(self.used)
            self.blob += [array.reshape(-1), np.zeros(-array.size % _FLOATS, np.float32)]
            self.used += array.size + -array.size % _FLOATS
        name = re.sub(r"[^A-Za-z0-9]", "_", layer.node.name)
        symbol = f"layer_{len(self.calls):03}_{name}"
        self.calls.append(Call(symbol, kernel, one, inputs, output, tuple(offsets), images))


def _one_image(layer: Layer) -> Layer:
    inputs = tuple((1, *shape[1:]) for shape in layer.inputs)
    return replace(layer, inputs=inputs, output=(1, *layer.output[1:]))


def _places(graph: Graph) -> dict[str, Place]:
    # The last concatenation first: what it joins may be joined before by others, which are parts of
    # it then (every layer of a DenseNet block joins all that came before it).
    homes: dict[str, Place] = {}
    for node in reversed(graph.nodes):
        if _joins_in_place(graph, node):
            _settle(graph, node, homes)
    places = {graph.input: Place(graph.input)}
    for node in graph.nodes:
        if _is_view(graph, node):
            places[node.name] = places[node.inputs[0]].further(_view_offset(graph, node))
        else:
            places[node.name] = homes.get(node.name, Place(node.name))
    return places


def _settle(graph: Graph, node: Node, homes: dict[str, Place]) -> None:
    """Give the parts of a concatenation their places in it, or it the place of its parts."""
    parts = [(_origin(graph, part), offset) for part, offset in _parts(graph, node)]
    first = homes.get(parts[0][0])
    if (
        first is not None
        and node.name not in {*homes, graph.output}
        and all(homes.get(origin) == first.further(offset) for origin, offset in parts)
    ):
        homes[node.name] = first
        return
    start = homes.setdefault(node.name, Place(node.name))
    for origin, offset in parts:
        if origin not in {*homes, graph.input, graph.output} and not _is_view_of_part(
            graph, origin
        ):
            homes[origin] = start.further(offset)


def _origin(graph: Graph, value: str) -> str:
    """The value that a reshaped one is the same bytes as."""
    node = graph.producers.get(value)
    while node is not None and node.op in {"reshape", "flatten"}:
        value = node.inputs[0]
        node = graph.producers.get(value)
    return value


def _is_view_of_part(graph: Graph, value: str) -> bool:
    node = graph.producers.get(value)
    return node is not None and _is_view(graph, node)


def _is_view(graph: Graph, node: Node) -> bool:
    if node.op in {"reshape", "flatten"}:
        return True
    return node.op == "slice" and node.attrs["step"] == 1 and _is_outermost(graph, node)


def _view_offset(graph: Graph, node: Node) -> int:
    if node.op in {"reshape", "flatten"}:
        return 0
    start, axis = node.attrs["start"], node.attrs["axis"]
    assert isinstance(start, int)
    assert isinstance(axis, int)
    return start * math.prod(graph.shapes[node.inputs[0]][axis + 1 :])


def _joins_in_place(graph: Graph, node: Node) -> bool:
    return (
        node.op == "concat"
        and _is_outermost(graph, node)
        and not any(name in graph.constants for name in node.inputs)
    )


def _is_outermost(graph: Graph, node: Node) -> bool:
    # Along this axis values are whole pieces of memory.
    axis = node.attrs.get("axis", 1)
    assert isinstance(axis, int)
    shape: Shape = graph.shapes[node.name]
    return math.prod(shape[:axis]) == 1


def _parts(graph: Graph, node: Node) -> Iterator[tuple[str, int]]:
    offset = 0
    for name in node.inputs:
        yield name, offset
        offset += math.prod(graph.shapes[name])
