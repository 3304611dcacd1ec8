"""The catalogue: every network can be built, refused and built again from its own record."""

import json
import subprocess
import sys
from functools import lru_cache

import pytest
import torch

from convforge.errors import NetworkError, PackageError
from convforge.networks import catalog
from convforge.networks.catalog import CATALOG, create

SMALLEST = {  # pixels a side
    "lenet5": 16,
    "lenet5_relu": 16,
    "alexnet": 67,
    "alexnet_owt": 63,
    "nin": 39,
    "nin_cifar": 4,
    "vgg11": 32,
    "vgg11_bn": 32,
    "vgg13": 32,
    "vgg13_bn": 32,
    "vgg16": 32,
    "vgg16_bn": 32,
    "vgg19": 32,
    "vgg19_bn": 32,
    "googlenet": 79,
    "googlenet_bn": 15,
}


@lru_cache
def default(name):
    """Shared by tests that only read it."""
    with torch.device("meta"):
        return create(name).eval()


@lru_cache
def other(name):
    """With other classes, channels and size; shared by tests that only read it."""
    size = CATALOG[name].input_size + 3
    with torch.device("meta"):
        return create(name, num_classes=7, in_channels=2, input_size=size).eval()


@pytest.mark.parametrize("name", CATALOG)
def test_network_has_its_published_parameters(name, count_parameters):
    assert count_parameters(default(name)) == CATALOG[name].parameters


@pytest.mark.parametrize("name", CATALOG)
def test_network_gives_maps_then_logits_at_its_own_size(name):
    net = default(name)
    entry = CATALOG[name]
    assert net.input_shape == (entry.in_channels, entry.input_size, entry.input_size)
    maps = net.features(torch.empty(2, *net.input_shape, device="meta"))
    assert maps.ndim == 4
    assert net.head(maps).shape == (2, entry.num_classes)


@pytest.mark.parametrize("name", CATALOG)
def test_other_classes_channels_and_size_are_taken(name):
    net = other(name)
    size = CATALOG[name].input_size + 3
    assert (net.num_classes, net.input_shape) == (7, (2, size, size))
    assert net(torch.empty(3, 2, size, size, device="meta")).shape == (3, 7)


@pytest.mark.parametrize("name", CATALOG)
def test_arguments_build_the_same_network_again(name, on_meta):
    net = default(name)
    again = on_meta(net.name, **json.loads(json.dumps(net.arguments)))
    assert again.arguments == net.arguments
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes


@pytest.mark.parametrize("name", SMALLEST)
def test_smallest_input_is_taken(name, on_meta):
    net = on_meta(name, input_size=SMALLEST[name])
    assert net(torch.empty(1, *net.input_shape, device="meta")).shape == (1, net.num_classes)


@pytest.mark.parametrize("name", [name for name in CATALOG if name not in SMALLEST])
def test_any_other_network_takes_a_single_pixel(name):
    net = default(name)
    x = torch.empty(1, net.input_shape[0], 1, 1, device="meta")
    assert net(x).shape == (1, net.num_classes)


@pytest.mark.parametrize("name", SMALLEST)
def test_smaller_input_is_refused_naming_the_smallest(name):
    size = SMALLEST[name]
    below = rf"{name}: an input of {size - 1}x{size - 1} pixels leaves nothing after its strides"
    with pytest.raises(NetworkError, match=rf"{below}; the smallest that works is {size}x{size}$"):
        create(name, input_size=size - 1)


def test_created_network_is_in_training_mode_with_finite_weights():
    net = create("lenet5_relu")
    assert net.training
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_the_same_seed_gives_the_same_weights():
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(create("resnet20").state_dict())
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])


def test_unknown_network_names_the_nearest():
    with pytest.raises(NetworkError, match=r"no network is named 'resnet5'; did you mean resnet5"):
        create("resnet5")


def test_name_like_no_other_points_to_the_list():
    with pytest.raises(NetworkError, match=r"`convforge list` shows them all"):
        create("xyzzy")


def test_unknown_argument_is_refused_naming_what_the_network_takes():
    with pytest.raises(
        NetworkError,
        match=r"takes no argument 'num_class' \(did you mean num_classes\?\); it takes",
    ):
        create("lenet5", num_class=3)
    with pytest.raises(NetworkError, match=r"it takes num_classes, in_channels, input_size$"):
        create("lenet5", width=0.5)


@pytest.mark.parametrize("field", ["num_classes", "in_channels", "input_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3"])
def test_counts_that_are_no_whole_numbers_above_0_are_refused(field, value):
    with pytest.raises(NetworkError, match=rf"lenet5: {field} must be a whole number above 0"):
        create("lenet5", **{field: value})


def test_a_network_without_torch_names_the_extra_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(catalog.importlib, "import_module", missing)
    with pytest.raises(PackageError, match=r'pip install "convforge\[train\]"'):
        create("lenet5")


def test_reading_the_table_imports_no_torch():
    program = (
        "import sys; from convforge.networks.catalog import names, entry; "
        "names(); entry('vgg16'); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert result.stdout.decode().strip() == "False"


def test_arguments_build_a_network_of_other_classes_and_size_again(on_meta):
    net = on_meta("mobilenet_v2", num_classes=7, in_channels=1, input_size=96, width=0.5)
    again = on_meta(net.name, **json.loads(json.dumps(net.arguments)))
    assert again.arguments == net.arguments
    assert again.arguments.items() >= {"num_classes": 7, "input_size": 96, "width": 0.5}.items()
    assert again.input_shape == (1, 96, 96)


def test_weights_from_a_file_give_the_same_network(tmp_path):
    net = create("lenet5_relu").eval()
    torch.save(net.state_dict(), tmp_path / "digits.pth")
    again = create("lenet5_relu", weights=tmp_path / "digits.pth").eval()
    x = torch.randn(2, *net.input_shape)
    assert torch.equal(again(x), net(x))
