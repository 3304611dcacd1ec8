"""The way of computing that measured steps decide for: devices, precision, memory, what is kept."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from convforge.errors import RecipeError
from convforge.networks.catalog import create
from convforge.training import selection
from convforge.training.distributed import ALONE
from convforge.training.machine import PLAIN, Machine
from convforge.training.recipe import Recipe
from convforge.training.selection import choose_machine, enough_memory, find_device

LONG = Recipe(epochs=100, batch_size=64)
SHORT = Recipe(epochs=1, batch_size=64)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "convforge" / "machines"


class Measured:
    """A trial whose steps take what a table says; more images than `memory` in a part do not fit.

    Keeps the ways that it was asked for, in order.
    """

    def __init__(self, seconds, *, network="resnet20", images=6400, memory=10**9):
        self.net, self.team, self.counts = create(network), ALONE, {"train": images}
        self._seconds, self._memory = seconds, memory
        self.asked = []

    def step_seconds(self, recipe, *, machine):
        self.asked.append(machine)
        if recipe.batch_size / machine.parts > self._memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._seconds["compiled" if machine.compiled else machine.precision]


def test_the_faster_precision_is_taken_where_a_run_is_long():
    assert choose_machine(Measured({"fp32": 0.1, "bf16": 0.05}), recipe=LONG).precision == "bf16"
    for_mobile = Measured({"fp32": 0.1, "bf16": 0.12}, network="mobilenet_v2")
    assert choose_machine(for_mobile, recipe=LONG).precision == "fp32"


def test_a_difference_within_noise_changes_nothing():
    chosen = choose_machine(Measured({"fp32": 0.1, "bf16": 0.0985}), recipe=LONG)
    assert chosen == Machine(channels_last=True)


def test_a_short_run_is_not_kept_waiting_for_measurements(cache):
    trial = Measured({"fp32": 0.1})
    assert choose_machine(trial, recipe=SHORT) == Machine(channels_last=True)
    assert len(trial.asked) == 1
    assert not cache.exists()


def test_small_networks_are_computed_plainly_and_nothing_is_measured():
    trial = Measured({}, network="lenet5_relu")
    assert choose_machine(trial, recipe=LONG) == PLAIN
    assert trial.asked == []


def test_what_was_asked_for_is_what_is_measured():
    trial = Measured({"bf16": 0.1})
    assert choose_machine(trial, recipe=LONG, precision="bf16").precision == "bf16"
    assert {machine.precision for machine in trial.asked} == {"bf16"}


def test_compiling_is_tried_where_the_run_would_pay_for_it():
    hours = Recipe(epochs=1000, batch_size=64)
    trial = Measured({"fp32": 0.1, "bf16": 0.2, "compiled": 0.09})
    assert choose_machine(trial, recipe=hours).compiled
    slower = Measured({"fp32": 0.1, "bf16": 0.2, "compiled": 0.2}, network="resnet32")
    assert not choose_machine(slower, recipe=hours).compiled


def test_the_choice_is_kept_with_what_it_was_made_by(cache):
    first = choose_machine(Measured({"fp32": 0.1, "bf16": 0.05}), recipe=LONG)
    again = Measured({})
    assert choose_machine(again, recipe=LONG) == first
    assert again.asked == []
    (file,) = cache.iterdir()
    measured = json.loads(file.read_text())["measured"]
    assert [way["seconds_a_step"] for way in measured] == [0.1, 0.05]


def test_a_damaged_file_of_an_earlier_choice_is_measured_again(cache):
    choose_machine(Measured({"fp32": 0.1, "bf16": 0.05}), recipe=LONG)
    (file,) = cache.iterdir()
    file.write_text("{")
    trial = Measured({"fp32": 0.05, "bf16": 0.1})
    assert choose_machine(trial, recipe=LONG).precision == "fp32"


def test_another_batch_is_another_choice():
    choose_machine(Measured({"fp32": 0.1, "bf16": 0.05}), recipe=LONG)
    larger = Measured({"fp32": 0.1, "bf16": 0.2})
    chosen = choose_machine(larger, recipe=Recipe(epochs=100, batch_size=128))
    assert chosen.precision == "fp32"


@pytest.mark.parametrize(("memory", "parts"), [(64, 1), (63, 2), (16, 4), (1, 64)])
def test_a_batch_that_does_not_fit_goes_through_in_parts(memory, parts):
    trial = Measured({"fp32": 0.1, "bf16": 0.05}, memory=memory)
    chosen = choose_machine(trial, recipe=LONG)
    assert (chosen.precision, chosen.parts) == ("bf16", parts)


def test_one_image_that_does_not_fit_is_refused():
    with pytest.raises(RecipeError, match="one image at a time does not fit the memory of cpu"):
        choose_machine(Measured({}, memory=0), recipe=LONG)


def test_other_errors_of_a_step_are_not_taken_for_a_lack_of_memory():
    trial = Measured({})
    trial.step_seconds = lambda *_, **__: torch.zeros(2) @ torch.zeros(3)
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        choose_machine(trial, recipe=LONG)


def test_devices(monkeypatch):
    gpus = SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
    monkeypatch.setattr(selection.torch, "cuda", gpus)
    assert find_device("auto") == find_device("cpu") == "cpu"
    with pytest.raises(RecipeError, match="torch finds 0 CUDA devices here; take cpu"):
        find_device("cuda")
    with pytest.raises(RecipeError, match="expected auto, cpu, cuda or cuda:NUMBER"):
        find_device("gpu")
    with pytest.raises(RecipeError, match="expected auto, cpu, cuda or cuda:NUMBER"):
        find_device("meta")


def test_gpus(monkeypatch):
    gpus = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
    monkeypatch.setattr(selection.torch, "cuda", gpus)
    assert find_device("auto") == find_device("cuda") == "cuda"
    assert find_device("cuda:1") == "cuda:1"
    with pytest.raises(RecipeError, match="torch finds 2 CUDA devices"):
        find_device("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert find_device("auto") == find_device("cuda") == "cuda:1"


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("you tried: not enough memory: 9")],
)
def test_memory_that_runs_out_later_is_said_in_words(error):
    said = pytest.raises(RecipeError, match="batch_size 64: takes more memory than is free")
    with said as told, enough_memory(64):
        raise error
    assert told.value.names == ("batch_size",)
    with pytest.raises(RuntimeError, match="shapes"), enough_memory(64):
        raise RuntimeError("shapes do not match")
