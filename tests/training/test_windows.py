"""Windows resized by products are the crops of the processor, drawn by the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convforge.images.augment import Augment
from convforge.training.windows import Windows, cut


def pictures(channels=3):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (60 + 5 * i, 90 - 4 * i, channels), np.uint8) for i in range(12)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(48, 32), (96, 110)])
@pytest.mark.parametrize("flip", [False, True])
def test_they_are_the_crops_and_mirrors_of_the_processor(channels, size, flip):
    augment = Augment(crop="resized", scale=(0.05, 1.0), flip=flip)
    images = pictures(channels)
    expected = augment.pixels(images, size=size, generator=np.random.default_rng(5))
    boxes, mirrored = augment.boxes(images, generator=np.random.default_rng(5))
    assert mirrored.any() == flip
    found = cut(images, boxes, mirrored).to("cpu").resized(size)
    assert found.shape == expected.shape
    assert found.dtype == torch.uint8
    # torch rounds between rows and columns too
    assert np.abs(found.numpy().astype(int) - expected).max() <= 1


def test_both_leave_the_generator_in_one_state():
    augment = Augment(crop="resized", flip=True)
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    augment.pixels(pictures(), size=(8, 8), generator=one)
    augment.boxes(pictures(), generator=other)
    assert one.random() == other.random()


@pytest.mark.parametrize(
    "augment",
    [
        Augment(crop="random"),
        Augment(crop="resized", shift=2),
        Augment(crop="resized", operations=1),
    ],
)
def test_where_more_than_resizing_is_done_nothing_is_drawn(augment):
    generator = np.random.default_rng(1)
    assert augment.boxes(pictures(), generator=generator) is None
    assert generator.random() == np.random.default_rng(1).random()


def test_what_lies_beside_a_window_does_not_count():
    small = np.full((4, 4, 1), 90, np.uint8)
    pixels = torch.full((1, 9, 7, 1), 255, dtype=torch.uint8)
    pixels[0, :4, :4] = torch.from_numpy(small)
    sides, mirrored = torch.tensor([[4, 4]]), torch.tensor([True])
    assert (Windows(pixels, sides, mirrored).resized((3, 6)) == 90).all()
