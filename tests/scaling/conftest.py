"""One thread, a cache of its own, and a machine whose every time is known.

`made_up` replaces what takes long by what is computed: a network's time grows with multiply-adds,
values and layers, a trial is right the more often the wider the network, and a clock moves only
where a step says so.
"""

import dataclasses
import itertools

import pytest
import torch

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.errors import TimeLimitError
from convforge.images.preprocess import Preprocess
from convforge.networks.blocks import round_channels, round_repeats
from convforge.networks.catalog import create
from convforge.scaling import candidates, latency, ledger, scale, trials, work
from convforge.scaling.estimate import Size
from convforge.scaling.latency import Cost
from convforge.scaling.space import SMALLEST


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def made_up_size(network, arguments):
    """About resnet20's, rounded as it is: 16 maps at first, 3 blocks a stage, 32 pixels."""
    width = round_channels(16 * arguments["width"]) / 16
    depth = round_repeats(3, depth=arguments["depth"]) / 3
    side = arguments["input_size"] / 32
    return Size(
        macs=int(4.06e7 * depth * width**2 * side**2),
        values=int(2e5 * depth * width * side**2),
        layers=int(20 * depth),
        parameters=int(2.7e5 * depth * width**2),
        signature=f"{width} {depth} {side}",
    )


def made_up_cost(network, arguments):
    size = made_up_size(network, arguments)
    return Cost(
        ms=(size.macs + 8 * size.values + 30_000 * size.layers) / 1e7,
        file_bytes=4 * size.parameters + 100_000,
        macs=size.macs,
        parameters=size.parameters,
    )


class MadeUp:
    """What was asked for, by kind, and the clock's time; `stop_at` is a trial that is cut off."""

    def __init__(self):
        self.measured, self.trials, self.trained = [], [], []
        self.whole_factor = self.built_factor = 1.0
        self.now, self.measure_s, self.trial_s, self.whole_s = 0.0, 1.0, 1.0, 2.0
        self.stop_at = None

    def measure(self, watch, arguments):
        self.now += self.measure_s
        self.measured.append(arguments)
        cost = made_up_cost(watch.network, arguments)
        file_bytes = cost.file_bytes * (2 if watch.form == "page" else 1)
        return dataclasses.replace(cost, seconds=self.measure_s, file_bytes=file_bytes)

    def try_out(self, network, arguments, *, images, recipe, device, progress):
        if len(self.trials) == self.stop_at:
            raise KeyboardInterrupt
        self.now += self.trial_s
        self.trials.append((arguments, recipe.epochs, len(images.splits["train"])))
        top1 = min(0.9, arguments["width"] / 4 + recipe.epochs / 1000)
        kept = {name: arguments[name] for name in ("width", "depth")}
        return self.classifier(
            images, network, kept, input_size=arguments["input_size"], recipe=recipe, top1=top1
        )

    def whole_cost(self, network, arguments, *, num_classes, in_channels, threads):
        fields = {"num_classes": num_classes, "in_channels": in_channels}
        cost = made_up_cost(network, {**fields, **arguments})
        found = {"ms": cost.ms * self.whole_factor, "file_bytes": cost.file_bytes}
        self.now += self.whole_s
        return {**found, "seconds": self.whole_s}

    def train(self, images, *, network, arguments, input_size, recipe, time_limit, folder, **_):
        if time_limit is not None and time_limit < 1:
            raise TimeLimitError("time limit: one epoch takes about 20 s here")
        self.trained.append({**arguments, "input_size": input_size, "time_limit": time_limit})
        folder.mkdir(exist_ok=True)
        return self.classifier(images, network, arguments, input_size=input_size, recipe=recipe)

    def classifier(self, images, network, arguments, *, input_size, recipe, top1=0.5):
        torch.manual_seed(recipe.seed)
        fields = {"num_classes": len(images.classes), "in_channels": images.channels}
        net = create(network, **fields, input_size=input_size, **arguments)
        side = (input_size, input_size)
        mean = (30.0,) * images.channels
        preprocess = Preprocess(resize=side, crop=side, mean=mean, std=mean)
        test = {"top1": top1, "top5": None, "interval": [0.4, 0.6], "count": 100}
        metrics = {"train": {}, "test": test}
        card = Card(
            network=network,
            arguments=net.arguments,
            classes=images.classes,
            preprocess=preprocess,
            metrics={**metrics, "seconds": 1.0},
            recipe=recipe.to_json(),
            data=images.record(),
        )
        return Classifier(net.eval(), card)

    def build(self, classifier, *, name, target, threads, budget):
        path = classifier.with_name(name)
        path.write_bytes(b"artifact")
        arguments = Classifier.load(classifier).card.arguments
        kept = ("num_classes", "in_channels", "width", "depth", "input_size")
        cost = made_up_cost("resnet20", {name: arguments[name] for name in kept})
        return path, cost.file_bytes, cost.ms * self.built_factor


@pytest.fixture
def made_up(monkeypatch):
    found = MadeUp()

    def measure(watch, arguments):
        return found.measure(watch, arguments)

    monkeypatch.setattr(latency.Stopwatch, "measure", measure)
    monkeypatch.setattr(candidates, "size_of", made_up_size)
    monkeypatch.setattr(scale, "smallest_factors", lambda *_, **__: SMALLEST)
    monkeypatch.setattr(work, "_report", lambda folder, _: folder / "report.html")
    monkeypatch.setattr(
        trials,
        "pass_seconds",
        lambda network, arguments, **_: 2.5e-12 * made_up_size(network, arguments).macs,
    )
    for name in ("try_out", "whole_cost", "train", "build"):
        monkeypatch.setattr(work, name, getattr(found, name))
    monkeypatch.setattr(ledger.time, "monotonic", lambda: found.now)
    return found


@pytest.fixture
def candidate():
    """A candidate of a name, milliseconds and megabytes."""
    from convforge.scaling.candidates import Candidate

    numbers = itertools.count()

    def make(name="compound", *, ms=1.0, megabytes=1.0, width=1.0, **over):
        cost = Cost(ms=ms, file_bytes=int(megabytes * 1e6), macs=int(ms * 1e7), parameters=1000)
        made = Candidate(
            name=name,
            arguments={"width": width, "depth": 1.0, "input_size": 32},
            cost=cost,
            depth=1.0,
            resolution=1.0,
            signature=f"{next(numbers)}",
        )
        return dataclasses.replace(made, **over)

    return make


@pytest.fixture
def cost_of():
    return made_up_cost
