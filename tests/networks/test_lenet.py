"""LeNet-5 against its paper: table I, the counts of section II.B, appendix A, the RBF layer."""

import pytest
import torch
from torch.nn import functional as F

from convforge.networks.catalog import create
from convforge.networks.lenet import DIGITS, TABLE_I, class_codes

# Layer: trainable parameters, connections (section II.B)
SECTION_II_B = {
    "c1": (156, 122_304),
    "s2": (12, 5_880),
    "c3": (1_516, 151_600),
    "s4": (32, 2_000),
    "c5": (48_120, 48_120),
    "f6": (10_164, 10_164),
}


def layers_of(net):
    return {**dict(net.features.named_children()), "f6": net.head.f6}


def test_layers_have_the_papers_trainable_parameters(count_parameters):
    layers = layers_of(create("lenet5"))
    expected = {name: parameters for name, (parameters, _) in SECTION_II_B.items()}
    assert {name: count_parameters(layer) for name, layer in layers.items()} == expected


def test_layers_have_the_papers_connections(map_shapes):
    shapes = map_shapes("lenet5")
    per_map = {"c1": 6 * 26, "s2": 6 * 5, "c3": 1516, "s4": 16 * 5, "c5": 120 * 401}
    for name, weights in per_map.items():
        assert weights * shapes[name][1] * shapes[name][2] == SECTION_II_B[name][1]


def test_maps_have_the_sizes_of_figure_2(map_shapes):
    assert map_shapes("lenet5") == {
        "c1": (6, 28, 28),
        "s2": (6, 14, 14),
        "c3": (16, 10, 10),
        "s4": (16, 5, 5),
        "c5": (120, 1, 1),
    }


def test_table_i_connects_three_four_four_and_six_maps():
    inputs = [{i for i in range(6) if TABLE_I[i][j] == "X"} for j in range(16)]
    assert inputs[:6] == [{j, (j + 1) % 6, (j + 2) % 6} for j in range(6)]
    assert inputs[6:12] == [{(j + step) % 6 for step in range(4)} for j in range(6)]
    assert inputs[12:15] == [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}]
    assert inputs[15] == set(range(6))


def test_c3_is_a_convolution_of_the_connected_maps_only():
    conv = create("lenet5").features.c3.conv
    x = torch.randn(2, 6, 14, 14)
    result = conv(x)
    kernels = iter(conv.weight)
    for j in range(16):
        expected = conv.bias[j] + sum(
            F.conv2d(x[:, i : i + 1], next(kernels)[None, None])[:, 0]
            for i in range(6)
            if TABLE_I[i][j] == "X"
        )
        torch.testing.assert_close(result[:, j], expected, rtol=1e-5, atol=1e-5)


def test_sub_sampling_is_the_sum_of_four_times_a_coefficient_plus_a_bias():
    pool = create("lenet5").features.s2.pool
    x = torch.randn(2, 6, 8, 8)
    sums = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    expected = sums * pool.coefficient.view(6, 1, 1) + pool.bias.view(6, 1, 1)
    torch.testing.assert_close(pool(x), expected, rtol=1e-5, atol=1e-6)


def test_squashing_passes_through_plus_and_minus_1():
    squash = create("lenet5").features.c1.squash
    x = torch.tensor([-1.0, 0.0, 1.0, 100.0], dtype=torch.float64)
    expected = torch.tensor([-1.0, 0.0, 1.0, 1.7159], dtype=torch.float64)
    torch.testing.assert_close(squash(x), expected, rtol=0, atol=1e-4)


def test_every_layer_up_to_f6_is_squashed():
    assert all(
        list(dict(m.named_children()))[-1] == "squash" for m in layers_of(create("lenet5")).values()
    )


def test_weights_are_drawn_within_2_4_over_fan_in():
    torch.manual_seed(0)
    net = create("lenet5")
    fan_ins = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for name, fan_in in fan_ins.items():
        largest = max(p.abs().max().item() for p in layers_of(net)[name].parameters())
        assert 0.5 * 2.4 / fan_in < largest <= 2.4 / fan_in
    weight, first = net.features.c3.conv.weight, 0
    for j in range(16):
        count = sum(row[j] == "X" for row in TABLE_I)
        largest = weight[first : first + count].abs().max().item()
        assert 0.8 * 2.4 / (25 * count) < largest <= 2.4 / (25 * count)
        first += count


def test_codes_of_ten_classes_are_drawings_of_seven_by_twelve():
    assert all(
        len(row.split()) == 5 and {len(glyph) for glyph in row.split()} == {7}
        for block in DIGITS
        for row in block.strip().splitlines()
    )
    codes = torch.tensor(class_codes(84, 10))
    assert codes.shape == (10, 84)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    one = "".join("#" if v > 0 else "." for v in codes[1].tolist())
    assert one[:7] == "...##.."
    assert one[-7:] == ".######"


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_codes_are_distinct_and_always_the_same(num_classes):
    codes = torch.tensor(class_codes(84, num_classes))
    assert torch.equal(codes, torch.tensor(class_codes(84, num_classes)))
    differing = (codes[:, None] != codes[None]).sum(-1) + 84 * torch.eye(num_classes)
    assert differing.min() >= 8  # pixels


def test_codes_do_not_learn_but_are_saved():
    net = create("lenet5")
    assert "head.output.codes" in net.state_dict()
    assert "head.output.codes" not in dict(net.named_parameters())


def test_logits_are_minus_the_squared_distances():
    net = create("lenet5").eval()
    x = torch.randn(3, 1, 32, 32)
    f6 = net.head.f6(net.head.flatten(net.features(x)))
    expected = -(torch.cdist(f6.double(), net.head.output.codes.double()) ** 2)
    torch.testing.assert_close(net(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_rbf_has_the_gradients_of_its_definition():
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    codes = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(torch.ops.convforge.rbf, (x, codes))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_rbf_keeps_to_the_rules_of_a_torch_operator():
    x, codes = torch.randn(3, 7, requires_grad=True), torch.randn(4, 7)
    torch.library.opcheck(torch.ops.convforge.rbf, (x, codes))


def test_export_holds_the_rbf_as_one_node_and_gives_the_same_logits():
    net, x = create("lenet5").eval(), torch.randn(1, 1, 32, 32)
    exported = torch.export.export(net, (x,)).run_decompositions()
    targets = [str(node.target) for node in exported.graph.nodes]
    assert targets.count("convforge.rbf.default") == 1
    torch.testing.assert_close(exported.module()(x), net(x))


@pytest.mark.parametrize(("size", "kernel"), [(16, 1), (28, 4), (32, 5), (36, 6), (39, 6)])
def test_c5_follows_the_map_at_other_sizes(size, kernel, on_meta):
    net = on_meta("lenet5", input_size=size)
    assert net.features.c5.conv.kernel_size == (kernel, kernel)
    assert net.features(torch.empty(1, 1, size, size, device="meta")).shape == (1, 120, 1, 1)


def test_lenet5_relu_has_the_sizes_that_courses_print(map_shapes, on_meta, count_parameters):
    assert map_shapes("lenet5_relu") == {
        "conv1": (6, 28, 28),
        "relu1": (6, 28, 28),
        "pool1": (6, 14, 14),
        "conv2": (16, 10, 10),
        "relu2": (16, 10, 10),
        "pool2": (16, 5, 5),
    }
    net = on_meta("lenet5_relu")
    counts = {
        name: count_parameters(layer)
        for part in (net.features, net.head)
        for name, layer in part.named_children()
        if count_parameters(layer)
    }
    assert counts == {
        "conv1": 156,
        "conv2": 2_416,
        "linear1": 48_120,
        "linear2": 10_164,
        "linear3": 850,
    }


def test_lenet5_relu_hands_its_input_on_through_all_five_layers_before_it_learns():
    torch.manual_seed(0)
    x = torch.randn(64, 1, 32, 32)
    net = create("lenet5_relu")
    for layer in (*net.features, *net.head):
        x = layer(x)
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            assert 0.5 < x.std() < 2.5


@pytest.mark.parametrize(("name", "rate"), [("lenet5", 0.003), ("lenet5_relu", 0.05)])
def test_it_learns_to_tell_two_patterns_apart(name, rate):
    torch.manual_seed(0)
    net = create(name, num_classes=2)
    labels = torch.arange(32) % 2
    images = torch.randn(32, 1, 32, 32) * 0.1
    images[labels == 1, :, :16] += 1
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    for _ in range(30):
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (net(images).argmax(1) == labels).all()
