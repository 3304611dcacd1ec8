"""The moving average: its formula, all floating-point state in it, the weights put back."""

from __future__ import annotations

import torch
from torch import nn

from convforge.training.average import Average


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_it_is_the_average_of_the_formula_of_parameters_and_statistics():
    net = network()
    average = Average(net, decay=0.5)
    expected = {k: v.clone() for k, v in net.state_dict().items()}
    for step in (1, 2, 30):
        net(torch.randn(4, 1, 5, 5))  # moves the statistics
        with torch.no_grad():
            net[0].weight.add_(step)
        average.update(net, step=step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
    assert set(average.values) == {n for n in expected if not n.endswith("num_batches_tracked")}
    for name, value in average.values.items():
        torch.testing.assert_close(value, expected[name])


def test_within_the_network_has_the_average_and_afterwards_its_own_weights():
    net = network()
    average = Average(net, decay=0.9)
    with torch.no_grad():
        net[0].weight.zero_()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with average.inside(net):
        assert torch.equal(net[0].weight, average.values["0.weight"])
        assert net[0].weight.any()
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


def test_a_longer_stride_forgets_as_much_as_the_steps_that_it_stands_for():
    net = network()
    once, twice = Average(net, decay=0.5), Average(net, decay=0.5)
    with torch.no_grad():
        net[0].weight.add_(1.0)
    once.update(net, step=30, stride=2.0)
    twice.update(net, step=30)
    twice.update(net, step=30)
    for name, value in once.values.items():
        torch.testing.assert_close(value, twice.values[name])
