"""Blurs against slow twins and scikit-image."""

import numpy as np
import pytest
from skimage import data, filters

from convforge.images.corruptions import Corruption
from convforge.images.corruptions.blur import disc, glass_sources

PHOTO = data.astronaut()[:97, 100:224]


def apply(name, severity, image=PHOTO):
    return Corruption(name, severity)(image, np.random.default_rng(0))


@pytest.mark.parametrize(("severity", "sigma"), [(1, 1), (5, 6)])
def test_a_gaussian_blur_is_that_of_scikit_image(severity, sigma):
    expected = filters.gaussian(PHOTO / 255, sigma, channel_axis=2) * 255
    assert np.abs(apply("gaussian_blur", severity) - (expected - 0.5)).max() < 0.501


@pytest.mark.parametrize(
    ("radius", "softness", "total"),
    [(3, 0.1, 1), (4, 0.5, 1), (8, 0.5, 1.01298), (10, 0.5, 1.01079)],
)
def test_a_disc_is_its_slow_twin(radius, softness, total):
    size = max(8, radius)
    reach = 1 if radius <= 8 else 2
    weights = [np.exp(-(k**2) / (2 * softness**2)) for k in range(-reach, reach + 1)]
    weights = [w / sum(weights) for w in weights]
    area = sum(x * x + y * y <= radius**2 for x in range(-20, 21) for y in range(-20, 21))

    def inside(y, x):
        x, y = (size - abs(size - abs(v)) for v in (x, y))  # mirrored at the rim
        return x * x + y * y <= radius**2

    expected = [
        [
            sum(
                v * w * inside(y + i, x + j)
                for i, v in enumerate(weights, -reach)
                for j, w in enumerate(weights, -reach)
            )
            / area
            for x in range(-size, size + 1)
        ]
        for y in range(-size, size + 1)
    ]
    np.testing.assert_allclose(disc(radius, softness), expected, atol=1e-12)
    assert disc(radius, softness).sum() == pytest.approx(total, abs=1e-5)


def test_out_of_focus_a_point_is_a_disc():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    found = apply("defocus_blur", 1, point)[:, :, 0]
    y, x = np.mgrid[-20:21, -20:21]
    np.testing.assert_array_equal(found > 0, x**2 + y**2 <= 9)
    assert found.max() == 255 // 29  # pixels of the disc


@pytest.mark.parametrize("size", [(9, 12), (5, 30), (4, 4), (1, 1)])
@pytest.mark.parametrize("reach", [1, 2, 4])
def test_glass_moves_pixels_as_one_after_another(size, reach):
    height, width = size
    rows, columns = max(0, height - 2 * reach), max(0, width - 2 * reach)
    moves = np.random.default_rng(0).integers(-reach, reach, (rows, columns, 2))
    expected = np.arange(height * width).reshape(size)
    for i, y in enumerate(range(height - reach, reach, -1)):
        for j, x in enumerate(range(width - reach, reach, -1)):
            right, down = moves[i, j]
            expected[y, x] = expected[y + down, x + right]
    np.testing.assert_array_equal(glass_sources(size, reach, moves), expected.ravel())


def test_motion_is_within_45_degrees_of_the_horizontal():
    point = np.zeros((101, 101, 3), np.uint8)
    point[50, 50] = 255
    ends = []
    for seed in range(40):
        found = Corruption("motion_blur", 5)(point, np.random.default_rng(seed))[:, :, 0]
        rows, columns = np.nonzero(found)
        ends.append((np.abs(rows - 50).max(), (50 - columns).max()))
        assert columns.max() <= 50
    assert all(down <= left for down, left in ends)
    assert len(set(ends)) > 10


def test_a_zoom_blurs_the_rim_and_not_the_middle():
    stripes = np.zeros((101, 101, 3), np.uint8)
    stripes[:, ::10] = 255
    found = apply("zoom_blur", 5, stripes)[50, :, 0].astype(int)
    assert found[45:56].max() > 2 * found[85:].max()
    assert found[85:].mean() > 15
