"""Claim: a head on frozen features takes under 15 s for 1,000 photos; tuning all layers beats it.

EfficientNet-Lite0 with its ImageNet weights (they come in a package) on ten classes of 100 photos
each, drawn from Imagenette's training part by a seed, measured on its validation part. Ten photos
of each class are set aside to choose by. Three rows, one JSON line each: the head alone, head and
then all layers, and plain torch without either: a new last layer, all layers trained at one rate
with statistics of the batches, for as many epochs. "seconds" are those of all of it, from photos in
a folder to a classifier, decoding and setting aside included: decoded pixels and vectors go to an
empty cache folder. Not in it are importing torch and measuring on the validation part.

    python benchmarks/finetune.py imagenette160.tar >> benchmarks/results/finetune.jsonl
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import random
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.evaluation import evaluate
from convforge.images import source
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.networks.surgery import replace_head
from convforge.networks.weights import load_weights
from convforge.training.recipes import TUNE
from convforge.training.trainer import train
from convforge.version import __version__

NETWORK = "efficientnet_lite0"
EACH = 100  # photos of a class


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tar", type=Path, help="Imagenette at 160 px, with train/ and val/")
    parser.add_argument("--each", type=int, default=EACH, help="photos of a class")
    parser.add_argument("--test", type=int, help="photos to measure on; by default all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = str(Path(name) / "cache")
        data = prepare(
            arguments.tar, Path(name), each=arguments.each, test=arguments.test, seed=arguments.seed
        )
        for way in (head, all_layers, plain):
            started = time.perf_counter(), time.process_time()
            classifier = way(data / "photos", arguments.seed)
            seconds = time.perf_counter() - started[0], time.process_time() - started[1]
            found = evaluate(classifier, data / "held")
            metrics = classifier.card.metrics
            record = {
                "benchmark": "finetune",
                "way": way.__name__,
                "top1": round(found.top1, 4),
                "interval": [round(end, 4) for end in found.interval],
                **{name: metrics.get(name) for name in ("val", "head", "best", "blend")},
                "recipe": classifier.card.recipe,
                "seconds": round(seconds[0], 2),
                "processor_seconds": round(seconds[1], 2),
                "photos": 10 * arguments.each,
                "seed": arguments.seed,
                "machine": f"{os.cpu_count()} x {platform.machine()}",
                "load_average": round(os.getloadavg()[0], 1),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "convforge": __version__,
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
            }
            print(json.dumps(record), flush=True)
            shutil.rmtree(Path(name) / "cache", ignore_errors=True)


def prepare(tar: Path, folder: Path, *, each: int, test: int | None, seed: int) -> Path:
    """Extract; keep `each` photos of a class to train on, and `test` of the others to test on."""
    with tarfile.open(tar) as archive:
        archive.extractall(folder / "whole", filter="data")
    root = next((folder / "whole").rglob("train")).parent
    draw = random.Random(seed)
    for label in sorted(path.name for path in (root / "train").iterdir()):
        for part, there, count in (
            ("photos/train", "train", each),
            ("held/test", "val", None if test is None else test // 10),
        ):
            files = sorted((root / there / label).iterdir())
            draw.shuffle(files)
            target = folder / "data" / part / label
            target.mkdir(parents=True)
            for file in files[:count]:
                file.rename(target / file.name)
    return folder / "data"


def head(photos: Path, seed: int) -> Classifier:
    return train(photos, network=NETWORK, weights="imagenet", tune="head", seed=seed)


def all_layers(photos: Path, seed: int) -> Classifier:
    return train(photos, network=NETWORK, weights="imagenet", seed=seed)


def plain(photos: Path, seed: int) -> Classifier:
    """What a short script does: all images at once, SGD at one rate, no freezing, no head first."""
    torch.manual_seed(seed)
    net = create(NETWORK, num_classes=1000)
    load_weights(net, NETWORK, "imagenet")
    replace_head(net, 10).train()
    images = source.open(photos)
    preprocess = Preprocess(
        resize=256, crop=(224, 224), mean=(127.0,) * 3, std=(128.0,) * 3, interpolation="bicubic"
    )
    part = images.splits["train"]
    x = torch.stack([torch.from_numpy(preprocess(part.load(i))) for i in range(len(part))])
    y = torch.from_numpy(part.labels.copy())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(TUNE.epochs):
        for rows in torch.randperm(len(x)).split(TUNE.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    recipe = {**dataclasses.asdict(TUNE), "learning_rate": 0.01, "note": "plain torch"}
    card = Card(
        network=NETWORK,
        arguments=net.arguments,
        classes=images.classes,
        preprocess=preprocess,
        recipe=recipe,
    )
    return Classifier(net.eval(), card)


if __name__ == "__main__":
    main()
