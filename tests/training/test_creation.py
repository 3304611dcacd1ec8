from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.errors import ClassifierError, NetworkError, RecipeError
from convforge.images import source
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.training.creation import card_of, check_net, create_for, start_from
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


@pytest.fixture
def own(tmp_path):
    """A classifier's file: half the width, at 24 pixels, images taken a little larger."""
    net = create("resnet20", num_classes=2, in_channels=1, width=0.5, input_size=24)
    card = Card(
        network="resnet20",
        arguments=net.arguments,
        classes=("a", "b"),
        preprocess=Preprocess(resize=30, crop=(24, 24), mean=(7.0,), std=(5.0,)),
    )
    Classifier(net, card).save(tmp_path / "own.safetensors")
    return str(tmp_path / "own.safetensors")


def test_a_classifiers_file_says_how_its_network_was_made_but_for_what_the_data_say(digits, own):
    net = create_for(digits, "resnet20", {}, input_size=None, weights=own)
    said = {"num_classes": 10, "in_channels": 1, "width": 0.5, "input_size": 24}
    assert said.items() <= net.arguments.items()
    larger = create_for(digits, "resnet20", {"width": 1.0}, input_size=32, weights=own)
    assert (larger.arguments["width"], larger.arguments["input_size"]) == (1.0, 32)
    assert create_for(digits, "resnet32", {}, input_size=None, weights=own).arguments["width"] == 1


def test_a_classifiers_file_brings_its_preprocessing(digits, own):
    net = create_for(digits, "resnet20", {}, input_size=48, weights=own)
    found = start_from(net, own)
    assert found == Preprocess(resize=60, crop=(48, 48), mean=(7.0,), std=(5.0,))
    stem, theirs = (next(one.parameters()) for one in (net, Classifier.load(own).net))
    assert torch.equal(stem, theirs)


def test_weights_alone_say_nothing_of_their_preprocessing(digits, tmp_path):
    net = create("resnet20", in_channels=1)
    for name, save in (("x.safetensors", save_file), ("x.pth", torch.save)):
        save(net.state_dict(), tmp_path / name)
        assert card_of("resnet20", str(tmp_path / name)) is None
        assert start_from(net, str(tmp_path / name)) is None
    assert card_of("resnet20", None) is None


def test_a_classifiers_file_that_is_damaged_is_refused(own):
    raw = bytearray(Path(own).read_bytes())
    raw[-1] ^= 1
    Path(own).write_bytes(raw)
    with pytest.raises(ClassifierError, match="are not what was saved"):
        card_of("resnet20", own)
