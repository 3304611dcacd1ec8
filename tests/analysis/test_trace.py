import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convforge.analysis.trace import storage_id, trace
from convforge.errors import NetworkError


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(F.relu(self.conv(x)) + x).flatten(1)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.tanh(x * self.scale)


def test_layers_and_the_operators_between_them_are_steps_in_order():
    ran = trace(nn.Sequential(Residual()), (4, 6, 6))
    assert [step.name for step in ran.steps] == ["0.conv", "0:relu", "0:add", "0.relu", "0:view"]
    assert [tuple(step.outputs[0].shape) for step in ran.steps][-1] == (1, 144)


def test_operators_inside_a_layer_without_children_belong_to_it():
    ran = trace(nn.Sequential(Scaled()), (1, 2, 2))
    assert [step.name for step in ran.steps] == ["0"]
    assert [call.operator for call in ran.steps[0].calls] == ["mul", "tanh"]


def test_a_layer_that_runs_twice_is_two_steps():
    relu = nn.ReLU()
    ran = trace(nn.Sequential(relu, relu), (1, 2, 2))
    assert [step.name for step in ran.steps] == ["0", "0"]


def test_a_view_of_a_parameter_is_known_as_the_parameter():
    ran = trace(nn.Sequential(nn.Linear(3, 2)), (1, 1, 3))
    read = {storage_id(t) for step in ran.steps for call in step.calls for t in call.inputs}
    names = {name for key, (name, _) in ran.parameters.items() if key in read}
    assert names == {"0.weight", "0.bias"}


def test_tracing_leaves_modes_hooks_weights_and_statistics_as_they_were():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    net[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trace(net, (1, 8, 8))
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.device.type == "cpu" for value in net.state_dict().values())


def test_a_network_that_fails_is_restored_too_and_the_refusal_names_the_shape():
    net = nn.Sequential(nn.Conv2d(3, 2, 3))
    with pytest.raises(NetworkError, match=r"Sequential: it cannot take an input of 1x8x8"):
        trace(net, (1, 8, 8))
    assert net.training
    assert not net[0]._forward_hooks


def test_no_memory_is_taken_for_activations():
    ran = trace(nn.Sequential(nn.Conv2d(3, 4, 1)), (3, 100_000, 100_000))
    assert ran.outputs[0].device.type == "meta"
    assert tuple(ran.outputs[0].shape) == (1, 4, 100_000, 100_000)
