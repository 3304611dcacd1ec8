"""A trial leaves everything as it was; epochs that fit into a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from convforge.errors import RecipeError
from convforge.images.dataset import Split
from convforge.images.decoding import Decoded
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.training import trial
from convforge.training.machine import PLAIN
from convforge.training.recipe import Recipe
from convforge.training.trial import Trial, epochs_within

RECIPE = Recipe(batch_size=10)


def decoded(count):
    """A part "train" of black digits, all of class 0."""
    pixels = np.zeros((count, 32, 32, 1), np.uint8)
    names = tuple(map(str, range(count)))
    part = Split(
        name="train", names=names, labels=np.zeros(count, np.int64), read=pixels.__getitem__
    )
    return {"train": Decoded(part=part, pixels=pixels, bad=())}


def test_a_trial_leaves_network_and_random_numbers_as_they_were(monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    preprocess = Preprocess(resize=(32, 32), crop=(32, 32), mean=(120.0,), std=(60.0,))
    net = create("lenet5_relu").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    seconds = Trial(net, decoded(20), preprocess=preprocess).step_seconds(RECIPE)
    assert 0 < seconds < 5
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("seconds", "counts", "epochs"),
    [
        (100, {"train": 100}, 9),  # 95 s for epochs of 10 steps of 1 s
        (1000, {"train": 100}, 95),
        (1e9, {"train": 100}, 100_000),  # a recipe's most
        (100, {"train": 109}, 9),
        (100, {"train": 100, "test": 300}, 8),  # 300 images at 1/30 s
        (100, {"train": 100, "val": 300}, 4),  # 10 s an epoch on top
    ],
)
def test_as_many_epochs_as_end_in_time_measuring_included(seconds, counts, epochs):
    assert epochs_within(seconds, a_step=1.0, counts=counts, recipe=RECIPE) == epochs


def test_small_images_leave_time_for_more_epochs(monkeypatch):
    preprocess = Preprocess(resize=(32, 32), crop=(32, 32), mean=(120.0,), std=(60.0,))
    tried = Trial(create("lenet5_relu"), decoded(100), preprocess=preprocess)
    monkeypatch.setattr(
        Trial, "step_seconds", lambda *_, machine, small=False: 0.5 if small else 1.0
    )

    def epochs(recipe):
        return tried.epochs(100, recipe, costs=tried.costs(recipe, machine=PLAIN))

    assert epochs(RECIPE) == 9
    recipe = dataclasses.replace(RECIPE, small_images=0.4)  # 0.8 s a step
    assert epochs(recipe) == 11


def test_a_time_that_is_too_short_is_refused_with_what_an_epoch_takes():
    with pytest.raises(RecipeError, match=r"one epoch takes about 10 s here, and 9 s are left"):
        epochs_within(9.0, a_step=1.0, counts={"train": 100}, recipe=RECIPE)


def test_a_part_of_an_epoch_is_one_where_less_is_enough():
    fields = {"a_step": 1.0, "counts": {"train": 100}, "recipe": RECIPE}
    assert epochs_within(9.0, **fields, least=0.5) == 1
    assert epochs_within(100.0, **fields, least=0.5) == 9
    with pytest.raises(RecipeError, match="4 s are left"):
        epochs_within(4.0, **fields, least=0.5)
