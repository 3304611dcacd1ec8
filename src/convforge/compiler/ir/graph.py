"""The graph: named values, constants, and nodes in an order in which they can be computed.

One tensor in, one out: images [N, C, H, W] and logits [N, F], as a rule. Every value is float32, of
rank 1 to 6. A node gives one value, which has the node's name; the name says where in the network
the node comes from ("features.c1"), so that every message about it can be understood.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convforge.compiler.ir import ops

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

Array: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operation: `op` is a key of `ops.OPS`, `inputs` are names of values or constants.

    `epilogue` is what is done to every element of the result before it is stored, in order: rows of
    `ops.EPILOGUES`, each (name, *numbers). `between` is the same for the map between the two
    convolutions of a pair; nothing else has one.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, ops.Attr] = field(default_factory=dict)
    epilogue: tuple[ops.Step, ...] = ()
    between: tuple[ops.Step, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order from `input` of `input_shape` to the value named `output`."""

    input: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    output: str

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every value and constant. Raises VerifyError naming a node that has none."""
        shapes: dict[str, Shape] = {name: array.shape for name, array in self.constants.items()}
        shapes[self.input] = self.input_shape
        for node in self.nodes:
            inputs = tuple(shapes[name] for name in node.inputs)
            shapes[node.name] = ops.result_shape(node.name, node.op, inputs, node.attrs)
        return shapes

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that gives each value."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def uses(self) -> Counter[str]:
        """How often each value is read; the graph's own output counts as a read."""
        reads = Counter(name for node in self.nodes for name in node.inputs)
        reads[self.output] += 1
        return reads

    def rewritten(
        self, nodes: Iterable[Node], *, constants: Mapping[str, Array], output: str | None = None
    ) -> Graph:
        """The same graph with other nodes; constants that no node reads any more are dropped."""
        kept = tuple(nodes)
        read = {name for node in kept for name in node.inputs}
        return replace(
            self,
            nodes=kept,
            constants={name: array for name, array in constants.items() if name in read},
            output=self.output if output is None else output,
        )


def unused_name(hint: str, taken: Container[str]) -> str:
    """A name that is not taken: the hint, with as many primes behind it as that needs."""
    while hint in taken:
        hint += "'"
    return hint
