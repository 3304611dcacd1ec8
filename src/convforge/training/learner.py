"""One training step: augmented pixels → normalised → loss → gradients → weights.

    loss = Σ over outputs: weight · cross-entropy(logits, mixed targets, smoothed), mean over images

Its state is all that a step changes: the network, its optimisers and the average of its weights.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from convforge.classifier import evaluation_mode
from convforge.errors import RecipeError
from convforge.networks.surgery import freeze_normalization
from convforge.training.average import Average, put
from convforge.training.distributed import ALONE, Team
from convforge.training.draws import augmentation, dropout_seed
from convforge.training.machine import PLAIN, Machine
from convforge.training.optimizer import build_optimizers, set_rate
from convforge.training.pace import Pace
from convforge.training.windows import Windows, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from convforge.images.preprocess import Preprocess
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe

    Outputs = tuple[tuple[Tensor, float], ...]
    Forward = Callable[[Tensor], Outputs]

SMALL = 3 / 4  # of the input's side: what `small_images` are resized to
_MULTIPLE = 8  # pixels; small sides are rounded to it


@dataclass(frozen=True)
class Batch:
    """The images of this process, uint8 [h, w, C] each, and labels int64 [n].

    `whole` is how many images the team has together.
    """

    pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    whole: int


@dataclass(frozen=True)
class Ready:
    """A batch whose pixels are augmented: uint8 [n, H, W, C], where the device can fetch them.

    Windows are resized there. `generator` is in the state that the rest of the augmentation draws
    from.
    """

    pixels: Tensor | Windows
    labels: Tensor
    whole: int
    generator: np.random.Generator


class Learner:
    """A network in training. `net` is changed in place.

    `chance_loss` is the loss of equal probabilities for all classes, known after the first step.

    Raises RecipeError where the recipe wants smaller images and the network takes one size only.
    """

    def __init__(
        self,
        net: ConvNet,
        *,
        recipe: Recipe,
        preprocess: Preprocess,
        machine: Machine = PLAIN,
        team: Team = ALONE,
    ) -> None:
        if machine.channels_last:
            net.to(memory_format=torch.channels_last)
        self.net = net.to(machine.device)
        if recipe.batch_norm == "frozen":
            freeze_normalization(net)
        self.recipe, self.preprocess = recipe, preprocess
        self.machine, self.team = machine, team
        if recipe.small_images:
            _check_small_images(net)
        self.best: dict[str, Tensor] = {}
        self.average = Average(net, decay=recipe.average) if recipe.average else None
        self.chance_loss = math.log(net.num_classes)
        self._mean = torch.tensor(preprocess.mean, device=machine.device).view(-1, 1, 1)
        self._std = torch.tensor(preprocess.std, device=machine.device).view(-1, 1, 1)
        outputs = net.weighted_logits
        self._outputs: Forward = torch.compile(outputs) if machine.compiled else outputs

    @functools.cached_property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Made when they are first needed: torch takes a second to import what they import."""
        return build_optimizers(self.net, self.recipe)

    def step(self, batch: Batch, *, step: int, steps: int) -> tuple[float, int]:
        """Learn from one batch, the one of `step` (from 0) of `steps`.

        Gives the loss, this process's share of the mean over the whole batch, and how many answers
        of the main output were right.
        """
        return self.learn(self.prepare(batch, step=step), step=step, pace=Pace.of(steps))

    def prepare(self, batch: Batch, *, step: int) -> Ready:
        """The part of a step that needs no network: it may run ahead, in another thread."""
        generator = augmentation(seed=self.recipe.seed, step=step, rank=self.team.rank)
        augment, size = self.recipe.augment, self.net.input_shape[1:]
        labels = torch.from_numpy(batch.labels)
        if self.machine.is_gpu and (boxes := augment.boxes(batch.pixels, generator=generator)):
            windows = cut(batch.pixels, *boxes, pinned=True)
            return Ready(windows, labels.pin_memory(), batch.whole, generator)
        done = augment.pixels(batch.pixels, size=size, generator=generator)
        pixels = torch.from_numpy(done)
        if self.machine.is_gpu:
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        return Ready(pixels, labels, batch.whole, generator)

    def learn(self, batch: Ready, *, step: int, pace: Pace) -> tuple[float, int]:
        """The rest of a step, after `prepare` of the same one; `pace` is that of the run."""
        self._seed(dropout_seed(seed=self.recipe.seed, step=step, rank=self.team.rank))
        set_rate(self.optimizers, self.recipe.rate(pace.done(step + 0.5)))
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        labels = batch.labels.to(self.machine.device, non_blocking=True)
        x, targets = self.inputs(batch.pixels), self.targets(labels)
        if is_small(self.recipe, step=step, pace=pace):
            x = _resize(x, small_size(self.net))
        x, targets = self.recipe.augment.blend(x, targets, generator=batch.generator)
        loss, logits = self._gradients(x, targets, whole=batch.whole)
        self.team.sum_gradients(self.net)
        with self._autocast():  # of updates, Muon's products alone
            for optimizer in self.optimizers:
                optimizer.step()
        if self.average is not None:
            self.average.update(self.net, step=step + 1, stride=pace.stride)
        right = (logits.argmax(1) == labels).sum()
        found = torch.stack([loss.double(), right.double()]).tolist()  # the device is waited for
        return found[0], int(found[1])

    def inputs(self, pixels: Tensor | Windows) -> Tensor:
        """Of uint8 [n, H, W, C]: normalised float32 [n, C, H, W], as `Preprocess.normalize`."""
        there = pixels.to(self.machine.device, non_blocking=True)
        if isinstance(there, Windows):
            there = there.resized(self.net.input_shape[1:])
        x = there.permute(0, 3, 1, 2).float()
        x = x.sub_(self._mean).div_(self._std)
        return x if self.machine.channels_last else x.contiguous()

    def targets(self, labels: Tensor) -> Tensor:
        """Of int64 [n]: float32 [n, K], a 1 a row."""
        return F.one_hot(labels, self.net.num_classes).float()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[ConvNet]:
        """The network as it would be kept now, with the average of its weights if there is one."""
        with contextlib.nullcontext() if self.average is None else self.average.inside(self.net):
            yield self.net

    def keep_best(self) -> None:
        """Remember the network as it would be kept now."""
        with self.averaged() as net:
            self.best = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def finish(self) -> None:
        """Leave in the network what is kept: the best, else the average, else the last weights."""
        if self.best:
            put(self.net, self.best)
        elif self.average is not None:
            put(self.net, self.average.values)

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, and the best ones, by name."""
        held = {"net": self.net.state_dict(), "best": self.best}
        if self.average is not None:
            held["average"] = self.average.values
        for number, optimizer in enumerate(self.optimizers):
            for index, values in optimizer.state_dict()["state"].items():
                held[f"optimizer{number}/{index}"] = values
        return {f"{where}/{name}": t for where, state in held.items() for name, t in state.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave, of a learner that was made alike."""
        held: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            where, _, key = name.rpartition("/")
            held[where][key] = tensor
        put(self.net, held["net"])
        self.best = held["best"]
        if self.average is not None:
            for name, value in held["average"].items():
                self.average.values[name].copy_(value)
        for number, optimizer in enumerate(self.optimizers):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for index, parameter in enumerate(parameters):
                state = held[f"optimizer{number}/{index}"]
                if state:
                    optimizer.state[parameter] = {k: _like(v, parameter) for k, v in state.items()}

    def _gradients(self, x: Tensor, targets: Tensor, *, whole: int) -> tuple[Tensor, Tensor]:
        """Add the gradients of a batch to the weights, part by part; gives loss and logits."""
        loss, rows = torch.zeros((), device=x.device), []
        parts = self.machine.parts
        chunks = list(zip(x.chunk(parts), targets.chunk(parts), strict=True))
        for images, wanted in chunks:
            with self._autocast():
                outputs = self._outputs(images)
            share = self._loss(outputs, wanted) / whole
            self.chance_loss = math.log(self.net.num_classes) * sum(w for _, w in outputs)
            share.backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
            rows.append(outputs[0][0].detach())
        return loss, torch.cat(rows)

    def _loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Weighted sum over all outputs of the sum over the images."""
        smoothing = self.recipe.label_smoothing
        return torch.stack(
            [
                weight
                * F.cross_entropy(
                    logits.float(), targets, label_smoothing=smoothing, reduction="sum"
                )
                for logits, weight in outputs
            ]
        ).sum()

    def _seed(self, seed: int) -> None:
        """As `torch.manual_seed`, which takes 0.14 ms to look for other devices (AMD EPYC)."""
        torch.default_generator.manual_seed(seed)
        if self.machine.is_gpu:
            torch.cuda.manual_seed_all(seed)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            torch.device(self.machine.device).type,
            dtype=torch.bfloat16,
            enabled=self.machine.precision == "bf16",
        )


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """A value of an optimiser as it lay in memory: as its parameter does, or a number alone.

    The same sums over another layout may differ in their last bits.
    """
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", antialias=True)


def is_small(recipe: Recipe, *, step: int, pace: Pace) -> bool:
    """Whether `step` (from 0) sees small images."""
    return pace.at(step) < recipe.small_images * pace.steps


def small_size(net: ConvNet) -> tuple[int, int]:
    """(height, width) of small images: SMALL of the network's input, a multiple of _MULTIPLE."""
    height, width = (
        max(_MULTIPLE, round(side * SMALL / _MULTIPLE) * _MULTIPLE) for side in net.input_shape[1:]
    )
    return height, width


def check_batch(net: ConvNet, recipe: Recipe, *, count: int, team: Team = ALONE) -> None:
    """Refuse steps that leave batch normalisation a single value a channel, which has no deviation.

    So do maps of one pixel of a batch of one image, which is looked for without arithmetic, on the
    meta device. `count` images are trained on. Raises RecipeError.
    """
    if min(recipe.batch_size, count) // team.size > 1:
        return
    trial = copy.deepcopy(net).to("meta").train()
    if recipe.batch_norm == "frozen":
        freeze_normalization(trial)
    height, width = small_size(net) if recipe.small_images else net.input_shape[1:]
    try:
        trial.weighted_logits(torch.empty(1, net.input_shape[0], height, width, device="meta"))
    except ValueError:  # torch's, of its own check
        raise RecipeError(
            f"{net.name} normalises over a batch, and one image of {width}x{height} pixels leaves "
            "one value a channel; take a batch_size of 2 or more (and as many images), or a larger "
            "input_size"
        ) from None


def _check_small_images(net: ConvNet) -> None:
    height, width = small_size(net)
    device = next(net.parameters()).device
    with torch.random.fork_rng(devices=[]), evaluation_mode(net), torch.no_grad():
        try:
            net(torch.zeros(1, net.input_shape[0], height, width, device=device))
        except RuntimeError:
            raise RecipeError(
                f"recipe: small_images asks for images of {width}x{height} pixels, and {net.name} "
                f"takes {net.input_shape[2]}x{net.input_shape[1]} only; set small_images to 0"
            ) from None
