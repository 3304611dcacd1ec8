"""A run that is interrupted at any step ends with the weights of one that was not, bit by bit."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from convforge.errors import Interrupted, OutputError, RecipeError
from convforge.images.augment import Augment
from convforge.images.dataset import Images, Split
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.training.fitting import fit
from convforge.training.journal import check_ended, open_journal
from convforge.training.learner import Learner
from convforge.training.log import read_log
from convforge.training.recipe import Recipe
from convforge.training.recipes import find_recipe
from convforge.training.state import load_state, save_state, states
from convforge.training.trainer import train

ROOT = Path(__file__).parents[2]
RECIPES = {
    "average, dropout, mixing, small images, validation": (
        "mobilenet_v2",
        Recipe(average=0.9, small_images=0.5, augment=Augment(shift=2, flip=True, mixup=0.2)),
    ),
    "muon": ("resnet20", Recipe(optimizer="muon", learning_rate=0.01)),
    "adamw, onecycle": ("resnet20", Recipe(optimizer="adamw", schedule="onecycle")),
    "rmsprop": ("resnet20", Recipe(optimizer="rmsprop", learning_rate=0.002, batch_norm="frozen")),
    "no momentum": ("lenet5_relu", Recipe(momentum=0.0)),
}


class Killed(Exception):
    """Stands for the end of the process."""


def stripes(*, validation):
    """24 images to train on, of three classes; 9 to validate on."""
    rng = np.random.default_rng(0)

    def part(name, count):
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 150, (count, 32, 32, 3), np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[10 * label : 10 * label + 10] += 80
        names = tuple(f"{name}/{i}" for i in range(count))
        return Split(name=name, names=names, labels=labels, read=pixels.__getitem__)

    splits = {"train": part("train", 24)}
    if validation:
        splits["val"] = part("val", 9)
    return Images(uri="", classes=("a", "b", "c"), channels=3, splits=splits, fingerprint="0")


def run(network, recipe, *, folder=None, kill_at=None, **options):
    def progress(done, total, message):
        if message.startswith("epoch") and done == kill_at:
            raise Killed

    mobile = network == "mobilenet_v2"
    return train(
        stripes(validation=mobile),
        network=network,
        recipe=recipe,
        arguments={"width": 0.25} if mobile else {},
        folder=folder,
        progress=progress,
        **{"input_size": 32, "epochs": 3, "save_every": 0.0, **options},
    )


def equal(one, other):
    expected = other.net.state_dict()
    return all(torch.equal(tensor, expected[name]) for name, tensor in one.net.state_dict().items())


class Given:
    """A limit that says what it is told to, {step: end}."""

    def __init__(self, ends):
        self.ends = ends

    def begin(self, earlier):
        pass

    def after_step(self, step, pace):
        return self.ends.get(step, pace.end)

    def after_epoch(self):
        pass


def fitted(folder, *, ends=None, kill_at=None):
    """24 images in batches of 8 for 5 epochs, with all that goes by the place in the course."""

    def progress(done, total, message):
        if done == kill_at:
            raise Killed

    torch.manual_seed(0)
    images = stripes(validation=False).splits["train"]
    recipe = Recipe(epochs=5, batch_size=8, average=0.9, small_images=0.6, seed=1)
    preprocess = Preprocess(resize=32, crop=(32, 32), mean=(100.0,) * 3, std=(50.0,) * 3)
    net = create("resnet20", num_classes=3)
    identity = {"recipe": recipe.to_json(), "data": {}}
    with open_journal(folder, identity=identity, save_every=0.0) as journal:
        course = fit(
            Learner(net, recipe=recipe, preprocess=preprocess),
            np.stack([images.read(i) for i in range(24)]),
            images.labels,
            journal=journal,
            limit=None if ends is None else Given(ends),
            progress=progress,
        )
    return course, net.state_dict()


def small(recipe):
    return Recipe.from_json({**recipe.to_json(), "batch_size": 8})


@pytest.mark.parametrize("case", RECIPES)
def test_interrupted_at_five_steps_it_ends_as_if_it_had_not_been(case, tmp_path):
    network, recipe = RECIPES[case][0], small(RECIPES[case][1])
    whole = run(network, recipe)
    for step in (1, 3, 4, 8, 9):  # of 9: in an epoch, at its end, at the end of all
        with pytest.raises(Killed):
            run(network, recipe, folder=tmp_path, kill_at=step)
        assert len(states(tmp_path)) <= 2
    again = run(network, recipe, folder=tmp_path)
    assert equal(again, whole)
    assert {**again.card.metrics, "seconds": 0} == {**whole.card.metrics, "seconds": 0}


def test_a_shortened_run_that_is_interrupted_ends_as_if_it_had_not_been(tmp_path):
    ends = {4: 9, 7: 11}
    whole, expected = fitted(tmp_path / "whole", ends=ends)
    assert (whole.step, whole.history[-1]["end"]) == (11, 11)
    assert whole.changes == [{"step": 4, "end": 9}, {"step": 7, "end": 11}]
    for step in (4, 5, 8):  # at a change, after it, after another
        with pytest.raises(Killed):
            fitted(tmp_path / "cut", ends=ends, kill_at=step)
    again, weights = fitted(tmp_path / "cut")
    assert {**again.to_json(), "seconds": 0} | {"history": 0} == {
        **whole.to_json(),
        "seconds": 0,
    } | {"history": 0}
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    longer = fitted(tmp_path / "longer", ends={4: 9})[1]
    assert not all(torch.equal(longer[name], value) for name, value in expected.items())
    rows = read_log(tmp_path / "cut")
    assert [(row["step"], row.get("end")) for row in rows] == [(3, None), (6, 9), (9, 11), (11, 11)]


def test_a_state_that_is_not_of_every_step_is_enough(tmp_path):
    recipe = small(Recipe())
    whole = run("resnet20", recipe)
    for step in (5, 6, 7):
        with pytest.raises(Killed):
            run("resnet20", recipe, folder=tmp_path, kill_at=step, save_every=1e6)
    assert [path.stem for path in states(tmp_path)] == ["state-00000003", "state-00000006"]
    again = run("resnet20", recipe, folder=tmp_path)
    assert equal(again, whole)


def test_a_signal_saves_the_step_and_stops_and_the_run_goes_on(tmp_path):
    recipe = small(Recipe())
    whole = run("resnet20", recipe)

    def progress(done, total, message):
        if message.startswith("epoch") and done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"stopped after step 5.*--resume") as caught:
        train(
            stripes(validation=False),
            network="resnet20",
            recipe=recipe,
            epochs=3,
            folder=tmp_path,
            save_every=1e6,
            progress=progress,
        )
    assert caught.value.signal == signal.SIGTERM
    assert states(tmp_path)[-1].stem == "state-00000005"
    again = run("resnet20", recipe, folder=tmp_path)
    assert equal(again, whole)


def test_another_run_is_refused_saying_what_differs(tmp_path):
    recipe = small(Recipe())
    run("resnet20", recipe, folder=tmp_path)
    other = Recipe.from_json({**recipe.to_json(), "learning_rate": 0.2})
    with pytest.raises(RecipeError, match=r"recipe\.learning_rate is 0\.05 there and 0\.2 here"):
        run("resnet20", other, folder=tmp_path)
    assert find_recipe("resnet20", tmp_path / "recipe.json").learning_rate == 0.05
    with pytest.raises(RecipeError, match="network is 'resnet20' there and 'plain20' here"):
        run("plain20", recipe, folder=tmp_path)


def test_log_and_recipe_lie_beside_the_states(tmp_path):
    recipe = small(RECIPES["average, dropout, mixing, small images, validation"][1])
    with pytest.raises(Killed):
        run("mobilenet_v2", recipe, folder=tmp_path / "new", kill_at=7)
    run("mobilenet_v2", recipe, folder=tmp_path / "new")
    with (tmp_path / "new" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(0 <= float(row["val_top1"]) <= 1 for row in rows)
    written = find_recipe("mobilenet_v2", tmp_path / "new" / "recipe.json")
    assert written == Recipe.from_json({**recipe.to_json(), "epochs": 3})


def test_a_state_from_before_the_loss_on_val_goes_on_and_has_an_empty_column(tmp_path):
    recipe = small(RECIPES["average, dropout, mixing, small images, validation"][1])
    with pytest.raises(Killed):
        run("mobilenet_v2", recipe, folder=tmp_path, kill_at=4)
    tensors, course, identity = load_state(states(tmp_path)[-1])
    del course.history[0]["val_loss"]
    save_state(tmp_path, tensors, course=course, identity=identity)
    again = run("mobilenet_v2", recipe, folder=tmp_path)
    assert equal(again, run("mobilenet_v2", recipe))
    old, *new = read_log(tmp_path)
    assert "val_loss" not in old
    assert all(row["val_loss"] > 0 for row in new)


def test_the_cost_of_a_run_that_went_on_has_the_steps_and_seconds_of_all_commands(tmp_path):
    recipe, kept = small(Recipe()), []
    with pytest.raises(Killed):
        run("resnet20", recipe, folder=tmp_path, kill_at=8)
    before = load_state(states(tmp_path)[-1])[1]
    run("resnet20", recipe, folder=tmp_path, measured=kept.append)
    loop = kept[0].cost.loop
    assert (loop.steps, loop.images, loop.continued) == (9, 72, True)
    assert loop.seconds > before.seconds > 0


def test_the_seconds_of_an_epoch_are_those_at_its_end(tmp_path):
    recipe = dataclasses.replace(small(Recipe()), batch_size=24)  # an epoch is one step
    run("resnet20", recipe, folder=tmp_path, epochs=2)
    with (tmp_path / "log.csv").open(newline="") as file:
        first, second = (float(row["seconds"]) for row in csv.DictReader(file))
    assert 0 < first < second


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(OutputError, match="cannot be made"):
        run("resnet20", small(Recipe()), folder=tmp_path / "absent" / "run")


def test_a_run_that_has_not_ended_is_in_the_way_of_another(tmp_path):
    check_ended(tmp_path / "absent")
    run("resnet20", small(Recipe()), folder=tmp_path)
    with pytest.raises(OutputError, match="--resume, or start again by --force"):
        check_ended(tmp_path)


def test_another_run_removes_an_earlier_ones_state_once_it_begins(tmp_path):
    recipe = small(Recipe())
    run("resnet20", recipe, folder=tmp_path)
    kept = states(tmp_path)
    other = dataclasses.replace(recipe, augment=Augment(shift=32))
    with pytest.raises(RecipeError, match="shift is 32 pixels"):
        run("resnet20", other, folder=tmp_path, earlier="remove")
    assert states(tmp_path) == kept
    other = dataclasses.replace(recipe, learning_rate=0.01)
    again = run("resnet20", other, folder=tmp_path, earlier="remove", epochs=1)
    assert states(tmp_path)[-1].stem == "state-00000003"
    assert equal(again, run("resnet20", other, epochs=1))


def test_another_precision_than_the_runs_is_refused(tmp_path):
    recipe = small(Recipe())
    with pytest.raises(Killed):
        run("resnet20", recipe, folder=tmp_path, kill_at=4)
    with pytest.raises(RecipeError, match=r"precision bf16: the run that is continued is in fp32"):
        run("resnet20", recipe, folder=tmp_path, precision="bf16")
    run("resnet20", recipe, folder=tmp_path, precision="fp32")


@pytest.mark.slow
def test_killed_five_times_one_and_two_processes_end_as_if_they_had_not_been():
    command = [sys.executable, "benchmarks/resume.py", "--network", "resnet20"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["processes"] for line in found] == [1, 2]
    assert all(line["equal_to_the_bit"] for line in found)
    assert all(0 < max(line["killed_after_steps"]) < line["steps"] for line in found)


def test_a_folder_in_which_another_run_goes_on_is_refused_and_left_as_it_is(tmp_path):
    with (
        open_journal(tmp_path, identity={}, save_every=60.0),
        pytest.raises(OutputError, match="another process is at work there"),
    ):
        fitted(tmp_path)
    assert list(tmp_path.iterdir()) == []
