"""Noise has the strength that its level says."""

import numpy as np
import pytest

from convforge.images.corruptions import Corruption

GREY = np.full((300, 300, 3), 128, np.uint8)


def apply(name, severity, image):
    return Corruption(name, severity)(image, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "deviation"),
    [("gaussian_noise", 0.18), ("shot_noise", np.sqrt(0.5 / 12)), ("speckle_noise", 0.5 * 0.35)],
)
def test_noise_has_the_deviation_of_its_level(name, deviation):
    assert apply(name, 3, GREY).std() / 255 == pytest.approx(deviation, rel=0.05)


def test_impulses_are_as_many_as_the_level_says_and_half_of_them_white():
    found = apply("impulse_noise", 4, GREY)
    assert np.mean(found != 128) == pytest.approx(0.17, abs=0.003)
    assert np.mean(found == 255) == pytest.approx(0.085, abs=0.003)
