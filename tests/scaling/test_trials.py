import numpy as np
import pytest

from convforge.images import source
from convforge.images.dataset import Images, Split
from convforge.scaling.trials import as_winner, parts_of, pass_seconds, try_out
from convforge.training.recipes import find_recipe, with_fields


@pytest.fixture(scope="module")
def digits():
    return source.open("digits")


def test_both_parts_are_of_those_to_train_on_and_share_no_image(digits):
    found = parts_of(digits, seed=0)
    train, test = found.splits["train"].names, found.splits["test"].names
    assert sorted((*train, *test)) == sorted(digits.splits["train"].names)
    assert len(test) == pytest.approx(0.2 * len(digits.splits["train"]), abs=5)


def test_fewer_images_are_a_fair_share_of_every_class_and_the_held_out_ones_stay(digits):
    whole, few = parts_of(digits, seed=0), parts_of(digits, count=200, seed=0)
    counts = np.bincount(few.splits["train"].labels)
    assert counts.sum() == 200
    assert counts.max() - counts.min() <= 3
    assert few.splits["test"].names == whole.splits["test"].names
    assert set(few.splits["train"].names) < set(whole.splits["train"].names)


def test_another_seed_holds_out_others(digits):
    one, other = (set(parts_of(digits, seed=seed).splits["test"].names) for seed in (0, 1))
    assert one != other


def test_a_class_of_one_image_keeps_it_to_train_on():
    labels = np.array([0, 0, 0, 1])
    split = Split(
        name="train", names=("a", "b", "c", "d"), labels=labels, read=lambda _: np.zeros((8, 8, 3))
    )
    images = Images(
        uri="x", classes=("p", "q"), channels=3, splits={"train": split}, fingerprint=""
    )
    found = parts_of(images, seed=0)
    assert 1 in found.splits["train"].labels
    assert set(found.splits["test"].labels) == {0}


def test_a_trial_is_the_same_for_the_same_seed(digits):
    recipe = with_fields(find_recipe("resnet20", "fast"), {"epochs": 1, "seed": 3})
    arguments = {"width": 0.5, "depth": 0.25, "input_size": 8}
    images = parts_of(digits, count=256, seed=3)
    first, second = (
        try_out("resnet20", arguments, images=images, recipe=recipe, device="cpu", progress=None)
        for _ in range(2)
    )
    assert first.card.metrics["test"] == second.card.metrics["test"]
    assert first.card.metrics["test"]["top1"] > 0
    shipped = as_winner(first, images=digits, trained_on=256).card
    assert shipped.trained == "1 epoch of 256 images, a trial of a search"
    assert shipped.metrics["test"]["count"] == len(digits.splits["test"])
    taken = pass_seconds("resnet20", arguments, images=digits, recipe=recipe, device="cpu")
    assert 0 < taken < 1
