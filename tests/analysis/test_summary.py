import json

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from convforge.analysis.summary import describe
from convforge.errors import NetworkError
from convforge.networks import catalog


@pytest.fixture(scope="module", params=catalog.names())
def network(request, summary_of):
    return request.param, summary_of(request.param)


def test_counts_are_the_catalogues_and_rows_and_unused_hold_every_parameter_once(network, on_meta):
    name, summary = network
    everything = sum(p.numel() for p in on_meta(name).parameters())
    assert summary.parameters + sum(summary.unused.values()) == everything
    assert summary.parameters == catalog.entry(name).parameters
    assert summary.macs == catalog.entry(name).macs


def test_every_operator_of_every_network_is_counted_and_its_field_known(network):
    _, summary = network
    assert summary.uncounted == ()
    assert all(row.view is not None for row in summary.rows)


ONE_A_FAMILY = (
    "lenet5",
    "alexnet",
    "nin",
    "vgg16_bn",
    "googlenet",
    "resnet20",
    "resnet50_v1",
    "plain34",
    "mobilenet_v1",
    "mobilenet_v2",
    "efficientnet_b3",
    "efficientnet_lite0",
)


@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_macs_are_half_of_torchs_own_count(name, on_meta, summary_of):
    net, counter = on_meta(name), FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(torch.zeros(1, *net.input_shape, device="meta"))
    assert summary_of(name).macs == counter.get_total_flops() // 2


def test_windows_of_every_network_come_with_a_formula_that_ends_in_the_size(network):
    _, summary = network
    for row in summary.rows:
        if row.geometry is not None:
            assert row.size_formula.endswith((f" = {row.output_shape[1]}", "windows of 1")) or (
                "→" in row.size_formula
            ), row


def test_formulas_of_parameters_and_macs_are_there_for_every_plain_convolution(network):
    _, summary = network
    for row in summary.rows:
        if row.kind in {"Conv2d", "Linear"}:
            assert row.parameter_formula.endswith(f" = {row.parameters:,}")
            assert row.mac_formula.endswith(f" = {row.macs:,}")


def test_a_summary_is_json_with_exact_integers(network):
    _, summary = network
    fields = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert fields["parameters"] == sum(row["parameters"] for row in fields["rows"])
    assert fields["macs"] == sum(row["macs"] for row in fields["rows"])


# torchvision's name: ours
PEERS = {
    "alexnet": "alexnet_owt",
    "vgg11": "vgg11",
    "googlenet": "googlenet_bn",
    "resnet50": "resnet50",
    "mobilenet_v2": "mobilenet_v2",
    "efficientnet_b0": "efficientnet_b0",
}


@pytest.mark.parametrize("name", PEERS)
def test_counts_agree_with_torchvisions_published_ones(summary_of, name):
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    arguments = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    with torch.device("meta"):
        summary = describe(
            torchvision.models.get_model(name, **arguments), input_shape=(3, 224, 224)
        )
    assert summary.parameters == meta["num_params"]
    assert summary.macs == pytest.approx(meta["_ops"] * 1e9, rel=0.005)
    if PEERS[name] in catalog.CATALOG:
        ours = summary_of(PEERS[name])
        assert ours.parameters == meta["num_params"]
        assert ours.macs == pytest.approx(meta["_ops"] * 1e9, rel=0.005)


def test_lenet5s_rows_are_those_of_its_paper(summary_of):
    rows = {row.name: row for row in summary_of("lenet5").rows}
    first = rows["features.c1.conv"]
    assert first.output_shape == (6, 28, 28)
    assert first.size_formula == "⌊(32+2·0\N{MINUS SIGN}5)/1⌋+1 = 28"
    assert first.parameter_formula == "(1·5·5+1)·6 = 156"
    assert first.mac_formula == "28·28·6·(1·5·5) = 117,600"
    assert first.view.size == (5, 5)
    assert first.activation_bytes == 28 * 28 * 6 * 4
    assert first.moved_bytes == 4 * (32 * 32 + 28 * 28 * 6 + 156)
    assert first.intensity == first.flops / first.moved_bytes
    parameters = [row.parameters for row in rows.values() if row.parameters]
    assert parameters == [156, 12, 1_516, 32, 48_120, 10_164]
    assert rows["features.c5.conv"].view.size == (32, 32)
    assert rows["head.flatten"].view.jump is None


class Odd(nn.Module):
    def forward(self, x):
        x = F.pad(x, (0, 1, 0, 1))
        return F.max_pool2d(x, 3, 2, ceil_mode=True)


FORMULAS = [
    (nn.Conv2d(1, 2, 3, dilation=2, padding=2), "⌊(9+2·2-2·(3-1)-1)/1⌋+1 = 9"),
    (nn.MaxPool2d(2, ceil_mode=True), "⌈(9+2·0-2)/2⌉+1 = 5"),
    (nn.MaxPool2d(2, 3, padding=1, ceil_mode=True), "⌈(9+2·1-2)/3⌉+1 = 4"),
    (nn.MaxPool2d(1, 5, ceil_mode=True), "⌈(9+2·0-1)/5⌉+1-1 = 2"),
    (nn.Conv2d(1, 2, (3, 1), stride=(1, 2)),
     "rows ⌊(9+2·0-3)/1⌋+1 = 7, columns ⌊(9+2·0-1)/2⌋+1 = 5"),
    (Odd(), "⌈(9+0+1-3)/2⌉+1 = 5"),
    (nn.ZeroPad2d((1, 1, 1, 1)), "⌊(9+2·1-1)/1⌋+1 = 11"),
    (nn.AdaptiveAvgPool2d(3), "9 → 3 by windows of 9/3 = 3"),
    (nn.AdaptiveAvgPool2d(4), "9 → 4 by windows of 3 or fewer"),
    (nn.AdaptiveAvgPool2d(1), "mean of 9\N{MULTIPLICATION SIGN}9"),
    (nn.Flatten(), "1·9·9 = 81"),
    (nn.Linear(9, 4), "9 → 4"),
    (nn.ReLU(), ""),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "formula"), FORMULAS)
def test_formulas_have_the_layers_own_numbers(layer, formula):
    (row,) = describe(nn.Sequential(layer), input_shape=(1, 9, 9)).rows
    assert row.size_formula == formula.replace("-", "\N{MINUS SIGN}")


def test_a_formula_that_would_not_give_the_count_is_left_out(summary_of):
    rows = {row.name: row for row in summary_of("lenet5").rows}
    assert rows["features.c3.conv"].parameter_formula == ""
    assert rows["features.s2.pool"].parameter_formula == ""


class SideHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.main, self.side = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x):
        out = self.main(x.flatten(1))
        return (out, self.side(x.flatten(1)))[0] if self.training else out


def test_parameters_that_no_prediction_reads_stand_apart():
    summary = describe(nn.Sequential(SideHead()), input_shape=(1, 2, 2))
    assert summary.parameters == 10
    assert dict(summary.unused) == {"0.side.weight": 12, "0.side.bias": 3}


def test_a_weight_that_two_layers_share_is_counted_once():
    first, second = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)
    second.weight = first.weight
    summary = describe(nn.Sequential(first, second), input_shape=(1, 9, 9))
    assert [row.parameters for row in summary.rows] == [10, 1]


def test_concatenation_and_addition_are_rows_with_their_inputs():
    class Join(nn.Module):
        def forward(self, x):
            return torch.cat([x, x + x], 1)

    rows = describe(nn.Sequential(nn.Conv2d(1, 3, 1), Join()), input_shape=(1, 4, 4)).rows
    assert [row.kind for row in rows] == ["Conv2d", "Join"]
    assert rows[1].output_shape == (6, 4, 4)

    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 1)

        def forward(self, x):
            return torch.cat([self.conv(x), x], 1)

    rows = describe(nn.Sequential(Nested()), input_shape=(1, 4, 4)).rows
    assert [(row.name, row.kind) for row in rows] == [
        ("0.conv", "Conv2d"),
        ("0:cat", "concatenate"),
    ]
    assert rows[1].input_shapes == ((3, 4, 4), (1, 4, 4))
    assert rows[1].size_formula == "3+1 = 4"


class ByHand(nn.Module):
    """Weights of its own, used by functions and not by layers, beside a child."""

    def __init__(self):
        super().__init__()
        self.child = nn.ReLU()
        self.kernel = nn.Parameter(torch.ones(3, 2, 3, 3))
        self.matrix, self.bias = nn.Parameter(torch.ones(5, 3)), nn.Parameter(torch.ones(5))

    def forward(self, x):
        x = self.child(input=F.conv2d(x, self.kernel))
        return F.linear(x.mean((2, 3)), self.matrix, self.bias)


def test_functions_with_weights_are_rows_like_layers():
    rows = describe(nn.Sequential(ByHand()), input_shape=(2, 6, 6)).rows
    assert [(row.name, row.parameters, row.macs) for row in rows] == [
        ("0:convolution", 54, 864),
        ("0.child", 0, 0),
        ("0:mean", 0, 0),
        ("0:addmm", 20, 15),
    ]
    assert [row.kind for row in rows] == ["convolution", "ReLU", "average", "linear"]
    assert rows[0].size_formula == "⌊(6+2·0-3)/1⌋+1 = 4".replace("-", "\N{MINUS SIGN}")
    assert rows[1].input_shapes == ((3, 4, 4),)
    assert rows[3].size_formula == "3 → 5"


class Normalised(nn.Module):
    """A weight that is worked on outside of any layer, and read by the layer after it."""

    def __init__(self):
        super().__init__()
        self.child = nn.ReLU()
        self.direction, self.length = (
            nn.Parameter(torch.ones(2, 1, 3, 3)),
            nn.Parameter(torch.ones(1)),
        )

    def forward(self, x):
        weight = self.direction / self.direction.norm() * self.length
        return self.child(F.conv2d(x, weight))


def test_parameters_that_are_worked_on_first_count_where_the_image_meets_them():
    summary = describe(nn.Sequential(Normalised()), input_shape=(1, 5, 5))
    assert [(row.name, row.parameters) for row in summary.rows] == [
        ("0:convolution", 19),
        ("0.child", 0),
    ]
    assert summary.unused == {}


class Nothing(nn.Module):
    def forward(self, x):
        return None


def test_a_network_that_gives_no_tensor_is_refused():
    with pytest.raises(NetworkError, match="its forward gives NoneType, expected a tensor"):
        describe(Nothing(), input_shape=(1, 2, 2))


def test_views_and_layers_in_place_make_no_new_activation():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout())
    rows = describe(net, input_shape=(1, 4, 4)).rows
    assert [row.activation_bytes for row in rows] == [128, 0, 0, 0]
    assert [row.moved_bytes for row in rows] == [64 + 128 + 16, 256, 0, 0]


def test_a_module_without_a_shape_of_its_own_is_refused_until_one_is_given():
    with pytest.raises(NetworkError, match=r"Sequential: .* give input_shape="):
        describe(nn.Sequential(nn.ReLU()))
    with pytest.raises(NetworkError, match=r"each at least 1, got \(3, 0, 8\)"):
        describe(nn.Sequential(nn.ReLU()), input_shape=(3, 0, 8))


def test_an_input_that_is_too_small_is_refused_naming_it(on_meta):
    with pytest.raises(NetworkError, match="lenet5_relu: it cannot take an input of 1x9x9"):
        describe(on_meta("lenet5_relu"), input_shape=(1, 9, 9))


def test_another_input_shape_scales_what_depends_on_it_only():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    small = describe(net, input_shape=(3, 8, 8))
    large = describe(net, input_shape=(3, 16, 16))
    assert large.parameters == small.parameters
    assert large.macs == 4 * small.macs


def test_a_name_stands_for_the_network_of_the_catalogue():
    assert describe("lenet5").parameters == 60_000
    with pytest.raises(NetworkError, match="did you mean lenet5"):
        describe("lenet6")
