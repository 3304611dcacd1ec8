from __future__ import annotations

import numpy as np
import onnx
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.frontends.onnx_folding import LARGEST_TENSOR
from convforge.errors import UnsupportedError


def whole(*numbers):
    return np.array(numbers, np.int64)


def test_a_flatten_that_is_written_with_shapes_is_one_reshape(onnx_model, as_onnxruntime):
    nodes = (
        ("Shape", "x", {}),
        ("Gather", "y0 zero", {}),
        ("Unsqueeze", "y1 axis", {}),
        ("Concat", "y2 rest", {"axis": 0}),
        ("Reshape", "x y3", {}),
    )
    constants = {"zero": np.int64(0), "axis": whole(0), "rest": whole(-1)}
    graph = as_onnxruntime(onnx_model(*nodes, shape=(2, 3, 4, 5), **constants))
    assert [node.op for node in graph.nodes] == ["reshape"]
    assert graph.shapes[graph.output] == (2, 60)


def test_the_padding_that_torch_exports_is_folded(onnx_model, as_onnxruntime):
    """Pads in torch's order, filled up with zeros, turned round and made whole."""
    nodes = (
        ("ConstantOfShape", "four", {}),
        ("Cast", "y0", {"to": onnx.TensorProto.INT64}),
        ("Concat", "torch y1", {"axis": 0}),
        ("Reshape", "y2 pairs", {}),
        ("Slice", "y3 last first zero back", {}),
        ("Transpose", "y4", {"perm": [1, 0]}),
        ("Reshape", "y5 flat", {}),
        ("Pad", "x y6", {}),
    )
    constants = {
        "four": whole(4), "torch": whole(1, 2, 0, 3), "pairs": whole(-1, 2), "flat": whole(-1),
        "last": whole(-1), "first": whole(-(2**62)), "zero": whole(0), "back": whole(-1),
    }  # fmt: skip
    graph = as_onnxruntime(onnx_model(*nodes, **constants))
    assert [(n.op, n.attrs["padding"]) for n in graph.nodes] == [("pad", (0, 1, 3, 2))]


def test_parts_of_a_shape_and_its_size_are_folded(onnx_model, as_onnxruntime):
    nodes = (
        ("Shape", "x", {"start": -2, "end": -1}),
        ("Size", "x", {}),
        ("Div", "y1 y0", {}),
        ("Concat", "y0 y2", {"axis": 0}),
        ("Reshape", "x y3", {}),
    )
    graph = as_onnxruntime(onnx_model(*nodes, shape=(1, 3, 2, 4)))
    assert [node.op for node in graph.nodes] == ["reshape"]
    assert graph.shapes[graph.output] == (2, 12)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("value", onnx.numpy_helper.from_array(np.float32(0.25))),
        ("value_float", 0.25),
        ("value_floats", [0.25] * 6),
    ],
)
def test_every_form_of_a_constant_is_read(attribute, value, onnx_model, as_onnxruntime):
    constant = ("Constant", "", {attribute: value})
    as_onnxruntime(onnx_model(constant, ("Add", "x y0", {})))


def test_whole_constants_are_read(onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model(("Constant", "", {"value_ints": [1, -1]}), ("Reshape", "x y0", {})))
    constant = ("Constant", "", {"value_int": 3})
    as_onnxruntime(onnx_model(constant, ("Gather", "x y0", {"axis": 2})))


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ((("ConstantOfShape", "n", {}), ("Add", "x y0", {})), {"n": whole(2**40)}),
        ((("Range", "a n b", {}), ("Reshape", "x y0", {})), {"a": 0, "n": 2**40, "b": 1}),
        ((("Expand", "one n", {}), ("Add", "x y0", {})), {"n": whole(2**20, 2**20)}),
        ((("Tile", "one n", {}), ("Add", "x y0", {})), {"n": whole(2**40)}),
    ],
)
def test_a_constant_that_would_fill_the_memory_is_refused(nodes, constants, onnx_model):
    constants = {name: np.array(value, np.int64) for name, value in constants.items()}
    model = onnx_model(("Abs", "x", {}), one=np.ones(1, np.float32), **constants)
    body = [onnx.helper.make_node(op, inputs.split(), [f"y{i}" if i < 1 else "y"])
            for i, (op, inputs, _) in enumerate(nodes)]  # fmt: skip
    model.graph.ClearField("node")
    model.graph.node.extend(body)
    with pytest.raises(UnsupportedError, match=f"{2**40} elements; up to {LARGEST_TENSOR}"):
        from_onnx(model)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((("Reshape", "c n", {}), ("Add", "x y0", {})), r"\(Reshape\): constants that do not fit"),
        ((("Gather", "c far", {}), ("Add", "x y0", {})), r"\(Gather\): constants that do not fit"),
        ((("RandomNormal", "", {"shape": [6]}), ("Add", "x y0", {})), "RandomNormal is not supp"),
    ],
)
def test_constants_that_do_not_fit_are_refused(nodes, words, onnx_model):
    constants = {"c": np.ones(6, np.float32), "n": whole(4), "far": whole(9)}
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(onnx_model(*nodes, **constants))


def test_an_output_that_is_a_constant_is_refused(onnx_model):
    with pytest.raises(UnsupportedError, match="the model's output 'y' is a constant"):
        from_onnx(onnx_model(("Shape", "x", {})))
