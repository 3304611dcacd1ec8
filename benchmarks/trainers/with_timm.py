"""timm: its training script, or, since no package holds that script, the calls that it makes.

`--script` names the train.py of timm's repository; it is then run itself, and told from what it
writes into its summary after every epoch. Without it, the loop below makes the script's calls in
its order and with its defaults: four worker processes, a prefetching loader, random resized crops,
mirrors, jittered colours, SGD with Nesterov's momentum, a cosine, smoothed labels, a checkpoint
after every epoch. Its five epochs of warm-up, meant for 300 epochs, are a fifth of the run at most.
`--fast 1` is what its documentation recommends for speed, --channels-last and --amp, in bfloat16.
"""

from __future__ import annotations

import runpy
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import timm.utils
import torch
from course import given, tell
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2

if TYPE_CHECKING:
    import argparse

MODELS = {"mobilenet_v2": "mobilenetv2_100", "resnet50": "resnet50"}
BATCH_SIZE = 128
WORKERS = 4
RATE = 0.1 / 256  # an image of the batch
FAST = ("--channels-last", "--amp", "--amp-dtype", "bfloat16")


def main() -> None:
    task = given("--script", "--fast")
    task.batch_size = task.batch_size or BATCH_SIZE
    task.warmup_epochs = min(5, task.epochs // 5)
    task.validated = (task.photos / "val").is_dir()
    task.classes = len(list((task.photos / "train").iterdir()))
    tell(
        versions={"timm": timm.__version__, "torch": torch.__version__},
        settings={
            "script": bool(task.script),
            "options": FAST if task.fast else (),
            "batch_size": task.batch_size,
            "warmup_epochs": task.warmup_epochs,
            "workers": WORKERS,
            "threads": torch.get_num_threads(),
        },
    )
    if task.script:
        run_script(task)
    else:
        run_loop(task)


def run_script(task: argparse.Namespace) -> None:
    """Run timm's own train.py in this process."""
    images = len(list((task.photos / "train").glob("*/*"))) // task.batch_size * task.batch_size
    written = timm.utils.update_summary

    def update_summary(epoch: int, train: Any, validation: Any, *rest: Any, **named: Any) -> None:
        written(epoch, train, validation, *rest, **named)
        tell(images=images, top1=validation and validation["top1"] / 100)

    timm.utils.update_summary = update_summary
    options = {
        "data-dir": task.photos,
        "val-split": "validation" if task.validated else "",
        "model": MODELS[task.network],
        "num-classes": task.classes,
        "img-size": task.input_size,
        "batch-size": task.batch_size,
        "epochs": task.epochs,
        "warmup-epochs": task.warmup_epochs,
        "seed": task.seed,
        "device": "cpu",
        "output": "output",
    }
    sys.argv = [task.script, *(FAST if task.fast else ())]
    sys.argv += [f"--{name}={value}" for name, value in options.items()]
    runpy.run_path(task.script, run_name="__main__")


def run_loop(task: argparse.Namespace) -> None:
    """What `train_one_epoch` and `validate` of the script do."""
    timm.utils.random_seed(task.seed)
    net = timm.create_model(MODELS[task.network], num_classes=task.classes)
    config = resolve_data_config({"img_size": task.input_size}, model=net)
    train_loader = loader(task, config, training=True)
    val_loader = loader(task, config, training=False) if task.validated else None
    layout = torch.channels_last if task.fast else torch.contiguous_format
    net = net.to(memory_format=layout)
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=bool(task.fast))
    optimizer = create_optimizer_v2(
        net, opt="sgd", lr=RATE * task.batch_size, weight_decay=2e-5, momentum=0.9
    )
    scheduler, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=task.epochs, warmup_epochs=task.warmup_epochs
    )
    Path("output").mkdir()
    saver = timm.utils.CheckpointSaver(net, optimizer, checkpoint_dir="output")
    loss_of = LabelSmoothingCrossEntropy(0.1)
    for epoch in range(task.epochs):
        net.train()
        losses, images = timm.utils.AverageMeter(), 0
        optimizer.zero_grad()
        for x, y in train_loader:
            with autocast():
                loss = loss_of(net(x.contiguous(memory_format=layout)), y)
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), len(x))
            optimizer.zero_grad()
            images += len(x)
        top1 = val_loader and validate(net, val_loader, autocast=autocast, layout=layout)
        tell(images=images, top1=top1)
        saver.save_checkpoint(epoch, metric=losses.avg if top1 is None else top1)
        scheduler.step(epoch + 1)


def loader(task: argparse.Namespace, config: dict[str, Any], *, training: bool) -> Any:
    split = "train" if training else "validation"
    dataset = create_dataset("", root=task.photos, split=split, is_training=training)
    interpolation = "random" if training else config["interpolation"]
    return create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=task.batch_size,
        is_training=training,
        color_jitter=0.4,
        interpolation=interpolation,
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        num_workers=WORKERS,
        device=torch.device("cpu"),
    )


def validate(net: torch.nn.Module, batches: Any, *, autocast: Any, layout: Any) -> float:
    net.eval()
    top1 = timm.utils.AverageMeter()
    with torch.inference_mode():
        for x, y in batches:
            with autocast():
                logits = net(x.contiguous(memory_format=layout))
            top1.update(timm.utils.accuracy(logits, y)[0].item(), len(x))
    return float(top1.avg) / 100


if __name__ == "__main__":
    main()
