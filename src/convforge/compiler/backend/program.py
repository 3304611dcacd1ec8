"""The program: one call a layer, places in buffers instead of values, all weights in one blob."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.backend.places import Place, is_view, joins_in_place, parts, place_values
from convforge.compiler.ir.costs import macs
from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.ops import OPS
from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.family import ALIGNMENT, Kernel, Layer, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.compiler.ir.graph import Array, Graph, Shape


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
        return self.images * sum(
            macs(
                part.node.op,
                weight=part.constants[0].shape if part.constants else (),
                output=part.output,
            )
            for part in self.layer.parts
        )


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
    found = layouts or {}
    builder = _Builder(graph, place_values(graph, found), found)
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
        weights=builder.blob.floats(),
        input_shape=graph.input_shape,
        output_shape=graph.shapes[graph.output],
    )


class _Blob:
    """All weights one behind the other; grows in place, so that large ones are never held twice."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, array: Array) -> int:
        """Append an array, then zeros up to the alignment; gives its offset in floats."""
        start = len(self._bytes)
        self._bytes += bytes(array.nbytes + -array.nbytes % ALIGNMENT)
        np.frombuffer(self._bytes, np.float32, array.size, start).reshape(array.shape)[...] = array
        return start // array.itemsize

    def floats(self) -> Array:
        """The blob itself, not a copy; nothing can be added to it while this is held."""
        return np.frombuffer(self._bytes, np.float32)


@dataclass
class _Builder:
    graph: Graph
    places: dict[str, Place]
    layouts: Mapping[str, Layout]
    calls: list[Call] = field(default_factory=list)
    buffers: dict[str, int] = field(default_factory=dict)
    blob: _Blob = field(default_factory=_Blob)

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
        if is_view(self.graph, node):
            return
        if joins_in_place(self.graph, node, self.layouts):
            for part, offset in parts(self.graph, node, self.layouts):
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
        images = layer.output[0] if OPS[layer.node.op].per_image else 1
        one = _one_image(layer) if images > 1 else layer
        kernel = select(one)
        offsets = tuple(self.blob.add(array) for array in kernel.pack(one))
        name = re.sub(r"[^A-Za-z0-9]", "_", layer.node.name)
        symbol = f"layer_{len(self.calls):03}_{name}"
        self.calls.append(Call(symbol, kernel, one, inputs, output, offsets, images))


def _one_image(layer: Layer) -> Layer:
    inputs = tuple((1, *shape[1:]) for shape in layer.inputs)
    return replace(layer, inputs=inputs, output=(1, *layer.output[1:]))
