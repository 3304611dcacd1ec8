from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convforge.errors import DataError
from convforge.images.augment import flip, shift


def batch_of(count: int, height: int, width: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(count + height * 3 + width * 7 + channels)
    return rng.integers(0, 256, (count, height, width, channels), np.uint8)


def shift_one_by_one(batch, *, pixels, generator):
    """The slow twin: every pixel looks where it came from."""
    count, height, width, channels = batch.shape
    moves = generator.integers(-pixels, pixels + 1, size=(count, 2))
    out = np.empty_like(batch)
    for n in range(count):
        for c in range(channels):
            border = [batch[n, y, x, c] for y in (0, height - 1) for x in range(width)]
            border += [batch[n, y, x, c] for y in range(1, height - 1) for x in (0, width - 1)]
            background = sorted(border)[(len(border) - 1) // 2]
            for y in range(height):
                for x in range(width):
                    from_y, from_x = y - moves[n, 0], x - moves[n, 1]
                    inside = 0 <= from_y < height and 0 <= from_x < width
                    out[n, y, x, c] = batch[n, from_y, from_x, c] if inside else background
    return out


def flip_one_by_one(batch, generator):
    chances = zip(batch, generator.random(len(batch)), strict=True)
    return np.stack([np.fliplr(image) if c < 0.5 else image for image, c in chances])


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 5),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    channels=st.sampled_from([1, 3]),
    data=st.data(),
)
def test_shift_is_its_slow_twin(count, height, width, channels, data):
    batch = batch_of(count, height, width, channels)
    pixels = data.draw(st.integers(0, min(height, width) - 1))
    seed = data.draw(st.integers(0, 99))
    expected = shift_one_by_one(batch, pixels=pixels, generator=np.random.default_rng(seed))
    moved = shift(batch, pixels=pixels, generator=np.random.default_rng(seed))
    np.testing.assert_array_equal(moved, expected)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_flip_is_its_slow_twin(count, width, seed):
    batch = batch_of(count, 4, width, 3)
    expected = flip_one_by_one(batch, np.random.default_rng(seed))
    np.testing.assert_array_equal(flip(batch, np.random.default_rng(seed)), expected)


def test_every_move_in_reach_is_drawn_about_equally_often():
    batch = np.zeros((5000, 9, 9, 1), np.uint8)
    batch[:, 4, 4] = 255
    places = np.argwhere(shift(batch, pixels=2, generator=np.random.default_rng(0)))[:, 1:3] - 4
    moves, counts = np.unique(places, axis=0, return_counts=True)
    assert moves.tolist() == [[y, x] for y in range(-2, 3) for x in range(-2, 3)]
    assert counts.min() > 140  # 200 expected, standard deviation 14
    assert counts.max() < 260


def test_half_of_a_batch_is_flipped():
    batch = np.zeros((5000, 1, 2, 1), np.uint8)
    batch[:, :, 0] = 1
    flipped = flip(batch, np.random.default_rng(0))[:, 0, 1, 0].sum()
    assert abs(int(flipped) - 2500) < 150  # standard deviation 35


@pytest.mark.parametrize(("background", "ink"), [(0, 255), (255, 0), (90, 200)])
def test_the_background_is_what_comes_in(background, ink):
    image = np.full((1, 12, 12, 3), background, np.uint8)
    image[:, 3:9, 5:12] = ink  # touches the border
    for seed in range(20):
        moved = shift(image, pixels=3, generator=np.random.default_rng(seed))
        assert set(np.unique(moved)) <= {background, ink}
        assert (moved == ink).sum() <= (image == ink).sum()


def test_the_batch_that_goes_in_stays_as_it_is():
    batch = batch_of(16, 8, 8, 3)
    before = batch.copy()
    shift(batch, pixels=2, generator=np.random.default_rng(0))
    flip(batch, np.random.default_rng(0))
    np.testing.assert_array_equal(batch, before)


def test_an_empty_batch_stays_empty():
    empty = np.empty((0, 8, 8, 1), np.uint8)
    assert shift(empty, pixels=2, generator=np.random.default_rng(0)).shape == empty.shape
    assert flip(empty, np.random.default_rng(0)).shape == empty.shape


@pytest.mark.parametrize("pixels", [-1, 5, 6])
def test_a_shift_that_leaves_nothing_of_the_image_is_refused(pixels):
    with pytest.raises(DataError, match=rf"expected 0…4 pixels for images of 9x5, got {pixels}"):
        shift(batch_of(2, 5, 9, 1), pixels=pixels, generator=np.random.default_rng(0))
