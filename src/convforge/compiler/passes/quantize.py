"""Convolutions and what lies between them become operations on numbers of one byte.

    x = scale · (q - zero), q in 0 … top; weights symmetric, -127 … 127, a scale for each output

`top` is 255, or 127 for machines whose products of bytes are exact for so many bits alone.
A value's scale comes from the range that it has on real images (`quantization`). What becomes of a
ReLU is the end of the range itself; any other epilogue is looked up, byte for byte. Nodes that have
no meaning on bytes, those asked for in `keep`, and maps of one pixel stay as they are, and values
are changed to and fro around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.graph import Node, unused_name
from convforge.compiler.ir.reference import apply_step
from convforge.compiler.ir.reference_int8 import FRACTION

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from convforge.compiler.ir.graph import Array, Graph, Shape
    from convforge.compiler.ir.ops import Attr, Step

CONVOLUTIONS = frozenset({"conv2d", "conv2d_add"})
_LARGEST = 127  # of a weight
_FEWEST = 5  # channels of a map of bytes that a convolution gives
_BITS = 23  # of a bias, which a float32 has
_WIDEST = 255  # bytes before they are looked up
_LONGEST_SHIFT = 16  # of a sum of 32 bits to one of 16


@dataclass(frozen=True)
class Scale:
    """x = scale · (q - zero), q from 0 to top."""

    scale: float
    zero: int
    top: int = _WIDEST

    @classmethod
    def of(cls, low: float, high: float, *, top: int = _WIDEST) -> Scale:
        """The one whose numbers from 0 to `top` span a range, zero among them."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32((high - low) / top)) or 1.0
        return cls(scale, min(top, max(0, round(-low / scale))), top)

    def bytes(self, x: Array) -> Array:
        """The nearest bytes, as float32."""
        nearest: Array = np.clip(np.rint(x / self.scale) + self.zero, 0, self.top)
        return nearest.astype(np.float32)

    @property
    def attrs(self) -> dict[str, Attr]:
        """As attributes of a node."""
        return {"scale": self.scale, "zero": self.zero, "top": self.top}


def before(name: str) -> str:
    """What stands for a node's value before its epilogue among the ranges."""
    return f"{name}, before its epilogue"


def looked_up(node: Node) -> bool:
    """Whether a convolution's epilogue is more than an end of the range."""
    if not node.epilogue or node.epilogue == (("relu",),):
        return False
    return len(node.epilogue) > 1 or node.epilogue[0][:2] != ("clip", 0.0)


def can_quantize(graph: Graph, node: Node) -> bool:
    """Whether a node is a convolution that can be one of bytes."""
    if node.op not in CONVOLUTIONS:
        return False
    (_, channels, *_size), (_, out, height, width) = (
        graph.shapes[node.inputs[0]],
        graph.shapes[node.name],
    )
    groups = node.attrs["groups"]
    depthwise = groups == channels == out and node.op == "conv2d"
    if depthwise:
        return node.attrs["dilation"] == (1, 1) and channels >= _FEWEST
    return groups == 1 and out >= _FEWEST and height * width > 1


def quantize(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    *,
    keep: Collection[str] = (),
    top: int = _WIDEST,
) -> Graph:
    """The graph on bytes. `ranges` are those of every value, and `before` of those looked up.

    `top` is the largest byte of a map.
    """
    work = _Work(graph, dict(_shared(graph, ranges)), frozenset(keep), top)
    for node in graph.nodes:
        work.add(node)
    output = work.value(graph.output)
    return graph.rewritten(
        _read(work.nodes, output), constants={**graph.constants, **work.constants}, output=output
    )


def _read(nodes: list[Node], output: str) -> list[Node]:
    """Without those that nothing reads: what was flattened for a fully connected layer, say."""
    read, kept = {output}, []
    for node in reversed(nodes):
        if node.name in read:
            read |= set(node.inputs)
            kept.append(node)
    return kept[::-1]


def _shared(
    graph: Graph, ranges: Mapping[str, tuple[float, float]]
) -> Mapping[str, tuple[float, float]]:
    """The ranges, where all that is joined, or pooled, has one."""
    shared = dict(ranges)
    groups = [
        (node.name, *node.inputs)
        for node in graph.nodes
        if node.op in {"concat", "max_pool"} and set(node.inputs) <= shared.keys()
    ]
    changed = True
    while changed:
        changed = False
        for group in groups:
            whole = min(shared[n][0] for n in group), max(shared[n][1] for n in group)
            changed |= any(shared[name] != whole for name in group)
            shared |= dict.fromkeys(group, whole)
    return shared


@dataclass
class _Work:
    graph: Graph
    ranges: dict[str, tuple[float, float]]
    keep: frozenset[str]
    top: int
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)  # of the values that are bytes
    moved: dict[str, str] = field(default_factory=dict)  # value → itself, of the other kind
    shapes: dict[str, Shape] = field(default_factory=dict)  # of maps that vectors are

    def add(self, node: Node) -> None:
        """Append a node as one on bytes, or as it was."""
        for rewrite in (_convolution, _pooling, _joining, _gating, _averaging, _classifying):
            if node.name not in self.keep and rewrite(self, node):
                return
        computed = set(node.inputs) - self.graph.constants.keys()
        inputs = tuple(self.value(n) if n in computed else n for n in node.inputs)
        self.nodes.append(replace(node, inputs=inputs))

    def value(self, name: str) -> str:
        """The value as numbers of the usual kind."""
        return self._moved(name, "dequantize", self.scales[name]) if name in self.scales else name

    def bytes(self, name: str) -> tuple[str, Scale]:
        """The value as bytes, and their scale."""
        scale = self.scale(name)
        return (name if name in self.scales else self._moved(name, "quantize", scale)), scale

    def scale(self, name: str) -> Scale:
        """Of a value as bytes."""
        return self.scales.get(name) or Scale.of(*self.ranges[name], top=self.top)

    def give(self, node: Node, scale: Scale) -> None:
        """Append a node whose value is bytes."""
        self.nodes.append(replace(node, attrs={**node.attrs, **scale.attrs}))
        self.scales[node.name] = scale

    def constant(self, name: str, array: Array) -> str:
        """A new constant."""
        name = self.named(name)
        self.constants[name] = np.ascontiguousarray(array, np.float32)
        return name

    def named(self, hint: str) -> str:
        """A name that nothing has."""
        return unused_name(
            hint, {*self.graph.shapes, *self.constants, *(n.name for n in self.nodes)}
        )

    def _moved(self, name: str, op: str, scale: Scale) -> str:
        if name not in self.moved:
            self.moved[name] = self.named(f"{name}, {op}d")
            self.nodes.append(Node(self.moved[name], op, (name,), scale.attrs))
        return self.moved[name]


def _convolution(work: _Work, node: Node) -> bool:
    if not can_quantize(work.graph, node):
        return False
    addends = 1 if node.op == "conv2d_add" else 0
    weight, *bias = (work.graph.constants[name] for name in node.inputs[1 + addends :])
    source = work.scale(node.inputs[0])
    found = looked_up(node)
    final = work.scale(node.name)
    # What is looked up is no operand of a product, so that it has all bits at any top.
    result = Scale.of(*work.ranges[before(node.name)]) if found else final
    more = [work.scale(name) for name in node.inputs[1 : 1 + addends]]
    whole = _whole_weights(
        weight, bias[0] if bias else np.zeros(len(weight), np.float32), source, result, more
    )
    if whole is None:
        return False
    names = [work.bytes(name)[0] for name in node.inputs[: 1 + addends]]
    parts = ("weight", "bias", "multiplier", "shift")
    names += [
        work.constant(f"{node.name}, {part}", array)
        for part, array in zip(parts, whole, strict=True)
    ]
    if found:
        names.append(work.constant(f"{node.name}, table", _table(node.epilogue, result, final)))
    attrs = {**node.attrs, "zero_in": source.zero}
    if more:
        attrs["addend"] = round(2 ** (8 + FRACTION) * more[0].scale / result.scale)
    op = "conv2d_add_int8" if addends else "conv2d_int8"
    work.give(Node(node.name, op, tuple(names), attrs), final)
    return True


def _whole_weights(
    weight: Array, bias: Array, source: Scale, result: Scale, addends: list[Scale]
) -> tuple[Array, Array, Array, Array] | None:
    """Weight, bias, multiplier and shift of each output; None where 16 bits do not hold them."""
    fraction = FRACTION if addends else 0
    zeros = result.zero * result.scale - sum(addend.zero * addend.scale for addend in addends)
    start = bias.astype(np.float64) + zeros
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1).astype(np.float64)
    # A bias that is large beside the weights takes some of their bits, never its own.
    scales = np.maximum(largest / _LARGEST, np.abs(start) / source.scale / 2**_BITS)
    scales[scales == 0] = 1.0
    numbers = np.clip(np.rint(weight / scales[:, None, None, None]), -_LARGEST, _LARGEST)
    factor = source.scale * scales / result.scale * 2**fraction
    # A number of the result's scale keeps three bits that are rounded, and 16 bits hold eight times
    # its range; with an addend the bits are those behind the point.
    top = 2 ** (15 if fraction else 12) - 1
    # One that is longer brings nothing: what is left of 32 bits fits.
    shift = np.clip(np.floor(np.log2(top / factor)) - 15, 0, _LONGEST_SHIFT)
    multiplier = np.rint(factor * 2.0 ** (shift + 15))
    added = [2 ** (8 + FRACTION) * addend.scale / result.scale for addend in addends]
    if multiplier.max() >= 2**15 or any(one >= 2**15 for one in added):
        return None
    half = np.where(shift > 0, 2.0 ** (shift - 1), 0)
    offset = np.rint(start / (source.scale * scales)) + half
    offset -= source.zero * numbers.sum(axis=(1, 2, 3))
    return tuple(np.float32(array) for array in (numbers, offset, multiplier, shift))  # type: ignore[return-value]


def _table(steps: tuple[Step, ...], source: Scale, result: Scale) -> Array:
    x = (np.arange(256, dtype=np.float32) - source.zero) * np.float32(source.scale)
    for step in steps:
        x = apply_step(step, x)
    return result.bytes(x)


def _pooling(work: _Work, node: Node) -> bool:
    if node.op != "max_pool" or node.epilogue or node.inputs[0] not in work.scales:
        return False
    work.give(replace(node, op="max_pool_int8"), work.scales[node.inputs[0]])
    return True


def _joining(work: _Work, node: Node) -> bool:
    if node.op != "concat" or node.attrs["axis"] != 1:
        return False
    scales = {work.scales.get(name) for name in node.inputs}
    if len(scales) != 1 or None in scales:
        return False
    work.give(Node(node.name, "concat_int8", node.inputs), work.scales[node.inputs[0]])
    return True


def _gating(work: _Work, node: Node) -> bool:
    """Squeeze-and-excitation: maps times a factor each."""
    if node.op != "mul" or node.epilogue or len(work.graph.shapes[node.name]) != 4:
        return False
    shape = work.graph.shapes[node.name]
    maps, factor = sorted(node.inputs, key=lambda name: -math.prod(work.graph.shapes.get(name, ())))
    if maps not in work.scales or factor in work.graph.constants:
        return False
    if work.graph.shapes[maps] != shape or work.graph.shapes[factor] != (*shape[:2], 1, 1):
        return False
    source, result = work.scales[maps], work.scale(node.name)
    ratio = source.scale / result.scale
    if ratio >= 8:
        return False
    attrs: dict[str, Attr] = {"zero_in": source.zero, "ratio": ratio}
    work.give(Node(node.name, "mul_int8", (maps, work.value(factor)), attrs), result)
    return True


def _averaging(work: _Work, node: Node) -> bool:
    if node.epilogue or not _means_maps(work.graph, node) or node.inputs[0] not in work.scales:
        return False
    work.nodes.append(Node(node.name, "mean_int8", node.inputs, work.scales[node.inputs[0]].attrs))
    return True


def _means_maps(graph: Graph, node: Node) -> bool:
    if node.op == "mean":
        return node.attrs["axes"] == (2, 3)
    if node.op == "adaptive_avg_pool":
        return node.attrs["size"] == (1, 1)
    whole = graph.shapes[node.inputs[0]][2:] if node.op == "avg_pool" else ()
    return node.attrs.get("kernel") == whole and not any(_numbers(node, "padding"))


def _numbers(node: Node, key: str) -> tuple[int, ...]:
    value = node.attrs[key]
    assert isinstance(value, tuple)
    return value


def _classifying(work: _Work, node: Node) -> bool:
    """A fully connected layer, as one of the maps that were flattened for it."""
    if node.op != "linear" or len(work.graph.shapes[node.name]) != 2:
        return False
    maps = _maps(work, node.inputs[0])
    if maps is None:
        return False
    name, scale = maps
    weight, *bias = (work.graph.constants[name] for name in node.inputs[1:])
    scales = np.abs(weight).max(axis=1) / _LARGEST
    scales[scales == 0] = 1.0
    shape = work.shapes[name][1:]
    arrays = {
        "weight": np.rint(weight / scales[:, None]).reshape(-1, *shape),
        "bias": bias[0] if bias else np.zeros(len(weight), np.float32),
        "scale": scales * np.float32(scale.scale),
    }
    names = [work.constant(f"{node.name}, {part}", array) for part, array in arrays.items()]
    attrs: dict[str, Attr] = {"zero_in": scale.zero}
    work.nodes.append(Node(node.name, "linear_int8", (name, *names), attrs, node.epilogue))
    return True


def _maps(work: _Work, vector: str) -> tuple[str, Scale] | None:
    """The maps [N, C, H, W] of bytes that a vector [N, F] is, and their scale."""
    source = work.graph.producers.get(vector)
    images, features = work.graph.shapes[vector]
    if source is not None and source.op == "reshape":
        maps = source.inputs[0]
        if len(work.graph.shapes[maps]) == 4 and work.graph.shapes[maps][0] == images:
            name, scale = work.bytes(maps)
            work.shapes[name] = work.graph.shapes[maps]
            return name, scale
    if vector not in work.ranges:
        return None
    shape = (images, features, 1, 1)
    name = work.named(f"{vector}, as maps")
    work.nodes.append(Node(name, "reshape", (vector,), {"shape": shape}))
    work.ranges[name] = work.ranges[vector]
    found, scale = work.bytes(name)
    work.shapes[found] = shape
    return found, scale
