from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convforge.errors import DataError, RecipeError
from convforge.images.warp import (
    ASPECTS,
    ATTEMPTS,
    draw_boxes,
    flip,
    rand_augment,
    random_crop,
    resized_crop,
    shift,
)


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


# ---- crops ----


def ragged(*sides, channels=3):
    return [batch_of(1, height, width, channels)[0] for height, width in sides]


def test_a_random_crop_is_a_window_of_each_image():
    images = ragged((5, 7), (4, 4), (9, 5))
    crops = random_crop(images, size=(4, 4), generator=np.random.default_rng(0))
    for crop, image in zip(crops, images, strict=True):
        windows = [
            image[top : top + 4, left : left + 4]
            for top in range(image.shape[0] - 3)
            for left in range(image.shape[1] - 3)
        ]
        assert any((crop == window).all() for window in windows)


def test_every_place_of_a_random_crop_is_drawn_about_equally_often():
    batch = np.broadcast_to(np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1), (6000, 3, 4, 1))
    corners = random_crop(batch, size=(2, 3), generator=np.random.default_rng(0))[:, 0, 0, 0]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 4, 5]
    assert counts.min() > 1350  # 1500 expected, standard deviation 34
    assert counts.max() < 1650


def test_a_random_crop_that_does_not_fit_is_refused():
    with pytest.raises(RecipeError, match="a crop of 6x5 does not fit an image of 7x4"):
        random_crop(ragged((4, 7)), size=(5, 6), generator=np.random.default_rng(0))


def boxes_one_by_one(sides, *, scale, generator):
    """The slow twin, in torchvision's words, on the same draws."""
    shares = generator.uniform(*scale, size=(len(sides), ATTEMPTS))
    logs = generator.uniform(*np.log(ASPECTS), size=(len(sides), ATTEMPTS))
    places = generator.random((len(sides), 2))
    boxes = []
    for n, (height, width) in enumerate(sides.tolist()):
        for share, log in zip(shares[n], logs[n], strict=True):
            w = round((share * height * width * np.exp(log)) ** 0.5)
            h = round((share * height * width / np.exp(log)) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                top = int(places[n, 0] * (height - h + 1))
                left = int(places[n, 1] * (width - w + 1))
                break
        else:
            w, h = width, height
            if width / height < ASPECTS[0]:
                h = round(width / ASPECTS[0])
            elif width / height > ASPECTS[1]:
                w = round(height * ASPECTS[1])
            top, left = (height - h) // 2, (width - w) // 2
        boxes.append([top, left, h, w])
    return np.array(boxes)


@settings(max_examples=60)
@given(
    sides=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=8),
    smallest=st.sampled_from([0.08, 0.35, 1.0]),
    seed=st.integers(0, 99),
)
def test_boxes_are_their_slow_twin(sides, smallest, seed):
    sides = np.array(sides)
    drawn = draw_boxes(sides, scale=(smallest, 1.0), generator=np.random.default_rng(seed))
    generator = np.random.default_rng(seed)
    expected = boxes_one_by_one(sides, scale=(smallest, 1.0), generator=generator)
    np.testing.assert_array_equal(drawn, expected)
    assert (drawn[:, 2:] >= 1).all()
    assert (drawn[:, :2] + drawn[:, 2:] <= sides).all()


def test_a_resized_crop_is_torchvisions_of_the_same_box():
    import torch
    from torchvision.transforms.v2 import functional as F

    images = ragged((40, 60), (31, 33), (90, 20))
    sides = np.array([image.shape[:2] for image in images])
    boxes = draw_boxes(sides, scale=(0.35, 1.0), generator=np.random.default_rng(4))
    crops = resized_crop(
        images, size=(24, 16), scale=(0.35, 1.0), generator=np.random.default_rng(4)
    )
    for crop, image, box in zip(crops, images, boxes.tolist(), strict=True):
        planes = torch.from_numpy(image).permute(2, 0, 1)
        expected = F.resized_crop(planes, *box, size=[24, 16], antialias=True)
        np.testing.assert_array_equal(crop, expected.permute(1, 2, 0).numpy())


def test_read_only_images_are_cropped_whole():
    """As they are mapped from the cache; torch warns where it is given such memory."""
    image = batch_of(1, 9, 9, 3)[0]
    image.setflags(write=False)
    crops = resized_crop([image], size=(9, 9), scale=(1.0, 1.0), generator=np.random.default_rng(0))
    assert crops.shape == (1, 9, 9, 3)


def test_grey_images_are_cropped_too():
    crops = resized_crop(
        ragged((9, 9), channels=1),
        size=(5, 5),
        scale=(0.5, 1.0),
        generator=np.random.default_rng(0),
    )
    assert crops.shape == (1, 5, 5, 1)


# ---- RandAugment ----


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_repeats_with_the_generator_and_leaves_torchs_as_it_was(channels):
    import torch

    batch = batch_of(6, 12, 10, channels)
    before = torch.random.get_rng_state()
    first, again, other = (
        rand_augment(batch, operations=2, magnitude=9, generator=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first.reshape(6, -1) != batch.reshape(6, -1)).any()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rand_augment_draws_for_each_image():
    batch = np.broadcast_to(batch_of(1, 12, 10, 3), (32, 12, 10, 3))
    done = rand_augment(batch, operations=1, magnitude=15, generator=np.random.default_rng(0))
    assert len({image.tobytes() for image in done}) > 8
