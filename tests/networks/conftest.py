"""What the tests of several networks share, as fixtures that are functions."""

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convforge.networks.catalog import create


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors: a second thread gains little, and waits long where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def on_meta():
    """create(…) without memory: counts and shapes only."""

    def build(name, **arguments):
        with torch.device("meta"):
            return create(name, **arguments).eval()

    return build


@pytest.fixture
def random_network(on_meta):
    """create(…) in eval mode, every weight, bias and BatchNorm statistic drawn at random.

    Uniform, with variance 1 / fan-in for weights, so that values stay of order 1.
    """

    def build(name, **arguments):
        net = on_meta(name, **arguments).to_empty(device="cpu")
        generator = torch.Generator().manual_seed(0)
        for key, value in net.state_dict().items():
            if key.endswith("num_batches_tracked"):
                value.zero_()
            elif key.endswith(("running_mean", "bias")):
                value.uniform_(-0.2, 0.2, generator=generator)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.ndim == 1:  # BatchNorm's scale
                value.uniform_(0.3, 0.9, generator=generator)
            else:
                bound = math.sqrt(3 / value[0].numel())
                value.uniform_(-bound, bound, generator=generator)
        return net

    return build


@pytest.fixture
def with_weights_of():
    """A peer's network that shares the weights of ours, in the order in which both define them."""

    def share(net, build_peer):
        with torch.device("meta"):
            peer = build_peer()
        ours, theirs = net.state_dict(), peer.state_dict()
        assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]
        peer.load_state_dict(dict(zip(theirs, ours.values(), strict=True)), assign=True)
        return peer.train(net.training)

    return share


@pytest.fixture
def images():
    """Seeded random images [N, C, S, S]."""

    def draw(batch, channels, size):
        return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))

    return draw


@pytest.fixture
def relative_error():
    """max |a - b| / max |b|."""
    return lambda a, b: ((a - b).abs().max() / b.abs().max()).item()


@pytest.fixture
def count_parameters():
    """Parameters of `features` and `head`, or of any module without these."""

    def count(module):
        parts = (module.features, module.head) if hasattr(module, "features") else (module,)
        return sum(p.numel() for part in parts for p in part.parameters())

    return count


@pytest.fixture
def count_macs(on_meta):
    """Multiply-adds of convolutions and linear layers for one image of the network's own size."""

    def count(name, **arguments):
        net = on_meta(name, **arguments)
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, *net.input_shape, device="meta"))
        return counter.get_total_flops() // 2

    return count


@pytest.fixture
def map_shapes(on_meta):
    """{child of features: (C, H, W)} for one image of the network's own size."""

    def walk(name, **arguments):
        net = on_meta(name, **arguments)
        x = torch.empty(1, *net.input_shape, device="meta")
        shapes = {}
        for child, layer in net.features.named_children():
            x = layer(x)
            shapes[child] = tuple(x.shape[1:])
        return shapes

    return walk


@pytest.fixture
def gradients():
    """Gradients of sum(weight * <logits, fixed random>) by every parameter, in order."""

    def compute(module, weighted):
        generator = torch.Generator().manual_seed(2)
        total = sum(
            weight * (logits * torch.randn(logits.shape, generator=generator)).sum()
            for logits, weight in weighted
        )
        return torch.autograd.grad(total, list(module.parameters()))

    return compute


@pytest.fixture
def without_dropout():
    """The module with every dropout's probability set to 0."""

    def switch_off(module):
        for layer in module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        return module

    return switch_off
