from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.errors import UnsupportedError


def whole(*numbers):
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (("Reshape", "x s", {}), {"s": whole(0, -1)}),
        (("Reshape", "x s", {}), {"s": whole(3, 0, 6, 2)}),
        (("Flatten", "x", {}), {}),
        (("Flatten", "x", {"axis": 0}), {}),
        (("Flatten", "x", {"axis": -1}), {}),
        (("Flatten", "x", {"axis": 4}), {}),
        (("Squeeze", "x", {}), {}),
        (("Squeeze", "x a", {}), {"a": whole(0)}),
        (("Unsqueeze", "x a", {}), {"a": whole(-1, 0)}),
        (("Transpose", "x", {}), {}),
        (("Transpose", "x", {"perm": [0, 2, 3, 1]}), {}),
        (("Slice", "x a b", {}), {"a": whole(0, 1), "b": whole(1, 9)}),
        (("Slice", "x a b c", {}), {"a": whole(-3), "b": whole(-1), "c": whole(-2)}),
        (
            ("Slice", "x a b c d", {}),
            {"a": whole(1, 0), "b": whole(2**62, 5), "c": whole(3, 2), "d": whole(2, 3)},
        ),
        (("Gather", "x i", {"axis": 1}), {"i": np.array(-1)}),
        (("Gather", "x i", {"axis": 2}), {"i": whole(2, 3, 4)}),
        (("Gather", "x i", {"axis": 3}), {"i": np.arange(6).reshape(2, 3).T.copy()}),
        (("DepthToSpace", "x", {"blocksize": 1}), {}),
        (("SpaceToDepth", "x", {"blocksize": 3}), {}),
        (("Identity", "x", {}), {}),
        (("Dropout", "x", {}), {}),
        (("Dropout", "x r t", {}), {"r": np.float32(0.5), "t": np.array(False)}),
        (("Cast", "x", {"to": 1}), {}),
    ],
)
def test_moves_are_onnxruntimes(node, constants, onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model(node, **constants), error=0)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_become_blocks_of_a_map_in_both_orders(mode, onnx_model, as_onnxruntime):
    node = ("DepthToSpace", "x", {"blocksize": 2, "mode": mode})
    as_onnxruntime(onnx_model(node, shape=(2, 12, 3, 2)), error=0)


def test_axes_that_are_attributes_in_opset_11_are_read(onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model(("Unsqueeze", "x", {"axes": [1]}), opset=11), error=0)
    as_onnxruntime(onnx_model(("Squeeze", "x", {"axes": [0]}), opset=11), error=0)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concatenations_are_onnxruntimes(axis, onnx_model, as_onnxruntime):
    nodes = (("Relu", "x", {}), ("Concat", "x y0 x", {"axis": axis}))
    as_onnxruntime(onnx_model(*nodes, shape=(2, 3, 4)), error=0)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_every_part_of_a_split_is_onnxruntimes(first, onnx_model, as_onnxruntime):
    names = ["a", "b", "c"]
    outputs = (names[first], *names[:first], *names[first + 1 :])
    splits = [
        (("Split", "x", {"axis": 3}), 13, {}),
        (("Split", "x", {"axis": 3, "split": [1, 2, 3]}), 11, {}),
        (("Split", "x s", {"axis": -1}), 17, {"s": whole(3, 2, 1)}),
        (("Split", "x", {"axis": 3, "num_outputs": 3}), 18, {}),
    ]
    for node, opset, constants in splits:
        model = onnx_model(node, opset=opset, outputs=outputs, **constants)
        model.graph.node[0].output[:] = names
        as_onnxruntime(model, error=0)


def test_a_split_into_unequal_parts_has_a_smaller_last_one(onnx_model, as_onnxruntime):
    node = ("Split", "x", {"axis": 2, "num_outputs": 4})
    model = onnx_model(node, shape=(1, 2, 7), opset=18, outputs=("d", "c", "b", "a"))
    model.graph.node[0].output[:] = ["a", "b", "c", "d"]
    graph = as_onnxruntime(model, error=0)
    assert graph.shapes[graph.output] == (1, 2, 1)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (("Reshape", "x s", {}), r"\[1, 3, 6, 6\] does not become \[5, -1\]"),
        (("Slice", "x a b - d", {}), r"steps \[-1\]; steps from 1 on are supported"),
        (("Slice", "x b a", {}), "nothing is left of axis 0"),
        (("Gather", "x i", {"axis": 3}), "indices that are no range"),
        (("Gather", "x big", {"axis": 3}), "indices 6 to 6 of 6"),
        (("Squeeze", "x b", {}), r"axes \(1,\) of \[1, 3, 6, 6\]; axes of size 1"),
        (("Unsqueeze", "x twice", {}), r"axes \(0, 0\) of a tensor of rank 6, one of them twice"),
        (("Concat", "x c", {"axis": 1}), "input 1 is the constant 'c'"),
        (("Transpose", "x", {"perm": [0, 1]}), "does not name every axis"),
        (("Cast", "x", {"to": 10}), "another type than float32"),
        (("Dropout", "x r t", {}), "training_mode is true"),
        (("Flatten", "x", {"axis": 5}), "axis 5 of a tensor of rank 4"),
        (("DepthToSpace", "x", {"blocksize": 2}), "blocksize 2, mode 'DCR' of 3 channels"),
        (("Split", "x s", {"axis": 1}), r"sizes \[5, -1\] of 3"),
        (("Reshape", "x x", {}), "input 1 is the computed value 'x'"),
    ],
)
def test_what_is_not_understood_is_refused(node, words, onnx_model):
    constants = {
        "s": whole(5, -1), "a": whole(0), "b": whole(1), "d": whole(-1), "twice": whole(0, 0),
        "i": whole(0, 2, 1), "big": whole(6), "c": np.ones((1, 3, 6, 6), np.float32),
        "r": np.float32(0.5), "t": np.array([True]),
    }  # fmt: skip
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(
            onnx_model(node, outputs=("y", "z") if node[0] == "Split" else ("y",), **constants)
        )
