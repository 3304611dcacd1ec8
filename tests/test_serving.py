"""The page's own loader of modules, in node; tests/compiler/test_web_page.py opens whole pages."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.compilation import compile as build
from convforge.images.picture import decode
from convforge.runtime import Runtime

DRIVE = """
import { readFileSync } from "node:fs";
import { load } from "./digits.js";
const [module, pixels, width, height] = process.argv.slice(2);
const classifier = await load(readFileSync(module));
const image = { data: readFileSync(pixels), width: Number(width), height: Number(height) };
const { classes, inputShape, layers } = classifier;
const input = classifier.prepare(image);
const maps = layers.map((_, layer) => Array.from(classifier.featureMaps(input, layer)));
const missing = (() => {
    try { classifier.featureMaps(input, layers.length); } catch (error) { return error.message; }
})();
const times = classifier.profile(new Float32Array(inputShape.reduce((a, b) => a * b)));
const refused = (() => { try { classifier.run([1]); } catch (error) { return error.message; } })();
console.log(JSON.stringify({
    classes, refused, missing, maps, layers: layers.length, times: times.length,
    selftest: classifier.selftest(), probabilities: Array.from(classifier.predict(image)),
}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_loader_runs_a_module_with_its_own_weights(
    trained, classifier_file, artifact_file, scans, tmp_path
):
    module = build(classifier_file, tmp_path / "digits.wasm", target="wasm32").path
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "drive.js").write_text(DRIVE)
    picture = Image.open(scans[0]).convert("RGBA")
    (tmp_path / "pixels").write_bytes(picture.tobytes())
    command = ["node", "drive.js", module, "pixels", *map(str, picture.size)]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["selftest"]
    assert found["classes"] == list(trained.classes)
    assert found["layers"] == found["times"] > 4
    assert found["missing"] == f"There is no layer {found['layers']}; there are {found['layers']}."
    runtime = Runtime(artifact_file)
    x = runtime.input_of(decode(scans[0]))
    for layer, maps in enumerate(found["maps"]):
        expected = runtime.feature_maps(x, layer).ravel()
        np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-4)
    assert found["refused"] == "The network takes 1024 numbers, not 1."
    expected = trained.probabilities([decode(scans[0])])[0]
    assert np.abs(np.float32(found["probabilities"]) - expected).max() <= 1e-5


def test_the_types_name_what_the_loader_has(repository):
    folder = repository / "src" / "convforge" / "serving" / "page"
    code, types = ((folder / f"classifier.{kind}").read_text() for kind in ("js", "d.ts"))
    exported = re.findall(r"^export (?:async )?(?:class|function) (\w+)", code, re.MULTILINE)
    typed = re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE)
    assert sorted(exported) == sorted(typed)
    (body,) = re.findall(r"^export class Classifier \{(.*?)^\}", code, re.MULTILINE | re.DOTALL)
    (declared,) = re.findall(
        r"^export class Classifier \{(.*?)^\}", types, re.MULTILINE | re.DOTALL
    )
    methods = set(re.findall(r"^  (\w+)\(.*\{$", body, re.MULTILINE)) - {"constructor"}
    fields = set(re.findall(r"^    this\.(\w+) =", body, re.MULTILINE))
    assert set(re.findall(r"^  (\w+)\(", declared, re.MULTILINE)) == methods
    assert set(re.findall(r"^  readonly (\w+):", declared, re.MULTILINE)) == fields


def test_the_types_name_what_an_artifact_says_of_a_layer(artifact_file, repository):
    types = (repository / "src" / "convforge" / "serving" / "page" / "classifier.d.ts").read_text()
    for name, found in (
        ("Layer", [vars(layer) for layer in Runtime(artifact_file).layers]),
        ("Operation", [does for layer in Runtime(artifact_file).layers for does in layer.does]),
    ):
        (body,) = re.findall(
            rf"^export interface {name} \{{(.*?)^\}}", types, re.MULTILINE | re.DOTALL
        )
        typed = set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE))
        assert {key for one in found for key in one} == typed
