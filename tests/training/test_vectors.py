"""Vectors: what the last layer takes, whichever engine runs the network; kept, and found again."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from torch import nn

from convforge.images.dataset import Split
from convforge.images.decoding import Decoded, decode_part
from convforge.images.preprocess import Preprocess
from convforge.images.stored import Uncropped
from convforge.networks.catalog import create
from convforge.training import vectors
from convforge.training.vectors import Trunk, engine, last_layer, vectors_of, without_last

PREPROCESS = Preprocess(resize=36, crop=(32, 32), mean=(120.0,) * 3, std=(60.0,) * 3)
OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "convforge" / "vectors"


@pytest.fixture
def net():
    torch.manual_seed(0)
    return create("mobilenet_v2", num_classes=4, input_size=32, width=0.25).train()


def part(count=5, *, digests=True, seed=0):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (40 + i, 50, 3), np.uint8) for i in range(count)]
    return Split(
        name="train",
        names=tuple(map(str, range(count))),
        labels=np.arange(count) % 4,
        digests=tuple(bytes([seed, i]) * 16 for i in range(count)) if digests else (),
        read=images.__getitem__,
    )


def vectors_in(net, split, *, geometry=PREPROCESS):
    decoded = decode_part(split, geometry)
    return vectors_of(
        Trunk(net, count=len(split)), decoded, preprocess=PREPROCESS, geometry=geometry
    )


def test_the_last_layer_turns_them_into_the_networks_logits(net):
    split = part()
    found = vectors_in(net, split)
    assert net.training
    assert found.dtype == np.float32
    x = np.stack([PREPROCESS(split.load(i)) for i in range(5)])
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(x))
        logits = last_layer(net)[1](torch.from_numpy(found.copy()))
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not OPENVINO, reason="openvino is not installed")
def test_openvino_gives_what_torch_gives(net, monkeypatch):
    x = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    fast = engine(without_last(net), (3, 32, 32), count=vectors.MANY)(x)
    monkeypatch.setitem(sys.modules, "openvino", None)  # few images do not need it
    plain = engine(without_last(net), (3, 32, 32), count=vectors.MANY - 1)(x)
    np.testing.assert_allclose(fast, plain, rtol=1e-3, atol=1e-4)


def test_of_uncropped_images_the_centre_is_taken(net):
    split = part()
    cropped = vectors_in(net, split)
    uncropped = vectors_in(net, split, geometry=Uncropped(PREPROCESS))
    np.testing.assert_allclose(uncropped, cropped, rtol=1e-3, atol=1e-4)
    larger = vectors_in(net, split, geometry=Uncropped(PREPROCESS, larger=True))
    assert np.corrcoef(larger.ravel(), cropped.ravel())[0, 1] > 0.99


def test_they_are_computed_once_for_the_same_images_weights_and_preprocessing(
    net, cache, monkeypatch
):
    first = vectors_in(net, part())
    assert len(list(cache.glob("*.pixels"))) == 1
    monkeypatch.setattr(vectors, "engine", None)  # not run again
    np.testing.assert_array_equal(vectors_in(net, part()), first)
    with pytest.raises(TypeError):
        vectors_in(net, part(seed=1))
    with torch.no_grad():
        next(net.parameters()).add_(1)
    with pytest.raises(TypeError):
        vectors_in(net, part())


def test_another_last_layer_changes_nothing(net, monkeypatch):
    first = vectors_in(net, part())
    nn.init.zeros_(last_layer(net)[1].weight)
    monkeypatch.setattr(vectors, "engine", None)
    np.testing.assert_array_equal(vectors_in(net, part()), first)


def test_images_without_digests_are_not_kept(net, cache):
    found = vectors_in(net, part(digests=False))
    assert not cache.exists()
    np.testing.assert_array_equal(found, vectors_in(net, part()))


@pytest.mark.parametrize(
    ("network", "linear"),
    [("resnet20", True), ("vgg11", True), ("googlenet", True), ("lenet5", False), ("nin", False)],
)
def test_networks_that_end_in_a_linear_layer_are_told(network, linear):
    with torch.device("meta"):
        found = last_layer(create(network))
    assert (found is not None) == linear


def test_progress_is_told(net):
    calls = []
    decoded = decode_part(part(), PREPROCESS)
    assert isinstance(decoded, Decoded)
    vectors_of(
        Trunk(net, count=5),
        decoded,
        preprocess=PREPROCESS,
        geometry=PREPROCESS,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(5, 5, "running the network over train")]


def test_what_runs_the_network_is_made_once_for_all_parts_and_not_for_what_is_kept(
    net, monkeypatch
):
    made = []
    real = vectors.engine
    monkeypatch.setattr(
        vectors, "engine", lambda *given, count: made.append(count) or real(*given, count=count)
    )
    decoded = [decode_part(part(seed=seed), PREPROCESS) for seed in (1, 2)]
    for _ in range(2):
        trunk = Trunk(net, count=10)
        for one in decoded:
            vectors_of(trunk, one, preprocess=PREPROCESS, geometry=PREPROCESS)
    assert made == [10]
