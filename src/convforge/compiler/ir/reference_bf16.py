"""The meaning of a network of bfloat16: that of float32, rounded where values and weights are.

A number of bfloat16 is a float32 whose last 16 bits are zeros. Numbers are rounded to the nearest,
halves to the even one: each value that is stored as bfloat16, once, after its epilogue, and the
weights of what reads such a value. Everything between is float32: products, sums, biases, what is
added, functions. Kernels give this but for the order of sums and for numbers below 2⁻¹²⁶, which the
products of processors that have them take for zeros; so results may be one rounding apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convforge.compiler.ir.reference import compute

if TYPE_CHECKING:
    from collections.abc import Container

    from numpy.typing import NDArray

    from convforge.compiler.ir.graph import Array, Graph, Node

Values: TypeAlias = Any  # as in reference.py

WEIGHTED = frozenset({"conv2d", "conv2d_add", "linear"})


def bits(x: Array) -> NDArray[np.uint16]:
    """The nearest numbers of bfloat16, as the upper halves of float32."""
    whole = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (whole + (0x7FFF + (whole >> 16 & 1))) >> 16
    return np.where(np.isnan(x), whole >> 16 | 0x40, nearest).astype(np.uint16)


def rounded(x: Values) -> Values:
    """The nearest numbers of bfloat16, of x's own kind."""
    return (bits(x.astype(np.float32)).astype(np.uint32) << 16).view(np.float32).astype(x.dtype)


def evaluate_bf16(graph: Graph, image: Values, stored: Container[str]) -> Values:
    """The graph's output for one image, where the values named in `stored` are bfloat16."""
    values: dict[str, Values] = {graph.input: image}
    values |= {name: array.astype(image.dtype) for name, array in graph.constants.items()}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        if node.op in WEIGHTED and node.inputs[0] in stored:
            inputs = with_rounded_weight(graph, node, inputs)
        value = compute(node, inputs)
        values[node.name] = rounded(value) if node.name in stored else value
    return values[graph.output]


def with_rounded_weight(graph: Graph, node: Node, inputs: list[Values]) -> list[Values]:
    """The inputs of a node, of which its first constant is rounded."""
    at = next(i for i, name in enumerate(node.inputs) if name in graph.constants)
    return [*inputs[:at], rounded(inputs[at]), *inputs[at + 1 :]]
