import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from convforge.errors import DataError
from convforge.images import source
from convforge.networks.catalog import create
from convforge.studies import learning
from convforge.studies.learning import Run, Sizes, last, learn, learn_all, learn_net, until
from convforge.studies.study import Task
from convforge.training.recipe import Recipe

SIZES = Sizes(side=32, epochs=2, seeds=2, images=64, held_out=30)
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05)


def lenet(num_classes, in_channels):
    return create("lenet5_relu", num_classes=num_classes, in_channels=in_channels)


@pytest.fixture(scope="module")
def pool():
    from convforge.studies.catalog import CATALOG

    return learning.open_pool(CATALOG["depth"], Task(device="cpu"), SIZES)


def test_a_pool_has_so_many_images_and_names_them_without_a_folder(pool):
    assert len(pool.decoded["train"].part) == 64
    assert len(pool.decoded["test"].part) == 30
    assert pool.sizes == {
        "images": "digits",
        "classes": 10,
        "images to train on": 64,
        "images held out": 30,
        "side of an image in pixels": 32,
    }
    elsewhere = dataclasses.replace(pool.images, uri="/somewhere/private/photos/")
    assert dataclasses.replace(pool, images=elsewhere).sizes["images"] == "photos"


def test_images_are_drawn_alike_each_time_and_all_where_there_are_few():
    split = source.open("digits").splits["test"]
    assert learning.draw(split, 10).names == learning.draw(split, 10).names
    assert learning.draw(split, None) is learning.draw(split, 10_000) is split


def test_a_task_goes_over_the_sizes():
    task = Task(epochs=7, seeds=9, count=5)
    assert SIZES.over(task) == dataclasses.replace(SIZES, epochs=7, seeds=9, images=5)
    assert SIZES.over(Task()) == SIZES


def test_images_that_hold_nothing_out_are_refused(monkeypatch):
    from convforge.studies.catalog import CATALOG

    images = source.open("digits")
    alone = dataclasses.replace(images, splits={"train": images.splits["train"]})
    monkeypatch.setattr(learning.source, "open", lambda *_, **__: alone)
    with pytest.raises(DataError, match="held-out images; add test/ or val/"):
        learning.open_pool(CATALOG["depth"], Task(), SIZES)


def test_the_same_seed_gives_the_same_course_and_another_one_another(pool):
    task = Task(device="cpu")
    first, again, other = (
        learn(pool, lenet, label="it", recipe=RECIPE, seed=seed, task=task) for seed in (0, 0, 1)
    )
    assert (first.train_error, first.test_error) == (again.train_error, again.test_error)
    assert first.train_error != other.train_error
    assert 0 < first.seconds[0] < first.seconds[1]


def test_the_network_has_the_last_weights_and_the_course_its_errors(pool):
    net, run = learn_net(pool, lenet, label="it", recipe=RECIPE, seed=0, task=Task(device="cpu"))
    assert learning.wrong_share(net, pool) == run.test_error[-1]
    assert (net.name, net.input_shape) == ("it", (1, 32, 32))


def test_torch_s_generator_stays_as_it_was(pool):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    learn(pool, lenet, label="it", recipe=RECIPE, seed=0, task=Task(device="cpu"))
    assert torch.equal(before, torch.get_rng_state())


def test_a_run_that_diverges_is_wrong_everywhere(pool):
    recipe = dataclasses.replace(RECIPE, learning_rate=100.0, warmup=0.0, epochs=5)
    run = learn(pool, lenet, label="it", recipe=recipe, seed=0, task=Task(device="cpu"))
    assert (run.train_error, run.test_error) == ((1.0,) * 5, (1.0,) * 5)
    assert len(run.seconds) == 5
    assert until(run, 0.25) is None


def test_networks_are_trained_by_turns_and_progress_adds_up(pool):
    said = []
    task = Task(device="cpu", progress=lambda *words: said.append(words))
    builds = {"a": lenet, "b": partial(lenet)}
    recipes = dict.fromkeys(builds, RECIPE)
    runs = learn_all(pool, builds, recipes=recipes, sizes=SIZES, task=task)
    assert {name: len(found) for name, found in runs.items()} == {"a": 2, "b": 2}
    assert runs["a"][0].train_error == runs["b"][0].train_error
    labels = [message.partition(":")[0] for _, _, message in said]
    assert list(dict.fromkeys(labels)) == ["a, seed 0", "b, seed 0", "a, seed 1", "b, seed 1"]
    done = [done for done, _, _ in said]
    assert done == sorted(done)
    assert said[-1][:2] == (said[0][1],) * 2


def course(*errors):
    return Run(errors, errors, tuple(range(len(errors))))


def test_an_error_is_reached_between_two_epochs():
    assert until(course(0.5, 0.1), 0.3) == pytest.approx(1.5)
    assert until(course(0.25, 0.1), 0.25) == pytest.approx(1.0)
    assert until(course(0.9, 0.8), 0.25) is None


def test_the_last_epoch_counts_and_a_curve_shows_all_seeds():
    runs = (course(0.5, 0.2), course(0.3, 0.4), course(1.0))
    assert last(runs, held_out=True).values == (0.2, 0.4, 1.0)
    series = learning.course_series(runs, label="it", colour=1, held_out=False)
    assert series.x == (1, 2)
    np.testing.assert_allclose(series.y, (0.6, 1.6 / 3))
    assert (series.low, series.high) == ((0.3, 0.2), (1.0, 1.0))
    assert series.style == "dashed"


def test_the_rate_is_chosen_by_a_seed_of_its_own(monkeypatch):
    ends, asked = {0.01: 0.5, 0.03: 0.2, 0.1: 0.24}, []

    def learn(pool, build, *, recipe, seed, **_):
        asked.append(seed)
        return course(ends[recipe.learning_rate])

    monkeypatch.setattr(learning, "learn", learn)
    chosen = learning.choose_rate(
        *(None, lenet),
        label="it",
        recipe=RECIPE,
        rates=tuple(ends),
        badness=lambda run: (run.train_error[-1], 0.0),
        task=Task(),
    )
    assert chosen == dataclasses.replace(RECIPE, learning_rate=0.03)
    assert asked == [learning.TUNING_SEED] * 3
