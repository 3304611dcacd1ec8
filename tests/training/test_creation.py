from __future__ import annotations

import dataclasses

import pytest

from convforge.errors import NetworkError, RecipeError
from convforge.images import source
from convforge.networks.catalog import create
from convforge.training.creation import check_net, create_for
from convforge.training.recipe import Recipe


@pytest.fixture(scope="module")
def digits():
    return source.open("digits")


def test_classes_and_channels_are_those_of_the_data(digits):
    net = create_for(digits, "lenet5", {}, input_size=40)
    assert (net.num_classes, net.input_shape) == (10, (1, 40, 40))


@pytest.mark.parametrize("name", ["weights", "input_size"])
def test_an_argument_that_is_an_option_of_its_own_is_refused(digits, name):
    with pytest.raises(NetworkError, match=f"{name} is an option of its own"):
        create_for(digits, "lenet5", {name: 32}, input_size=64)


def test_an_input_size_that_is_said_once_is_taken(digits):
    net = create_for(digits, "lenet5", {"input_size": 40}, input_size=None)
    assert net.input_shape == (1, 40, 40)


@pytest.mark.parametrize("name", ["nin_cifar", "lenet5"])
def test_the_head_alone_needs_a_linear_layer_at_the_end(name):
    net = create(name)
    check_net(net, Recipe(), tune="all")
    with pytest.raises(RecipeError, match=f"{name} does not end in one"):
        check_net(net, Recipe(), tune="head")


def test_a_shift_is_less_than_a_side_of_the_input():
    recipe = Recipe()
    shift = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, shift=32))
    with pytest.raises(RecipeError, match="shift is 32 pixels"):
        check_net(create("lenet5"), shift, tune="all")
