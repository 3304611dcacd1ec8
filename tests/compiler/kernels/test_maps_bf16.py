from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import maps_bf16
from convforge.compiler.kernels.family import Layout

KERNEL = maps_bf16.KERNEL
PLANAR, BLOCKED, BF16 = Layout.PLANAR, Layout.BLOCKED, Layout.BF16
POOL = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 1, 1, 1)}


@pytest.mark.parametrize(
    "level", for_precision(native(), "bf16").levels, ids=lambda level: level.name
)
def test_every_level_gives_what_is_meant(make_layer, check_bf16, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [
        replace(make_layer("elementwise", [shape], epilogue=steps), layouts=layouts)
        for shape in ((2, 3, 7, 9), (1, 4, 33, 32), (2, 40, 5, 7), (1, 65, 3, 3), (1, 64, 4, 5))
        for layouts in ((PLANAR, BF16), (BLOCKED, BF16), (BF16, PLANAR), (BF16, BLOCKED))
        for steps in ((), (("relu",),))
    ]
    layers += [
        replace(make_layer("elementwise", [shape]), layouts=layouts)
        for shape in ((1, 77), (1, 3))
        for layouts in ((PLANAR, BF16), (BF16, PLANAR), (BF16, BF16))
    ]
    pool = make_layer("max_pool", [(1, 70, 9, 8)], **POOL, kernel=(3, 2))
    mean = make_layer("mean", [(2, 70, 9, 8)], axes=(2, 3), epilogue=(("relu",),))
    layers += [
        replace(pool, layouts=(BF16, BF16)),
        replace(mean, layouts=(BF16, PLANAR)),
        replace(make_layer("mul", [(1, 70, 4, 5), (1, 70, 1, 1)]), layouts=(BF16, PLANAR, BF16)),
        replace(make_layer("mul", [(1, 32, 1, 1), (1, 32, 4, 5)]), layouts=(BLOCKED, BF16, BF16)),
        replace(
            make_layer("concat", [(1, 40, 3, 4), (1, 33, 3, 4), (1, 5, 3, 4)], axis=1),
            layouts=(BF16,) * 4,
        ),
    ]
    check_bf16(layers, flags=level.flags, kernels=[KERNEL] * len(layers))


def test_a_mean_takes_whole_maps(make_layer):
    size = {"kernel": (5, 5), "stride": (1, 1), "dilation": (1, 1), "counted": (0,) * 4}
    whole = make_layer("avg_pool", [(1, 8, 5, 5)], **size, padding=(0,) * 4)
    assert KERNEL.refuses(whole) is None
    assert KERNEL.refuses(make_layer("adaptive_avg_pool", [(1, 8, 5, 5)], size=(1, 1))) is None
    assert KERNEL.refuses(make_layer("adaptive_avg_pool", [(1, 8, 5, 5)], size=(2, 1)))
    assert KERNEL.refuses(make_layer("mean", [(1, 8, 5, 5)], axes=(3,)))


def test_it_refuses_other_arithmetic(make_layer, draw):
    assert KERNEL.refuses(make_layer("mul", [(1, 8, 5, 5), (1, 8, 5, 5)]))
    assert KERNEL.refuses(make_layer("mul", [(1, 8, 5, 5)], draw(1, 8, 1, 1)))
    assert KERNEL.refuses(make_layer("mul", [(1, 8, 5, 5), (5,)]))
    assert KERNEL.refuses(make_layer("add", [(1, 8, 5, 5), (1, 8, 1, 1)]))
    assert KERNEL.refuses(make_layer("concat", [(1, 8, 5, 5)] * 2, axis=2))
    assert KERNEL.refuses(make_layer("concat", [(1, 8, 5, 5), (1, 3, 5, 5)], axis=1))
    assert KERNEL.refuses(make_layer("elementwise", [(1, 2, 3)]))


def test_halves_are_rounded_to_the_even_number(make_layer, run_layers):
    x = np.float32([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, np.inf, np.nan, 3e38, 3.4e38])[None]
    layer = replace(make_layer("elementwise", [x.shape]), layouts=(PLANAR, BF16))
    for level in for_precision(native(), "bf16").levels[-1:]:
        (found,) = run_layers([layer], [[x]], kernels=[KERNEL], flags=level.flags)
        expected = [1, 1 + 2**-6, -1, np.inf, np.nan, 3e38, np.inf]
        np.testing.assert_allclose(found[0], expected, rtol=2**-8)
        assert found[0, :3].tolist() == expected[:3]
