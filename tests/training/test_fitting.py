"""The loop, on a network that is small enough to be followed: batches, loss, learning, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convforge.errors import RecipeError
from convforge.images.preprocess import Preprocess
from convforge.networks.contract import ConvNet
from convforge.training.fitting import fit
from convforge.training.recipe import Recipe

PREPROCESS = Preprocess(resize=(6, 6), crop=(6, 6), mean=(100.0,), std=(50.0,))
PLAIN = Recipe(epochs=1, batch_size=8, momentum=0.0, weight_decay=0.0, label_smoothing=0.1)


class Recorder(ConvNet):
    """A linear classifier that remembers what it was trained on; with a side head at weight 0.3."""

    def __init__(self, *, side=False):
        torch.manual_seed(0)
        super().__init__(
            nn.Sequential(nn.Identity()), nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
        )
        self.side = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)) if side else None
        self.seen = []

    def weighted_logits(self, x):
        self.seen.append(x.detach().clone())
        main = ((self(x), 1.0),)
        return main if self.side is None else (*main, (self.side(x), 0.3))


def striped(count, *, seed=0):
    """Images whose class is the third of the picture that is bright; noise on all of it."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    pixels = rng.integers(0, 100, (count, 6, 6, 1), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 2] += 100
    return pixels, labels


def run(net, pixels, labels, recipe, **options):
    return fit(net, pixels, labels, preprocess=PREPROCESS, recipe=recipe, **options)


def images_seen(net):
    return np.concatenate(net.seen) * 50 + 100


def test_it_learns_what_can_be_learnt():
    net = Recorder()
    pixels, labels = striped(120)
    fitted = run(net, pixels, labels, Recipe(epochs=10, batch_size=16, label_smoothing=0.0))
    fresh, truth = striped(200, seed=1)
    with torch.no_grad():
        answers = net(torch.from_numpy(PREPROCESS.normalize(fresh))).argmax(1).numpy()
    assert (answers == truth).mean() > 0.98
    assert fitted.accuracy > 0.98
    assert fitted.loss < 0.1


@pytest.mark.parametrize("side", [False, True])
def test_one_step_is_the_gradient_of_the_weighted_smoothed_cross_entropy(side):
    net, twin = Recorder(side=side), Recorder(side=side)
    pixels, labels = striped(8)
    fitted = run(net, pixels, labels, PLAIN)
    x = torch.from_numpy(PREPROCESS.normalize(pixels))
    y = torch.from_numpy(labels)
    loss = F.cross_entropy(twin(x), y, label_smoothing=0.1)
    if side:
        loss = loss + 0.3 * F.cross_entropy(twin.side(x), y, label_smoothing=0.1)
    loss.backward()
    rate = PLAIN.rate(0, steps=1)
    assert fitted.loss == pytest.approx(loss.item(), rel=1e-5)
    for trained, start in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(trained, start - rate * start.grad)


def test_an_epoch_shows_every_image_once_in_another_order_each_time():
    pixels, labels = striped(24)
    net = Recorder()
    run(net, pixels, labels, Recipe(epochs=2, batch_size=8))
    first, second = np.split(images_seen(net), 2)

    def key(image):
        return image.round().astype(int).tobytes()

    stored = {key(image.transpose(2, 0, 1)) for image in pixels.astype(float)}
    assert {key(image) for image in first} == {key(image) for image in second} == stored
    assert [key(image) for image in first] != [key(image) for image in second]


@pytest.mark.parametrize(
    ("count", "batch_size", "batches", "rows"), [(24, 8, 3, 8), (31, 8, 3, 8), (5, 8, 1, 5)]
)
def test_all_batches_have_one_size_and_what_is_left_over_waits(count, batch_size, batches, rows):
    net = Recorder()
    fitted = run(net, *striped(count), Recipe(epochs=1, batch_size=batch_size))
    assert [len(x) for x in net.seen] == [rows] * batches
    assert fitted.count == rows * batches


def test_images_are_shifted_and_mirrored_as_the_recipe_says():
    pixels = np.zeros((200, 6, 6, 1), np.uint8)
    pixels[:, 3, 1] = 200
    labels = np.zeros(200, int)

    def dots(**fields):
        net = Recorder()
        run(net, pixels, labels, Recipe(epochs=1, batch_size=200, **fields))
        return {tuple(np.argwhere(image[0] > 150)[0]) for image in images_seen(net)}

    assert dots() == {(3, 1)}
    assert dots(flip=True) == {(3, 1), (3, 4)}
    assert dots(shift=1) == {(row, column) for row in (2, 3, 4) for column in (0, 1, 2)}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    pixels, labels = striped(64)

    def weights(seed):
        net = Recorder()
        run(net, pixels, labels, Recipe(epochs=2, batch_size=8, shift=1, flip=True, seed=seed))
        return net.head[1].weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_progress_is_told_after_every_step():
    calls = []
    fitted = run(
        Recorder(),
        *striped(24),
        Recipe(epochs=2, batch_size=8),
        progress=lambda *c: calls.append(c),
    )
    assert [(done, total) for done, total, _ in calls] == [(i, 6) for i in range(1, 7)]
    assert calls[0][2].startswith("epoch 1/2, loss ")
    assert calls[5][2] == f"epoch 2/2, loss {fitted.loss:.3f}, accuracy {fitted.accuracy:.1%}"


def test_a_loss_that_is_not_finite_is_refused_saying_where_and_what_to_do():
    recipe = Recipe(epochs=50, batch_size=8, learning_rate=100.0, weight_decay=1.0, warmup=0.0)
    with pytest.raises(RecipeError, match="training diverged: the loss is") as caught:
        run(Recorder(), *striped(24), recipe)
    message = str(caught.value)
    assert "of 150" in message
    assert "lower learning_rate, for example to 10" in message


def test_weights_that_are_not_finite_are_refused_at_the_first_step():
    net = Recorder()
    nn.init.constant_(net.head[1].bias, math.nan)
    with pytest.raises(RecipeError, match="at step 1 of 3"):
        run(net, *striped(24), PLAIN)
