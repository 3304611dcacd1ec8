"""Filters against scipy's, and the trail of a point against its definition."""

import math

import numpy as np
import pytest
from scipy import ndimage

from convforge.images.corruptions.filters import (
    convolved,
    eight_bits,
    motion_kernel,
    smoothed,
    zoomed,
)

SCIPY = {"edge": "nearest", "reflect": "mirror", "symmetric": "reflect"}
SIZES = [(1, 1), (1, 9), (2, 3), (16, 15), (33, 40)]


def drawn(*shape):
    return np.random.default_rng(0).random(shape)


@pytest.mark.parametrize("edges", SCIPY)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sigma", [0.3, 1.5, 30])
def test_a_gaussian_is_scipys(size, sigma, edges):
    x = drawn(*size, 3)
    expected = ndimage.gaussian_filter(x, (sigma, sigma, 0), mode=SCIPY[edges], truncate=3)
    np.testing.assert_allclose(smoothed(x, sigma, truncate=3, edges=edges), expected, atol=1e-12)
    plane = smoothed(x[:, :, 0], sigma, truncate=3, edges=edges)
    np.testing.assert_allclose(plane, expected[:, :, 0], atol=1e-12)


@pytest.mark.parametrize("edges", SCIPY)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [0, 1, 5])
def test_a_sum_over_squares_is_scipys(size, radius, edges):
    x, kernel = drawn(*size, 3), drawn(2 * radius + 1, 2 * radius + 1)
    expected = ndimage.correlate(x, kernel[:, :, None], mode=SCIPY[edges])
    np.testing.assert_allclose(convolved(x, kernel, edges=edges), expected, atol=1e-11)


@pytest.mark.parametrize("angle", [0, 30, 45, -45, -90, -135, 17.3])
@pytest.mark.parametrize(("radius", "sigma"), [(10, 3), (20, 15)])
def test_a_point_leaves_a_line_of_the_right_length_direction_and_weight(radius, sigma, angle):
    point = np.zeros((101, 101, 1))
    point[50, 50] = 1
    trail = convolved(point, motion_kernel(radius, sigma, angle), edges="edge")[:, :, 0]
    assert trail.sum() == pytest.approx(1)
    rows, columns = np.nonzero(trail > 1e-12)
    away = np.hypot(rows - 50, columns - 50)
    assert away.max() == pytest.approx(2 * radius, abs=0.75)
    # The image comes from along the angle, so the point goes against it.
    direction = -math.sin(math.radians(angle)), -math.cos(math.radians(angle))
    along = (rows - 50) * direction[0] + (columns - 50) * direction[1]
    across = (rows - 50) * direction[1] - (columns - 50) * direction[0]
    assert along.min() > -0.75
    assert np.abs(across).max() < 0.75
    taps = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    mean = np.sum(np.arange(2 * radius + 1) * taps) / taps.sum()
    assert np.sum(along * trail[rows, columns]) == pytest.approx(mean, abs=0.2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("zoom", [1, 1.03, 1.31, 2.5, 4])
def test_a_zoom_is_scipys_middle(size, zoom):
    x = drawn(*size, 1)
    height, width = size
    inner = [math.ceil(n / zoom) for n in size]
    top, left = ((n - m) // 2 for n, m in zip(size, inner, strict=True))
    middle = x[top : top + inner[0], left : left + inner[1], 0]
    large = ndimage.zoom(middle, zoom, order=1)
    top, left = ((m - n) // 2 for n, m in zip(size, large.shape, strict=True))
    expected = large[top : top + height, left : left + width]
    np.testing.assert_allclose(zoomed(x, zoom)[:, :, 0], expected, atol=2e-6)


def test_values_are_cut_to_eight_bits_but_not_below_whole_ones():
    x = np.array([[[-0.1, 0.9999 / 255, 1 - 1e-12, 17 / 255 - 1e-12, 1.7]]])
    assert eight_bits(x).tolist() == [[[0, 0, 255, 17, 255]]]
