from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.frontends.onnx import from_onnx


def number(value):
    return np.array(value, np.float32)


def steps(graph):
    return [(node.op, node.epilogue) for node in graph.nodes]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((("Sigmoid", "x", {}), ("Mul", "x y0", {})), "silu"),
        ((("Sigmoid", "x", {}), ("Mul", "y0 x", {})), "silu"),
        ((("HardSigmoid", "x", {"alpha": 1 / 6}), ("Mul", "x y0", {})), "hard_swish"),
        ((("Softplus", "x", {}), ("Tanh", "y0", {}), ("Mul", "x y1", {})), "mish"),
    ],
)
def test_a_gate_of_its_own_value_is_one_activation(nodes, expected, onnx_model, as_onnxruntime):
    graph = as_onnxruntime(onnx_model(*nodes))
    assert steps(graph) == [("elementwise", ((expected,),))]


@pytest.mark.parametrize(
    "nodes",
    [
        # x / √2, erf, + 1, times x, times 1/2, in the orders of several exporters
        (
            ("Div", "x root", {}), ("Erf", "y0", {}), ("Add", "y1 one", {}),
            ("Mul", "x y2", {}), ("Mul", "y3 half", {}),
        ),
        (
            ("Div", "x root", {}), ("Erf", "y0", {}), ("Add", "one y1", {}),
            ("Mul", "half x", {}), ("Mul", "y3 y2", {}),
        ),
        (
            ("Div", "x root", {}), ("Erf", "y0", {}), ("Add", "y1 one", {}),
            ("Mul", "y2 half", {}), ("Mul", "x y3", {}),
        ),
    ],
)  # fmt: skip
def test_gelu_that_is_written_with_erf_is_one_activation(nodes, onnx_model, as_onnxruntime):
    constants = {"root": number(2**0.5), "one": number(1), "half": number(0.5)}
    graph = as_onnxruntime(onnx_model(*nodes, **constants))
    assert steps(graph) == [("elementwise", (("gelu",),))]


def test_a_factor_beside_an_activation_stays(onnx_model, as_onnxruntime):
    nodes = (("Sigmoid", "x", {}), ("Mul", "x c", {}), ("Mul", "y0 y1", {}))
    graph = as_onnxruntime(onnx_model(*nodes, c=number(3)))
    assert steps(graph) == [("elementwise", (("silu",), ("affine", 3.0, 0.0)))]


def test_neighbouring_scales_are_one(onnx_model, as_onnxruntime):
    nodes = (("Mul", "x a", {}), ("Add", "y0 b", {}), ("Sub", "b y1", {}), ("Relu", "y2", {}))
    graph = as_onnxruntime(onnx_model(*nodes, a=number(3), b=number(0.5)))
    assert steps(graph) == [("elementwise", (("affine", -3.0, 0.0), ("relu",)))]


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        # the gate of another value
        ((("Relu", "x", {}), ("Sigmoid", "y0", {}), ("Mul", "x y1", {})), ["elementwise", "mul"]),
        # another slope
        ((("HardSigmoid", "x", {}), ("Mul", "x y0", {})), ["elementwise", "mul"]),
        # another place of erf
        ((("Erf", "x", {}), ("Add", "y0 one", {}), ("Mul", "x y1", {})), ["elementwise", "mul"]),
        # a shift beside it
        (
            (("Add", "x one", {}), ("Sigmoid", "x", {}), ("Mul", "y0 y1", {})),
            ["elementwise", "elementwise", "mul"],
        ),
    ],
)
def test_what_only_looks_like_one_stays_as_it_is(nodes, ops, onnx_model, as_onnxruntime):
    graph = as_onnxruntime(onnx_model(*nodes, one=number(1)))
    assert [node.op for node in graph.nodes] == ops


def test_parts_that_are_read_elsewhere_stay(onnx_model, as_onnxruntime):
    nodes = (("Sigmoid", "x", {}), ("Mul", "x y0", {}), ("Add", "y1 y0", {}))
    graph = as_onnxruntime(onnx_model(*nodes))
    assert [node.op for node in graph.nodes] == ["elementwise", "elementwise", "add"]


def test_a_scale_that_is_read_twice_is_computed_once(onnx_model):
    nodes = (("Mul", "x a", {}), ("Relu", "y0", {}), ("Add", "y1 y0", {}))
    graph = from_onnx(onnx_model(*nodes, a=number(3)))
    assert [node.op for node in graph.nodes] == ["elementwise", "elementwise", "add"]
