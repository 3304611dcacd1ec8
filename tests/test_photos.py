"""Photographs of any size: the artifact says what the classifier says, to 1e-5 of probability."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.compilation import compile as build
from convforge.errors import DataError
from convforge.images.preprocess import MAX_SIDE, Preprocess
from convforge.runtime import Runtime

LARGEST = 5000  # pixels of a side
# Short side to 40 with antialiasing, then a crop, as for ImageNet.
CROPPED = Preprocess(resize=40, crop=(32, 32), mean=(90.0,), std=(70.0,), interpolation="bilinear")
STRETCHED = Preprocess(
    resize=(32, 32), crop=(32, 32), mean=(128.0,), std=(64.0,), interpolation="lanczos"
)
EXTREMES = [(1, 1), (1, 2), (2, 1), (31, 32), (33, 32), (40, 40), (39, 41), (1, 800), (800, 1)]


@pytest.fixture(scope="module", params=[CROPPED, STRETCHED], ids=["cropped", "stretched"])
def pair(request, make_classifier, tmp_path_factory):
    """A classifier whose probabilities are far from even, and its artifact."""
    classifier = make_classifier(preprocess=request.param)
    classifier.net.head[-1].weight.data.mul_(20)
    path = tmp_path_factory.mktemp("photos") / "net.so"
    build(classifier, path)
    return classifier, Runtime(path)


def sizes(count, *, largest, seed):
    """(height, width), each side as likely to be of one order of magnitude as of another."""
    generator = np.random.default_rng(seed)
    return np.exp(generator.uniform(0, np.log(largest + 1), (count, 2))).astype(int).tolist()


def photo(height, width):
    """Smooth shapes and a little noise, as in a photograph."""
    generator = np.random.default_rng(height * 10_000 + width)
    coarse = generator.integers(0, 256, (5, 7, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = generator.integers(0, 20, (height, width, 1), np.uint8)
    return np.clip(smooth.astype(np.int16) + noise - 10, 0, 255).astype(np.uint8)


def check(pair, all_sizes):
    classifier, runtime = pair
    spread = []
    for height, width in all_sizes:
        image = photo(height, width)
        if (
            max(height, width) * 40 // min(height, width) > MAX_SIDE
            and classifier.preprocess == CROPPED
        ):
            # The long side would be too long after the resize: both say so, in the same words.
            said = []
            for model in pair:
                with pytest.raises(DataError, match=f"{width}x{height} pixels") as refusal:
                    model.probabilities([image])
                said.append(str(refusal.value))
            assert said[0] == said[1]
            continue
        expected = classifier.probabilities([image])
        found = runtime.probabilities([image])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=f"{height, width}")
        spread.append(expected)
    # Had they all been the same, nothing would have been compared.
    assert np.ptp(np.concatenate(spread), axis=0).max() > 0.1


def test_small_ones_and_a_few_of_any_size(pair):
    check(pair, EXTREMES + sizes(12, largest=LARGEST, seed=0))


@pytest.mark.slow
def test_many_of_any_size(pair):
    corners = [(1, LARGEST), (LARGEST, 1), (LARGEST, LARGEST), (LARGEST, 3000), (2999, LARGEST)]
    check(pair, corners + sizes(200, largest=LARGEST, seed=1))
