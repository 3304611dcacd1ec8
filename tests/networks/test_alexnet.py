"""AlexNet against its paper, a two-tower reference, and torchvision's one tower."""

import pytest
import torch
import torchvision
from torch.nn import functional as F

from convforge.errors import NetworkError
from convforge.networks.blocks import LocalResponseNorm
from convforge.networks.catalog import create

# Figure 2, maps and their size: both towers together
FIGURE_2 = {
    "conv1": (96, 55, 55),
    "pool1": (96, 27, 27),
    "conv2": (256, 27, 27),
    "pool2": (256, 13, 13),
    "conv3": (384, 13, 13),
    "conv4": (384, 13, 13),
    "conv5": (256, 13, 13),
    "pool5": (256, 6, 6),
}


def normalize_by_definition(x, *, k=2, n=5, alpha=1e-4, beta=0.75):
    """Section 3.3, map by map."""
    result = torch.empty_like(x)
    for i in range(x.shape[1]):
        first, last = max(0, i - n // 2), min(x.shape[1] - 1, i + n // 2)
        total = sum(x[:, j] ** 2 for j in range(first, last + 1))
        result[:, i] = x[:, i] / (k + alpha * total) ** beta
    return result


def two_towers(net, x):
    """The network of 2012 as two GPUs ran it, from the same weights."""
    weights = iter(net.state_dict().values())

    def conv(x, **where):
        return F.conv2d(x, next(weights), next(weights), **where)

    def split(x, **where):
        weight, bias = next(weights), next(weights)
        halves = zip(x.chunk(2, 1), weight.chunk(2), bias.chunk(2), strict=True)
        return torch.cat([F.conv2d(*half, **where) for half in halves], 1)

    x = F.max_pool2d(normalize_by_definition(conv(x, stride=4).relu()), 3, 2)
    x = F.max_pool2d(normalize_by_definition(split(x, padding=2).relu()), 3, 2)
    x = conv(x, padding=1).relu()
    x = split(x, padding=1).relu()
    x = F.max_pool2d(split(x, padding=1).relu(), 3, 2).flatten(1)
    x = F.linear(x, next(weights), next(weights)).relu()
    x = F.linear(x, next(weights), next(weights)).relu()
    return F.linear(x, next(weights), next(weights))


def test_maps_have_the_sizes_of_figure_2(map_shapes):
    shapes = map_shapes("alexnet")
    assert {name: shapes[name] for name in FIGURE_2} == FIGURE_2


def test_first_maps_have_the_papers_neurons(map_shapes):
    # figure 2's caption; its 253,440 for the first layer is a slip, 55 * 55 * 96 = 290,400
    shapes = map_shapes("alexnet")
    sizes = [torch.Size(shapes[f"conv{number}"]).numel() for number in range(1, 6)]
    assert sizes == [290_400, 186_624, 64_896, 64_896, 43_264]


@pytest.mark.parametrize(("name", "mmacs"), [("alexnet", 724.4), ("alexnet_owt", 714)])
def test_macs_are_within_half_a_percent_of_the_published(name, mmacs, count_macs):
    assert count_macs(name) == pytest.approx(mmacs * 1e6, rel=0.005)


def test_logits_are_those_of_two_towers(random_network, images, relative_error):
    net, x = random_network("alexnet"), images(2, 3, 227)
    with torch.no_grad():
        assert relative_error(net(x), two_towers(net, x)) <= 1e-5


@pytest.mark.parametrize("size", [224, 97])
def test_one_tower_gives_torchvisions_logits(
    size, random_network, with_weights_of, images, relative_error
):
    net, x = random_network("alexnet_owt", input_size=size), images(2, 3, size)
    peer = with_weights_of(net, torchvision.models.alexnet)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_one_tower_gives_torchvisions_gradients(
    random_network, with_weights_of, images, relative_error, gradients, without_dropout
):
    net, x = random_network("alexnet_owt", input_size=97).train(), images(2, 3, 97)
    peer = without_dropout(with_weights_of(net, torchvision.models.alexnet))
    ours = gradients(without_dropout(net), net.weighted_logits(x))
    theirs = gradients(peer, [(peer(x), 1.0)])
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(a, b) <= 1e-4


@pytest.mark.parametrize("channels", [1, 2, 3, 96])
def test_response_normalisation_is_the_papers_formula(channels):
    x = torch.randn(2, channels, 3, 4, dtype=torch.float64) * 30
    torch.testing.assert_close(LocalResponseNorm()(x), normalize_by_definition(x))
    wide = LocalResponseNorm(n=3, k=1.0, alpha=0.5, beta=1.0)
    expected = normalize_by_definition(x, n=3, k=1, alpha=0.5, beta=1)
    torch.testing.assert_close(wide(x), expected)


def test_response_normalisation_does_not_divide_alpha_by_n_as_torch_does():
    x = torch.randn(1, 9, 2, 2, dtype=torch.float64) * 30
    torchs = F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)
    torch.testing.assert_close(LocalResponseNorm()(x), torchs)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_response_normalisation_has_the_gradient_of_its_formula(channels):
    x = torch.randn(2, channels, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LocalResponseNorm(alpha=0.3), (x,))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_response_normalisation_keeps_to_the_rules_of_a_torch_operator():
    x = torch.randn(2, 7, 3, 3, requires_grad=True)
    torch.library.opcheck(torch.ops.convforge.local_response_norm, (x, 5, 2.0, 1e-4, 0.75))


def test_export_holds_response_normalisation_as_one_node():
    net = LocalResponseNorm().eval()
    exported = torch.export.export(net, (torch.randn(1, 8, 4, 4),)).run_decompositions()
    calls = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert calls == ["convforge.local_response_norm.default"]


@pytest.mark.parametrize("n", [0, 4, -1])
def test_response_normalisation_over_an_even_number_is_refused(n):
    with pytest.raises(NetworkError, match=rf"n must be odd and above 0, got {n}"):
        LocalResponseNorm(n=n)


def test_weights_are_drawn_as_section_5_says():
    torch.manual_seed(0)
    net = create("alexnet", input_size=67)  # a small first linear layer
    layers = [
        (name, layer)
        for part in (net.features, net.head)
        for name, layer in part.named_children()
        if hasattr(layer, "weight")
    ]
    biases = {name: layer.bias.unique().tolist() for name, layer in layers}
    assert biases == {
        "conv1": [0.0],
        "conv2": [1.0],
        "conv3": [0.0],
        "conv4": [1.0],
        "conv5": [1.0],
        "linear6": [1.0],
        "linear7": [1.0],
        "linear8": [0.0],
    }
    for _, layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert layer.weight.mean().item() == pytest.approx(0, abs=3e-4)


def test_dropout_of_one_half_follows_the_first_two_linear_layers():
    head = [name for name, _ in create("alexnet", input_size=67).head.named_children()]
    assert head.index("dropout6") == head.index("linear6") + 2
    assert head.index("dropout7") == head.index("linear7") + 2
