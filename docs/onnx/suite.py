"""ONNX's own backend tests, each read by the ONNX front end.

A test is a model with inputs and outputs; weights are inputs in most of them, and the compiler
takes one tensor to one tensor. So each is read in two forms: with its first input alone, the others
being constants, and, where several are float32, with all of these one behind the other in one input
that Slice and Reshape cut up. A test with several outputs is read once for each. Models of opsets
before 11, as the stored tests have, are first brought to opset 17 by `onnx.version_converter`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.ir.graph import Graph, Node
from convforge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onnx.backend.test.case.test_case import TestCase

    from convforge.compiler.ir.graph import Array

OLDEST, CONVERTED = 11, 17
STORED = ("simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Run:
    """A model that was read, an input, the output that is expected, and how close it has to be."""

    name: str
    graph: Graph
    x: Array
    expected: np.ndarray[Any, Any]
    rtol: float
    atol: float


@dataclass(frozen=True)
class Case:
    """A test: where it is from, the operators of its model, and runs or why it is refused."""

    name: str
    kind: str
    operators: tuple[str, ...]
    runs: tuple[Run, ...] = ()
    refused: str = ""


def cases() -> Iterator[Case]:
    """Every test of the suite that is data and not a download."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about the overflows that some tests are about
        found = [("node", test) for test in collect_testcases(None)]
    found += [(kind, test) for kind in STORED for test in load_model_tests(kind=kind)]
    for kind, test in sorted(found, key=lambda pair: pair[1].name):
        yield read(kind, test)


def read(kind: str, test: TestCase) -> Case:
    """The front end's answer to a test; an error that is no refusal comes through."""
    model, data = _model(test), _data(test)
    operators = tuple(dict.fromkeys(node.op_type for node in model.graph.node))
    reasons, runs = [], []
    for form in (_first_alone, _joined):
        read_now = []
        try:
            for inputs, outputs in data:
                taken = form(model, inputs)
                if taken is None:
                    continue
                for position, expected in enumerate(outputs):
                    graph = from_onnx(_with_output(taken[0], position))
                    name = f"{test.name}, output {position}, {form.__name__}"
                    read_now.append(Run(name, graph, taken[1], expected, test.rtol, test.atol))
        except InputError as error:
            reasons.append(str(error))
        else:
            runs += read_now
    return Case(test.name, kind, operators, tuple(runs), "" if runs else reasons[0])


def difference(run: Run, found: np.ndarray[Any, Any]) -> str:
    """How a result differs from what is expected by more than the test allows; "" where not."""
    if found.shape != run.expected.shape:
        return f"{run.name}: shape {found.shape}, expected {run.expected.shape}"
    try:
        np.testing.assert_allclose(found, run.expected, rtol=run.rtol, atol=run.atol)
    except AssertionError as error:
        return f"{run.name}: {error}"
    return ""


def merged(runs: Sequence[Run]) -> Graph:
    """All graphs as one, which is compiled once: inputs and outputs lie one behind the other."""
    nodes: list[Node] = []
    constants: dict[str, Array] = {}
    start = 0
    for number, run in enumerate(runs):
        graph, source = run.graph, f"{number}/input"
        stop = start + run.x.size
        part = {"axis": 0, "start": start, "stop": stop, "step": 1}
        nodes.append(Node(f"{number}/part", "slice", ("inputs",), part))
        nodes.append(Node(source, "reshape", (f"{number}/part",), {"shape": graph.input_shape}))
        names = {graph.input: source}
        names |= {name: f"{number}/{name}!" for name in (*graph.constants, *graph.producers)}
        constants |= {names[name]: array for name, array in graph.constants.items()}
        nodes += [
            replace(node, name=names[node.name], inputs=tuple(names[i] for i in node.inputs))
            for node in graph.nodes
        ]
        flat = {"shape": (run.expected.size,)}
        nodes.append(Node(f"{number}/flat", "reshape", (names[graph.output],), flat))
        start = stop
    flats = tuple(f"{number}/flat" for number in range(len(runs)))
    nodes.append(Node("outputs", "concat", flats, {"axis": 0}))
    return Graph("inputs", (start,), tuple(nodes), constants, "outputs")


def apart(runs: Sequence[Run], outputs: Array) -> list[Array]:
    """What a merged graph gave, run by run."""
    ends = np.cumsum([run.expected.size for run in runs])
    parts = np.split(outputs, ends[:-1])
    return [part.reshape(run.expected.shape) for part, run in zip(parts, runs, strict=True)]


def _model(test: TestCase) -> onnx.ModelProto:
    if test.model is not None:
        return test.model
    model = onnx.load(Path(test.model_dir) / "model.onnx")
    opset = max((o.version for o in model.opset_import if not o.domain), default=0)
    if opset < OLDEST and all(not o.domain for o in model.opset_import):
        model = version_converter.convert_version(model, CONVERTED)
        model.ir_version = 8  # of opset 17; constants need not be inputs there
    return model


def _data(test: TestCase) -> list[tuple[list[Any], list[Any]]]:
    if test.data_sets is not None:
        return [
            ([_array(x) for x in inputs], [_array(y) for y in outputs])
            for inputs, outputs in test.data_sets
        ]
    folders = sorted(Path(test.model_dir).glob("test_data_set_*"))
    return [(_stored(folder, "input"), _stored(folder, "output")) for folder in folders]


def _stored(folder: Path, kind: str) -> list[Any]:
    files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
    return [numpy_helper.to_array(onnx.load_tensor(path)) for path in files]


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _first_alone(model: onnx.ModelProto, inputs: list[Any]) -> tuple[onnx.ModelProto, Any]:
    """The model whose inputs but the first are constants, and its input."""
    copy, given = _copied(model)
    for value, array in zip(given[1:], inputs[1:], strict=False):
        if isinstance(array, np.ndarray | np.generic):
            copy.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
    return copy, inputs[0] if inputs else None


def _joined(model: onnx.ModelProto, inputs: list[Any]) -> tuple[onnx.ModelProto, Any] | None:
    """The model whose float32 inputs are one, and that; None where there are not several."""
    copy, given = _copied(model)
    arrays = [np.asarray(array) if isinstance(array, np.generic) else array for array in inputs]
    pairs = list(zip(given, arrays, strict=False))
    floats = [
        (value, array)
        for value, array in pairs
        if isinstance(array, np.ndarray) and array.dtype == np.float32 and array.size and array.ndim
    ]
    if len(floats) < 2:
        return None
    graph, cut, start = copy.graph, [], 0
    for value, array in pairs:
        graph.input.remove(value)
        if not any(value is chosen for chosen, _ in floats):
            graph.initializer.append(numpy_helper.from_array(array, value.name))
            continue
        ends = {"from": [start], "to": [start + array.size], "shape": array.shape}
        for what, numbers in ends.items():
            tensor = numpy_helper.from_array(np.array(numbers, np.int64), f"{value.name}!{what}")
            graph.initializer.append(tensor)
        names = [f"{value.name}!{what}" for what in ("from", "to", "flat", "shape")]
        cut.append(helper.make_node("Slice", ["inputs!", names[0], names[1]], [names[2]]))
        cut.append(helper.make_node("Reshape", [names[2], names[3]], [value.name]))
        start += array.size
    body = [*cut, *graph.node]
    graph.ClearField("node")
    graph.node.extend(body)
    graph.input.append(helper.make_tensor_value_info("inputs!", TensorProto.FLOAT, [start]))
    return copy, np.concatenate([array.reshape(-1) for _, array in floats])


def _copied(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.ValueInfoProto]]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    held = {tensor.name for tensor in copy.graph.initializer}
    return copy, [value for value in copy.graph.input if value.name not in held]


def _with_output(model: onnx.ModelProto, position: int) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    output = model.graph.output[position]
    copy.graph.ClearField("output")
    copy.graph.output.append(output)
    return copy
