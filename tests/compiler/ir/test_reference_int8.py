from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.reference import compute

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
SCALE = {"zero_in": 0, "top": 255}


def convolution(x, weight, bias, multiplier, shift, *, table=None, **attrs):
    constants = [weight, [bias], [multiplier], [shift], *([] if table is None else [table])]
    arrays = [np.asarray(array, np.float32) for array in (x, *constants)]
    node = Node("y", "conv2d_int8", (), {**WINDOW, "groups": 1, **SCALE, **attrs})
    return compute(node, arrays)


def test_bytes_and_numbers_are_each_others_inverse():
    attrs = {"scale": 0.25, "zero": 100, "top": 255}
    x = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    numbers = compute(Node("d", "dequantize", (), attrs), [x])
    assert numbers.min() == -25
    assert numbers.max() == 38.75
    np.testing.assert_array_equal(compute(Node("q", "quantize", (), attrs), [numbers]), x)


def test_what_lies_outside_becomes_the_end_of_the_range():
    x = np.float32([[-1e6, 1e6]]).reshape(1, 1, 1, 2)
    q = compute(Node("q", "quantize", (), {"scale": 0.5, "zero": 3, "top": 127}), [x])
    assert q.reshape(-1).tolist() == [0, 127]


@pytest.mark.parametrize(
    ("total", "shift", "multiplier", "byte"),
    [
        (100, 0, 2**14, 50),  # half of it
        (101, 0, 2**14, 51),  # 50.5 up
        (-100, 0, 2**14, 0),  # below the range
        (40000, 0, 2**14, 255),  # saturated to 16 bits, and above the range
        (800, 3, 2**14, 50),  # an eighth of a half
        (807, 3, 2**14, 50),  # the shift rounds down: its rounding is in the bias
    ],
)
def test_a_sum_becomes_a_byte(total, shift, multiplier, byte):
    x, weight = [[[[1.0]]]], [[[[0.0]]]]
    assert convolution(x, weight, total, multiplier, shift).item() == byte


def test_bytes_of_seven_bits_end_at_127():
    top = {"multiplier": 2**14, "shift": 0, "top": 127}
    assert convolution([[[[1.0]]]], [[[[0.0]]]], 260, **top).item() == 127
    # what is looked up has all of 256
    table = np.arange(256) // 2
    assert convolution([[[[1.0]]]], [[[[0.0]]]], 400, **top, table=table).item() == 100


def test_the_border_holds_the_zero_of_x():
    x = np.full((1, 1, 2, 2), 10.0)
    weight = np.ones((1, 1, 3, 3))
    y = convolution(x, weight, -90, 2**14, 0, zero_in=10, padding=(1, 1, 1, 1))
    # nine cells of 10 each everywhere: the map is x = 0 as far as it goes
    assert (y == 0).all()
    assert convolution(x, weight, 0, 2**14, 0, zero_in=10, padding=(1, 1, 1, 1)).tolist() == [
        [[[45, 45], [45, 45]]]
    ]


def test_bytes_are_looked_up():
    table = 255 - np.arange(256)
    assert convolution([[[[7.0]]]], [[[[2.0]]]], 0, 2**14, 0, table=table).item() == 248


def test_an_addend_has_four_bits_more():
    node = Node("y", "conv2d_add_int8", (), {**WINDOW, "groups": 1, **SCALE, "addend": 4096})
    arrays = [[[[[3.0]]]], [[[[20.0]]]], [[[[1.0]]]], [0.0], [2**14], [0.0]]
    # 3 / 2 in sixteenths is 1.5 / 16, and 20 is itself
    assert compute(node, [np.asarray(array, np.float32) for array in arrays]).item() == 20
    arrays[2] = [[[[8.0]]]]  # 24 / 2 in sixteenths: 0.75, which rounds up
    assert compute(node, [np.asarray(array, np.float32) for array in arrays]).item() == 21


def test_maps_are_gated_and_averaged():
    x = np.float32([[[[10, 20]], [[30, 50]]]])
    gate = np.float32([[[[0.5]], [[1.0]]]])
    node = Node("g", "mul_int8", (), {"zero_in": 10, "ratio": 2.0, "zero": 5, "top": 80})
    assert compute(node, [x, gate]).tolist() == [[[[5, 15]], [[45, 80]]]]
    mean = Node("m", "mean_int8", (), {"scale": 0.5, "zero": 10, "top": 255})
    assert compute(mean, [x]).reshape(-1).tolist() == [2.5, 15]


def test_a_fully_connected_layer_gives_numbers_of_the_usual_kind():
    x = np.float32([10, 12]).reshape(1, 2, 1, 1)
    weight = np.float32([[1, -2], [3, 4]]).reshape(2, 2, 1, 1)
    bias, scale = np.float32([0.5, 0]), np.float32([2, 10])
    node = Node("l", "linear_int8", (), {"zero_in": 8})
    assert compute(node, [x, weight, bias, scale]).tolist() == [[-11.5, 220]]
