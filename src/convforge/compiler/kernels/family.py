"""What a kernel family is: the layers it accepts, what they cost, its weights and its C.

A layer becomes one C function of its own, with every size in it a number:

    static void SYMBOL(const float *restrict x0, …, const float *restrict w0, …, float *restrict y)

x are the inputs that are computed, w the arrays that `pack` gave, y the result; none overlaps y.
All are aligned to 64 bytes, but for the network's own input and output, which are the caller's, for
views into other values, and for the images of a batch after the first: these are aligned as any
float is. A kernel that needs memory besides gets `float *restrict workspace` before
y, for the time of the call. A kernel whose layers can be cut into units that do not depend on each
other gets `int begin, int end` behind y and computes these units; several threads may be in one
layer then, each with a workspace of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.shapes import conv2d, mix_attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array, Graph, Shape
    from convforge.compiler.ir.ops import Step

ALIGNMENT = 64  # bytes: one AVX-512 register, one cache line
LANES = 16  # channels in a block
BYTES = 64  # channels in a block of bytes
HALVES = 32  # channels in a block of bf16
FEW = 4  # channels of a picture, which a map of bytes or of bf16 has side by side alone
CONVOLUTIONS = frozenset({"conv2d", "conv2d_add"})


class Layout(Enum):
    """How the numbers of a value follow each other.

    PLANAR: as in numpy. BLOCKED, for maps: [N][ceil(C / 16)][H][W][16], so that 16 channels of a
    pixel are one or more whole vectors at every instruction-set level; the lanes of the last block
    that no channel has hold numbers that mean nothing, and kernels may write what they like there.
    BYTES, for maps of numbers of one byte: [N][ceil(C / 64)][H][W][64], a pixel of a block where 16
    floats are one of a BLOCKED map; up to four channels are [N][H][W][4]. Idle lanes are likewise.
    BF16, for maps and vectors whose numbers are rounded to bfloat16: the same with 32; up to four
    channels are four, the idle ones zeros.
    """

    PLANAR = "planar"
    BLOCKED = "blocked"
    BYTES = "bytes"
    BF16 = "bf16"

    @property
    def block(self) -> int:
        """Channels of a block, as long as 16 floats; 1 where there are no blocks."""
        return {Layout.BLOCKED: LANES, Layout.BYTES: BYTES, Layout.BF16: HALVES}.get(self, 1)

    @property
    def number_bytes(self) -> int:
        """Of one number."""
        return {Layout.BYTES: 1, Layout.BF16: 2}.get(self, 4)

    def physical(self, shape: Shape) -> Shape:
        """The shape with the channels that are stored, or with the floats that they take."""
        if self is Layout.PLANAR:
            return shape
        lanes = self.side_by_side(shape[1])
        floats = -(-shape[1] // lanes) * lanes * self.number_bytes // 4
        return (shape[0], floats, *shape[2:])

    def side_by_side(self, channels: int) -> int:
        """Channels of a pixel that lie one behind the other, in a map that has so many."""
        few = self.number_bytes < 4 and channels <= FEW
        return FEW if few else self.block

    def floats(self, shape: Shape) -> int:
        """How many floats a value of this shape takes."""
        return math.prod(self.physical(shape))


# Of a layer's computed inputs, in their order, and of its result.
Layouts: TypeAlias = tuple[Layout, ...]


@dataclass(frozen=True)
class Layer:
    """One node as a kernel sees it: shapes of its computed inputs, its constants, its result.

    `layouts` are those of the inputs and of the result; empty where all are planar.
    """

    node: Node
    inputs: tuple[Shape, ...]
    constants: tuple[Array, ...]
    output: Shape
    layouts: Layouts = ()

    @classmethod
    def of(cls, graph: Graph, node: Node) -> Layer:
        """The layer of a node of a verified graph."""
        return cls(
            node=node,
            inputs=tuple(graph.shapes[n] for n in node.inputs if n not in graph.constants),
            constants=tuple(graph.constants[n] for n in node.inputs if n in graph.constants),
            output=graph.shapes[node.name],
        )

    @property
    def operation(self) -> str:
        """What the layer does, whatever numbers it does it with: conv2d of conv2d_int8."""
        return self.node.op.removesuffix("_int8")

    @property
    def takes(self) -> Layouts:
        """Layouts of the inputs."""
        return self.layouts[:-1] or (Layout.PLANAR,) * len(self.inputs)

    @property
    def gives(self) -> Layout:
        """Layout of the result."""
        return self.layouts[-1] if self.layouts else Layout.PLANAR

    @property
    def epilogues(self) -> tuple[tuple[Step, ...], ...]:
        """What is done to numbers before they are stored, in the result and on the way to it."""
        return self.node.between, self.node.epilogue

    @property
    def parts(self) -> tuple[Layer, ...]:
        """The two convolutions of a pair, each as a layer; another layer is its only part."""
        node = self.node
        if node.op != "conv2d_pair":
            return (self,)
        mix = Node(
            node.name, "conv2d", (), {**mix_attrs(node.attrs), "groups": 1}, epilogue=node.between
        )
        shapes = tuple(constant.shape for constant in self.constants[:2])
        between = conv2d((self.inputs[0], *shapes), mix.attrs)
        attrs = {key: value for key, value in node.attrs.items() if not key.startswith("mix_")}
        attrs["groups"] = self.output[1]
        depthwise = Node(node.name, "conv2d", (), attrs, epilogue=node.epilogue)
        blocked = Layout.BLOCKED
        return (
            Layer(mix, self.inputs, self.constants[:2], between, (self.takes[0], blocked)),
            Layer(depthwise, (between,), self.constants[2:], self.output, (blocked, blocked)),
        )

    def number(self, key: str) -> int:
        """An attribute that is one whole number."""
        value = self.node.attrs[key]
        assert isinstance(value, int)
        return value

    def real(self, key: str) -> float:
        """An attribute that is a real number."""
        value = self.node.attrs[key]
        assert isinstance(value, float)
        return value

    def numbers(self, key: str) -> tuple[int, ...]:
        """An attribute that is several whole numbers."""
        value = self.node.attrs[key]
        assert isinstance(value, tuple)
        return value


def all_planar(layer: Layer) -> tuple[Layouts, ...]:
    """The one combination of layouts that a kernel knows which says nothing else."""
    return ((Layout.PLANAR,) * (len(layer.inputs) + 1),)


@dataclass(frozen=True)
class Kernel:
    """One family. `cost` compares kernels that accept the same layer, in vector operations.

    `refuses` gives the reason why it cannot take a layer, None where it can; `layouts` are the
    combinations of layouts that it knows for one that it takes. `workspace` is the memory that a
    thread needs besides, in floats. `units` is into how many pieces a layer can be cut, None for a
    kernel whose functions take no piece; pieces that follow each other may share what lies in the
    workspace, but only within one call. `prelude` is C that its functions call, once a model.
    """

    name: str
    refuses: Callable[[Layer], str | None]
    cost: Callable[[Layer], float]
    pack: Callable[[Layer], tuple[Array, ...]]
    emit: Callable[[Layer, Writer], None]
    layouts: Callable[[Layer], tuple[Layouts, ...]] = all_planar
    workspace: Callable[[Layer], int] = lambda _layer: 0
    units: Callable[[Layer], int] | None = None
    prelude: str = ""


def signature(
    symbol: str, *, inputs: int, weights: int, workspace: int = 0, pieces: bool = False
) -> str:
    """Head of a layer's C function."""
    pointers = [f"const float *restrict x{i}" for i in range(inputs)]
    pointers += [f"const float *restrict w{i}" for i in range(weights)]
    pointers += ["float *restrict workspace"] if workspace else []
    piece = ", int begin, int end" if pieces else ""
    return f"static void {symbol}({', '.join(pointers)}, float *restrict y{piece})"
