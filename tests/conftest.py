"""What tests of several areas share: one classifier of the digits, trained once, and its files."""

import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from convforge.card import Card
from convforge.images import source
from convforge.images.preprocess import Preprocess

PATIENCE = 20_000  # ms: the machine may be busy
GREY = Preprocess(
    resize=(32, 32), crop=(32, 32), mean=(30.0,), std=(60.0,), interpolation="bicubic"
)


@pytest.fixture(scope="session")
def make_classifier():
    """An untrained classifier of a catalogue network, the same one for the same arguments."""
    import torch

    from convforge.classifier import Classifier
    from convforge.networks.catalog import create

    def make(network="lenet5_relu", *, classes=tuple("0123456789"), preprocess=GREY):
        torch.manual_seed(0)
        net = create(network, num_classes=len(classes), in_channels=preprocess.channels)
        card = Card(
            network=network, arguments=net.arguments, classes=classes, preprocess=preprocess
        )
        return Classifier(net, card)

    return make


@pytest.fixture(scope="session")
def picture():
    """An RGB image of 40x30 random pixels."""
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.fixture(scope="session", autouse=True)
def build_cache(tmp_path_factory):
    """What is compiled in these tests is kept for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVFORGE_CACHE", str(tmp_path_factory.mktemp("build")))
        yield


@pytest.fixture(autouse=True)
def no_closed_streams():
    """A library that is first heard in a command logs to that test's stderr, which ends with it."""
    yield
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.Logger.manager.loggerDict)]
    for logger in loggers:
        for handler in logger.handlers[:]:
            if getattr(getattr(handler, "stream", None), "closed", False):
                logger.removeHandler(handler)


# Fixed seeds and no clock: a test passes or fails for the code's sake alone.
settings.register_profile("convforge", derandomize=True, deadline=None)
settings.load_profile("convforge")


@pytest.fixture(scope="session")
def trained():
    """LeNet-5 after three epochs on the digits: far from done, far from guessing."""
    from convforge.training.trainer import train

    return train("digits", network="lenet5_relu", epochs=3, seed=1)


@pytest.fixture(scope="session")
def classifier_file(trained, tmp_path_factory):
    """`trained`, saved."""
    path = tmp_path_factory.mktemp("classifier") / "digits.safetensors"
    trained.save(path)
    return path


@pytest.fixture(scope="session")
def artifact_file(classifier_file, tmp_path_factory):
    """`trained`, compiled."""
    from convforge.compiler.compilation import compile as build

    path = tmp_path_factory.mktemp("artifact") / "digits.so"
    build(classifier_file, path)
    return path


@pytest.fixture(scope="session")
def digits_page(classifier_file, tmp_path_factory):
    """The web page of `trained`, with rounded weights."""
    from convforge.compiler.compilation import compile as build

    path = tmp_path_factory.mktemp("page") / "digits.html"
    return build(classifier_file, path, target="html", precision="float16")


@pytest.fixture(scope="session")
def scans(tmp_path_factory):
    """Four scans that no digit classifier was trained on by default, each a PNG of 8x8 pixels."""
    folder = tmp_path_factory.mktemp("scans")
    split = source.open("digits").splits["test"]
    paths = []
    for index in range(4):
        paths.append(folder / f"{index}.png")
        Image.fromarray(split.load(index)).save(paths[-1])
    return paths


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes, dark and light, six noisy RGB images of 20x24 pixels each."""
    generator = np.random.default_rng(0)
    root = tmp_path / "photos"
    for label, level in (("dark", 60), ("light", 190)):
        (root / label).mkdir(parents=True)
        for index in range(6):
            noise = generator.integers(-40, 41, size=(20, 24, 3))
            Image.fromarray((level + noise).astype(np.uint8)).save(root / label / f"{index}.png")
    return root


@pytest.fixture
def python():
    """Run a program in a fresh interpreter, given its text and arguments; gives its stdout."""

    def run(program, *arguments, options=()):
        command = [sys.executable, *options, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def repository():
    """The folder that holds src/, tests/ and the rest."""
    return Path(__file__).resolve().parents[1]


BROWSER = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is not installed"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"there is no browser: none of {', '.join(names)} is on PATH")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, headless=True, args=BROWSER)
        yield browser
        browser.close()


class Tab:
    """A page in the browser, what it said on its console and what it asked for."""

    def __init__(self, page):
        self.page = page
        self.said, self.asked, self.choosers = [], [], []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("filechooser", self.keep)

    def keep(self, chooser):
        self.choosers.append(chooser)

    def shows(self, selector):
        self.page.wait_for_selector(selector)
        return self.page.inner_text(selector)

    def choose(self, path):
        """Give it a picture by the button, and wait until it has said what that is."""
        self.page.evaluate("document.getElementById('spoken').textContent = ''")
        self.page.click("#choose")
        return self.give(path)

    def give(self, path):
        """Give it a picture once it asks for a file."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not self.choosers:
            assert time.monotonic() < deadline, "no file was asked for"
            self.page.wait_for_timeout(20)
        self.choosers.pop().set_files(path)
        return self.answer()

    def answer(self):
        """Probabilities by the class's name, all that are shown, once there are some."""
        self.page.wait_for_selector("#spoken:not(:empty)", state="attached")
        rows = self.page.query_selector_all("#bars li")
        return {
            row.query_selector(".label").inner_text(): float(
                row.query_selector("data").get_attribute("value")
            )
            for row in rows
        }


@pytest.fixture
def open_page(chromium):
    """Open a file in a tab of its own, offline; in the end it must have been quiet and alone."""
    tabs, contexts = [], []

    def open_file(path, *, before="", **options):
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        tab = Tab(context.new_page())
        tabs.append(tab)
        tab.page.add_init_script(before)
        tab.page.goto(path.as_uri())
        tab.page.wait_for_selector("#results[aria-busy=false]")
        return tab

    yield open_file
    for tab in tabs:
        assert tab.said == []
        assert not [url for url in tab.asked if not url.startswith(("file:", "blob:null/"))]
        assert tab.page.inner_text("#trouble") == ""
    for context in contexts:
        context.close()
