"""Recipes by name and from files: one for every network, the papers' numbers, refusals."""

from __future__ import annotations

import json

import pytest

from convforge.errors import OutputError, RecipeError
from convforge.images.augment import Augment
from convforge.networks.catalog import CATALOG
from convforge.training.recipe import Recipe
from convforge.training.recipes import (
    FAST,
    PAPER,
    default_recipe,
    find_recipe,
    save_recipe,
    with_fields,
)


@pytest.mark.parametrize("name", CATALOG)
def test_every_network_has_both_recipes(name):
    assert find_recipe(name, "fast") == default_recipe(name)
    assert find_recipe(name, "paper") != find_recipe(name, "fast")


@pytest.mark.parametrize("table", [FAST, PAPER])
def test_every_row_is_of_a_network(table):
    assert all(any(name.startswith(row) for name in CATALOG) for row in table)


@pytest.mark.parametrize(
    ("network", "fields"),
    [
        ("alexnet", {"batch_size": 128, "momentum": 0.9, "weight_decay": 5e-4, "epochs": 90}),
        ("vgg16", {"batch_size": 256, "learning_rate": 0.01, "weight_decay": 5e-4, "epochs": 74}),
        ("resnet50", {"batch_size": 256, "learning_rate": 0.1, "weight_decay": 1e-4}),
        ("resnet20", {"batch_size": 128, "learning_rate": 0.1, "weight_decay": 1e-4}),
        ("mobilenet_v2", {"optimizer": "rmsprop", "learning_rate": 0.045, "weight_decay": 4e-5}),
        ("efficientnet_b0", {"epochs": 350, "batch_size": 4096, "learning_rate": 0.256}),
    ],
)
def test_a_papers_recipe_has_the_papers_numbers(network, fields):
    recipe = find_recipe(network, "paper").to_json()
    assert {name: recipe[name] for name in fields} == fields


def test_small_residual_networks_are_not_taken_for_large_ones():
    assert find_recipe("resnet20", "paper").epochs == round(64_000 * 128 / 45_000)
    assert find_recipe("resnet34", "paper").epochs == round(600_000 * 256 / 1_281_167)


def test_digits_are_not_mirrored_and_photographs_are():
    assert not default_recipe("lenet5").augment.flip
    assert default_recipe("mobilenet_v2").augment.flip


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
def test_a_recipe_comes_back_from_its_file(tmp_path, suffix):
    recipe = Recipe(epochs=3, learning_rate=5e-4, average=0.99, augment=Augment(mixup=0.2))
    save_recipe(recipe, tmp_path / f"mine{suffix}")
    assert find_recipe("vgg16", tmp_path / f"mine{suffix}") == recipe


def test_a_file_has_fields_that_go_over_the_networks_own(tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text("epochs: 7\nlearning_rate: 5e-4\nweight_decay: 1\naugment: {flip: true}\n")
    recipe = find_recipe("lenet5_relu", file)
    assert (recipe.epochs, recipe.learning_rate, recipe.weight_decay) == (7, 5e-4, 1)
    assert recipe.augment == Augment(flip=True)
    assert recipe.warmup == default_recipe("lenet5_relu").warmup


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[1]", "a record of fields"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.yaml", "- 1", "a record of fields"),
        ("a.yaml", "1: 2\nfoo: 3", "no field 1"),
        ("a.yaml", "augment: {1: 2, foo: 3}", "no field 1"),
        ("a.json", '{"epoch": 1}', "no field 'epoch'"),
        ("a.json", '{"epochs": "5"}', "epochs is '5'"),
        ("a.json", '{"learning_rate": "5e-4"}', "learning_rate is '5e-4'"),
        ("a.yaml", "learning_rate: fast", "learning_rate is 'fast'"),
        ("a.yaml", "augment: 3", "augment is 3"),
        ("a.yaml", "augment: {shfit: 3}", "no field 'shfit'"),
        ("a.json", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_naming_it(tmp_path, name, text, words):
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(RecipeError, match=words) as raised:
        find_recipe("lenet5", file)
    assert str(file) in str(raised.value)


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(RecipeError, match=r"'quick': expected fast, paper, tune, or a file"):
        find_recipe("lenet5", "quick")


def test_a_suffix_that_is_none_and_a_folder_that_is_missing_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"ends in \.yaml"):
        save_recipe(Recipe(), tmp_path / "recipe.toml")
    with pytest.raises(OutputError, match="does not exist"):
        save_recipe(Recipe(), tmp_path / "absent" / "recipe.json")


def test_fields_that_are_none_leave_a_recipe_as_it_is():
    recipe = with_fields(Recipe(epochs=3), {"epochs": None, "momentum": 0.5})
    assert recipe == Recipe(epochs=3, momentum=0.5)
    with pytest.raises(RecipeError, match="optimizer is 'sdg'; expected one of sgd, momentum"):
        with_fields(Recipe(), {"optimizer": "sdg"})


@pytest.mark.parametrize(
    ("network", "name", "optimizer", "rate", "momentum"),
    [
        ("mobilenet_v2", "fast", "adamw", 0.002, 0.9),
        ("mobilenet_v2", "fast", "sgd", 0.05, 0.9),
        ("mobilenet_v2", "fast", "muon", 0.02, 0.95),
        ("resnet20", "fast", "adamw", 0.004, 0.9),
        ("resnet20", "fast", "muon", 0.04, 0.95),
        ("resnet20", "paper", "sgd", 0.1, 0.9),
        ("mobilenet_v2", "tune", "adamw", 4e-5, 0.9),
    ],
)
def test_another_optimiser_brings_its_own_rate(network, name, optimizer, rate, momentum):
    found = find_recipe(network, name, optimizer=optimizer)
    assert (found.optimizer, found.learning_rate, found.momentum) == (optimizer, rate, momentum)
    with pytest.raises(RecipeError, match="optimizer is 'sdg'"):
        find_recipe(network, name, optimizer="sdg")


def test_a_files_rate_stays_with_another_optimiser(tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text('{"learning_rate": 0.3, "momentum": 0.5}')
    found = find_recipe("mobilenet_v2", file, optimizer="adamw")
    assert (found.optimizer, found.learning_rate, found.momentum) == ("adamw", 0.3, 0.5)


def test_a_saved_file_is_plain_json(tmp_path):
    save_recipe(Recipe(), tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == Recipe().to_json()


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes("augment: é".encode("latin-1"))
    with pytest.raises(RecipeError, match=rf"{name}: not UTF-8"):
        find_recipe("lenet5", tmp_path / name)
