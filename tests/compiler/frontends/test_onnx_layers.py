from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.errors import UnsupportedError


def draw(*shape):
    return np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("attributes", "weight"),
    [
        ({}, (4, 5)),
        ({"transB": 1}, (5, 4)),
        ({"alpha": 0.5, "beta": 2.0}, (4, 5)),
        ({"alpha": 0.5, "transB": 1}, (5, 4)),
        ({"transA": 1}, (3, 5)),
    ],
)
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), (), (3, 5), (3, 1)])
def test_gemm_is_onnxruntimes(attributes, weight, bias, onnx_model, as_onnxruntime):
    shape = (3, 4)
    if attributes.get("transA") and bias and bias[0] == 3:
        bias = (4, *bias[1:])
    constants = {"w": draw(*weight)} | ({} if bias is None else {"b": draw(*bias)})
    inputs = "x w" if bias is None else "x w b"
    as_onnxruntime(onnx_model(("Gemm", inputs, attributes), shape=shape, **constants))


def test_a_gemm_as_torch_exports_it_keeps_its_weights(onnx_model):
    weights = {"w": draw(5, 4), "b": draw(5)}
    graph = from_onnx(onnx_model(("Gemm", "x w b", {"transB": 1}), shape=(3, 4), **weights))
    assert graph.nodes[0].inputs == ("x", "w", "b")
    assert np.shares_memory(graph.constants["w"], graph.constants["w"])
    np.testing.assert_array_equal(graph.constants["w"], weights["w"])


def test_a_computed_bias_is_added(onnx_model, as_onnxruntime):
    node = ("Gemm", "x w y0", {"beta": 0.5})
    as_onnxruntime(onnx_model(("Relu", "x", {}), node, shape=(4, 4), w=draw(4, 4)))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (1, 2, 3, 4)])
def test_matrix_products_are_onnxruntimes(shape, onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model(("MatMul", "x w", {}), shape=shape, w=draw(4, 5)))
    if len(shape) > 1:
        as_onnxruntime(onnx_model(("MatMul", "x w", {}), shape=shape, w=draw(4)))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 3, 5, 4)])
def test_batch_normalization_is_onnxruntimes(shape, onnx_model, as_onnxruntime):
    node = ("BatchNormalization", "x g b m v", {"epsilon": 0.01, "momentum": 0.5})
    as_onnxruntime(onnx_model(node, shape=shape, g=draw(3), b=draw(3), m=draw(3), v=draw(3)))


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 3)])
def test_instance_and_group_normalization_are_onnxruntimes(shape, onnx_model, as_onnxruntime):
    weights = {"g": draw(4), "b": draw(4)}
    node = ("InstanceNormalization", "x g b", {"epsilon": 0.01})
    as_onnxruntime(onnx_model(node, shape=shape, **weights))
    node = ("GroupNormalization", "x g b", {"num_groups": 2})
    as_onnxruntime(onnx_model(node, shape=shape, opset=21, **weights))


@pytest.mark.parametrize("axis", [-1, 1, 2, 0])
@pytest.mark.parametrize("bias", [(), ("b",)])
def test_layer_normalization_is_onnxruntimes(axis, bias, onnx_model, as_onnxruntime):
    shape = (2, 3, 4)
    weights = {name: draw(*shape[axis:]) for name in ("g", *bias)}
    node = ("LayerNormalization", " ".join(("x", "g", *bias)), {"axis": axis, "epsilon": 0.01})
    as_onnxruntime(onnx_model(node, shape=shape, **weights))


def test_mean_and_deviation_of_a_layer_normalization_are_onnxruntimes(onnx_model, as_onnxruntime):
    node = ("LayerNormalization", "x g", {"axis": 1})
    for outputs in (("a", "b", "y"), ("a", "y", "c")):
        model = onnx_model(node, shape=(2, 3, 4), outputs=outputs, g=draw(3, 4))
        model.graph.output[0].name = "y"
        as_onnxruntime(model)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_normalization_is_onnxruntimes(size, onnx_model, as_onnxruntime):
    node = ("LRN", "x", {"size": size, "alpha": 0.5, "beta": 0.6, "bias": 2.0})
    as_onnxruntime(onnx_model(node, shape=(2, 7, 3, 3)))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("attributes", [{}, {"axis": 0}, {"axis": 1}, {"axis": -1}])
def test_softmax_is_onnxruntimes_before_and_after_it_had_one_axis(
    opset, attributes, onnx_model, as_onnxruntime
):
    as_onnxruntime(onnx_model(("Softmax", "x", attributes), shape=(2, 3, 4), opset=opset))


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax", "ReduceSum"])
@pytest.mark.parametrize("axes", [(2, 3), (-3,), (0, 2), (1, 3), (0,), (3, 1, 2)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_are_onnxruntimes(operator, axes, keepdims, onnx_model, as_onnxruntime):
    shape = (2, 3, 4, 5)
    attributes = {"keepdims": keepdims}
    node = (operator, "x a", attributes)
    as_onnxruntime(onnx_model(node, shape=shape, opset=18, a=np.array(axes, np.int64)))
    node = (operator, "x", {**attributes, "axes": axes})
    as_onnxruntime(onnx_model(node, shape=shape, opset=11))


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax", "ReduceSum"])
def test_a_reduction_of_no_axes_is_of_all_or_of_none(operator, onnx_model, as_onnxruntime):
    graph = as_onnxruntime(onnx_model((operator, "x", {})))
    assert graph.shapes[graph.output] == (1, 1, 1, 1)
    node = (operator, "x a", {"noop_with_empty_axes": 1})
    graph = as_onnxruntime(onnx_model(node, opset=18, a=np.zeros(0, np.int64)), error=0)
    assert graph.shapes[graph.output] == (1, 3, 6, 6)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (("MatMul", "x w", {}), r"a product with a constant of shape \[2, 6, 5\]; a matrix"),
        (("MatMul", "v x", {}), "input 0 is the constant 'v'"),
        (("MatMul", "x v", {}), "6 features do not fit weight"),
        (("LRN", "x", {"size": 4}), "size 4; odd sizes are supported"),
        (("BatchNormalization", "x c c c c", {"training_mode": 1}), "training_mode=1; inference"),
        (("LayerNormalization", "x v", {}), r"parameters of shape \[4\] on \[6\]"),
        (("GroupNormalization", "x c c", {"num_groups": 2}), r"2 groups of \[1, 3, 6, 6\]"),
        (("ReduceMean", "x", {"keepdims": 0}), "a result that is one number"),
        (("Softmax", "x", {"axis": 4}), "axis 4 of a tensor of rank 4"),
    ],
)
def test_what_is_not_understood_is_refused(node, words, onnx_model):
    outputs = ("y", "m", "d") if "training_mode" in node[2] else ("y",)
    constants = {"w": draw(2, 6, 5), "v": draw(4), "c": draw(3)}
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(onnx_model(node, opset=21, outputs=outputs, **constants))
