"""Pages opened from a file in Chromium, without a network: they do what the classifier does."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from skimage import data
from torch import nn

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import HTML, WASM32, native
from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.compiler.pipeline import compile_graph
from convforge.compiler.web_page import PageOptions, check_options
from convforge.errors import InputError
from convforge.images.picture import decode
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from convforge.networks.contract import ConvNet
from convforge.quantization.search import calibrate_with
from convforge.runtime import Runtime

ROUNDED = 1e-3  # of a probability: what rounded weights may cost


@pytest.fixture(scope="module")
def photo_classifier():
    """An untrained classifier of photographs: a stem, a depthwise and two dense convolutions."""
    torch.manual_seed(0)
    features = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU6()),
        *(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU6()),
        *(nn.Conv2d(16, 40, 1), nn.SiLU(), nn.Conv2d(40, 24, 3, stride=2, padding=1), nn.ReLU()),
    )
    net = ConvNet(features, nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(384, 5)))
    with torch.no_grad():
        net.head[-1].weight *= 20  # untrained, it says the same of every picture
    net.input_shape, net.num_classes = (3, 64, 64), 5
    preprocess = Preprocess(resize=72, crop=(64, 64), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    classes = ("cat", "<b>dog</b>", "café", "rocket & moon", "nothing")
    return Classifier(
        net.eval(), Card(network="", arguments={}, classes=classes, preprocess=preprocess)
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A cat and an astronaut, as PNG."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("chelsea", "astronaut"):
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def photo_page(photo_classifier, photos, tmp_path_factory):
    """Its page in float32, with an example."""
    path = tmp_path_factory.mktemp("page") / "photos.html"
    examples = [photos / "chelsea.png"]
    return build(photo_classifier, path, target="html", examples=examples)


def named(classifier, image):
    probabilities = classifier.probabilities([decode(image)])[0]
    return dict(zip(classifier.classes, probabilities.tolist(), strict=True))


def largest_difference(found, expected):
    assert found
    return max(abs(share - expected[name]) for name, share in found.items())


@pytest.mark.parametrize("name", ["chelsea", "astronaut"])
def test_a_photograph_gets_the_classifiers_probabilities(
    open_page, photo_page, photo_classifier, photos, name
):
    tab = open_page(photo_page.path)
    found = tab.choose(photos / f"{name}.png")
    expected = named(photo_classifier, photos / f"{name}.png")
    assert list(found) == sorted(expected, key=expected.get, reverse=True)
    assert largest_difference(found, expected) <= 1e-5


def test_an_engine_without_relaxed_arithmetic_gets_the_other_module(
    open_page, photo_page, photo_classifier, photos
):
    opened = "const open = WebAssembly.instantiate; window.sizes = [];"
    opened += "WebAssembly.instantiate = (bytes, ...rest) =>"
    opened += "(window.sizes.push(bytes.byteLength), open(bytes, ...rest));"
    sizes = []
    for before in opened, opened + "WebAssembly.validate = () => false;":
        tab = open_page(photo_page.path, before=before)
        found = tab.choose(photos / "chelsea.png")
        expected = named(photo_classifier, photos / "chelsea.png")
        assert largest_difference(found, expected) <= 1e-5
        sizes += tab.page.evaluate("window.sizes")
    assert len(set(sizes)) == 2


@pytest.fixture(scope="module")
def byte_page(photo_classifier, photos, tmp_path_factory):
    """Its page in bytes, and the network of that as a library for this machine."""
    folder = tmp_path_factory.mktemp("bytes")
    card = photo_classifier.card
    pictures = [decode(photos / f"{name}.png") for name in ("chelsea", "astronaut")]
    x = np.stack([card.preprocess(turned) for one in pictures for turned in (one, one[::-1])])
    options = {"precision": "int8", "calibrate": x}
    build(photo_classifier, folder / "photos.html", target="html", **options)
    graph = read_model(photo_classifier).graph
    choice = calibrate_with(graph, x, top=127)
    machine = replace(native(), levels=native().levels[-1:])
    twin = compile_graph(graph, card=card, target=machine, options=choice.options)
    save_artifact(twin.library, folder / "photos.so")
    return folder / "photos.html", Runtime(folder / "photos.so")


@pytest.mark.parametrize("before", ["", "WebAssembly.validate = () => false;"])
def test_a_page_of_bytes_gives_the_probabilities_of_its_library(
    open_page, byte_page, photo_classifier, photos, before
):
    path, twin = byte_page
    tab = open_page(path, before=before)
    found = tab.choose(photos / "chelsea.png")
    expected = named(twin, photos / "chelsea.png")
    assert largest_difference(found, expected) <= 1e-6
    exact = named(photo_classifier, photos / "chelsea.png")
    assert 1e-5 < largest_difference(found, exact) < 0.1


def test_a_page_of_bytes_shows_its_maps_and_its_evidence(open_page, byte_page, photos):
    path, twin = byte_page
    tab = open_page(path)
    tab.choose(photos / "chelsea.png")
    tab.page.click("#cover")
    tab.page.wait_for_selector("#evidence:not([hidden])")
    tab.page.click("#tab-cost")
    assert len(tab.page.query_selector_all("#cost tbody tr")) == len(twin.layers)
    tab.page.click("#tab-inside")
    tab.page.wait_for_selector("#inside canvas")
    tab.page.click("#tab-card")
    assert "numbers of one byte" in tab.shows("#card")


def test_rounded_weights_keep_the_probabilities_of_digits(open_page, digits_page, trained, scans):
    assert digits_page.precision == "float16"
    assert 0 < digits_page.deviation < 2e-3
    tab = open_page(digits_page.path)
    for scan in scans:
        expected = named(trained, scan)
        found = tab.choose(scan)
        assert max(found, key=found.get) == max(expected, key=expected.get)
        assert largest_difference(found, expected) <= ROUNDED


def test_the_first_example_is_classified_by_itself(open_page, photo_page, photo_classifier, photos):
    tab = open_page(photo_page.path)
    expected = named(photo_classifier, photos / "chelsea.png")
    assert largest_difference(tab.answer(), expected) <= 1e-5
    assert "for 451" in tab.shows("#timing")
    tab.choose(photos / "astronaut.png")
    tab.page.click("text=Examples >> xpath=.. >> button")
    tab.page.wait_for_selector("#timing:has-text('451')")
    assert largest_difference(tab.answer(), expected) <= 1e-5


HAND_OVER = """([kind, text, target]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "picture.png", { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
        : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.querySelector(target).dispatchEvent(event);
}"""


@pytest.mark.parametrize(("kind", "target"), [("paste", "body"), ("drop", "footer")])
def test_pictures_may_be_pasted_and_dropped_anywhere(
    open_page, digits_page, trained, scans, kind, target
):
    tab = open_page(digits_page.path)
    text = base64.b64encode(scans[0].read_bytes()).decode()
    tab.page.evaluate(HAND_OVER, [kind, text, target])
    assert largest_difference(tab.answer(), named(trained, scans[0])) <= ROUNDED


def test_the_keyboard_is_enough(open_page, digits_page, trained, scans):
    tab = open_page(digits_page.path)
    page = tab.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-classify"
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#inside")
    assert not page.is_visible("#classify")
    page.keyboard.press("End")
    assert page.is_visible("#card")
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    page.keyboard.press("Enter")
    assert largest_difference(tab.give(scans[1]), named(trained, scans[1])) <= ROUNDED


def test_the_camera_is_classified_until_a_picture_is_taken(open_page, digits_page):
    tab = open_page(digits_page.path)
    tab.page.click("#film")
    tab.page.wait_for_selector("#bars li")
    assert tab.page.is_visible("#camera")
    tab.page.click("#take")
    assert sum(tab.answer().values()) <= 1.0 + 1e-6
    assert not tab.page.is_visible("#camera")
    assert tab.page.is_visible("#picture")
    assert tab.page.evaluate("document.getElementById('camera').srcObject") is None


def test_a_file_that_is_no_picture_is_named_and_the_page_goes_on(
    open_page, digits_page, trained, scans, tmp_path
):
    tab = open_page(digits_page.path)
    damaged = tmp_path / "holiday.png"
    damaged.write_bytes(scans[0].read_bytes()[:60])
    tab.page.set_input_files("#file", damaged)
    assert "“holiday.png” is not a picture" in tab.shows("#trouble:not([hidden])")
    assert largest_difference(tab.choose(scans[0]), named(trained, scans[0])) <= ROUNDED


def test_photographs_are_turned_upright_and_laid_over_white(
    open_page, photo_page, photo_classifier, photos, tmp_path
):
    picture = Image.open(photos / "chelsea.png").resize((150, 100))
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(turned, quality=95, exif=exif)
    clear = tmp_path / "clear.png"
    alpha = ImageOps.invert(picture.convert("L"))
    Image.merge("RGBA", (*picture.split(), alpha)).save(clear)
    tab = open_page(photo_page.path)
    for path, limit in ((turned, 2e-3), (clear, 2e-3)):
        expected = named(photo_classifier, path)
        # What a turned picture that was not turned would get is further off than the limit.
        other = named(photo_classifier, picture)
        assert largest_difference(other, expected) > 2 * limit
        assert largest_difference(tab.choose(path), expected) <= limit


def test_colour_profiles_are_left_alone(open_page, photo_page, photo_classifier, photos, tmp_path):
    from PIL import ImageCms

    path = tmp_path / "profile.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.open(photos / "astronaut.png").save(path, icc_profile=profile)
    tab = open_page(photo_page.path)
    assert largest_difference(tab.choose(path), named(photo_classifier, path)) <= 1e-5


def test_every_layer_is_shown_and_timed(open_page, photo_page, photo_classifier):
    tab = open_page(photo_page.path)
    tab.page.click("#tab-cost")
    rows = tab.page.query_selector_all("#cost tbody tr")
    parameters = sum(tensor.numel() for tensor in photo_classifier.net.parameters())
    assert f"{len(rows)} layers" in tab.shows("#cost [role=status]")
    # Of BatchNorm nothing is left but a bias.
    folded = parameters - 2 * 16
    assert f"{folded / 1000:.3g} k parameters" in tab.shows("#cost [role=status]")
    first = rows[0].inner_text().replace("\N{MULTIPLICATION SIGN}", "x")
    assert "convolution 3 x 3, stride 2, clip 0 to 6, then convolution 3 x 3, each map by" in first
    tab.page.click("#cost button")
    tab.page.wait_for_selector("#cost th:has-text('Time')")
    assert "billion operations a second" in tab.shows("#cost [role=status]")


@pytest.fixture(scope="module")
def spot_page(tmp_path_factory):
    """The page of a classifier that says "light" where a grey picture has a light spot."""
    net = ConvNet(
        nn.Sequential(nn.Conv2d(1, 1, 1)),
        nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(1, 2)),
    )
    with torch.no_grad():
        net.features[0].weight.fill_(1.0)
        net.features[0].bias.zero_()
        net.head[-1].weight.copy_(torch.tensor([[8.0], [-8.0]]))
        net.head[-1].bias.copy_(torch.tensor([-5.0, 5.0]))
    net.input_shape, net.num_classes = (1, 36, 36), 2
    preprocess = Preprocess(resize=(36, 36), crop=(36, 36), mean=(0.0,), std=(255.0,))
    card = Card(network="", arguments={}, classes=("light", "dark"), preprocess=preprocess)
    path = tmp_path_factory.mktemp("page") / "spot.html"
    return build(Classifier(net.eval(), card), path, target="html")


def test_the_evidence_for_a_light_spot_is_the_spot(open_page, spot_page, tmp_path):
    pixels = np.zeros((36, 36), np.uint8)
    pixels[20:24, 8:12] = 255  # one of 9 x 9 cells: row 5, column 2
    Image.fromarray(pixels).save(tmp_path / "spot.png")
    tab = open_page(spot_page.path)
    assert tab.choose(tmp_path / "spot.png")["light"] > 0.99
    tab.page.click("#cover")
    tab.page.wait_for_selector("#evidence:not([hidden])")
    shot = tab.page.evaluate("document.getElementById('evidence').toDataURL()")
    opacity = np.asarray(Image.open(io.BytesIO(base64.b64decode(shot.partition(",")[2]))))[..., 3]
    assert opacity.shape == (9, 9)
    assert np.unravel_index(opacity.argmax(), opacity.shape) == (5, 2)
    # Patches are two cells wide, so those around the spot share in it; none further away do.
    opacity = opacity.copy()
    opacity[4:7, 1:4] = 0
    assert opacity.max() == 0
    assert "was lost when it was covered" in tab.shows("#hint")


def test_the_card_says_what_the_classifier_is(open_page, digits_page, trained):
    tab = open_page(digits_page.path)
    tab.page.click("#tab-card")
    words = tab.shows("#card")
    assert "lenet5_relu" in words
    assert "32 pixels, grey" in words
    assert f"{100 * trained.card.metrics['test']['top1']:.1f} %" in words
    assert "rounded to float16" in words


def test_a_bare_network_has_no_page(tmp_path):
    with pytest.raises(InputError, match="lenet5: a page shows a classifier"):
        build("lenet5", tmp_path / "net.html", target="html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "target", "words"),
    [
        (PageOptions.of("float8", ()), HTML, "precision is 'float8'; expected float32 or float16"),
        (PageOptions.of("float16", ()), WASM32, "target wasm32 keeps its weights in float32"),
        (PageOptions.of("float32", ["cat.png"]), WASM32, "target wasm32 has no page for examples"),
        (PageOptions.of("float32", ["cat.png"]), HTML, "cat.png: cannot be read"),
    ],
)
def test_options_that_a_target_does_not_have_are_refused(options, target, words):
    with pytest.raises(InputError, match=words):
        check_options(options, target=target)
