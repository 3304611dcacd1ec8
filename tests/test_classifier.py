"""Classifier: predictions as the network gives them, files that come back equal, and refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convforge.card import Card
from convforge.classifier import BATCH, Classifier, evaluation_mode
from convforge.errors import ClassifierError, DataError, InputError
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from convforge.networks.contract import ConvNet


@pytest.fixture(scope="module")
def classifier(make_classifier):
    return make_classifier()


def test_probabilities_are_softmax_of_the_network_on_the_preprocessed_image(classifier, picture):
    x = torch.from_numpy(classifier.preprocess(picture))[None]
    with torch.no_grad():
        expected = torch.softmax(classifier.net.eval()(x).double(), 1).numpy()
    np.testing.assert_allclose(classifier.probabilities([picture]), expected, atol=1e-6)


def test_a_path_a_pillow_image_and_an_array_are_predicted_alike(classifier, picture, tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(picture).save(path)
    expected = classifier.predict(picture)
    assert classifier.predict(path) == expected
    assert classifier.predict(str(path)) == expected
    assert classifier.predict(Image.fromarray(picture)) == expected


def test_predict_gives_five_classes_most_probable_first_and_named(classifier, picture):
    found = classifier.predict(picture)
    values = classifier.probabilities([picture])[0]
    assert [p.probability for p in found] == sorted(map(float, values), reverse=True)[:5]
    assert all(p.label == classifier.classes[p.index] for p in found)
    assert all(p.probability == values[p.index] for p in found)


def test_predict_gives_all_classes_where_more_are_asked_for(classifier, picture):
    assert len(classifier.predict(picture, top=99)) == 10
    assert sum(p.probability for p in classifier.predict(picture, top=99)) == pytest.approx(1)


def test_one_class_has_probability_one(make_classifier, picture):
    (only,) = make_classifier(classes=("thing",)).predict(picture)
    assert (only.label, only.probability) == ("thing", 1.0)


def test_equal_logits_are_predicted_in_order_of_the_classes(make_classifier, picture):
    tied = make_classifier()
    for parameter in tied.net.head.parameters():
        nn.init.zeros_(parameter)
    assert [p.index for p in tied.predict(picture)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1])
def test_logits_do_not_depend_on_how_many_images_go_in_together(classifier, count):
    x = np.random.default_rng(1).normal(size=(count, 1, 32, 32)).astype(np.float32)
    together = classifier.logits(x)
    assert together.shape == (count, 10)
    assert together.dtype == np.float32
    for row in {0, count - 1} & set(range(count)):
        np.testing.assert_allclose(together[row], classifier.logits(x[row : row + 1])[0], atol=1e-5)


def test_images_of_several_sizes_go_into_one_batch_in_order(classifier):
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (8 + i, 50 - i, 3), np.uint8) for i in range(7)]
    rows = classifier.probabilities(images)
    for row, image in zip(rows, images, strict=True):
        np.testing.assert_allclose(row, classifier.probabilities([image])[0], atol=1e-6)


def test_logits_take_any_memory_layout_and_leave_the_input_alone(classifier):
    x = np.random.default_rng(3).normal(size=(2, 1, 32, 32)).astype(np.float32)
    view = x[::-1, :, :, ::-1]
    view.flags.writeable = False
    before = view.copy()
    np.testing.assert_array_equal(classifier.logits(view), classifier.logits(before))
    np.testing.assert_array_equal(view, before)


def test_a_batch_norm_and_dropout_network_is_used_in_evaluation_mode_and_left_as_it_was():
    net = ConvNet(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(4 * 28 * 28, 3)),
    )
    net.name, net.arguments, net.input_shape, net.num_classes = "small", {}, (3, 32, 32), 3
    preprocess = Preprocess(resize=32, crop=(32, 32), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    card = Card(network="", arguments={}, classes=tuple("abc"), preprocess=preprocess)
    net.train()
    net.features[1].eval()
    modes = [m.training for m in net.modules()]
    state = {name: t.clone() for name, t in net.state_dict().items()}
    x = np.random.default_rng(4).normal(size=(4, 3, 32, 32)).astype(np.float32)
    first = Classifier(net, card).logits(x)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(t, state[name]) for name, t in net.state_dict().items())
    np.testing.assert_array_equal(first, Classifier(net, card).logits(x))
    np.testing.assert_allclose(
        first, net.eval()(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_evaluation_mode_puts_modes_back_after_an_exception(classifier):
    def fail():
        with evaluation_mode(classifier.net):
            assert not any(m.training for m in classifier.net.modules())
            raise ZeroDivisionError

    classifier.net.train()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert all(m.training for m in classifier.net.modules())


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 1, 32, 32)),
        np.zeros((1, 3, 32, 32), np.float32),
        np.zeros((1, 1, 28, 28), np.float32),
        np.zeros((1, 32, 32), np.float32),
    ],
    ids=["float64", "channels", "size", "no batch"],
)
def test_logits_of_another_shape_or_type_are_refused_with_both(classifier, x):
    with pytest.raises(InputError, match=r"expected float32 \[N, 1, 32, 32\], got") as caught:
        classifier.logits(x)
    assert f"{x.dtype} {list(x.shape)}" in str(caught.value)


def test_an_unreadable_image_is_refused_naming_it(classifier, tmp_path):
    with pytest.raises(DataError, match=r"absent\.png"):
        classifier.predict(tmp_path / "absent.png")


def test_a_card_with_another_number_of_classes_is_refused(classifier):
    card = dataclasses.replace(classifier.card, classes=("a", "b"))
    with pytest.raises(ClassifierError, match="names 2 classes, the network has 10"):
        Classifier(classifier.net, card)


def test_a_card_with_another_input_shape_is_refused(classifier):
    preprocess = dataclasses.replace(classifier.preprocess, crop=(28, 28))
    card = dataclasses.replace(classifier.card, preprocess=preprocess)
    with pytest.raises(ClassifierError, match=r"\(1, 28, 28\).*\(1, 32, 32\)"):
        Classifier(classifier.net, card)
