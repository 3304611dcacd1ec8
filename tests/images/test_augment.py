from __future__ import annotations

import json

import numpy as np
import pytest

from convforge.errors import RecipeError
from convforge.images import mixing, warp
from convforge.images.augment import Augment

EVERYTHING = Augment(
    crop="resized",
    scale=(0.5, 1.0),
    flip=True,
    shift=1,
    operations=1,
    erasing=0.3,
    mixup=0.2,
    cutmix=1.0,
)


def images_of(*sides):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (*side, 3), np.uint8) for side in sides]


def test_nothing_is_done_by_default():
    batch = np.stack(images_of((6, 5), (6, 5)))
    done = Augment().pixels(batch, size=(6, 5), generator=np.random.default_rng(0))
    np.testing.assert_array_equal(done, batch)
    assert not np.shares_memory(done, batch)
    x, targets = np.ones((2, 3, 4, 4)), np.eye(2)
    assert Augment().blend(x, targets, generator=np.random.default_rng(0)) == (x, targets)


def test_the_steps_come_in_their_order_from_one_generator():
    images = images_of((9, 12), (20, 8), (8, 8))
    done = EVERYTHING.pixels(images, size=(8, 6), generator=np.random.default_rng(5))
    generator = np.random.default_rng(5)
    step = warp.resized_crop(images, size=(8, 6), scale=(0.5, 1.0), generator=generator)
    step = warp.shift(warp.flip(step, generator), pixels=1, generator=generator)
    step = warp.rand_augment(step, operations=1, magnitude=9, generator=generator)
    np.testing.assert_array_equal(done, step)
    assert done.shape == (3, 8, 6, 3)


def test_images_of_another_size_need_a_crop():
    with pytest.raises(RecipeError, match=r"crop is 'none', and an image of 5x6 meets .* of 6x5"):
        Augment().pixels(images_of((6, 5)), size=(5, 6), generator=np.random.default_rng(0))
    done = Augment(crop="random").pixels(
        images_of((6, 5), (7, 9)), size=(5, 5), generator=np.random.default_rng(0)
    )
    assert done.shape == (2, 5, 5, 3)


@pytest.mark.parametrize(
    ("fields", "way"), [({"mixup": 0.4}, mixing.mixup), ({"cutmix": 0.4}, mixing.cutmix)]
)
def test_one_way_of_mixing_is_used_alone(fields, way):
    x = np.random.default_rng(0).normal(size=(4, 1, 6, 6))
    found = Augment(**fields).blend(x, np.eye(4), generator=np.random.default_rng(2))
    generator = np.random.default_rng(2)
    generator.integers(1)
    for a, b in zip(found, way(x, np.eye(4), alpha=0.4, generator=generator), strict=True):
        np.testing.assert_array_equal(a, b)


def test_of_two_ways_of_mixing_each_batch_gets_one():
    x, generator = np.broadcast_to(np.arange(4.0)[:, None, None, None], (4, 1, 8, 8)), None
    generator, cut = np.random.default_rng(0), 0
    for _ in range(200):
        mixed, _ = Augment(mixup=1.0, cutmix=1.0).blend(x, np.eye(4), generator=generator)
        cut += bool((mixed == np.rint(mixed)).all())
    assert 70 < cut < 130  # standard deviation 7


@pytest.mark.parametrize("augment", [Augment(), EVERYTHING])
def test_a_record_goes_through_json(augment):
    assert Augment.from_json(json.loads(json.dumps(augment.to_json()))) == augment


def test_fields_that_are_left_out_have_their_defaults():
    assert Augment.from_json({"flip": True}) == Augment(flip=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": "middle"}, "crop is 'middle'; expected one of none, random, resized"),
        ({"flip": 1}, "flip is 1; expected true or false"),
        ({"shift": 0.5}, "shift is 0.5; expected a whole number from 0 to 64"),
        ({"shift": True}, "shift is True; expected a whole number"),
        ({"magnitude": 31}, "magnitude is 31; expected a whole number from 0 to 30"),
        ({"erasing": 1.5}, "erasing is 1.5; expected a number from 0.0 to 1.0"),
        ({"mixup": float("nan")}, "mixup is nan"),
        ({"cutmix": "1"}, "cutmix is '1'"),
        ({"scale": [0.5, 0.2]}, "scale is .*0 < smallest"),
        ({"scale": [0.0, 1.0]}, "scale is .*0 < smallest"),
        ({"scale": [0.5]}, "scale is .*two shares"),
        ({"scale": ["a", "b"]}, "scale is .*two shares"),
        ({"colour": 1}, "there is no field 'colour'; the fields are crop, scale, flip, shift"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(fields, message):
    with pytest.raises(RecipeError, match=f"augmentation: {message}"):
        Augment.from_json(fields)
