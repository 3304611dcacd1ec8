"""One step: its gradient against autograd by hand, parts, precision, dropout, smaller images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convforge.errors import RecipeError
from convforge.images.augment import Augment
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.networks.contract import ConvNet
from convforge.training.distributed import Team
from convforge.training.learner import Batch, Learner, check_batch, small_size
from convforge.training.machine import Machine
from convforge.training.recipe import Recipe

PREPROCESS = Preprocess(resize=(6, 6), crop=(6, 6), mean=(100.0,), std=(50.0,))
COLOUR = Preprocess(resize=32, crop=(32, 32), mean=(120.0,) * 3, std=(60.0, 61.0, 62.0))
PLAIN = Recipe(epochs=1, batch_size=8, momentum=0.0, weight_decay=0.0, label_smoothing=0.1)


class Tiny(ConvNet):
    """A convolution and a linear layer; with a side head at weight 0.3, with dropout."""

    def __init__(self, *, side=False, dropout=0.0):
        torch.manual_seed(0)
        super().__init__(
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()),
            nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(64, 3)),
        )
        self.input_shape, self.num_classes = (1, 6, 6), 3
        self.side = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)) if side else None
        self.train()

    def weighted_logits(self, x):
        main = ((self(x), 1.0),)
        return main if self.side is None else (*main, (self.side(x), 0.3))


def batch(count=8, *, shape=(6, 6, 1), classes=3):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *shape), np.uint8)
    return Batch(pixels, rng.integers(0, classes, count), whole=count)


def stepped(net, recipe, *, data=None, preprocess=PREPROCESS, machine=None, step=0, steps=1):
    learner = Learner(net, recipe=recipe, preprocess=preprocess, machine=machine or Machine())
    return learner, learner.step(data or batch(), step=step, steps=steps)


@pytest.mark.parametrize("side", [False, True])
def test_a_step_is_the_gradient_of_the_weighted_smoothed_cross_entropy(side):
    net, twin = Tiny(side=side), Tiny(side=side)
    data = batch()
    _, (loss, right) = stepped(net, PLAIN, data=data)
    x = torch.from_numpy(PREPROCESS.normalize(data.pixels))
    y = torch.from_numpy(data.labels)
    expected = F.cross_entropy(twin(x), y, label_smoothing=0.1)
    assert right == int((twin(x).argmax(1) == y).sum())
    if side:
        expected = expected + 0.3 * F.cross_entropy(twin.side(x), y, label_smoothing=0.1)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    rate = PLAIN.rate(0.5)
    for trained, start in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(trained, start - rate * start.grad)


@pytest.mark.parametrize("channels_last", [False, True])
def test_inputs_are_those_of_the_preprocessing_to_the_bit(channels_last):
    net = create("resnet20", num_classes=10)
    learner = Learner(
        net, recipe=PLAIN, preprocess=COLOUR, machine=Machine(channels_last=channels_last)
    )
    data = batch(4, shape=(32, 32, 3), classes=10)
    x = learner.inputs(torch.from_numpy(data.pixels))
    targets = learner.targets(torch.from_numpy(data.labels))
    assert np.array_equal(x.numpy(), COLOUR.normalize(data.pixels))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert x.is_contiguous(memory_format=layout)
    assert np.array_equal(targets.argmax(1).numpy(), data.labels)
    assert targets.sum() == 4


@pytest.mark.parametrize("parts", [2, 3, 8, 20])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts):
    whole, cut = Tiny(side=True), Tiny(side=True)
    _, expected = stepped(whole, PLAIN)
    _, found = stepped(cut, PLAIN, machine=Machine(parts=parts))
    assert found == pytest.approx(expected)
    for one, other in zip(cut.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("machine", "tolerance"),
    [
        (Machine(channels_last=True), 1e-5),
        (Machine(channels_last=True, precision="bf16"), 0.05),
    ],
)
def test_another_machine_gives_the_same_step_but_for_rounding(machine, tolerance):
    recipe = Recipe(learning_rate=0.05, weight_decay=0.0)
    nets = []
    losses = []
    for one in (Machine(), machine):
        torch.manual_seed(0)
        nets.append(create("resnet20", num_classes=10).train())
        data = batch(16, shape=(32, 32, 3), classes=10)
        start = [p.detach().clone() for p in nets[-1].parameters()]
        _, (loss, _) = stepped(nets[-1], recipe, data=data, preprocess=COLOUR, machine=one)
        losses.append(loss)
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    moves = [
        torch.cat([(p.detach() - s).flatten() for p, s in zip(n.parameters(), start, strict=True)])
        for n in nets
    ]
    assert (moves[1] - moves[0]).norm() < 4 * tolerance * moves[0].norm()
    assert all(p.dtype == torch.float32 for p in nets[1].parameters())


def test_dropout_is_drawn_by_seed_and_step_whatever_torch_drew_before():
    def loss(*, seed=0, step=0):
        torch.rand(step + 3)
        recipe = Recipe(seed=seed, warmup=0.0)
        return stepped(Tiny(dropout=0.5), recipe, step=step, steps=9)[1][0]

    assert loss() == loss()
    assert len({loss(), loss(step=1), loss(seed=1)}) == 3


def test_images_are_augmented_and_mixed_as_the_recipe_says():
    losses = {
        augment: stepped(Tiny(), Recipe(augment=augment))[1][0]
        for augment in (Augment(), Augment(flip=True), Augment(mixup=1.0), Augment(erasing=1.0))
    }
    assert len(set(losses.values())) == 4


def test_the_first_share_of_the_steps_sees_smaller_images():
    net = create("resnet20", num_classes=10).train()
    shapes = []
    net.features[0].register_forward_pre_hook(lambda _, x: shapes.append(tuple(x[0].shape[2:])))
    recipe = Recipe(small_images=0.4)
    learner = Learner(net, recipe=recipe, preprocess=COLOUR)
    shapes.clear()
    for step in range(5):
        learner.step(batch(2, shape=(32, 32, 3)), step=step, steps=5)
    assert shapes == [(24, 24)] * 2 + [(32, 32)] * 3


@pytest.mark.parametrize(("side", "small"), [(32, 24), (224, 168), (9, 8), (160, 120)])
def test_small_images_have_three_quarters_of_the_side_in_multiples_of_eight(side, small):
    net = Tiny()
    net.input_shape = (1, side, side)
    assert small_size(net) == (small, small)


def test_smaller_images_are_refused_where_the_network_takes_one_size():
    with pytest.raises(RecipeError, match=r"24x24 pixels, and lenet5_relu takes 32x32 only"):
        Learner(
            create("lenet5_relu", in_channels=3),
            recipe=Recipe(small_images=0.5),
            preprocess=COLOUR,
        )


def test_frozen_normalisation_keeps_statistics_scales_and_shifts():
    net = create("resnet20", num_classes=10).train()
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in norms]
    first = next(net.parameters()).detach().clone()
    recipe = Recipe(batch_norm="frozen")
    stepped(net, recipe, data=batch(4, shape=(32, 32, 3)), preprocess=COLOUR)
    assert not torch.equal(next(net.parameters()), first)
    for norm, state in zip(norms, before, strict=True):
        assert all(torch.equal(norm.state_dict()[k], v) for k, v in state.items())


def test_the_average_is_what_is_kept_in_the_end():
    net = Tiny()
    learner, _ = stepped(net, Recipe(average=0.9))
    last = net.head[2].weight.detach().clone()
    average = learner.average.values["head.2.weight"].clone()
    with learner.averaged() as averaged:
        assert torch.equal(averaged.head[2].weight, average)
    assert torch.equal(net.head[2].weight, last)
    learner.finish()
    assert torch.equal(net.head[2].weight, average)
    assert not torch.equal(last, average)


def test_one_image_a_step_is_enough_where_maps_are_larger_or_statistics_frozen():
    net = create("resnet18", num_classes=3, input_size=64)
    one = Recipe(batch_size=1)
    check_batch(net, one, count=20)
    check_batch(create("resnet18", input_size=32), Recipe(batch_size=2), count=20)
    check_batch(
        create("resnet18", input_size=32), Recipe(batch_size=1, batch_norm="frozen"), count=20
    )
    check_batch(create("lenet5"), one, count=20)
    assert net.training
    assert all(parameter.device.type == "cpu" for parameter in net.parameters())
    with pytest.raises(RecipeError, match="one image of 32x32"):
        check_batch(create("resnet18", input_size=40), Recipe(small_images=0.4), count=1)


def test_a_team_leaves_each_process_its_share_of_a_batch():
    net = create("resnet18", input_size=32)
    check_batch(net, Recipe(batch_size=4), count=20, team=Team(size=2))
    with pytest.raises(RecipeError, match="normalises over a batch"):
        check_batch(net, Recipe(batch_size=3), count=20, team=Team(size=2))


def test_beside_a_gpu_windows_are_prepared_and_resized_there(monkeypatch):
    monkeypatch.setattr(Machine, "is_gpu", True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    empty = torch.empty

    def unpinned(*shape, pin_memory=False, **how):
        return empty(*shape, **how)

    monkeypatch.setattr(torch, "empty", unpinned)
    augment = Augment(crop="resized", flip=True)
    data = batch(8, shape=(40, 50, 3), classes=10)
    learner = Learner(
        create("resnet20", num_classes=10), recipe=Recipe(augment=augment), preprocess=COLOUR
    )
    there = learner.inputs(learner.prepare(data, step=3).pixels)
    monkeypatch.setattr(Machine, "is_gpu", False)
    here = learner.inputs(learner.prepare(data, step=3).pixels)
    assert (there - here).abs().max() < 1.01 / 60
