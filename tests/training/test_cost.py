"""What a training took: counts against the catalogue and the layer by layer one, and by hand."""

from __future__ import annotations

import time

import pytest
import torch

from convforge.analysis.summary import describe
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import CATALOG, create
from convforge.processors import processor_name, processors
from convforge.training.cost import Loop, Stopwatch, cost_of, forward_macs, loop_of
from convforge.training.course import Course
from convforge.training.distributed import Team
from convforge.training.learner import Learner
from convforge.training.recipe import Recipe

LOOP = Loop(steps=3, images=24, seconds=2.0, busy=1.5, continued=False)


def learner(name, **arguments):
    net = create(name, **arguments)
    channels, *crop = net.input_shape
    moments = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    preprocess = Preprocess(resize=tuple(crop), crop=tuple(crop), **moments)
    return Learner(net, recipe=Recipe(), preprocess=preprocess, team=Team(1, 3))


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "resnet20", "mobilenet_v2"])
def test_counts_are_the_catalogues_side_heads_left_out(name):
    found = cost_of(learner(name), None)
    assert (found.parameters, found.macs) == (CATALOG[name].parameters, CATALOG[name].macs)


def test_another_size_has_the_multiply_adds_that_its_layers_have():
    net = create("mobilenet_v2", num_classes=3, input_size=64, width=0.25)
    assert forward_macs(net) == describe(net).macs < CATALOG["mobilenet_v2"].macs / 40


def test_counting_leaves_the_network_as_it_was():
    net = create("resnet20").train()
    net.head.eval()
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    forward_macs(net)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_training_is_three_times_forward_for_every_image():
    found = cost_of(learner("lenet5"), LOOP)
    assert found.training_macs == 3 * 24 * CATALOG["lenet5"].macs
    assert cost_of(learner("lenet5"), None).training_macs is None


def test_it_says_what_it_was_trained_on():
    found = cost_of(learner("lenet5"), LOOP)
    assert (found.processor, found.processors) == (processor_name(), processors())
    assert (found.threads, found.processes, found.gpu) == (torch.get_num_threads(), 3, "")
    assert found.loop == LOOP


def test_a_loop_has_the_seconds_of_its_course_or_else_of_this_command():
    watch, recipe = Stopwatch(), Recipe(batch_size=8)
    time.sleep(0.01)
    own = loop_of(Course(step=3), watch, recipe, count=24, continued=False)
    assert (own.steps, own.images) == (3, 24)
    assert 0.01 <= own.seconds <= watch.read()[0]
    whole = loop_of(Course(step=3, seconds=9.0), watch, recipe, count=5, continued=True)
    assert (whole.images, whole.seconds, whole.continued) == (15, 9.0, True)


def test_a_process_that_works_is_busy_and_one_that_sleeps_is_not():
    watch = Stopwatch()
    time.sleep(0.2)
    asleep = watch.read()[1]
    watch, until = Stopwatch(), time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert asleep < 0.5
    assert watch.read()[1] > asleep
