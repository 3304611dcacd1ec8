"""Fields of compiled networks, held against those of the same networks in torch."""

import pytest
import torch
from torch import nn

from convforge.analysis.fields import receptive_fields as fields_of_torch
from convforge.analysis.trace import trace
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.receptive import receptive_fields, sources
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.passes.assign_layouts import assign_layouts
from convforge.compiler.passes.order import run_passes
from convforge.networks import catalog


def program_of(net, shape):
    return build_program(*assign_layouts(run_passes(from_torch(net.eval(), shape))))


def in_torch(net, shape):
    ran = trace(net, shape)
    return fields_of_torch(ran)[id(ran.outputs[0])]


@pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5_relu", (1, 32, 32)), ("resnet20", (3, 32, 32)), ("googlenet", (3, 64, 64))],
)
def test_the_last_maps_of_a_network_see_what_torchs_do(name, shape):
    net = catalog.create(name, num_classes=4).features
    field, expected = receptive_fields(program_of(net, shape))[-1], in_torch(net, shape)
    assert field.size == (expected.rows.size, expected.columns.size)
    assert field.first == (expected.rows.first, expected.columns.first)
    assert field.jump == (expected.rows.jump, expected.columns.jump)
    assert not field.gated


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.mix(x.mean((2, 3), keepdim=True)))


def test_a_gate_sees_everything_and_says_so():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), Gate(8), nn.Conv2d(8, 8, 3, stride=2))
    field, expected = receptive_fields(program_of(net, (3, 20, 24)))[-1], in_torch(net, (3, 20, 24))
    assert field.gated
    assert expected.gated
    assert field.size == (5, 5) == (expected.rows.size, expected.columns.size)


def test_a_linear_layer_sees_all_positions():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 4 * 5, 3))
    field = receptive_fields(program_of(net, (1, 9, 11)))[-1]
    assert (field.first, field.size) == ((0, 0), (9, 11))


def test_unequal_windows_and_padding_are_told_apart_by_axis():
    net = nn.Sequential(
        nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(0, 2)),
        nn.MaxPool2d((1, 2)),
        nn.ConstantPad2d((1, 0, 2, 0), -1.0),
        nn.Conv2d(4, 4, 3, dilation=(1, 2)),
    )
    field, expected = receptive_fields(program_of(net, (3, 30, 30)))[-1], in_torch(net, (3, 30, 30))
    assert field.size == (expected.rows.size, expected.columns.size) == (7, 14)
    assert field.first == (expected.rows.first, expected.columns.first)
    assert field.jump == (expected.rows.jump, expected.columns.jump) == (2, 2)


class Turned(nn.Module):
    def forward(self, x):
        return x.transpose(2, 3)


def test_what_has_no_rule_has_no_field_nor_has_what_follows():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Turned(), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2))
    fields = receptive_fields(program_of(net, (3, 12, 14)))
    assert fields[0].size == (3, 3)
    assert fields[-1] is None


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.mix = nn.Conv2d(3, 4, 1), nn.MaxPool2d(5, 1, 2), nn.Conv2d(7, 4, 1)

    def forward(self, x):
        return self.mix(torch.cat((self.one(x), self.two(x)), 1))


def test_a_joined_map_has_several_writers():
    program = program_of(Branches(), (3, 9, 9))
    reads = sources(program)
    assert reads[0] == ((-1,),)
    joined = [set(writers) for inputs in reads for writers in inputs if len(writers) > 1]
    assert [len(writers) for writers in joined] == [2]
    assert 0 in joined[0]
    assert receptive_fields(program)[-1].size == (5, 5)
