from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import conv_winograd
from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.family import Layout

SAME = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}


@pytest.fixture(params=conv_winograd.KERNELS, ids=lambda kernel: kernel.name)
def kernel(request):
    return request.param


@pytest.fixture
def make_conv(make_layer, draw):
    def make(fan_in, size, maps, *, bias=True, addend=False, epilogue=(), **attrs):
        constants = [draw(maps, fan_in, 3, 3), *([draw(maps)] if bias else [])]
        shapes = [(1, fan_in, *size), *([(1, maps, *size)] if addend else [])]
        op = "conv2d_add" if addend else "conv2d"
        layer = make_layer(op, shapes, *constants, epilogue=epilogue, **{**SAME, **attrs})
        return replace(layer, layouts=(Layout.BLOCKED,) * (len(shapes) + 1))

    return make


def edges(make_conv):
    """Sizes around tiles of 2 and 4, channels around blocks of 16, several blocks of tiles."""
    for size in ((1, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (7, 7), (8, 9), (14, 15)):
        yield make_conv(3, size, 5, epilogue=(("relu",),))
    for fan_in, maps in ((15, 16), (16, 17), (17, 31), (33, 33), (32, 48)):
        yield make_conv(fan_in, (6, 7), maps, bias=maps != 17)
    yield make_conv(5, (6, 9), 20, padding=(0, 0, 0, 0))
    yield make_conv(5, (6, 9), 20, padding=(2, 0, 1, 3))
    yield make_conv(16, (49, 50), 16, epilogue=(("clip", -9.0, 15.0),))
    for size in ((4, 8), (5, 7)):
        yield make_conv(17, size, 33, addend=True, epilogue=(("relu",),))
    yield make_conv(170, (23, 25), 35, epilogue=(("silu",),))


@pytest.mark.parametrize("level", native().levels, ids=lambda level: level.name)
def test_every_edge_at_every_level(run_layers, expected, make_conv, draw, kernel, level, has_level):
    """Within 1e-5 of the largest result, where a direct sum is within 1e-6."""
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = list(edges(make_conv))
    inputs = [[draw(*shape) for shape in layer.inputs] for layer in layers]
    results = run_layers(layers, inputs, kernels=[kernel] * len(layers), flags=level.flags)
    for layer, xs, result in zip(layers, inputs, results, strict=True):
        truth = expected(layer, xs)
        assert np.abs(result - truth).max() <= 1e-5 * np.abs(truth).max(), layer


@pytest.mark.parametrize(
    "level", for_precision(native(), "bf16").levels, ids=lambda level: level.name
)
def test_maps_of_bf16_at_every_level(make_conv, check_bf16, kernel, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [
        make_conv(fan_in, size, maps, addend=addend, epilogue=steps)
        for fan_in, size, maps, addend, steps in (
            (8, (1, 2), 5, False, (("relu",),)),
            (48, (6, 7), 40, True, (("relu",),)),
            (34, (8, 9), 65, True, (("silu",),)),
            (16, (13, 14), 16, False, (("clip", -9.0, 15.0),)),
        )
    ]
    layers = [replace(one, layouts=(Layout.BF16,) * (len(one.inputs) + 1)) for one in layers]
    check_bf16(layers, kernels=[kernel] * len(layers), flags=level.flags)


def test_large_maps_go_to_large_tiles_and_small_ones_save_weights(make_conv):
    names = {size: select(make_conv(256, (size, size), 256)).name for size in (7, 14, 28)}
    assert names == {7: "conv_winograd_2", 14: "conv_winograd_4", 28: "conv_winograd_4"}


def test_it_takes_3x3_without_stride_dilation_and_groups_only(make_layer, make_conv, draw, kernel):
    reason = "not 3x3 without stride, dilation and groups"
    for attrs in ({"stride": (1, 2)}, {"dilation": (2, 1)}):
        assert kernel.refuses(make_conv(4, (9, 9), 4, **attrs)) == reason
    layer = make_layer("conv2d", [(1, 4, 9, 9)], draw(4, 2, 3, 3), **{**SAME, "groups": 2})
    assert kernel.refuses(layer) == reason
    layer = make_layer("conv2d", [(1, 4, 9, 9)], draw(4, 4, 3, 1), **SAME)
    assert kernel.refuses(layer) == reason
    assert kernel.refuses(make_layer("add", [(1, 4, 2, 2)] * 2)) == "not a convolution"
