from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.backend.runs import pack_runs


def read(packed):
    """The blob again, as the page reads it."""
    numbers, start = [], 0
    for count, bits in packed.runs:
        kind = {16: "<f2", 32: "<f4"}[bits]
        numbers.append(np.frombuffer(packed.data, kind, count, start).astype(np.float32))
        start += count * bits // 8
    assert start == len(packed.data)
    return np.concatenate(numbers) if numbers else np.zeros(0, np.float32)


def blob(*parts):
    generator = np.random.default_rng(0)
    numbers = [generator.standard_normal(size, np.float32) for size, _ in parts]
    halves = [array.astype(np.float16).astype(np.float32) for array in numbers]
    pairs = zip(parts, numbers, halves, strict=True)
    return np.concatenate([half if rounded else whole for (_, rounded), whole, half in pairs])


def test_halves_and_whole_numbers_become_runs():
    packed = pack_runs(blob((640, True), (128, False), (192, True)))
    assert packed.runs == ((640, 16), (128, 32), (192, 16))
    assert len(packed.data) == 2 * 640 + 4 * 128 + 2 * 192


@pytest.mark.parametrize("size", [0, 16, 48, 64, 80, 4096])
@pytest.mark.parametrize("rounded", [True, False])
def test_nothing_is_lost(size, rounded):
    whole = blob((size, rounded), (16, not rounded))
    np.testing.assert_array_equal(read(pack_runs(whole)).view(np.uint32), whole.view(np.uint32))


def test_special_numbers_are_kept_to_the_bit():
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, 65520.0, 2**-24, 2**-25, 1e-40]
    for number in special:
        whole = np.full(64, number, np.float32)
        np.testing.assert_array_equal(read(pack_runs(whole)).view(np.uint32), whole.view(np.uint32))


def test_weights_of_one_byte_keep_every_bit():
    generator = np.random.default_rng(0)
    bytes_ = generator.integers(-127, 128, 4 * 640).astype(np.int8)
    bytes_[:1024].reshape(-1, 4)[:] = (0, -96, -64, 127)  # a NaN with a sign of its own
    whole = bytes_.view(np.float32)
    packed = pack_runs(whole)
    assert packed.runs == ((640, 32),)
    assert packed.data == bytes_.tobytes()


def test_numbers_that_float16_lacks_are_never_halved():
    whole = np.zeros(64, np.float32)
    whole[63] = 65520.0
    assert pack_runs(whole).runs == ((64, 32),)
