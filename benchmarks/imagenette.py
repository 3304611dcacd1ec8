"""Claim: photos from scratch, at 128 px on a processor: what a recipe's ingredients give.

Imagenette (9,469 photos to train on; the 3,925 of its validation part are measured once, at the
end, and nothing is chosen by them). fastai's board for 128 px: 85.77 % after 5 epochs, 91.57 %
after 20. `--optimizer sgd` and `--small-images 0` show what is won by those, `--set` changes any
other field of the recipe. The card's accuracy is at 128 px; `--test-sizes` measures the same
network on larger inputs from the same photos too (Touvron et al. 2019: crops that are resized make
things look larger in training than in the test), which are other, slower predictions. One JSON
line; the seconds are those of training, and of all of it with reading and measuring.

    python benchmarks/imagenette.py imagenette160 >> benchmarks/results/imagenette.jsonl
    python benchmarks/imagenette.py imagenette160 --set batch_size=32 --test-sizes 144 160
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

from training_record import training_record

from convforge.classifier import Classifier
from convforge.evaluation import evaluate
from convforge.networks.catalog import create
from convforge.training.recipes import find_recipe, with_fields
from convforge.training.trainer import train


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, help="Imagenette, with train/ and val/")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--width", type=float, default=1.0, help="of the network")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimizer", help="instead of the recipe's; sgd takes a rate of 0.05")
    parser.add_argument("--small-images", type=float, help="instead of the recipe's share")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--test-sizes", type=int, nargs="*", default=[])
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    rate, momentum = (0.05, 0.9) if given.optimizer == "sgd" else (None, None)
    fields = {
        "epochs": given.epochs,
        "seed": given.seed,
        "optimizer": given.optimizer,
        "learning_rate": rate,
        "momentum": momentum,
        "small_images": given.small_images,
        **{name: json.loads(value) for name, _, value in (one.partition("=") for one in given.set)},
    }
    recipe = with_fields(find_recipe(given.network, "fast"), fields)
    with tempfile.TemporaryDirectory() as name:
        only_train = Path(name) / "photos"
        only_train.mkdir()
        (only_train / "train").symlink_to((given.photos / "train").resolve())
        (only_train / "test").symlink_to((given.photos / "val").resolve())
        started = time.perf_counter()
        classifier = train(
            only_train,
            network=given.network,
            recipe=recipe,
            input_size=128,
            arguments={} if given.width == 1 else {"width": given.width},
            device=given.device,
            folder=Path(name) / "run",
        )
        seconds = time.perf_counter() - started
        found = evaluate(classifier, only_train)
        run = Path(name) / "run"
        record = training_record(classifier, found, run=run, seconds=seconds)
        larger = {size: at_size(classifier, only_train, size) for size in given.test_sizes}
        record["test_sizes"] = larger
    print(json.dumps({"benchmark": "imagenette", **record}), flush=True)


def at_size(classifier: Classifier, photos: Path, size: int) -> float:
    """Accuracy on inputs of another size, cut out of the same photos, enlarged for it."""
    resize = round(size * 256 / 224)
    card = classifier.card
    preprocess = dataclasses.replace(card.preprocess, resize=resize, crop=(size, size))
    net = create(card.network, **{**card.arguments, "input_size": size})
    net.load_state_dict(classifier.net.state_dict())
    card = dataclasses.replace(card, preprocess=preprocess, arguments=net.arguments)
    return round(evaluate(Classifier(net, card), photos).top1, 4)


if __name__ == "__main__":
    main()
