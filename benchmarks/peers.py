r"""How fast photos are learnt beside timm, Keras 3 and fastai, on the same cores: a question.

The same network, photos and batch in each of them, in a process of its own, by turns. `speed`:
images a second of training, from JPEG files to changed weights, in the epochs after the first,
without a part to validate on; the first epoch, in which convforge decodes and measures ways of
computing, TensorFlow traces, and processes start, is told apart as `start_s`, imports included.
`accuracy`: seconds from starting the process until the accuracy on held-out photos reaches a
threshold, everything included, each system in batches of its own default size.

The scripts in `trainers/` say what each system's defaults are. Not equal are:

- augmentation, loss and optimiser, each system's own: convforge's Muon costs more than SGD, which
  a row of its own shows, timm jitters colours, Keras rotates;
- the decoded photos, which convforge keeps and all others decode anew in every epoch. At
  Imagenette's 160 px that costs them little;
- arithmetic: convforge takes bfloat16 where a few measured steps find that faster, which it does
  in runs of over a minute; the others compute in float32 unless told, in the rows that say so;
- small images in the first steps of convforge's recipe: left out in `speed`, kept in `accuracy`;
- `keras.applications`' MobileNetV2, whose running statistics move by a thousandth a step: a
  second row moves them by a tenth, as all others do;
- what is written: convforge and timm save their state after every epoch;
- the schedules, which all fit the same number of epochs, but for Keras, that has none.

Each system's Python may be another, for TensorFlow and torch share packages badly:

    python3 -m venv peers && peers/bin/pip install torch torchvision
    peers/bin/pip install tensorflow keras fastai
    python benchmarks/peers.py speed imagenette160.tar \
        --python keras=peers/bin/python fastai=peers/bin/python >> benchmarks/results/peers.jsonl

timm's packages hold no training script: `--timm-script` names that of its repository, else the
same calls are made by `trainers/with_timm.py`. One JSON line a system and network.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from convforge.benchmark.measurement import machine

TRAINERS = Path(__file__).resolve().parent / "trainers"
# system: its script and what that is given
SYSTEMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "convforge": ("convforge", ()),
    "convforge, sgd": ("convforge", ("--optimizer", "sgd")),
    "timm": ("timm", ()),
    "timm --channels-last --amp bfloat16": ("timm", ("--fast", "1")),
    "keras": ("keras", ()),
    "keras mixed_bfloat16": ("keras", ("--policy", "mixed_bfloat16")),
    "keras, batch norm 0.9": ("keras", ("--batch-norm-momentum", "0.9")),
    "fastai": ("fastai", ()),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "speed": {
        "systems": [name for name in SYSTEMS if name != "keras, batch norm 0.9"],
        "networks": ["mobilenet_v2", "resnet50"],
        "rounds": 3,
        "epochs": 3,
        "photos": 320,
        "input_size": 224,
        "batch_size": 32,
    },
    "accuracy": {
        "systems": ["convforge", "timm", "keras", "keras, batch norm 0.9", "fastai"],
        "networks": ["mobilenet_v2"],
        "rounds": 1,
        "epochs": 10,
        "photos": 5000,
        "input_size": 128,
        "batch_size": None,
    },
}


@dataclass
class Course:
    """What a trainer told: `ends` of the epochs in seconds from its start, and what was in them."""

    ends: list[float] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    top1: list[float | None] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def take(self, line: dict[str, Any], *, seconds: float) -> None:
        """Add a line that came so long after the start."""
        self.versions |= line.get("versions", {})
        self.settings |= line.get("settings", {})
        if "images" in line:
            self.ends.append(round(seconds, 2))
            self.images.append(line["images"])
            self.top1.append(line["top1"] and round(line["top1"], 4))

    def rates(self) -> list[float]:
        """Images a second of each epoch after the first."""
        spans = [later - earlier for earlier, later in pairwise(self.ends)]
        return [count / span for count, span in zip(self.images[1:], spans, strict=True)]

    def reached(self, threshold: float) -> float | None:
        """Seconds until the first epoch that ended at `threshold` or above."""
        found = (end for end, top1 in zip(self.ends, self.top1, strict=True) if top1 >= threshold)
        return next(found, None)


def main() -> None:
    given = read_arguments()
    with tempfile.TemporaryDirectory() as name:
        photos = prepare(given, Path(name))
        for network in given.networks:
            courses: dict[str, list[Course]] = {system: [] for system in given.systems}
            for seed in range(given.rounds):
                for system, done in courses.items():
                    print(f"{network}, round {seed + 1}, {system}", file=sys.stderr)
                    done.append(run(system, network, given, photos=photos, seed=seed))
            records = speed(courses) if given.task == "speed" else accuracy(courses, given)
            for record in records:
                print(json.dumps({**record, "network": network, **facts(given)}), flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=DEFAULTS)
    parser.add_argument("tar", type=Path, help="Imagenette, with train/ and val/")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS)
    parser.add_argument("--networks", nargs="+", choices=("mobilenet_v2", "resnet50"))
    parser.add_argument("--rounds", type=int, help="turns; in each, another seed")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--photos", type=int, help="to train on, of all classes together")
    parser.add_argument("--held-out", type=int, default=1000, help="photos that accuracy is of")
    parser.add_argument("--input-size", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--threshold", type=float, default=0.6, help="accuracy to reach")
    parser.add_argument("--cap", type=float, default=20.0, help="minutes, then a run is ended")
    parser.add_argument("--python", nargs="+", default=[], metavar="SCRIPT=PATH")
    parser.add_argument("--timm-script", type=Path, help="train.py of timm's repository")
    given = parser.parse_args()
    for name, value in DEFAULTS[given.task].items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.task == "speed" and given.epochs < 2:
        parser.error("--epochs: the first does not count; expected 2 or more")
    return given


def prepare(given: argparse.Namespace, folder: Path) -> Path:
    """A folder with `photos` to train on and, for `accuracy`, others held out as val/."""
    with tarfile.open(given.tar) as archive:
        archive.extractall(folder / "whole", filter="data")
    root = next((folder / "whole").rglob("train")).parent
    labels = sorted(path.name for path in (root / "train").iterdir())
    draw = random.Random(0)
    parts = {"train": given.photos} | ({"val": given.held_out} if given.task == "accuracy" else {})
    for part, count in parts.items():
        for label in labels:
            files = sorted((root / part / label).iterdir())
            draw.shuffle(files)
            target = folder / "data" / part / label
            target.mkdir(parents=True)
            for file in files[: count // len(labels)]:
                file.rename(target / file.name)
    return folder / "data"


def run(system: str, network: str, given: argparse.Namespace, *, photos: Path, seed: int) -> Course:
    """Train in a process with an empty cache folder, until the end, the threshold or the cap."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command(system, network, given, photos=photos, seed=seed),
            cwd=name,
            env={**os.environ, "XDG_CACHE_HOME": name},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # so that its workers can be ended with it
        )
        capped = threading.Timer(60 * given.cap, end, [process])
        capped.start()
        course = Course()
        for line in process.stdout or ():
            course.take(json.loads(line), seconds=time.perf_counter() - started)
            if given.task == "accuracy" and course.reached(given.threshold):
                end(process)
        capped.cancel()
        if process.wait() not in {0, -signal.SIGKILL} or not course.ends:
            errors.seek(0)
            raise SystemExit(f"{system}: failed\n{errors.read()[-4000:].decode(errors='replace')}")
        return course


def command(
    system: str, network: str, given: argparse.Namespace, *, photos: Path, seed: int
) -> list[str]:
    script, options = SYSTEMS[system]
    pythons = dict(pair.split("=", 1) for pair in given.python)
    python = Path(pythons.get(script, sys.executable)).absolute()
    words = [str(python), str(TRAINERS / f"with_{script}.py"), str(photos), *options]
    words += ["--network", network, "--input-size", str(given.input_size)]
    words += ["--epochs", str(given.epochs), "--seed", str(seed)]
    if given.batch_size is not None:
        words += ["--batch-size", str(given.batch_size)]
    if script == "convforge" and given.task == "speed":
        words += ["--full-size", "1"]
    if script == "timm" and given.timm_script is not None:
        words += ["--script", str(given.timm_script.resolve())]
    return words


def end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def speed(courses: dict[str, list[Course]]) -> list[dict[str, Any]]:
    medians = {
        system: statistics.median(rate for course in done for rate in course.rates())
        for system, done in courses.items()
    }
    return [
        {
            "benchmark": "peers",
            "task": "speed",
            "system": system,
            "images_per_second": round(medians[system], 2),
            "convforge_over_this": over(medians, system),
            "all": [round(rate, 2) for course in done for rate in course.rates()],
            "start_s": statistics.median(course.ends[0] for course in done),
            "versions": done[-1].versions,
            "settings": done[-1].settings,
        }
        for system, done in courses.items()
    ]


def over(medians: dict[str, float], system: str) -> float | None:
    """How many times as fast as a system convforge is, where both were measured."""
    return round(medians["convforge"] / medians[system], 2) if "convforge" in medians else None


def accuracy(courses: dict[str, list[Course]], given: argparse.Namespace) -> list[dict[str, Any]]:
    return [
        {
            "benchmark": "peers",
            "task": "accuracy",
            "system": system,
            "threshold": given.threshold,
            "seconds": [course.reached(given.threshold) for course in done],
            "ends": [course.ends for course in done],
            "top1": [course.top1 for course in done],
            "cap_minutes": given.cap,
            "held_out": given.held_out,
            "versions": done[-1].versions,
            "settings": done[-1].settings,
        }
        for system, done in courses.items()
    ]


def facts(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "photos": given.photos,
        "input_size": given.input_size,
        "batch_size": given.batch_size,
        "epochs": given.epochs,
        "rounds": given.rounds,
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


if __name__ == "__main__":
    main()
