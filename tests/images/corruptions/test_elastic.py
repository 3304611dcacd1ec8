"""Elastic distortion against scipy's, and how far it moves what."""

import numpy as np
import pytest
from scipy import ndimage

from convforge.images.corruptions.elastic import elastic

SIDE = 244 / 224


def places(height, width):
    """An image whose colours are its pixels' places: right, down, none."""
    y, x = np.mgrid[:height, :width].astype(float)
    return np.stack([x, y, np.zeros_like(x)], axis=2)


@pytest.mark.parametrize("size", [(60, 60), (40, 70), (9, 5)])
def test_ripples_are_scipys(size):
    level = (0.12, 0.01, 0.0)
    side = SIDE * min(size)
    x = np.random.default_rng(0).random((*size, 3))
    found = elastic(x, level, np.random.default_rng(1))
    again = np.random.default_rng(1)
    again.uniform(size=(3, 2))
    right, down = (
        0.12 * side * ndimage.gaussian_filter(again.uniform(-1, 1, size), 0.01 * side, truncate=3)
        for _ in range(2)
    )
    y, x_ = np.mgrid[: size[0], : size[1]].astype(float)
    planes = [
        ndimage.map_coordinates(x[:, :, c], [y + down, x_ + right], order=1, mode="reflect")
        for c in range(3)
    ]
    np.testing.assert_allclose(found, np.stack(planes, axis=2), atol=1e-9)


@pytest.mark.parametrize("size", [(90, 90), (60, 100)])
def test_three_points_go_where_they_are_drawn_to(size):
    found = elastic(places(*size), (0, 0.01, 0.1), np.random.default_rng(3))
    jitter = 0.1 * SIDE * min(size)
    reach = min(size) // 3
    before = np.array([size[1] // 2, size[0] // 2]) + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + np.random.default_rng(3).uniform(-jitter, jitter, (3, 2))
    assert np.abs(after - before).max() > 2
    for (x, y), there in zip(after, before, strict=True):
        came = [ndimage.map_coordinates(found[:, :, c], [[y], [x]], order=1)[0] for c in range(2)]
        np.testing.assert_allclose(came, there, atol=1e-6)


@pytest.mark.parametrize(
    ("level", "most"),
    [((0.05, 0.01, 0.02), 25), ((0.07, 0.01, 0.02), 27), ((0.12, 0.01, 0.02), 32)],
)
def test_ripples_move_pixels_by_so_much_at_most(level, most):
    # Four times the jitter at the corners, the noise's smoothed peaks, and what both stretch.
    at = places(224, 224)
    for seed in range(5):
        moved = elastic(at, level, np.random.default_rng(seed)) - at
        away = np.hypot(moved[:, :, 0], moved[:, :, 1])
        assert away.max() < most
        assert away.mean() > 1


def test_the_outside_is_the_mirrored_inside():
    grey = np.full((30, 30, 3), 0.3)
    found = elastic(grey, (2, 0.08, 0.2), np.random.default_rng(0))
    np.testing.assert_allclose(found, 0.3, atol=1e-12)
