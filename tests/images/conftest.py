"""`build(tree)`: a folder of small images, {"cat": 3} for cat/0.png … cat/2.png, each different."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def build(tmp_path):
    def build_folder(tree, *, name="photos", mode="RGB"):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for folder, count in tree.items():
            (root / folder).mkdir(parents=True)
            for i in range(count):
                seed = [*folder.encode(), i]
                pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / folder / f"{i}.png")
        return root

    return build_folder
