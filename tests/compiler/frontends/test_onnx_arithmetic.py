from __future__ import annotations

import numpy as np
import onnx
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.ir.reference import evaluate
from convforge.errors import UnsupportedError


def number(value):
    return np.array(value, np.float32)


def draw(*shape):
    return np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    ("shape", "op"),
    [
        ((), "elementwise"),
        ((1, 1), "elementwise"),
        ((3, 1, 1), "scale_shift"),
        ((1, 3, 1, 1), "scale_shift"),
        ((6,), None),
        ((3, 6, 6), None),
        ((2, 3, 1, 1), None),
        ((2, 1, 3, 1, 6), None),
    ],
)
@pytest.mark.parametrize("inputs", ["x c", "c x"])
def test_arithmetic_with_a_constant_is_onnxruntimes(
    operator, shape, op, inputs, onnx_model, as_onnxruntime
):
    graph = as_onnxruntime(onnx_model((operator, inputs, {}), c=draw(*shape)))
    if (operator, inputs) == ("Div", "c x"):
        op = None
    assert graph.nodes[0].op == (op or operator.lower())


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Sum"])
def test_arithmetic_of_two_computed_values_is_onnxruntimes(operator, onnx_model, as_onnxruntime):
    pool = ("GlobalMaxPool", "x", {})
    as_onnxruntime(onnx_model(pool, (operator, "x y0", {})))
    as_onnxruntime(onnx_model(pool, (operator, "y0 x", {})))


def test_a_sum_has_any_number_of_operands(onnx_model, as_onnxruntime):
    constants = {"a": draw(3, 1, 1), "b": draw(6)}
    as_onnxruntime(onnx_model(("Sum", "a x b x", {}), **constants))
    as_onnxruntime(onnx_model(("Sum", "x", {})))


@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_largest_and_smallest_of_a_value_and_numbers_are_onnxruntimes(
    operator, onnx_model, as_onnxruntime
):
    as_onnxruntime(onnx_model((operator, "a x b", {}), a=number(0.25), b=number([-0.5])), error=0)


@pytest.mark.parametrize("exponent", [0.5, 1, 2, 3])
def test_powers_are_onnxruntimes(exponent, onnx_model, as_onnxruntime):
    positive = ("Abs", "x", {})
    as_onnxruntime(onnx_model(positive, ("Pow", "y0 e", {}), e=number(exponent)))


@pytest.mark.parametrize(
    ("inputs", "bounds"),
    [("x a b", (-0.5, 0.25)), ("x a", (0, None)), ("x - b", (None, 0.25)), ("x", (None, None))],
)
def test_clips_are_onnxruntimes(inputs, bounds, onnx_model, as_onnxruntime):
    bound = {name: number(b) for name, b in zip("ab", bounds, strict=True) if b is not None}
    graph = as_onnxruntime(onnx_model(("Clip", inputs, {}), **bound), error=0)
    assert graph.nodes[0].epilogue[0][0] == ("relu" if inputs == "x a" else "clip")


def test_where_the_bounds_of_a_clip_cross_the_upper_one_wins(onnx_model):
    model = onnx_model(("Clip", "x a b", {}), shape=(3,), a=number(2), b=number(1))
    x = number([0, 1.5, 9])
    assert evaluate(from_onnx(model), x).tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", [(1,), (3, 1, 1), (1, 3, 1, 1), (3, 6, 6), (6,)])
def test_prelu_takes_slopes_of_any_shape_that_fits(shape, onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model(("PRelu", "x s", {}), s=draw(*shape)))


@pytest.mark.parametrize(
    ("node", "opset"),
    [
        (("Relu", "x", {}), 14),
        (("LeakyRelu", "x", {}), 16),
        (("LeakyRelu", "x", {"alpha": 0.3}), 11),
        (("Elu", "x", {"alpha": 0.7}), 11),
        (("Selu", "x", {}), 11),
        (("Selu", "x", {"alpha": 2.0, "gamma": 3.0}), 11),
        (("Sigmoid", "x", {}), 13),
        (("HardSigmoid", "x", {}), 11),
        (("HardSigmoid", "x", {"alpha": 1 / 6}), 11),
        (("HardSwish", "x", {}), 14),
        (("Tanh", "x", {}), 13),
        (("Gelu", "x", {}), 20),
        (("Gelu", "x", {"approximate": "tanh"}), 20),
        (("Softplus", "x", {}), 11),
        (("Mish", "x", {}), 18),
        (("Erf", "x", {}), 13),
        (("Exp", "x", {}), 13),
        (("Abs", "x", {}), 13),
        (("Neg", "x", {}), 13),
        (("Reciprocal", "x", {}), 13),
    ],
)
def test_activations_are_onnxruntimes(node, opset, onnx_model, as_onnxruntime):
    graph = as_onnxruntime(onnx_model(node, opset=opset), error=3e-6)
    assert [node.op for node in graph.nodes] == ["elementwise"]


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_swish_means_what_onnx_says(alpha, onnx_model):
    model = onnx_model(("Swish", "x", {"alpha": alpha}), opset=24)
    x = np.random.default_rng(0).standard_normal((1, 3, 6, 6)).astype(np.float32)
    (truth,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(evaluate(from_onnx(model), x), truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("operator", ["Log", "Sqrt"])
def test_functions_of_positive_numbers_are_onnxruntimes(operator, onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model(("Abs", "x", {}), (operator, "y0", {})))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (("Pow", "x e", {}), r"the exponent 1.5; 0.5, 1, 2 and 3 are supported"),
        (("Pow", "x v", {}), r"'v', float32 of shape \[6\]; one number is supported"),
        (("Pow", "x r", {}), "an exponent of more axes than"),
        (("Max", "x v", {}), r"operands \[1, 3, 6, 6\], \[6\]; one computed value and numbers"),
        (("Clip", "x v", {}), "one number is supported"),
        (("Clip", "x d", {}), "'d', float64 .*; a float32 constant is supported"),
        (("Add", "x d", {}), "a float32 constant is supported"),
        (("Add", "x w", {}), r"\(1, 3, 6, 6\) and \(4,\) do not broadcast"),
        (("PRelu", "x w", {}), r"slopes of shape \[4\] do not fit \[1, 3, 6, 6\]"),
        (("Gelu", "x", {"approximate": "erf"}), "approximate='erf'; none and tanh are supported"),
    ],
)
def test_what_is_not_understood_is_refused(node, words, onnx_model):
    constants = {"e": number(1.5), "v": draw(6), "w": draw(4), "d": np.float64(1)}
    constants["r"] = np.full((1,) * 5, 2, np.float32)
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(onnx_model(node, opset=20, **constants))
