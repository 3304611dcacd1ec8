"""fastai: `Learner.fit_one_cycle` on torchvision's network, photos as in its Imagenette example.

That is crops of 0.35 of the area or more, mirrors, normalised batches; the learner's own Adam, rate
of 0.001 and cross-entropy, a worker process for each core. Not `vision_learner`, which puts another
head on the network.
"""

from __future__ import annotations

import fastai
import torch
import torchvision
from course import given, tell
from fastai.vision.all import (
    Callback,
    FlipItem,
    ImageDataLoaders,
    Learner,
    Normalize,
    RandomResizedCrop,
    accuracy,
    imagenet_stats,
    set_seed,
)

BATCH_SIZE = 64


class Tell(Callback):
    """After every epoch, once its figures are recorded."""

    order = 60

    def after_epoch(self) -> None:
        """Of all epochs, those without a part val too."""
        validated = len(self.learn.dls.valid_ds) > 0
        top1 = self.learn.recorder.values[-1][-1] if validated else None
        tell(images=len(self.learn.dls.train) * self.learn.dls.bs, top1=top1)


def main() -> None:
    task = given()
    set_seed(task.seed)
    loaders = ImageDataLoaders.from_folder(
        task.photos,
        valid="val",
        item_tfms=[RandomResizedCrop(task.input_size, min_scale=0.35), FlipItem(0.5)],
        batch_tfms=Normalize.from_stats(*imagenet_stats),
        bs=task.batch_size or BATCH_SIZE,
        device=torch.device("cpu"),
    )
    tell(
        versions={
            "fastai": fastai.__version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
        settings={
            "batch_size": loaders.bs,
            "workers": loaders.train.fake_l.num_workers,
            "threads": torch.get_num_threads(),
        },
    )
    net = getattr(torchvision.models, task.network)(num_classes=loaders.c)
    learner = Learner(loaders, net, metrics=accuracy, cbs=Tell())
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(task.epochs)


if __name__ == "__main__":
    main()
