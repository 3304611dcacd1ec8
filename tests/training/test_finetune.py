"""Fine-tuning: parts that are set aside, the head against scikit-learn, what is kept in the end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.errors import DataError, RecipeError
from convforge.evaluation import evaluate
from convforge.images.augment import Augment
from convforge.images.dataset import Images, Split
from convforge.networks.catalog import create
from convforge.training import finetune, trainer
from convforge.training.finetune import logistic_regression, set_aside
from convforge.training.recipe import Recipe
from convforge.training.recipes import TUNE
from convforge.training.trainer import train


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def images(count=60, *, val=0, size=40):
    """Noise with a bright third that gives the class."""

    def part(name, number):
        rng = np.random.default_rng(len(name))
        labels = np.arange(number) % 3
        pixels = rng.integers(0, 150, (number, size, size, 3), np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[size // 3 * label : size // 3 * (label + 1)] += 80
        names = tuple(f"{name}/{i}" for i in range(number))
        return Split(name=name, names=names, labels=labels, read=pixels.__getitem__)

    splits = {"train": part("train", count), "test": part("test", 30)}
    if val:
        splits["val"] = part("val", val)
    return Images(uri="", classes=("a", "b", "c"), channels=3, splits=splits, fingerprint="0")


def blobs(count, *, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(9).normal(size=(classes, 8))
    return (centres[labels] + rng.normal(size=(count, 8))).astype(np.float32), labels


# ------------------------------------------------------------------------------------- set aside


def test_a_tenth_of_each_class_is_set_aside_by_seed_and_name():
    data = images(60)
    split = set_aside(data, seed=0)
    assert [len(split.splits[part]) for part in ("train", "val", "test")] == [54, 6, 30]
    assert np.bincount(split.splits["val"].labels).tolist() == [2, 2, 2]
    names = {*split.splits["train"].names, *split.splits["val"].names}
    assert names == set(data.splits["train"].names)
    again = set_aside(data, seed=0).splits["val"].names
    assert again == split.splits["val"].names
    assert set_aside(data, seed=1).splits["val"].names != again
    assert split.splits["val"].name == "val"
    assert split.record()["split"]["val"] == sorted(again)


def test_a_part_to_validate_on_that_is_there_stays_and_few_images_are_not_split():
    data = images(60, val=9)
    assert set_aside(data, seed=0) is data
    few = images(9)
    assert set_aside(few, seed=0) is few


# ------------------------------------------------------------------------------------------ head


def test_the_head_is_scikit_learns_of_the_strength_that_suits_best():
    x, labels = blobs(90)
    x_val, labels_val = blobs(60, seed=1)
    head = logistic_regression(x, labels, x_val, labels_val, classes=3)
    losses = {}
    for strength in finetune.STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(x, labels)
        losses[strength] = -model.predict_log_proba(x_val)[range(60), labels_val].mean()
    assert head.strength == min(losses, key=losses.get)
    model = LogisticRegression(C=head.strength, max_iter=1000).fit(x, labels)
    logits = x_val @ head.weight.T + head.bias
    np.testing.assert_allclose(logits, model.decision_function(x_val), rtol=0.02, atol=0.02)
    assert head.top1 == (logits.argmax(1) == labels_val).mean()


def test_a_fit_that_its_steps_end_is_taken_without_a_word(monkeypatch):
    monkeypatch.setattr(finetune, "STEPS", 1)
    x, labels = blobs(60)
    assert logistic_regression(x, labels, x, labels, classes=3).top1 > 0.5


def test_two_classes_and_a_class_without_images_have_rows_of_their_own():
    x, labels = blobs(90, classes=2)
    head = logistic_regression(x, labels * 2, x, labels * 2, classes=4)
    logits = x @ head.weight.T + head.bias
    assert head.weight.shape == (4, 8)
    assert set(logits.argmax(1)) == {0, 2}
    assert (logits.argmax(1) == labels * 2).mean() > 0.7
    model = LogisticRegression(C=head.strength, max_iter=1000).fit(x, labels)
    shown = torch.from_numpy(logits[:, [0, 2]]).softmax(1).numpy()
    np.testing.assert_allclose(shown, model.predict_proba(x), rtol=0.02, atol=0.02)


# ------------------------------------------------------------------------------------- the whole


@pytest.fixture
def weights(tmp_path):
    """Weights of a network of another number of classes, as if learnt elsewhere."""
    torch.manual_seed(0)
    path = tmp_path / "elsewhere.safetensors"
    save_file(create("resnet20", num_classes=7, input_size=32).state_dict(), path)
    return str(path)


def tuned(weights, recipe=None, **options):
    data = options.pop("data", images())
    return train(data, network="resnet20", weights=weights, recipe=recipe, **options)


def test_the_head_alone_leaves_all_other_weights_as_they_were(weights, monkeypatch):
    monkeypatch.setattr(trainer, "choose_machine", lambda *_, **__: pytest.fail("timed steps"))
    classifier = tuned(weights, tune="head")
    net = create("resnet20", num_classes=7, input_size=32)
    net.load_state_dict(load_file(weights))
    for name, tensor in net.features.state_dict().items():
        assert torch.equal(classifier.net.features.state_dict()[name], tensor), name
    metrics = classifier.card.metrics
    assert "train" not in metrics
    assert metrics["head"]["top1"] == metrics["val"]["top1"]
    assert metrics["test"]["top1"] > 0.9


def test_all_layers_are_tuned_from_the_head_on_and_the_recipe_is_that_of_tuning(weights):
    classifier = tuned(weights)
    assert Recipe.from_json(classifier.card.recipe) == TUNE
    metrics = classifier.card.metrics
    found = metrics["blend"]["top1"]
    assert found["0"] == metrics["head"]["top1"]
    assert found["1"] == metrics["best"]["top1"]
    assert found[f"{metrics['blend']['share']:g}"] == metrics["val"]["top1"]
    assert metrics["train"]["count"] == 32


def test_what_was_set_aside_can_be_evaluated_on(weights):
    classifier = tuned(weights, data="digits", tune="head")
    card = Card.loads(classifier.card.dumps(), origin="", error=DataError)
    again = Classifier(classifier.net, card)
    for part, count in (("val", 136), ("test", 450)):
        found = evaluate(again, "digits", split=part)
        assert found.count == count
        assert found.top1 == card.metrics[part]["top1"]


def test_tuning_a_classifier_goes_on_with_its_preprocessing(tmp_path):
    first = train(images(), network="resnet20", recipe=Recipe(epochs=1), input_size=24)
    first.save(tmp_path / "first.safetensors")
    brighter = images()
    part = brighter.splits["train"]
    bright = dataclasses.replace(part, read=lambda row: part.read(row) // 2 + 100)
    data = dataclasses.replace(brighter, splits={**brighter.splits, "train": bright})
    again = tuned(str(tmp_path / "first.safetensors"), data=data, tune="head")
    assert again.preprocess == first.preprocess
    assert again.card.arguments == first.card.arguments


def test_where_tuning_spoils_it_the_head_is_kept(weights):
    """A rate that is far too high, on one epoch: the frozen network with its head is better."""
    recipe = Recipe(epochs=1, batch_size=54, learning_rate=3.0, warmup=0.0)
    classifier = tuned(weights, recipe)
    head = tuned(weights, recipe, tune="head")
    assert classifier.card.metrics["blend"]["share"] == 0
    for name, tensor in head.net.state_dict().items():
        assert torch.equal(classifier.net.state_dict()[name], tensor), name


def test_uncropped_and_cropped_images_are_tuned_on_alike(weights):
    for crop in ("none", "random", "resized"):
        recipe = Recipe(epochs=1, batch_size=16, learning_rate=1e-4, augment=Augment(crop=crop))
        assert tuned(weights, recipe).card.metrics["test"]["top1"] > 0.9


def test_the_head_alone_needs_weights():
    with pytest.raises(RecipeError, match="tune='head' fits the last layer to weights"):
        train(images(), network="resnet20", tune="head")


def test_images_of_one_class_that_can_be_used_are_refused(weights):
    data = images()
    part = data.splits["train"]

    def read(row):
        if part.labels[row]:
            raise DataError("damaged")
        return part.read(row)

    splits = {**data.splits, "train": dataclasses.replace(part, read=read)}
    with pytest.raises(DataError, match=r"that can be used are of one class, among them"):
        tuned(weights, data=dataclasses.replace(data, splits=splits), max_bad=1.0)


def test_a_network_without_a_linear_layer_at_its_end_is_trained_as_it_is(tmp_path):
    path = tmp_path / "nin.safetensors"
    save_file(create("nin_cifar", num_classes=10).state_dict(), path)
    with pytest.raises(RecipeError, match="nin_cifar does not end in one"):
        train(images(40, size=32), network="nin_cifar", weights=str(path), tune="head")
    recipe = Recipe(epochs=1, batch_size=32, learning_rate=1e-4)
    card = train(images(40, size=32), network="nin_cifar", weights=str(path), recipe=recipe).card
    assert "head" not in card.metrics
    assert card.metrics["train"]["count"] == 32


def test_tuning_that_was_interrupted_ends_with_the_same_weights(weights, tmp_path):
    class Killed(Exception):
        pass

    def progress(done, total, message):
        if message.startswith("epoch") and done == 3:
            raise Killed

    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.01)
    whole = tuned(weights, recipe)
    with pytest.raises(Killed):
        tuned(weights, recipe, folder=tmp_path / "x.run", progress=progress)
    again = tuned(weights, recipe, folder=tmp_path / "x.run")
    assert again.card.metrics["blend"] == whole.card.metrics["blend"]
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], tensor), name
