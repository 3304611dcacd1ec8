"""From an ONNX model to a graph: one handler an operator, opset 11 and newer.

Shapes are numbers: a batch that the model leaves open is 1, and what is computed from shapes is
folded. Anything that is not understood stops with UnsupportedError: the node, what was found, what
is supported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx

from convforge.compiler.frontends.onnx_call import Call, Fixed, Operand, Unsupported, Value
from convforge.compiler.frontends.onnx_folding import FOLDED, LARGEST_TENSOR, fold, shape_of
from convforge.compiler.frontends.onnx_handlers import HANDLERS
from convforge.compiler.frontends.onnx_model import load_model, opset_of, tensor_array
from convforge.compiler.frontends.onnx_patterns import merge_scales, recognize_activations
from convforge.compiler.ir import ops
from convforge.compiler.ir.graph import Array, Graph, Node
from convforge.compiler.ir.shapes import LARGEST_RANK
from convforge.errors import UnsupportedError

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from onnx import NodeProto, TypeProto, ValueInfoProto

    from convforge.compiler.ir.ops import Attr, Shape, Step


def from_onnx(
    source: str | PathLike[str] | onnx.ModelProto, *, input_shape: Shape | None = None
) -> Graph:
    """Graph of an ONNX file, or of a model in memory that holds its own weights.

    `input_shape` gives the sizes that the model leaves open; without it only the batch may be, and
    is 1. Raises InputError where it is no ONNX model, UnsupportedError naming the node that is not
    understood.
    """
    graph, _ = read_onnx(source, input_shape=input_shape)
    return graph


def read_onnx(
    source: str | PathLike[str] | onnx.ModelProto, *, input_shape: Shape | None = None
) -> tuple[Graph, dict[str, str]]:
    """As `from_onnx`, and the model's `metadata_props`, which may say anything."""
    model, folder = load_model(source)
    graph = Reader(folder, opset_of(model)).read(model.graph, input_shape)
    return graph, {entry.key: entry.value for entry in model.metadata_props}


@dataclass
class Reader:
    """Walks a model's nodes once; `operands` maps its names to graph values and constants."""

    folder: Path
    opset: int
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    operands: dict[str, Operand] = field(default_factory=dict)
    stored: dict[Fixed, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def read(self, graph: onnx.GraphProto, input_shape: Shape | None) -> Graph:
        """Graph of the model's graph."""
        if graph.sparse_initializer:
            raise UnsupportedError(
                f"tensor {graph.sparse_initializer[0].values.name!r} is sparse; dense ones are "
                "supported"
            )
        for tensor in graph.initializer:
            self.operands[tensor.name] = Fixed(tensor_array(tensor, self.folder), tensor.name)
        source = self.source(graph, input_shape)
        for node in graph.node:
            try:
                self.call(node)
            except Unsupported as error:
                name = node.name or next(filter(None, node.output), "")
                raise UnsupportedError(f"node {name!r} ({node.op_type}): {error}") from None
        output = self.output(graph)
        found = Graph(source.name, source.shape, tuple(self.nodes), self.constants, output.name)
        return merge_scales(without_unread(recognize_activations(found)))

    def source(self, graph: onnx.GraphProto, input_shape: Shape | None) -> Value:
        """The value of the model's only input."""
        given = [value for value in graph.input if value.name not in self.operands]
        if len(given) != 1 or len(graph.output) != 1:
            names = ", ".join(repr(value.name) for value in given)
            raise UnsupportedError(
                f"the model has {len(given)} inputs ({names}) and {len(graph.output)} outputs; one "
                "of each is supported"
            )
        shape = _input_shape(given[0], input_shape)
        source = Value(self.unique(given[0].name), shape)
        self.operands[given[0].name] = source
        return source

    def call(self, node: NodeProto) -> None:
        """Compute a node now where all of it is constant, otherwise hand it to its handler."""
        inputs = tuple(self.operand(name) for name in node.input)
        standard = not node.domain
        results: list[Operand]
        if standard and node.op_type in {"Shape", "Size"} and inputs[0] is not None:
            results = [shape_of(node, inputs[0].shape)]
        elif standard and node.op_type == "Constant":
            results = [self.constant_node(node)]
        elif standard and node.op_type in FOLDED and not any(isinstance(i, Value) for i in inputs):
            fixed = [i for i in inputs if not isinstance(i, Value)]
            results = [*fold(node, fixed, opset=self.opset)]
        else:
            results = self.handle(node, inputs)
        self.operands.update(zip(node.output, results, strict=False))

    def handle(self, node: NodeProto, inputs: tuple[Operand | None, ...]) -> list[Operand]:
        """What the node's handler makes of it."""
        handler = None if node.domain else HANDLERS.get(node.op_type)
        if handler is None:
            domain = f"{node.domain}." if node.domain else ""
            raise Unsupported(
                f"the operator {domain}{node.op_type} is not supported; supported are "
                f"{', '.join(sorted(HANDLERS))}"
            )
        call = Call(node, self.opset, inputs, self.add)
        results = handler(call)
        call.check_all_was_read()
        return list(results) if isinstance(results, tuple) else [results]

    def constant_node(self, node: NodeProto) -> Fixed:
        """The value of a Constant node."""
        (attribute,) = node.attribute
        if attribute.name == "value":
            return Fixed(tensor_array(attribute.t, self.folder), node.output[0])
        kinds = {"value_float": np.float32, "value_floats": np.float32,
                 "value_int": np.int64, "value_ints": np.int64}  # fmt: skip
        if attribute.name not in kinds:
            raise Unsupported(f"attribute {attribute.name}; a tensor or numbers are supported")
        value = onnx.helper.get_attribute_value(attribute)
        return Fixed(np.asarray(value, kinds[attribute.name]), node.output[0])

    def operand(self, name: str) -> Operand | None:
        """What an input's name stands for, None for one that is left out."""
        if not name:
            return None
        if name not in self.operands:
            raise Unsupported(
                f"its input {name!r} is a further result of a node, of which only the first is "
                "supported"
            )
        return self.operands[name]

    def output(self, graph: onnx.GraphProto) -> Value:
        """The graph value that the model gives."""
        name = graph.output[0].name
        found = self.operands.get(name)
        if not isinstance(found, Value):
            what = "a constant" if found else "a further result of a node"
            raise UnsupportedError(
                f"the model's output {name!r} is {what}; a value that depends on the input is "
                "supported"
            )
        return found if self.nodes else self.add("elementwise", name, (found,), {}, ())

    # -- what handlers use -------------------------------------------------------------------

    def add(
        self,
        op: str,
        hint: str,
        inputs: tuple[Operand, ...],
        attrs: dict[str, Attr],
        epilogue: tuple[Step, ...],
    ) -> Value:
        """Add a graph node. Raises Unsupported where its inputs or its result do not fit."""
        shape = _result_shape(op, tuple(operand.shape for operand in inputs), attrs)
        if math.prod(shape) > LARGEST_TENSOR or min(shape) < 1 or len(shape) > LARGEST_RANK:
            raise Unsupported(
                f"a result of shape {list(shape)}; up to {LARGEST_RANK} sizes from 1 on and "
                f"{LARGEST_TENSOR} elements are supported"
            )
        names = tuple(i.name if isinstance(i, Value) else self.constant(i) for i in inputs)
        node = Node(self.unique(hint), op, names, attrs, epilogue)
        self.nodes.append(node)
        return Value(node.name, shape)

    def constant(self, fixed: Fixed) -> str:
        """Store a constant, once however often it is read; gives its name."""
        if fixed not in self.stored:
            name = self.stored[fixed] = self.unique(fixed.name)
            with np.errstate(over="ignore"):  # beyond float32 is infinite
                self.constants[name] = np.ascontiguousarray(fixed.array, dtype=np.float32)
        return self.stored[fixed]

    def unique(self, hint: str) -> str:
        """A name that no value has yet: the hint, or the hint with a number."""
        name, number = hint, 1
        while name in self.taken:
            number += 1
            name = f"{hint}:{number}"
        self.taken.add(name)
        return name


def without_unread(graph: Graph) -> Graph:
    """The graph without nodes whose value the output does not depend on."""
    needed = {graph.output}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return graph.rewritten(
        [node for node in graph.nodes if node.name in needed], constants=graph.constants
    )


def _result_shape(op: str, inputs: tuple[Shape, ...], attrs: dict[str, Attr]) -> Shape:
    rule = ops.OPS[op]
    for position, shape in enumerate(inputs):
        allowed = rule.ranks[min(position, len(rule.ranks) - 1)]
        if len(shape) not in allowed:
            words = " or ".join(map(str, allowed))
            raise Unsupported(f"a tensor of shape {list(shape)}; rank {words} is supported")
    try:
        return rule.shape(inputs, attrs)
    except ValueError as error:
        raise Unsupported(str(error)) from None


def _input_shape(value: ValueInfoProto, given: Shape | None) -> Shape:
    where, kind = f"the input {value.name!r}", value.type
    if kind.WhichOneof("value") != "tensor_type" or kind.tensor_type.elem_type != 1:
        raise UnsupportedError(f"{where} is {_type_name(kind)}; a float32 tensor is supported")
    if not kind.tensor_type.HasField("shape"):
        if given is None:
            raise UnsupportedError(
                f"{where} has no shape in the model; give input_shape", names=["input_shape"]
            )
        return given
    sizes = [dim.dim_value or dim.dim_param for dim in kind.tensor_type.shape.dim]
    words = f"[{', '.join(str(size or '?') for size in sizes)}]"
    if given is None:
        given = tuple(
            size if isinstance(size, int) and size else 1 if axis == 0 else 0
            for axis, size in enumerate(sizes)
        )
        if 0 in given:
            raise UnsupportedError(
                f"{where} has shape {words}; only the batch may be left open: give input_shape",
                names=["input_shape"],
            )
    differ = [a for a, b in zip(sizes, given, strict=False) if isinstance(a, int) and a and a != b]
    if len(given) != len(sizes) or differ:
        raise UnsupportedError(
            f"{where} has shape {words}, which input_shape={given} does not fit",
            names=["input_shape"],
        )
    if not 1 <= len(given) <= LARGEST_RANK or min(given) < 1 or math.prod(given) > LARGEST_TENSOR:
        raise UnsupportedError(
            f"{where} has shape {list(given)}; 1 to {LARGEST_RANK} sizes from 1 on and up to "
            f"{LARGEST_TENSOR} elements are supported"
        )
    return given


def _type_name(kind: TypeProto) -> str:
    if kind.WhichOneof("value") != "tensor_type":
        return f"of type {(kind.WhichOneof('value') or 'nothing').removesuffix('_type')}"
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    return f"a tensor of {names.get(kind.tensor_type.elem_type, 'an unknown type').lower()}"
