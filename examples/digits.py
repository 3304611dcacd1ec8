"""The whole road on real data: train LeNet-5 on handwritten digits, compile it, compare the two.

    python examples/digits.py [FOLDER]    writes digits.safetensors, digits.so, scan.png; to demo/

Exits with 1 unless five splits average 99 % and both files give the same probabilities to 1e-5.
"""

import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import convforge as cf
from convforge import images
from convforge.cli import console, tables

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
folder.mkdir(parents=True, exist_ok=True)

# Train on five splits of the 1,797 scans, each with its own 450 to test on. The default one is last.
accuracies = []
for seed in (4, 3, 2, 1, 0):
    with console.progress_bar("loading torch") as progress:
        classifier = cf.train(f"digits:{seed}", network="lenet5_relu", progress=progress)
    metrics = classifier.card.metrics
    accuracies.append(metrics["test"]["top1"])
    console.show(f"split {seed}: {accuracies[-1]:.2%} after {metrics['seconds']:.1f} s")
console.show(f"five splits: {statistics.mean(accuracies):.2%} on average\n")

# One file to go on with in torch, and one that needs neither torch nor anything but itself.
classifier.save(folder / "digits.safetensors")
artifact = cf.load(cf.compile(folder / "digits.safetensors", folder / "digits.so").path)
console.show(*tables.evaluation(cf.evaluate(artifact, "digits"), title="digits.so"))

# Both name the same scan, and are as sure of it.
test = images.open("digits").splits["test"]
scans = [test.load(index) for index in range(len(test))]
Image.fromarray(scans[0]).save(folder / "scan.png")
for model, name in ((classifier, "digits.safetensors"), (artifact, "digits.so")):
    top = model.predict(folder / "scan.png", top=2)
    console.show(*tables.predictions(f"scan.png by {name}", top))
difference = np.abs(classifier.probabilities(scans) - artifact.probabilities(scans)).max()
console.show(f"largest difference of probabilities on {len(scans)} scans: {difference:.1e}\n")

# One image at a time, one thread each, by turns, so that both see the same machine.
torch.set_num_threads(1)
x = classifier.preprocess(scans[0])[None]
tensor, net = torch.from_numpy(x), classifier.net.eval()
jobs = {
    "network alone": (torch.inference_mode()(lambda: net(tensor)), lambda: artifact.logits(x)),
    "pixels to classes": tuple(partial(m.predict, scans[0]) for m in (classifier, artifact)),
}
times = {job: ([], []) for job in jobs}
for _ in range(1000):
    for job, works in jobs.items():
        for work, spent in zip(works, times[job], strict=True):
            started = time.perf_counter()
            work()
            spent.append(time.perf_counter() - started)
sizes = [(folder / name).stat().st_size for name in ("digits.safetensors", "digits.so")]
console.show(tables.comparison(("torch", "artifact"), sizes=sizes, seconds=times))

sys.exit(0 if statistics.mean(accuracies) >= 0.99 and difference <= 1e-5 else 1)
