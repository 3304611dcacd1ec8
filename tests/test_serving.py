"""The page's own loader of modules, in node; tests/compiler/test_web_page.py opens whole pages."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.compilation import compile as build
from convforge.images.decode import decode

DRIVE = """
import { readFileSync } from "node:fs";
import { load } from "./classifier.js";
const [module, pixels, width, height] = process.argv.slice(2);
const classifier = await load(readFileSync(module));
const image = { data: readFileSync(pixels), width: Number(width), height: Number(height) };
const { classes, inputShape, layers } = classifier;
const times = classifier.profile(new Float32Array(inputShape.reduce((a, b) => a * b)));
const refused = (() => { try { classifier.run([1]); } catch (error) { return error.message; } })();
console.log(JSON.stringify({
    classes, refused, layers: layers.length, times: times.length,
    selftest: classifier.selftest(), probabilities: Array.from(classifier.predict(image)),
}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_loader_runs_a_module_with_its_own_weights(
    trained, classifier_file, scans, repository, tmp_path
):
    module = build(classifier_file, tmp_path / "digits.wasm", target="wasm32").path
    source = repository / "src" / "convforge" / "serving" / "page" / "classifier.js"
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(source, tmp_path)
    (tmp_path / "drive.js").write_text(DRIVE)
    picture = Image.open(scans[0]).convert("RGBA")
    (tmp_path / "pixels").write_bytes(picture.tobytes())
    command = ["node", "drive.js", module, "pixels", *map(str, picture.size)]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["selftest"]
    assert found["classes"] == list(trained.classes)
    assert found["layers"] == found["times"] > 4
    assert found["refused"] == "The network takes 1024 numbers, not 1."
    expected = trained.probabilities([decode(scans[0])])[0]
    assert np.abs(np.float32(found["probabilities"]) - expected).max() <= 1e-5
