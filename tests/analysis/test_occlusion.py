from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from convforge.analysis import occlusion
from convforge.analysis.occlusion import drops
from convforge.errors import DataError, InputError
from convforge.images.picture import decode
from convforge.images.preprocess import Preprocess
from convforge.loading import load
from convforge.runtime import Runtime

PLAIN = Preprocess(resize=(36, 36), crop=(36, 36), mean=(0.0,), std=(255.0,))
CROPPED = Preprocess(resize=40, crop=(32, 24), mean=(0.0,) * 3, std=(255.0,) * 3)


@dataclass
class Spot:
    """Says class 0 as surely as the brightest pixel of the first channel is bright."""

    preprocess: Preprocess = PLAIN
    asked: int = 0

    def probabilities(self, images):
        self.asked += len(images)
        bright = np.array([image[..., 0].max() / 255 for image in images])
        return np.stack([bright, 1 - bright], axis=1)


@dataclass
class Sum:
    """Weighs every pixel by its place, in whole numbers, so that another language agrees."""

    preprocess: Preprocess

    def probabilities(self, images):
        rows = []
        for image in images:
            height, width, _ = image.shape
            weights = (np.arange(height)[:, None] * 7 + np.arange(width) * 13) % 11
            share = int((image.sum(axis=2, dtype=np.int64) * weights).sum())
            rows.append([share / (height * width * 3 * 255 * 11), 0.0])
        return np.array(rows)


SUM_JS = """
import { findEvidence } from "./evidence.js";
import { partSeen } from "./picture.js";
const { pixels, width, height, preprocess } = JSON.parse(process.argv[2]);
const data = new Uint8ClampedArray(pixels);
const classifier = {
  async predict({ data, width, height }) {
    let sum = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = 4 * (y * width + x);
        sum += (data[i] + data[i + 1] + data[i + 2]) * ((y * 7 + x * 13) % 11);
      }
    }
    return [sum / (height * width * 3 * 255 * 11), 0];
  },
};
const part = partSeen(preprocess, width, height);
const image = { data, width, height };
const found = await findEvidence(classifier, image, { index: 0, part, progress: () => true });
console.log(JSON.stringify({ ...found, grid: [...found.grid] }));
"""


@pytest.fixture(scope="module")
def in_the_browser(repository, tmp_path_factory):
    """The page's own evidence.js, run by node: (image, preprocess) → grid."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("page")
    for name in ("dom.js", "evidence.js", "picture.js"):
        shutil.copy(repository / "src/convforge/serving/page" / name, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "sum.js").write_text(SUM_JS)

    def run(image, preprocess):
        height, width, _ = image.shape
        opaque = np.full((height, width, 1), 255, np.uint8)
        given = {
            "pixels": np.concatenate([image, opaque], axis=2).reshape(-1).tolist(),
            "width": width,
            "height": height,
            "preprocess": preprocess.to_json(),
        }
        command = ["node", "sum.js", json.dumps(given)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout)
        return np.array(said["grid"], np.float32).reshape(said["down"], said["across"])

    return run


@pytest.mark.parametrize(
    ("height", "width", "preprocess"),
    [(40, 30, CROPPED), (31, 57, CROPPED), (20, 24, PLAIN), (8, 8, PLAIN), (61, 47, CROPPED)],
)
def test_it_is_the_same_as_in_the_browser(in_the_browser, height, width, preprocess):
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    found = drops(Sum(preprocess), image, index=0)
    assert found.max() > 0
    np.testing.assert_allclose(found, in_the_browser(image, preprocess), rtol=1e-5, atol=1e-9)


def test_the_evidence_for_a_light_spot_is_the_spot():
    image = np.zeros((36, 36, 3), np.uint8)
    image[20:24, 8:12] = 255  # one of 9 x 9 cells: row 5, column 2
    model = Spot()
    found = drops(model, image, index=0)
    assert model.asked == 1 + 10 * 10
    expected = np.zeros((9, 9))
    # Each of the four patches over the spot costs all but the mean colour; the cells around the
    # spot share in those that reach them.
    grey = np.floor(image.mean() + 0.5) / 255
    expected[4:7, 1:4] = np.outer([1, 2, 1], [1, 2, 1]) / 4 * (1 - grey)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_class_that_gains_by_covering_has_no_evidence():
    image = np.zeros((36, 36, 3), np.uint8)
    image[20:24, 8:12] = 255
    assert drops(Spot(), image, index=1).max() == 0


def test_only_what_the_network_sees_is_divided():
    image = np.zeros((40, 120, 3), np.uint8)
    image[18:22, 10:14] = 255  # outside of the crop, 24 pixels in the middle
    assert drops(Spot(CROPPED), image, index=0).shape == (12, 9)
    assert drops(Spot(CROPPED), image, index=0).max() == 0


def test_a_large_picture_is_made_smaller_first():
    spot = np.zeros((36, 36, 3), np.uint8)
    spot[20:24, 8:12] = 255
    large = np.asarray(Image.fromarray(spot).resize((1440, 1440), Image.Resampling.NEAREST))
    seen = []

    class Watch(Spot):
        def probabilities(self, images):
            seen.extend(image.shape for image in images)
            return super().probabilities(images)

    found = drops(Watch(), large, index=0)
    assert set(seen) == {(72, 72, 3)}
    assert np.unravel_index(found.argmax(), found.shape) == (5, 2)


def test_progress_is_told(picture):
    told = []
    drops(Spot(), picture, index=0, progress=lambda *report: told.append(report))
    assert [done for done, _, _ in told][-1] == told[-1][1]
    assert len(told) == -(-told[-1][1] // occlusion.AT_A_TIME)


def test_a_picture_that_is_squeezed_beyond_measure_is_refused():
    with pytest.raises(InputError, match=r"1x3000 pixels takes \d+ patches, over the limit"):
        drops(Spot(), np.zeros((3000, 1, 3), np.uint8), index=0)


def test_what_the_preprocessing_refuses_is_refused():
    with pytest.raises(DataError, match="over the limit"):
        drops(Spot(CROPPED), np.zeros((1, 2000, 3), np.uint8), index=0)


def test_classifier_and_artifact_agree_however_many_workers(trained, artifact_file, scans):
    image = decode(scans[0])
    index = trained.predict(image, top=1)[0].index
    expected = drops(trained, image, index=index)
    assert expected.max() > 0.01
    for model in (load(artifact_file), Runtime(artifact_file, workers=2)):
        np.testing.assert_allclose(drops(model, image, index=index), expected, rtol=0, atol=1e-5)
