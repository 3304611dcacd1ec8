from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.ir.ops import OPS
from convforge.compiler.kernels.catalog import KERNELS, choices, select
from convforge.compiler.kernels.family import Layout, all_planar
from convforge.errors import UnsupportedError

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
PAIR = WINDOW | {f"mix_{key}": value for key, value in WINDOW.items()}
SCALE = {"scale": 0.5, "zero": 3}
CONV_INT8 = {**WINDOW, "groups": 1, "zero_in": 0, **SCALE}

# operation: shapes of computed inputs, shapes of constants, attributes
EXAMPLES = {
    "conv2d": ([(1, 3, 6, 6)], [(4, 3, 3, 3)], {**WINDOW, "groups": 1}),
    "conv2d_add": ([(1, 3, 6, 6), (1, 4, 4, 4)], [(4, 3, 3, 3)], {**WINDOW, "groups": 1}),
    "conv2d_pair": ([(1, 3, 6, 6)], [(4, 3, 1, 1), (4,), (4, 1, 3, 3), (4,)], PAIR),
    "linear": ([(1, 3)], [(4, 3)], {}),
    "scale_shift": ([(1, 3)], [(3,), (3,)], {}),
    "max_pool": ([(1, 3, 6, 6)], [], {**WINDOW, "kernel": (2, 2)}),
    "avg_pool": ([(1, 3, 6, 6)], [], {**WINDOW, "kernel": (2, 2), "counted": (0, 0, 0, 0)}),
    "pad": ([(1, 3, 6, 6)], [], {"padding": (1,) * 4, "channels": (0, 0), "fill": 0.0}),
    "lrn": ([(1, 3, 6, 6)], [], {"size": 3, "alpha": 1.0, "beta": 1.0, "k": 1.0}),
    "add": ([(1, 3), (1, 3)], [], {}),
    "sub": ([(1, 3), (1, 3)], [], {}),
    "mul": ([(1, 3), (1, 3)], [], {}),
    "div": ([(1, 3), (1, 3)], [], {}),
    "prelu": ([(1, 3)], [(3,)], {}),
    "adaptive_avg_pool": ([(1, 3, 6, 6)], [], {"size": (4, 5)}),
    "adaptive_max_pool": ([(1, 3, 6, 6)], [], {"size": (4, 5)}),
    "upsample_nearest": ([(1, 3, 2, 2)], [], {"rows": (0, 1, 1), "columns": (0,)}),
    "upsample_bilinear": ([(1, 3, 2, 2)], [(3,), (1,)], {"rows": (0, 1, 1), "columns": (0,)}),
    "layer_norm": ([(1, 3, 2, 2)], [(3,), (3,)], {"axis": 1, "eps": 1e-6}),
    "softmax": ([(1, 3)], [], {"axis": 1}),
    "mean": ([(2, 3)], [], {"axes": (0,)}),
    "concat": ([(1, 3), (1, 3)], [], {"axis": 1}),
    "slice": ([(1, 3)], [], {"axis": 1, "start": 0, "stop": 3, "step": 2}),
    "transpose": ([(1, 3)], [], {"perm": (1, 0)}),
    "rbf": ([(1, 3)], [(4, 3)], {}),
    "elementwise": ([(1, 3)], [], {}),
    "quantize": ([(1, 3, 6, 6)], [], SCALE),
    "dequantize": ([(1, 3, 6, 6)], [], SCALE),
    "conv2d_int8": ([(1, 3, 6, 6)], [(8, 3, 3, 3), *((8,),) * 3], CONV_INT8),
    "conv2d_add_int8": (
        [(1, 3, 6, 6), (1, 8, 4, 4)],
        [(8, 3, 3, 3), *((8,),) * 3],
        {**CONV_INT8, "addend": 4096},
    ),
    "max_pool_int8": ([(1, 8, 6, 6)], [], {**WINDOW, "kernel": (2, 2), **SCALE}),
    "concat_int8": ([(1, 8, 6, 6), (1, 9, 6, 6)], [], SCALE),
    "mul_int8": ([(1, 8, 6, 6), (1, 8, 1, 1)], [], {"zero_in": 0, "ratio": 1.0, **SCALE}),
    "mean_int8": ([(1, 8, 6, 6)], [], SCALE),
    "linear_int8": ([(1, 8, 6, 6)], [(4, 8, 6, 6), (4,), (4,)], {"zero_in": 0}),
}


@pytest.fixture
def example(make_layer, draw):
    """An operation's example, planar unless no kernel knows it so."""

    def make(op):
        shapes, constants, attrs = EXAMPLES[op]
        layer = make_layer(op, shapes, *(draw(*shape) for shape in constants), **attrs)
        known = [choice.layouts for choice, _ in choices(layer)]
        planar = all_planar(layer)[0]
        return replace(layer, layouts=planar if planar in known else known[0])

    return make


def test_every_operation_that_is_left_after_the_passes_has_a_kernel(example):
    # a reshape moves nothing and batch_norm is folded
    assert set(EXAMPLES) == set(OPS) - {"reshape", "batch_norm"}
    assert all(select(example(op)) in KERNELS for op in EXAMPLES)


def test_the_cheapest_that_accepts_is_chosen(example):
    for op in EXAMPLES:
        layer = example(op)
        costs = [cost for choice, cost in choices(layer) if choice.layouts == layer.layouts]
        assert select(layer).cost(layer) == min(costs)


def test_layouts_narrow_the_choice(make_layer):
    layer = make_layer("max_pool", [(1, 3, 6, 6)], **WINDOW, kernel=(2, 2))
    blocked = Layout.BLOCKED, Layout.BLOCKED
    assert [choice.layouts for choice, _ in choices(layer)] == [*all_planar(layer), blocked]
    assert blocked in select(replace(layer, layouts=blocked)).layouts(layer)
    with pytest.raises(UnsupportedError, match="knows other layouts"):
        select(replace(layer, layouts=(Layout.PLANAR, Layout.BLOCKED)))


def test_a_layer_that_no_kernel_takes_is_refused_with_every_reason(make_layer, draw):
    statistics = [draw(3) for _ in range(4)]
    layer = make_layer("batch_norm", [(1, 3)], *statistics, eps=1e-5)
    with pytest.raises(
        UnsupportedError, match=r"layer 'layer' \(batch_norm\): no kernel"
    ) as caught:
        select(layer)
    assert all(f"{kernel.name}: {kernel.refuses(layer)}" in str(caught.value) for kernel in KERNELS)


def test_no_two_kernels_have_one_name():
    assert len({kernel.name for kernel in KERNELS}) == len(KERNELS)
