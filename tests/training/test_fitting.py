"""The loop, on a network that is small enough to be followed: order, progress, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from convforge.errors import RecipeError
from convforge.images.augment import Augment
from convforge.images.preprocess import Preprocess
from convforge.networks.contract import ConvNet
from convforge.training.distributed import Team
from convforge.training.fitting import fit
from convforge.training.learner import Learner
from convforge.training.limit import Costs, Limit
from convforge.training.measuring import Validated
from convforge.training.recipe import Recipe

PREPROCESS = Preprocess(resize=(6, 6), crop=(6, 6), mean=(100.0,), std=(50.0,))
PLAIN = Recipe(epochs=1, batch_size=8, momentum=0.0, weight_decay=0.0, label_smoothing=0.1)


class Recorder(ConvNet):
    """A linear classifier that remembers what it was trained on, and takes a second for it.

    From the step `slow_from` on it takes two.
    """

    def __init__(self, *, slow_from=1000):
        torch.manual_seed(0)
        super().__init__(
            nn.Sequential(nn.Identity()), nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
        )
        self.input_shape, self.num_classes = (1, 6, 6), 3
        self.seen, self.slow_from, self.now = [], slow_from, 0.0

    def weighted_logits(self, x):
        self.seen.append(x.detach().clone())
        self.now += 1.0 + (len(self.seen) > self.slow_from)
        return ((self(x), 1.0),)


def striped(count, *, seed=0):
    """Images whose class is the third of the picture that is bright; noise on all of it."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    pixels = rng.integers(0, 100, (count, 6, 6, 1), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 2] += 100
    return pixels, labels


def run(net, pixels, labels, recipe, **options):
    return fit(Learner(net, recipe=recipe, preprocess=PREPROCESS), pixels, labels, **options)


def images_seen(net):
    return [image.round().int().numpy().tobytes() for x in net.seen for image in x * 50 + 100]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"average": 0.9},
        {"optimizer": "adamw", "learning_rate": 0.01},
        {"schedule": "onecycle"},
        {"augment": Augment(mixup=0.2)},
    ],
)
def test_it_learns_what_can_be_learnt(fields):
    net = Recorder()
    pixels, labels = striped(120)
    recipe = Recipe(**{"epochs": 10, "batch_size": 16, "label_smoothing": 0.0, **fields})
    course = run(net, pixels, labels, recipe)
    fresh, truth = striped(200, seed=1)
    with torch.no_grad():
        answers = net(torch.from_numpy(PREPROCESS.normalize(fresh))).argmax(1).numpy()
    assert (answers == truth).mean() > 0.98
    assert course.seen.accuracy > (0.7 if "augment" in fields else 0.98), "of unmixed labels"
    assert course.warning == ""


def test_an_epoch_shows_every_image_once_in_another_order_each_time():
    pixels, labels = striped(24)
    net = Recorder()
    run(net, pixels, labels, Recipe(epochs=2, batch_size=8))
    seen = images_seen(net)
    stored = {image.transpose(2, 0, 1).astype(np.int32).tobytes() for image in pixels}
    assert set(seen[:24]) == set(seen[24:]) == stored
    assert seen[:24] != seen[24:]


@pytest.mark.parametrize(
    ("count", "batch_size", "batches", "rows"), [(24, 8, 3, 8), (31, 8, 3, 8), (5, 8, 1, 5)]
)
def test_all_batches_have_one_size_and_what_is_left_over_waits(count, batch_size, batches, rows):
    net = Recorder()
    course = run(net, *striped(count), Recipe(epochs=1, batch_size=batch_size))
    assert [len(x) for x in net.seen] == [rows] * batches
    assert course.seen.count == rows * batches
    assert course.step == batches


def test_the_shares_of_a_team_have_every_image_of_a_batch_once(monkeypatch):
    pixels, labels = striped(24)
    alone = Recorder()
    run(alone, pixels, labels, PLAIN)
    shares = []
    for rank in range(3):
        net = Recorder()
        learner = Learner(net, recipe=PLAIN, preprocess=PREPROCESS)
        learner.team = Team(rank, 3)
        monkeypatch.setattr(Team, "sum", lambda _, values: values)
        monkeypatch.setattr(Team, "sum_gradients", lambda *_: None)
        fit(learner, pixels, labels)
        shares.append([images_seen_in(x) for x in net.seen])
    for step, x in enumerate(alone.seen):
        together = [image for share in shares for image in share[step]]
        assert sorted(together) == sorted(images_seen_in(x))
        assert [len(share[step]) for share in shares] == [3, 3, 2]


def images_seen_in(x):
    return [image.round().int().numpy().tobytes() for image in x * 50 + 100]


def test_images_of_several_sizes_are_cut_to_the_input():
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (6 + i % 5, 9, 1), np.uint8) for i in range(16)]
    net = Recorder()
    run(
        net,
        pixels,
        np.arange(16) % 3,
        Recipe(epochs=1, batch_size=8, augment=Augment(crop="random")),
    )
    assert [tuple(x.shape) for x in net.seen] == [(8, 1, 6, 6)] * 2


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    pixels, labels = striped(64)

    def weights(seed):
        net = Recorder()
        augment = Augment(shift=1, flip=True)
        run(net, pixels, labels, Recipe(epochs=2, batch_size=8, augment=augment, seed=seed))
        return net.head[1].weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_progress_is_told_after_every_step():
    calls = []
    recipe = Recipe(epochs=2, batch_size=8)
    course = run(Recorder(), *striped(24), recipe, progress=lambda *c: calls.append(c))
    assert [(done, total) for done, total, _ in calls] == [(i, 6) for i in range(1, 7)]
    assert calls[0][2].startswith("epoch 1/2, loss ")
    figures = f"loss {course.seen.loss:.3f}, accuracy {course.seen.accuracy:.1%}"
    assert calls[5][2] == f"epoch 2/2, {figures}"


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


def test_a_network_that_stays_at_chance_is_told():
    net = Recorder()
    nn.init.zeros_(net.head[1].weight)
    net.head[1].weight.requires_grad = False
    labels = np.arange(24) % 3
    course = run(net, striped(24)[0], labels, Recipe(epochs=1, batch_size=24, learning_rate=1e-8))
    assert "has learnt nothing" in course.warning


def test_a_row_has_both_figures_of_val_where_they_are_known_and_none_without_val():
    found = iter([Validated(top1=0.5, loss=1.25), Validated(top1=0.25)])
    recipe = Recipe(epochs=2, batch_size=8)
    both, one = run(Recorder(), *striped(24), recipe, validate=lambda _: next(found)).history
    assert (both["val_top1"], both["val_loss"]) == (0.5, 1.25)
    assert (one["val_top1"], "val_loss" in one) == (0.25, False)
    rows = run(Recorder(), *striped(24), recipe).history
    assert all(name[:3] != "val" for row in rows for name in row)


# ------------------------------------------------------------------------------- with a time limit


def limited(net, recipe, *, seconds, **options):
    """Of 24 images, three steps an epoch."""
    costs = Costs(step=1.0, small=1.0, image=0.0, counts={"train": 24})
    limit = Limit(seconds, costs, recipe=recipe, clock=lambda: net.now)
    return run(net, *striped(24), recipe, limit=limit, **options)


def test_where_the_machine_gets_slower_the_run_is_shortened_and_comes_to_its_end():
    net, calls = Recorder(slow_from=12), []
    recipe = Recipe(epochs=10, batch_size=8, average=0.9)
    course = limited(net, recipe, seconds=33.0, progress=lambda *c: calls.append(c))
    assert 30 < net.now <= 33
    assert 20 <= course.step < 24
    assert len(net.seen) == course.step == course.changes[-1]["end"]
    assert calls[-1][:2] == (course.step, course.step)
    assert calls[-1][2].startswith("epoch 8/8, ")
    last = course.history[-1]
    assert (last["epoch"], last["step"], last["end"]) == (8, course.step, course.step)
    assert "end" not in course.history[0]
    assert last["learning_rate"] < 0.1 * recipe.learning_rate


def test_a_last_epoch_that_is_cut_off_is_validated_and_may_be_the_best():
    net = Recorder(slow_from=12)
    scores = iter(range(100))
    recipe = Recipe(epochs=10, batch_size=8)
    course = limited(
        net, recipe, seconds=33.0, validate=lambda _: Validated(top1=next(scores) / 100)
    )
    assert course.step % 3
    assert course.best == {"epoch": 8, "top1": 0.07}
    assert [row["step"] for row in course.history] == [3, 6, 9, 12, 15, 18, 21, course.step]


def test_a_limit_that_holds_by_itself_changes_nothing():
    recipe = Recipe(epochs=4, batch_size=8, average=0.9, augment=Augment(shift=1))
    alone, net = Recorder(), Recorder()
    course = run(alone, *striped(24), recipe)
    assert limited(net, recipe, seconds=13.0) == course
    assert torch.equal(net.head[1].weight, alone.head[1].weight)
