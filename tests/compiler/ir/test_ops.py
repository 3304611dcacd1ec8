from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convforge.compiler.ir.ops import EPILOGUES, OPS, WITHOUT_EPILOGUE, result_shape
from convforge.errors import VerifyError

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
CONV = {**WINDOW, "groups": 1}
SCALE = {"scale": 0.5, "zero": 3}
PAIR = WINDOW | {f"mix_{key}": value for key, value in WINDOW.items()}
POOL = {**WINDOW, "kernel": (2, 2)}
PLACES = {"rows": (0, 1, 1), "columns": (0,)}


def shape_of(op, *inputs, **attrs):
    return result_shape("node", op, inputs, attrs)


@settings(deadline=None, max_examples=100)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_a_window_gives_the_size_that_torch_gives(size, kernel, stride, dilation, padding):
    attrs = {"stride": stride, "dilation": dilation, "padding": padding * 2, "groups": 1}
    try:
        with torch.device("meta"):
            weight = torch.empty(7, 2, *kernel)
            expected = torch.conv2d(
                torch.empty(1, 2, *size), weight, None, stride, padding, dilation
            ).shape
    except RuntimeError:
        with pytest.raises(VerifyError, match="does not fit"):
            shape_of("conv2d", (1, 2, *size), (7, 2, *kernel), **attrs)
    else:
        assert shape_of("conv2d", (1, 2, *size), (7, 2, *kernel), **attrs) == expected


def test_padding_is_top_left_bottom_right():
    attrs = {**CONV, "padding": (1, 2, 3, 4)}
    assert shape_of("conv2d", (1, 1, 10, 10), (1, 1, 1, 1), **attrs) == (1, 1, 14, 16)
    pad = {"padding": (1, 2, 3, 4), "channels": (5, 6), "fill": 0.0}
    assert shape_of("pad", (1, 1, 10, 10), **pad) == (1, 12, 14, 16)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "shape"),
    [
        ("conv2d", ((1, 4, 5, 5), (6, 2, 3, 3), (6,)), {**CONV, "groups": 2}, (1, 6, 3, 3)),
        ("conv2d_add", ((1, 4, 5, 5), (1, 6, 3, 3), (6, 4, 3, 3)), CONV, (1, 6, 3, 3)),
        (
            "conv2d_pair",
            ((1, 4, 5, 5), (6, 4, 1, 1), (6,), (6, 1, 3, 3), (6,)),
            PAIR,
            (1, 6, 3, 3),
        ),
        ("linear", ((1, 4), (6, 4), (6,)), {}, (1, 6)),
        ("batch_norm", ((1, 4, 2, 2), (4,), (4,), (4,), (4,)), {"eps": 1e-5}, (1, 4, 2, 2)),
        ("scale_shift", ((1, 4), (4,), (4,)), {}, (1, 4)),
        ("max_pool", ((1, 4, 5, 6),), POOL, (1, 4, 4, 5)),
        ("avg_pool", ((1, 4, 5, 6),), {**POOL, "counted": (0, 0, 0, 0)}, (1, 4, 4, 5)),
        ("lrn", ((1, 4, 5, 6),), {"size": 5, "alpha": 1.0, "beta": 1.0, "k": 1.0}, (1, 4, 5, 6)),
        ("add", ((1, 4, 5, 6), (1, 4, 1, 1)), {}, (1, 4, 5, 6)),
        ("mul", ((1, 1, 5, 1), (1, 4, 1, 6)), {}, (1, 4, 5, 6)),
        ("sub", ((2, 4, 5, 6), (5, 1)), {}, (2, 4, 5, 6)),
        ("div", ((6,), (2, 1)), {}, (2, 6)),
        ("linear", ((2, 7, 7, 4), (6, 4)), {}, (2, 7, 7, 6)),
        ("prelu", ((2, 4, 3), (4,)), {}, (2, 4, 3)),
        ("adaptive_avg_pool", ((2, 4, 5, 6),), {"size": (3, 9)}, (2, 4, 3, 9)),
        ("adaptive_max_pool", ((2, 4, 5, 6),), {"size": (1, 1)}, (2, 4, 1, 1)),
        ("upsample_nearest", ((2, 4, 2, 1),), PLACES, (2, 4, 3, 1)),
        ("upsample_bilinear", ((2, 4, 2, 1), (3,), (1,)), PLACES, (2, 4, 3, 1)),
        ("layer_norm", ((2, 4, 5), (4,), (4,)), {"axis": 1, "eps": 1e-5}, (2, 4, 5)),
        ("layer_norm", ((2, 4, 5),), {"axis": 1, "eps": 1e-5}, (2, 4, 5)),
        ("softmax", ((2, 4, 5),), {"axis": 2}, (2, 4, 5)),
        ("mean", ((2, 4, 5),), {"axes": (2, 0)}, (1, 4, 1)),
        ("concat", ((1, 4, 5, 6), (1, 1, 5, 6), (1, 2, 5, 6)), {"axis": 1}, (1, 7, 5, 6)),
        ("concat", ((1, 4), (2, 4)), {"axis": 0}, (3, 4)),
        ("slice", ((1, 9),), {"axis": 1, "start": 2, "stop": 9, "step": 3}, (1, 3)),
        ("slice", ((1, 9),), {"axis": 1, "start": 2, "stop": 8, "step": 3}, (1, 2)),
        ("reshape", ((1, 4, 5, 6),), {"shape": (1, 2, 2, 5, 3, 2)}, (1, 2, 2, 5, 3, 2)),
        ("transpose", ((1, 4, 5, 6),), {"perm": (2, 0, 3, 1)}, (5, 1, 6, 4)),
        ("rbf", ((1, 84), (10, 84)), {}, (1, 10)),
        ("elementwise", ((1, 4, 5, 6),), {}, (1, 4, 5, 6)),
        ("quantize", ((1, 4, 5, 6),), SCALE, (1, 4, 5, 6)),
        ("dequantize", ((1, 4, 5, 6),), SCALE, (1, 4, 5, 6)),
        ("conv2d_int8", ((1, 4, 5, 5), (6, 4, 3, 3), *((6,),) * 3), CONV, (1, 6, 3, 3)),
        (
            "conv2d_add_int8",
            ((1, 4, 5, 5), (1, 6, 3, 3), (6, 4, 3, 3), *((6,),) * 3, (256,)),
            CONV,
            (1, 6, 3, 3),
        ),
        ("max_pool_int8", ((1, 4, 5, 6),), {**WINDOW, "kernel": (2, 3)}, (1, 4, 4, 4)),
        ("concat_int8", ((1, 4, 5, 6), (1, 3, 5, 6)), {}, (1, 7, 5, 6)),
        ("mul_int8", ((1, 4, 5, 6), (1, 4, 1, 1)), {}, (1, 4, 5, 6)),
        ("mean_int8", ((1, 4, 5, 6),), SCALE, (1, 4, 1, 1)),
        ("linear_int8", ((1, 4, 5, 6), (9, 4, 5, 6), (9,), (9,)), {}, (1, 9)),
    ],
)
def test_an_operation_gives_this_shape(op, inputs, attrs, shape):
    assert shape_of(op, *inputs, **attrs) == shape


def test_the_shapes_above_are_of_all_operations():
    mark = next(m for m in test_an_operation_gives_this_shape.pytestmark if m.name == "parametrize")
    assert {row[0] for row in mark.args[1]} | {"pad"} == set(OPS)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "words"),
    [
        ("conv2d", ((1, 4, 5, 5), (6, 3, 3, 3)), CONV, "4 channels"),
        ("conv2d", ((1, 4, 5, 5), (5, 2, 3, 3)), {**CONV, "groups": 2}, "2 groups"),
        ("conv2d_add", ((1, 4, 5, 5), (1, 6, 1, 1), (6, 4, 3, 3)), CONV, "an addend"),
        (
            "conv2d_pair",
            ((1, 4, 5, 5), (6, 4, 1, 1), (6,), (3, 1, 3, 3), (6,)),
            PAIR,
            "do not fit weight",
        ),
        (
            "conv2d_pair",
            ((1, 3, 5, 5), (6, 4, 1, 1), (6,), (6, 1, 3, 3), (6,)),
            PAIR,
            "3 channels, weight",
        ),
        (
            "conv2d_pair",
            ((1, 4, 5, 5), (6, 4, 1, 1), (6,), (6, 1, 3, 3), (5,)),
            PAIR,
            "do not fit together",
        ),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3)), {**CONV, "groups": 0}, "0 groups"),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3), (5,)), CONV, "do not fit"),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3)), {**CONV, "stride": (0, 1)}, "from 1 on"),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3)), {**CONV, "dilation": (1, 0)}, "from 1 on"),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3)), {**CONV, "padding": (0, 0, -1, 0)}, "from 0 on"),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3)), {**CONV, "padding": (0, 0)}, "padding four"),
        ("conv2d", ((1, 4, 5, 5), (6, 4, 3, 3)), {**CONV, "stride": (1,)}, "two numbers"),
        ("max_pool", ((1, 4, 5, 6),), {**POOL, "kernel": (0, 2)}, "from 1 on"),
        ("max_pool", ((1, 4, 5, 6),), {**POOL, "kernel": (6, 2)}, "does not fit"),
        ("linear", ((1, 4), (6, 5)), {}, "4 features"),
        ("linear", ((1, 4), (6, 4), (4,)), {}, "do not fit"),
        ("batch_norm", ((1, 4, 2, 2), (4,), (3,), (4,), (4,)), {"eps": 1e-5}, "4 channels"),
        ("scale_shift", ((1, 4), (1,), (4,)), {}, "4 channels"),
        ("lrn", ((1, 4, 2, 2),), {"size": 0, "alpha": 1.0, "beta": 1.0, "k": 1.0}, "0 channels"),
        ("add", ((1, 4, 5, 6), (1, 4, 5, 5)), {}, "do not broadcast"),
        ("mul", ((1, 4, 5, 6), (1, 4)), {}, "do not broadcast"),
        ("sub", ((2, 4), (3, 4)), {}, "do not broadcast"),
        ("concat", ((1, 4, 5, 6), (1, 4, 5, 5)), {"axis": 1}, "differ in more than axis 1"),
        ("concat", ((1, 4), (1, 4, 5)), {"axis": 1}, "differ"),
        ("concat", ((1, 4), (1, 4)), {"axis": 2}, r"axis 2 of \(1, 4\)"),
        ("avg_pool", ((1, 4, 5, 6),), {**POOL, "counted": (0, 1, 0, 0)}, "to the padding"),
        ("avg_pool", ((1, 4, 5, 6),), {**POOL, "counted": (0,)}, "four numbers"),
        ("prelu", ((1, 4, 5, 6), (1,)), {}, "4 channels"),
        ("adaptive_avg_pool", ((1, 4, 5, 6),), {"size": (0, 1)}, "from 1 on"),
        ("adaptive_max_pool", ((1, 4, 5, 6),), {"size": (1,)}, "a height and a width"),
        ("upsample_nearest", ((1, 4, 1, 1),), PLACES, "rows .*of a map that has 1"),
        ("upsample_nearest", ((1, 4, 2, 2),), {"rows": (0,), "columns": ()}, "columns"),
        ("upsample_bilinear", ((1, 4, 2, 1), (2,), (1,)), PLACES, "for 3 rows and 1 columns"),
        ("layer_norm", ((2, 4, 5), (5,), (5,)), {"axis": 1, "eps": 1e-5}, "do not fit axis 1"),
        ("layer_norm", ((2, 4), (4,)), {"axis": 1, "eps": 1e-5}, "do not fit axis 1"),
        ("softmax", ((2, 4),), {"axis": -1}, "axis -1"),
        ("mean", ((2, 4),), {"axes": ()}, "axes"),
        ("mean", ((2, 4),), {"axes": (1, 1)}, "axes"),
        ("mean", ((2, 4),), {"axes": (2,)}, "axes"),
        ("slice", ((1, 9),), {"axis": 1, "start": 2, "stop": 2, "step": 1}, "2:2:1"),
        ("slice", ((1, 9),), {"axis": 1, "start": 2, "stop": 10, "step": 1}, "2:10:1"),
        ("slice", ((1, 9),), {"axis": 1, "start": 2, "stop": 4, "step": 0}, "2:4:0"),
        ("reshape", ((1, 9),), {"shape": (1, 8)}, r"does not become \(1, 8\)"),
        ("reshape", ((1, 9),), {"shape": (1,) * 6 + (9,)}, "does not become"),
        ("transpose", ((1, 9),), {"perm": (1, 1)}, "every axis"),
        ("rbf", ((1, 84), (10, 83)), {}, "84 features"),
        ("pad", ((1, 1, 2, 2),), {"padding": (0, 0, 0, -1), "channels": (0, 0), "fill": 0.0}, "-1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_the_node_and_the_numbers(op, inputs, attrs, words):
    with pytest.raises(VerifyError, match=rf"^node 'node' \({op}\): .*{words}"):
        shape_of(op, *inputs, **attrs)


def test_every_step_of_an_epilogue_says_how_many_numbers_it_carries():
    assert all(isinstance(count, int) and count >= 0 for count in EPILOGUES.values())


def test_what_takes_no_epilogue_is_an_operation():
    assert set(OPS) >= WITHOUT_EPILOGUE
