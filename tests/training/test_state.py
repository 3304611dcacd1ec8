"""States in files: what comes back, what is kept, what a damaged one says; nothing is executed."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from convforge.errors import OutputError, RecipeError
from convforge.training.course import Course
from convforge.training.state import (
    differences,
    load_state,
    read_identity,
    save_state,
    states,
)

IDENTITY = {"network": "lenet5", "recipe": {"epochs": 3}}


def save(folder, step, tensors=None):
    tensors = {"net/w": torch.full((2,), float(step))} if tensors is None else tensors
    return save_state(folder, tensors, course=Course(step=step), identity=IDENTITY)


def test_tensors_course_and_identity_come_back_to_the_bit(tmp_path):
    torch.manual_seed(0)
    tensors = {
        "net/features.0.weight": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "optimizer0/1/step": torch.tensor(7.0),
        "net/features.1.num_batches_tracked": torch.tensor(3),
    }
    course = Course(step=4, recent=1 / 3, best={"epoch": 1, "top1": 2 / 3})
    path = save_state(tmp_path, tensors, course=course, identity=IDENTITY)
    found, seen, identity = load_state(path)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert seen == course
    assert identity == read_identity(tmp_path) == IDENTITY


def test_the_two_newest_are_kept_and_nothing_else_is_left(tmp_path):
    for step in (1, 2, 9, 10, 100_000_000):
        save(tmp_path, step)
    assert states(tmp_path) == [
        tmp_path / "state-00000010.safetensors",
        tmp_path / "state-100000000.safetensors",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(states(tmp_path))


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save(tmp_path / "absent", 1)


def test_a_folder_without_states_has_no_identity(tmp_path):
    assert read_identity(tmp_path) is None
    assert read_identity(tmp_path / "absent") is None


def test_a_cut_or_foreign_file_is_refused_naming_it(tmp_path):
    path = save(tmp_path, 1)
    content = path.read_bytes()
    foreign = tmp_path / "state-00000002.safetensors"
    save_file({"w": torch.zeros(2)}, foreign)
    newer = tmp_path / "state-00000003.safetensors"
    newer.write_bytes(content.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    path.write_bytes(content[: len(content) // 2])
    for file, words in ((path, "damaged"), (foreign, "no state"), (newer, "of format 9")):
        with pytest.raises(RecipeError, match=words) as caught:
            load_state(file)
        assert str(file) in str(caught.value)


def test_differences_name_the_field_and_both_values():
    here = {"network": "vgg16", "recipe": {"epochs": 3, "seed": 0}}
    there = {"network": "vgg16", "recipe": {"epochs": 4, "seed": 0}, "data": None, "new": 1}
    assert differences(here, there) == [
        "new is 1 there and None here",
        "recipe.epochs is 4 there and 3 here",
    ]
    assert differences(here, here) == []
