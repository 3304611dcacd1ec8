from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from convforge.compiler.compilation import compile as build
from convforge.errors import InputError
from convforge.runtime import Runtime

NET = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Hardswish(), nn.Conv2d(16, 8, 3, stride=2))
SHAPE = (1, 3, 20, 20)


def inputs(count=3, shape=SHAPE[1:]):
    return np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int8"}, "needs images"),
        ({"calibrate": "digits"}, "goes with precision int8"),
        ({"precision": "int8", "calibrate": "digits", "max_drop": 2.0}, "max_drop is 2.0"),
        ({"precision": "int8", "calibrate": "digits"}, "is a bare network"),
        ({"precision": "int8", "calibrate": inputs(1, (1, 20, 20))}, "the network takes"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, options, words):
    shape = None if words.startswith(("needs", "goes", "max")) else SHAPE
    path = tmp_path / "net.so"
    with pytest.raises(InputError, match=words):
        build(NET, path, input_shape=shape, **options)
    assert not path.exists()


def test_a_bare_network_is_near_its_module(tmp_path):
    path = tmp_path / "net.so"
    artifact = build(NET, path, input_shape=SHAPE, precision="int8", calibrate=inputs(16))
    assert artifact.quantization == {"calibrated": 16}
    import torch

    x = inputs(1)
    with torch.no_grad():
        truth = NET(torch.from_numpy(x)).numpy()
    found = Runtime(path).run(x)
    error = np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2))
    assert 0 < error < 0.03


def test_sources_are_compiled_for_products_of_bytes_too(tmp_path):
    options = {"input_shape": SHAPE, "precision": "int8", "calibrate": inputs(2)}
    folder = tmp_path / "net"
    build(NET, folder, target="c", **options)
    assert "avx512vnni" in (folder / "CMakeLists.txt").read_text()
    assert "cf_steps_avx512vnni" in (folder / "artifact.c").read_text()
    assert "cf_steps_avx512[" not in (folder / "artifact.c").read_text()
