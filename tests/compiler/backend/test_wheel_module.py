"""The module in a wheel, installed by pip, without convforge: it predicts as the runtime does."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.package_wheel import save_wheel
from convforge.compiler.backend.target import find_target
from convforge.images.picture import FORMATS
from convforge.runtime import Runtime

# What a user does; convforge, torch and (until a path is opened) Pillow stay out of it.
PROGRAM = """
import json, sys, threading
import numpy as np
import digits
assert not {"convforge", "torch", "PIL"} & set(sys.modules)
pixels = np.load("pixels.npy")
def refused(call):
    try:
        call()
    except (OSError, ValueError) as error:
        return str(error)
found = {
    "classes": digits.CLASSES,
    "network": digits.CARD["network"],
    "logits": digits.logits(np.load("input.npy")).tolist(),
    "array": digits.predict(pixels),
    "array, top 2": digits.predict(pixels, top=2),
    "refused": [
        refused(lambda: digits.predict(pixels[..., 0])),
        refused(lambda: digits.predict(pixels / 255)),
        refused(lambda: digits.predict(pixels, top=0)),
        refused(lambda: digits.logits(np.zeros(3, np.float32))),
        refused(lambda: digits.predict(np.zeros((1, 40000, 3), np.uint8))),
        refused(lambda: digits.predict("deep.png")),
        refused(lambda: digits.predict("drawing.eps")),
    ],
    "formats": digits._FORMATS,
    "files": {name: digits.predict(name) for name in ("rgb.png", "alpha.png", "turned.jpg")},
}
results = []
threads = [threading.Thread(target=lambda: results.append(digits.predict(pixels)))
           for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert results == [found["array"]] * 4
print(json.dumps(found))
"""


@pytest.fixture
def found(compiled_small, tmp_path, picture):
    """What PROGRAM prints where nothing but the wheel and numpy's folder is on the path."""
    _, card, built = compiled_small
    wheel = save_wheel(built.path, tmp_path / "digits.whl", card=card, target=find_target("wheel"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--target", "site", wheel],
                   cwd=tmp_path, check=True)  # fmt: skip
    np.save(tmp_path / "pixels.npy", picture)
    np.save(tmp_path / "input.npy", np.linspace(-1, 1, 432, dtype=np.float32).reshape(1, 3, 12, 12))
    Image.fromarray(picture).save(tmp_path / "rgb.png")
    alpha = np.dstack([picture, np.full(picture.shape[:2], 99, np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(picture).save(tmp_path / "drawing.eps")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "site"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_module_says_and_refuses_what_the_runtime_does(
    found, compiled_small, tmp_path, picture
):
    _, card, built = compiled_small
    save_artifact(built.path, tmp_path / "net.so")
    runtime = Runtime(tmp_path / "net.so")

    def pairs(image, top=5):
        return [[one.label, one.probability] for one in runtime.predict(image, top=top)]

    assert tuple(found["formats"]) == FORMATS
    assert (tuple(found["classes"]), found["network"]) == (card.classes, card.network)
    np.testing.assert_array_equal(
        np.float32(found["logits"]), runtime.logits(np.load(tmp_path / "input.npy"))
    )
    assert found["array"] == pairs(picture)
    assert found["array, top 2"] == pairs(picture, top=2)
    for name, predictions in found["files"].items():
        assert predictions == pairs(tmp_path / name), name
    words = ["uint8 [H, W, 3]", "got float64", "at least 1 class", "expected float32",
             "too large", "convert it to 8 bits", "cannot identify image file"]  # fmt: skip
    for expected, message in zip(words, found["refused"], strict=True):
        assert expected in message
