"""Every value gets a layout; where neighbours differ, a node in between changes it.

    f(x) = f(relayout(x)), for a relayout moves numbers and computes none

From the front to the back, a node takes the layouts at which its cheapest kernel and what has to be
moved for it cost least together. A value that is moved once is not moved again for another reader.
What costs nothing (a reshape, a slice or concatenation of whole blocks) goes with its inputs.
The graph's input and output are planar. Where values may be rounded to bfloat16 that is a layout
too: a layer stays in float32 where its fastest kernel there is faster, a Winograd one's, say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from convforge.compiler.ir.graph import Node, unused_name
from convforge.compiler.kernels.catalog import choices
from convforge.compiler.kernels.family import LANES, Layer, Layout

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from convforge.compiler.ir.graph import Graph
    from convforge.compiler.kernels.family import Layouts


ANY = frozenset(Layout)
EXACT = ANY - {Layout.BF16}  # layouts in which no value is rounded


def assign_layouts(
    graph: Graph, allowed: Container[Layout] = EXACT
) -> tuple[Graph, dict[str, Layout]]:
    """The graph with the nodes that move values, and the layout of every computed value.

    `allowed` are the layouts that values may have.
    """
    work = _Work(graph, {graph.input: Layout.PLANAR}, allowed)
    for node in graph.nodes:
        work.add(node)
    output = work.value(graph.output, Layout.PLANAR)
    return graph.rewritten(work.nodes, constants=graph.constants, output=output), work.layouts


def rounded(layouts: Mapping[str, Layout]) -> frozenset[str]:
    """The values that are stored as bfloat16."""
    return frozenset(name for name, layout in layouts.items() if layout is Layout.BF16)


@dataclass
class _Work:
    graph: Graph
    layouts: dict[str, Layout]
    allowed: Container[Layout]
    nodes: list[Node] = field(default_factory=list)
    moved: dict[tuple[str, Layout], str] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Append a node in its best layouts, after what moves its inputs into them."""
        computed = [name for name in node.inputs if name not in self.graph.constants]
        possible = (
            choice
            for choice in self._choices(node)
            if all(layout in self.allowed for layout in choice[0])
        )
        best = min(possible, key=lambda choice: choice[1] + self._moves(computed, choice[0]))
        names = dict(zip(computed, best[0], strict=False))
        inputs = tuple(
            self.value(name, names[name]) if name in names else name for name in node.inputs
        )
        self.nodes.append(replace(node, inputs=inputs))
        self.layouts[node.name] = best[0][-1]

    def value(self, name: str, layout: Layout) -> str:
        """The value in a layout: itself, or the node that moves it, made at the first need."""
        if self.layouts[name] is layout:
            return name
        if (name, layout) not in self.moved:
            taken = {*self.graph.shapes, *self.layouts}
            moved = unused_name(f"{name}, {layout.value}", taken)
            self.nodes.append(Node(moved, "elementwise", (name,)))
            self.layouts[moved] = layout
            self.moved[name, layout] = moved
        return self.moved[name, layout]

    def _choices(self, node: Node) -> Iterable[tuple[Layouts, float]]:
        layer = Layer.of(self.graph, node)
        if node.op == "concat":
            found = [
                (one.layouts, cost) for one, cost in choices(layer) if Layout.BF16 in one.layouts
            ]
            return [*_free(self.graph, node), *found]
        if node.op in {"reshape", "flatten", "slice"}:
            return _free(self.graph, node)
        return ((choice.layouts, cost) for choice, cost in choices(layer))

    def _moves(self, computed: list[str], layouts: Layouts) -> float:
        """Vector operations that it takes to move the inputs."""
        cost = 0.0
        for name, layout in zip(computed, layouts, strict=False):
            if self.layouts[name] is not layout and (name, layout) not in self.moved:
                cost += 4 * Layout.BLOCKED.floats(self.graph.shapes[name]) / LANES
        return cost


def _free(graph: Graph, node: Node) -> list[tuple[Layouts, float]]:
    """Layouts of what becomes a view, or is joined in place."""
    computed = [name for name in node.inputs if name not in graph.constants]
    kinds = [Layout.PLANAR]
    shapes = [graph.shapes[name] for name in (*node.inputs, node.name)]
    if (
        node.op in {"concat", "slice"}
        and node.attrs.get("axis", 1) == 1
        and node.attrs.get("step", 1) == 1
        and computed == list(node.inputs)
        and all(len(shape) == 4 and shape[0] == 1 for shape in shapes)
    ):
        start = node.attrs.get("start", 0)
        assert isinstance(start, int)
        channels = [start, *(shape[1] for shape in shapes)]
        kinds += [
            kind
            for kind in (Layout.BLOCKED, Layout.BF16)
            if all(count % kind.block == 0 for count in channels)
        ]
    return [((kind,) * (len(computed) + 1), 0.0) for kind in kinds]
