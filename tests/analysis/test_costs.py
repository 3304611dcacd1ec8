import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from convforge.analysis.summary import describe
from convforge.networks.blocks import LocalResponseNorm


def only_row(layer, shape):
    (row,) = describe(nn.Sequential(layer), input_shape=shape).rows
    return row


MATRIX_LAYERS = [
    (nn.Conv2d(4, 6, 3), (4, 9, 9)),
    (nn.Conv2d(4, 6, (3, 1), stride=2, padding=1, dilation=2, groups=2, bias=False), (4, 9, 9)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 5)),
    (nn.Linear(9, 5), (1, 1, 9)),
    (nn.Linear(9, 5, bias=False), (1, 7, 9)),
]


@pytest.mark.parametrize(("layer", "shape"), MATRIX_LAYERS)
def test_macs_are_half_of_what_torchs_own_counter_counts(layer, shape):
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        result = layer(torch.zeros(1, *shape))
    row = only_row(layer, shape)
    assert row.macs == counter.get_total_flops() // 2
    bias = result.numel() if layer.bias is not None else 0
    assert row.flops == 2 * row.macs + bias


class Softmax4(nn.Module):
    def forward(self, x):
        return F.softmax(x, dim=1)


# layer, FLOPs on an input of 4 maps of 6 x 6, by the table in costs.py
PLAIN_LAYERS = [
    (nn.ReLU(), 144),
    (nn.Hardswish(), 144),
    (nn.PReLU(), 144),
    (nn.BatchNorm2d(4), 288),
    (nn.MaxPool2d(2), 4 * 9 * 4),
    (nn.AvgPool2d(3, 1), 4 * 16 * 9),
    (nn.AdaptiveAvgPool2d(1), 144),
    (nn.AdaptiveAvgPool2d(2), 4 * 4 * 9),
    (Softmax4(), 720),
    (LocalResponseNorm(n=3), 144 * 7),
    (nn.Flatten(), 0),
    (nn.Dropout(), 0),
    (nn.Identity(), 0),
    (nn.ZeroPad2d(1), 0),
]


@pytest.mark.parametrize(("layer", "flops"), PLAIN_LAYERS)
def test_layers_without_products_cost_what_the_table_says(layer, flops):
    row = only_row(layer, (4, 6, 6))
    assert (row.macs, row.flops) == (0, flops)


class Cube(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 2) + 1


def test_an_operator_without_a_rule_is_named_and_the_others_still_count():
    summary = describe(nn.Sequential(Cube()), input_shape=(1, 4, 4))
    assert summary.uncounted == ("cumsum",)
    assert summary.flops == 16


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1, 3, 3))
        self.register_buffer("mask", torch.ones(2, 1, 3, 3))

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask)


def test_what_works_on_weights_alone_costs_an_image_nothing():
    row = only_row(Masked(), (1, 5, 5))
    assert row.macs == 2 * 9 * 9
    assert row.flops == 2 * row.macs
    assert row.parameters == 18


def peak(net, shape):
    summary = describe(net, input_shape=shape)
    return summary.peak_bytes // 4, summary.rows[summary.peak_row].name


def test_a_chain_needs_the_largest_input_and_output_at_once():
    net = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 7, 1))
    assert peak(net, (1, 10, 10)) == (1000, "1")


def test_a_layer_that_works_in_place_needs_no_second_map():
    assert peak(nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU()), (1, 10, 10)) == (1600, "1")
    assert peak(nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(inplace=True)), (1, 10, 10))[0] == 900


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))

    def forward(self, x):
        return self.body(x) + x


def test_a_shortcut_keeps_its_input_alive_to_the_addition():
    assert peak(nn.Sequential(nn.Conv2d(1, 4, 1), Shortcut()), (1, 10, 10)) == (1200, "1.body.1")


def test_a_view_keeps_what_it_views_alive_and_takes_nothing_itself():
    class Late(nn.Module):
        def forward(self, x):
            corner = x[:, :, :1, :1]
            return F.relu(x.sum((2, 3), keepdim=True)) + corner

    assert peak(nn.Sequential(Late()), (1, 10, 10))[0] == 102


def test_the_indices_of_max_pooling_that_nothing_reads_are_not_counted():
    assert peak(nn.Sequential(nn.MaxPool2d(2)), (1, 10, 10))[0] == 125
