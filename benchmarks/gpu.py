"""Claim: on one GPU, training from JPEGs on disk is faster than with timm's loader and loop.

Photos of a folder, at 224 px in batches of 256, random resized crops and mirrors. convforge is the
whole `train`, as it is by default. timm is its own `create_loader` (its prefetcher, as many workers
as cores, its default augmentation), `create_model`, `create_optimizer_v2` and cross-entropy, once
with the defaults of its training script (float32 with TF32) and once with what its documentation
recommends for speed, `--amp --channels-last`. timm's package does not hold that script: the loop
here is its order of calls. Images a second are those of the epochs after the first, which decodes,
measures kernels and fills caches; the systems take turns. One JSON line a system and network.

    python benchmarks/gpu.py photos/train [--device cpu] >> benchmarks/results/gpu.jsonl
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.utils import NativeScaler

from convforge.images.augment import Augment
from convforge.training.recipe import Recipe
from convforge.training.trainer import train
from convforge.version import __version__

NETWORKS = {"resnet50": "resnet50", "mobilenet_v2": "mobilenetv2_100"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3, help="in a turn; the first does not count")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    systems = {
        "convforge": ours,
        "timm": lambda name, given: theirs(name, given, fast=False),
        "timm --amp --channels-last": lambda name, given: theirs(name, given, fast=True),
    }
    for network in arguments.networks:
        rates: dict[str, list[float]] = {system: [] for system in systems}
        for _ in range(arguments.rounds):
            for system, run in systems.items():
                rates[system] += run(network, arguments)
        ours_median = statistics.median(rates["convforge"])
        for system, found in rates.items():
            record = {
                "benchmark": "gpu",
                "system": system,
                "network": network,
                "images_per_second": round(statistics.median(found), 1),
                "all": [round(rate, 1) for rate in found],
                "convforge_over_this": round(ours_median / statistics.median(found), 2),
                **facts(arguments),
            }
            print(json.dumps(record), flush=True)


def ours(network: str, given: argparse.Namespace) -> list[float]:
    """Images a second of each epoch after the first."""
    augment = Augment(crop="resized", scale=(0.08, 1.0), flip=True)
    recipe = Recipe(epochs=given.epochs, batch_size=given.batch_size, augment=augment)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        card = train(
            given.photos,
            network=network,
            recipe=recipe,
            input_size=given.input_size,
            device=given.device,
            folder=folder,
            save_every=1e9,
        ).card
        with (folder / "log.csv").open() as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    count = card.metrics["train"]["count"]
    return [count / (later - earlier) for earlier, later in pairwise(seconds)]


def theirs(network: str, given: argparse.Namespace, *, fast: bool) -> list[float]:
    """The same of timm's loop: forward, loss, backward, step, as its training script has them."""
    device = torch.device(given.device)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    dataset = create_dataset("", root=str(given.photos), is_training=True)
    loader = create_loader(
        dataset,
        input_size=(3, given.input_size, given.input_size),
        batch_size=given.batch_size,
        is_training=True,
        color_jitter=0.4,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        device=device,
    )
    net = timm.create_model(NETWORKS[network], num_classes=len(dataset.reader.class_to_idx))
    net = net.to(device).train()
    if fast:
        net = net.to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(net, opt="sgd", lr=0.05, momentum=0.9, weight_decay=2e-5)
    scaler = NativeScaler() if fast and device.type == "cuda" else None
    rates = []
    for _ in range(given.epochs):
        started, count = time.perf_counter(), 0
        for x, y in loader:
            images = x.contiguous(memory_format=torch.channels_last) if fast else x
            with torch.autocast(device.type, dtype=torch.float16, enabled=scaler is not None):
                loss = torch.nn.functional.cross_entropy(net(images), y)
            optimizer.zero_grad()
            if scaler is None:
                loss.backward()
                optimizer.step()
            else:
                scaler(loss, optimizer)
            count += len(x)
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(count / (time.perf_counter() - started))
    return rates[1:]


def facts(given: argparse.Namespace) -> dict[str, Any]:
    on_gpu = given.device.startswith("cuda")
    return {
        "batch_size": given.batch_size,
        "input_size": given.input_size,
        "device": torch.cuda.get_device_name() if on_gpu else given.device,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    main()
