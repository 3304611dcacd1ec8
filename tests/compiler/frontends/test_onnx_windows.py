from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.frontends.onnx import from_onnx
from convforge.errors import UnsupportedError


def normal(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1], "pads": [1, 0, 2, 3]},
        {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [4, 4]},  # a window smaller than its stride
        {"auto_pad": "VALID", "strides": [2, 2]},
        {"auto_pad": "NOTSET", "kernel_shape": [3, 2]},
    ],
)
@pytest.mark.parametrize("shape", [(1, 4, 9, 8), (2, 4, 7, 7)])
def test_convolutions_are_onnxruntimes(attributes, shape, onnx_model, as_onnxruntime):
    node = ("Conv", "x w b", {"group": 2, **attributes})
    as_onnxruntime(onnx_model(node, shape=shape, w=normal(6, 2, 3, 2), b=normal(6)))


def test_a_dilated_window_that_keeps_the_size_is_dilated_before_it_is_padded(onnx_model):
    node = ("Conv", "x w", {"auto_pad": "SAME_UPPER", "dilations": [2, 3]})
    graph = from_onnx(onnx_model(node, w=normal(2, 3, 3, 2)))
    assert graph.nodes[0].attrs["padding"] == (2, 1, 2, 2)
    assert graph.shapes[graph.output] == (1, 2, 6, 6)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [3, 3]},
        {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 1, 0, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"kernel_shape": [1, 1], "strides": [3, 3], "pads": [0, 0, 0, 0], "ceil_mode": 1},
        {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ],
)
@pytest.mark.parametrize("size", [(7, 8), (6, 5)])
def test_pools_are_onnxruntimes(operator, attributes, size, onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model((operator, "x", attributes), shape=(2, 2, *size)))


@pytest.mark.parametrize("ceil", [0, 1])
def test_cells_of_the_padding_count_where_the_node_says_so(ceil, onnx_model, as_onnxruntime):
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    node = ("AveragePool", "x", {**window, "ceil_mode": ceil, "count_include_pad": 1})
    as_onnxruntime(onnx_model(node, shape=(1, 2, 6, 7), opset=19))


def test_dilated_pools_are_onnxruntimes(onnx_model, as_onnxruntime):
    window = {"kernel_shape": [2, 3], "dilations": [3, 2], "strides": [2, 1]}
    as_onnxruntime(onnx_model(("MaxPool", "x", window), shape=(1, 2, 9, 8)))
    as_onnxruntime(onnx_model(("AveragePool", "x", window), shape=(1, 2, 9, 8), opset=19))


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools_are_onnxruntimes(operator, onnx_model, as_onnxruntime):
    as_onnxruntime(onnx_model((operator, "x", {}), shape=(2, 3, 5, 4)))


@pytest.mark.parametrize(
    "pads",
    [(0, 0, 1, 2, 0, 0, 3, 0), (0, 1, 0, 0, 0, 2, 0, 0), (0, 0, -1, 2, 0, 0, 1, -2), (0,) * 8],
)
def test_pads_are_onnxruntimes(pads, onnx_model, as_onnxruntime):
    constants = {"p": np.array(pads, np.int64), "fill": np.float32(0.5)}
    as_onnxruntime(onnx_model(("Pad", "x p fill", {}), **constants))
    as_onnxruntime(onnx_model(("Pad", "x p", {}), p=constants["p"]))


def test_pads_of_named_axes_are_onnxruntimes(onnx_model, as_onnxruntime):
    constants = {"p": np.array([1, 2, 0, 3], np.int64), "axes": np.array([-1, 2], np.int64)}
    as_onnxruntime(onnx_model(("Pad", "x p - axes", {}), opset=18, **constants))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (("Conv", "x x", {}), r"node 'y' \(Conv\): input 1 is the computed value 'x' of shape"),
        (("Conv", "x w", {"kernel_shape": [3, 3]}), "a kernel_shape that differs"),
        (("Conv", "x w", {"pads": [1, 1, -1, 1]}), r"pads \(1, 1, -1, 1\); four numbers from 0 on"),
        (("Conv", "x w", {"strides": [0, 1]}), r"strides \(0, 1\); two numbers from 1 on"),
        (("Conv", "x w", {"auto_pad": "SAME"}), "auto_pad 'SAME'; NOTSET, VALID"),
        (("Conv", "x w", {"group": 2}), "2 groups do not fit together"),
        (("Conv", "x half", {}), "'half', float16 of shape .*; a float32 constant is supported"),
        (("MaxPool", "x", {"kernel_shape": [9, 9]}), "does not fit a padded map"),
        (("MaxPool", "x", {"kernel_shape": [2]}), r"kernel_shape \(2,\); two numbers"),
        (("Pad", "x p", {"mode": "reflect"}), "mode 'reflect' .* constant padding is supported"),
        (("Pad", "x p", {}), r"pads \[1, .* maps may be padded"),
    ],
)
def test_what_is_not_understood_is_refused(node, words, onnx_model):
    constants = {"w": normal(2, 3, 2, 2), "half": normal(2, 3, 2, 2).astype(np.float16)}
    pads = np.array([1, 0, 0, 0, 0, 0, 0, 0], np.int64)
    with pytest.raises(UnsupportedError, match=words):
        from_onnx(onnx_model(node, **constants, p=pads))


def test_windows_on_a_line_or_in_space_are_refused(onnx_model):
    for shape in ((1, 3, 6), (1, 3, 6, 6, 6)):
        window = {"kernel_shape": [2] * (len(shape) - 2)}
        with pytest.raises(UnsupportedError, match=r"maps \[N, C, H, W\] are supported"):
            from_onnx(onnx_model(("MaxPool", "x", window), shape=shape))
        kernel = normal(2, 3, *window["kernel_shape"])
        with pytest.raises(UnsupportedError, match=r"maps \[N, C, H, W\] are supported"):
            from_onnx(onnx_model(("Conv", "x w", {}), shape=shape, w=kernel))
