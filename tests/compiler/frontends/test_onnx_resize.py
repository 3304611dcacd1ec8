from __future__ import annotations

import numpy as np
import onnx
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.ir.reference import evaluate
from convforge.errors import UnsupportedError

COORDINATES = (
    *("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "half_pixel_symmetric",
)


def node(mode, coordinates, **attributes):
    return {"mode": mode, "coordinate_transformation_mode": coordinates, **attributes}


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 4), (7, 5), (13, 11), (14, 10)])
def test_linear_resizing_is_onnxruntimes(coordinates, size, onnx_model, as_onnxruntime):
    sizes = np.array((1, 2, *size), np.int64)
    resize = ("Resize", "x - - s", node("linear", coordinates))
    as_onnxruntime(onnx_model(resize, shape=(1, 2, 7, 5), opset=19, s=sizes))


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_resizing_is_onnxs(coordinates, rounding, onnx_model):
    """By ONNX's own evaluator: onnxruntime rounds coordinates in float32."""
    resize = ("Resize", "x - - s", node("nearest", coordinates, nearest_mode=rounding))
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 5)).astype(np.float32)
    for size in ((1, 9), (3, 4), (14, 10), (13, 2)):
        sizes = np.array((1, 2, *size), np.int64)
        model = onnx_model(resize, shape=(1, 2, 7, 5), opset=19, s=sizes)
        (truth,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
        np.testing.assert_array_equal(evaluate(from_onnx(model), x), truth)


@pytest.mark.parametrize("scales", [(2, 2), (0.5, 3), (1.5, 0.6), (2.7, 1)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_scales_are_taken_as_they_are(scales, mode, onnx_model, as_onnxruntime):
    constants = {"s": np.array((1, 1, *scales), np.float32), "r": np.zeros(0, np.float32)}
    for inputs, opset in (("x - s", 13), ("x r s", 11)):
        resize = ("Resize", inputs, node(mode, "asymmetric", nearest_mode="floor"))
        as_onnxruntime(onnx_model(resize, shape=(1, 2, 6, 10), opset=opset, **constants))


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_the_ratio_of_the_sides_can_be_kept(policy, onnx_model, as_onnxruntime):
    attributes = node("linear", "half_pixel", axes=[3, 2], keep_aspect_ratio_policy=policy)
    constants = {"s": np.array((9, 5), np.int64)}
    model = onnx_model(("Resize", "x - - s", attributes), opset=19, **constants)
    as_onnxruntime(model)


@pytest.mark.parametrize(
    ("attributes", "sizes", "words"),
    [
        ({"mode": "cubic"}, (1, 3, 9, 9), "mode 'cubic'; nearest and linear are supported"),
        ({"mode": "linear", "antialias": 1}, (1, 3, 3, 3), "antialias=1; 0 is supported"),
        ({}, (2, 3, 9, 9), r"\[1, 3, 6, 6\] becomes \[2, 3, 9, 9\]; height and width"),
        ({}, (1, 3, 0, 9), "of axes"),
        ({}, (9, 9), r"of axes \[0, 1, 2, 3\]"),
        ({"nearest_mode": "half"}, (1, 3, 9, 9), "nearest_mode 'half'; round_prefer_floor"),
        (
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            (1, 3, 9, 9),
            "coordinate_transformation_mode 'tf_crop_and_resize'; half_pixel",
        ),
        ({"keep_aspect_ratio_policy": "x"}, (1, 3, 9, 9), "keep_aspect_ratio_policy 'x'; stretch"),
        ({"mode": "linear", "exclude_outside": 1}, (1, 3, 9, 9), "exclude_outside=1; 0 is"),
    ],
)
def test_what_is_not_understood_is_refused(attributes, sizes, words, onnx_model):
    model = onnx_model(("Resize", "x - - s", attributes), opset=18, s=np.array(sizes, np.int64))
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(model)


def test_corners_that_lie_between_cells_are_refused(onnx_model):
    resize = ("Resize", "x - s", node("linear", "align_corners"))
    model = onnx_model(resize, s=np.array((1, 1, 0.7, 1), np.float32))
    with pytest.raises(UnsupportedError, match=r"align_corners with a scale of 0.7 for 6"):
        from_onnx(model)
