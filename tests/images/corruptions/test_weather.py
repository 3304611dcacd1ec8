"""Weather against slow twins and its own definitions."""

import colorsys

import numpy as np
import pytest
from skimage import data

from convforge.images.corruptions import Corruption
from convforge.images.corruptions.weather import fog, plasma, snow

PHOTO = data.astronaut()[:224, 100:340]


@pytest.mark.parametrize("size", [2, 16])
def test_plasma_is_its_slow_twin(size):
    draws = np.random.default_rng(5)
    heights = {(0, 0): 0.0}
    step, rough = size, 1.0

    def fill(points, offsets):
        values = draws.uniform(-rough, rough, len(points))
        for (y, x), value in zip(points, values, strict=True):
            around = [heights[(y + i) % size, (x + j) % size] for i, j in offsets]
            heights[y, x] = sum(around) / 4 + value

    while step > 1:
        half = step // 2
        grid = [(y, x) for y in range(0, size, step) for x in range(0, size, step)]
        diagonal = [(i, j) for i in (-half, half) for j in (-half, half)]
        straight = [(0, half), (0, -half), (half, 0), (-half, 0)]
        fill([(y + half, x + half) for y, x in grid], diagonal)
        fill([(y, x + half) for y, x in grid], straight)
        fill([(y + half, x) for y, x in grid], straight)
        step, rough = half, rough / 1.7**2
    expected = np.array([[heights[y, x] for x in range(size)] for y in range(size)])
    expected = (expected - expected.min()) / np.ptp(expected)
    np.testing.assert_allclose(plasma(size, 1.7, np.random.default_rng(5)), expected, atol=1e-12)


def test_fog_shifts_the_mean_by_its_clouds_and_keeps_the_brightest_value():
    x = PHOTO / 255
    clouds = plasma(256, 1.5, np.random.default_rng(2))[:224, :240]
    found = fog(x, (2.5, 1.5), np.random.default_rng(2))
    assert found.mean() == pytest.approx(
        (x.mean() + 2.5 * clouds.mean()) * x.max() / (x.max() + 2.5)
    )
    assert found.max() <= x.max()
    assert found.std() < x.std()
    # The same cloud before all channels.
    np.testing.assert_allclose(np.ptp(found - x * x.max() / (x.max() + 2.5), axis=2), 0, atol=1e-12)


def test_fog_leaves_black_black():
    assert not fog(np.zeros((20, 30, 3)), (1.5, 2), np.random.default_rng(0)).any()


def test_snow_on_black_falls_from_both_sides_over_half_grey():
    level = (0.1, 0.3, 3, 0.5, 10, 4, 0.8)
    found = snow(np.zeros((120, 100, 3)), level, np.random.default_rng(0))
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-12)
    assert found.min() == pytest.approx(0.2 * 0.5)
    assert np.ptp(found, axis=2).max() == 0
    assert 0.02 < np.mean(found > 0.2) < 0.6


def test_flakes_are_longer_down_than_across():
    level = (0.1, 0.3, 3, 0.5, 10, 4, 0.8)
    down = across = 0.0
    for seed in range(10):
        flakes = snow(np.zeros((224, 224, 3)), level, np.random.default_rng(seed))[:, :, 0]
        down += np.abs(np.diff(flakes, axis=0)).mean()
        across += np.abs(np.diff(flakes, axis=1)).mean()
    assert down < 0.8 * across


def test_brightness_adds_to_the_value_and_keeps_hue_and_saturation():
    for colour in ((100, 50, 20), (0, 0, 0), (250, 10, 10)):
        image = np.full((2, 2, 3), colour, np.uint8)
        h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
        expected = [255 * c for c in colorsys.hsv_to_rgb(h, s, min(1, v + 0.3))]
        found = Corruption("brightness", 3)(image, np.random.default_rng(0))
        np.testing.assert_allclose(found[0, 0], expected, atol=1)
