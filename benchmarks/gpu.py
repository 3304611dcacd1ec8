"""Claim: on one GPU, training from JPEGs on disk is faster than timm's script is by default.

Not than timm with `--amp --channels-last`, which is measured beside it.

Photos of a folder, at 224 px in batches of 256, random resized crops and mirrors. convforge is the
whole `train`, as it is by default. timm is its own `create_loader` (its prefetcher, as many workers
as cores, its default augmentation), `create_model`, `create_optimizer_v2` and cross-entropy, once
with the defaults of its training script (float32 with TF32) and once with what its documentation
recommends for speed, `--amp --channels-last`. timm's package does not hold that script: the loop
here is its order of calls. Images a second are those of the epochs after the first, which decodes,
measures kernels and fills caches; the systems take turns. One JSON line a system and network.

With `--in-memory N` nothing is read: N images of noise, uint8 in the host's memory, are learnt by
the same steps without augmentation, convforge's by `fit` in bfloat16, timm's through its prefetcher
with a worker for each core. What is then timed is the way to the GPU, and the steps.

Before that, one line a network says how far the losses of the first steps on the device, in
float32, are off those on the processor, crops included. Rounding alone sets them apart, more so
step by step: where it flips the sign of an activation, gradients of an untrained network move by a
hundredth.

    python benchmarks/gpu.py photos/train [--device cpu] >> benchmarks/results/gpu.jsonl
    python benchmarks/gpu.py --in-memory 5120 >> benchmarks/results/gpu.jsonl
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

import numpy as np
import timm
import torch
from timm.data import create_dataset, create_loader
from timm.data.loader import PrefetchLoader, fast_collate
from timm.optim import create_optimizer_v2
from timm.utils import NativeScaler

from convforge.images.augment import Augment
from convforge.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from convforge.networks.catalog import create
from convforge.training.fitting import fit, steps_an_epoch
from convforge.training.learner import Batch, Learner
from convforge.training.machine import Machine, fast_kernels
from convforge.training.recipe import Recipe
from convforge.training.trainer import train
from convforge.version import __version__

NETWORKS = {
    "resnet50": "resnet50",
    "mobilenet_v2": "mobilenetv2_100",
    "efficientnet_b0": "efficientnet_b0",
}
CLASSES = 10  # of noise
COMPARED = 3  # steps on the device and on the processor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of class folders")
    parser.add_argument("--in-memory", type=int, metavar="N", help="images of noise instead")
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=["resnet50", "mobilenet_v2"]
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3, help="in a turn; the first does not count")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    if (arguments.photos is None) == (arguments.in_memory is None):
        parser.error("expected a folder of photos, or --in-memory N")
    systems = {
        "convforge": ours if arguments.in_memory is None else ours_in_memory,
        "timm": lambda name, given: theirs(name, given, fast=False),
        "timm --amp --channels-last": lambda name, given: theirs(name, given, fast=True),
    }
    for network in arguments.networks:
        print(json.dumps({**agreement(network, arguments), **facts(arguments)}), flush=True)
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
                "in_memory": arguments.in_memory,
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


def ours_in_memory(network: str, given: argparse.Namespace) -> list[float]:
    """The same of the loop alone, over an array."""
    pixels, labels = noise(given, count=given.in_memory)
    recipe = Recipe(epochs=given.epochs, batch_size=given.batch_size)
    precision = "bf16" if given.device.startswith("cuda") else "fp32"
    machine = Machine(device=given.device, precision=precision, channels_last=True)
    steps = steps_an_epoch(len(labels), recipe)
    ends: list[float] = []

    def note(done: int, _total: int, _message: str) -> None:
        if done % steps == 0:
            ends.append(time.perf_counter())

    with fast_kernels(given.device):
        fit(new_learner(network, given, recipe, machine), pixels, labels, progress=note)
    return [steps * given.batch_size / (later - earlier) for earlier, later in pairwise(ends)]


def agreement(network: str, given: argparse.Namespace) -> dict[str, Any]:
    """Losses of the same first steps in float32, on the processor as it is and on the device."""
    count = min(given.batch_size, 16)
    pixels, labels = noise(given, count=count)
    augment = Augment(crop="resized", scale=(0.08, 1.0), flip=True)
    recipe = Recipe(epochs=1, batch_size=count, learning_rate=0.001, augment=augment)
    machines = (Machine(), Machine(device=given.device, channels_last=True))
    learners = [new_learner(network, given, recipe, machine) for machine in machines]
    here, there = (
        [
            learner.step(Batch(pixels, labels, whole=count), step=step, steps=COMPARED)[0]
            for step in range(COMPARED)
        ]
        for learner in learners
    )
    return {
        "benchmark": "gpu",
        "network": network,
        "losses_on_processor": here,
        "losses_on_device": there,
        "largest_difference": max(abs(a - b) for a, b in zip(here, there, strict=True)),
        "images": count,
    }


def new_learner(
    network: str, given: argparse.Namespace, recipe: Recipe, machine: Machine
) -> Learner:
    """One with the same first weights every time."""
    side = given.input_size
    preprocess = Preprocess(resize=side, crop=(side, side), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    torch.manual_seed(0)
    net = create(network, num_classes=CLASSES, input_size=side).train()
    return Learner(net, recipe=recipe, preprocess=preprocess, machine=machine)


def noise(given: argparse.Namespace, *, count: int) -> tuple[Any, Any]:
    """Images uint8 [N, H, W, 3] and labels int64 [N]."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, given.input_size, given.input_size, 3), np.uint8)
    return pixels, draw.integers(0, CLASSES, count)


def loader_of(given: argparse.Namespace) -> tuple[Any, int]:
    """A loader of timm, of photos or of noise, and how many classes there are."""
    device = torch.device(given.device)
    settings = {
        "batch_size": given.batch_size,
        "num_workers": os.cpu_count() or 1,
        "persistent_workers": True,
        "pin_memory": device.type == "cuda",
    }
    if given.in_memory is not None:
        pixels, labels = noise(given, count=given.in_memory)
        channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        rows = list(zip(channels_first, labels, strict=True))
        loader = torch.utils.data.DataLoader(
            rows, shuffle=True, drop_last=True, collate_fn=fast_collate, **settings
        )
        return PrefetchLoader(loader, device=device), CLASSES
    dataset = create_dataset("", root=str(given.photos), is_training=True)
    shape = (3, given.input_size, given.input_size)
    loader = create_loader(
        dataset, input_size=shape, is_training=True, color_jitter=0.4, device=device, **settings
    )
    return loader, len(dataset.reader.class_to_idx)


def theirs(network: str, given: argparse.Namespace, *, fast: bool) -> list[float]:
    """The same of timm's loop: forward, loss, backward, step, as its training script has them."""
    device = torch.device(given.device)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    loader, classes = loader_of(given)
    net = timm.create_model(NETWORKS[network], num_classes=classes)
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
