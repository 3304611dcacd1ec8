"""The whole road on real data: train LeNet-5 on handwritten digits, compile it, compare the two.

Writes digits.safetensors, digits.so and scan.png into demo/, or the folder that is named. Exits
with 1 unless five splits average 99 % and both files give the same probabilities to 1e-5.
"""

import sys
from functools import partial
from pathlib import Path
from timeit import timeit

import numpy as np
import torch
from PIL import Image

import convforge as cf
from convforge import images
from convforge.cli import console, tables

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
folder.mkdir(parents=True, exist_ok=True)

# Train on five splits of the 1,797 scans, each with its own 450 to test on; the default one last.
accuracies = []
for seed in (4, 3, 2, 1, 0):
    with console.progress_bar("loading torch") as progress:
        classifier = cf.train(f"digits:{seed}", network="lenet5_relu", progress=progress)
    console.show(*tables.training(classifier.card))
    accuracies.append(classifier.card.metrics["test"]["top1"])
console.show(f"on average over five splits: {np.mean(accuracies):.2%}\n")

# Two files hold the last classifier: one to go on with in torch, one that needs no torch.
classifier.save(folder / "digits.safetensors")
artifact = cf.load(cf.compile(folder / "digits.safetensors", folder / "digits.so").path)
console.show(*tables.evaluation(cf.evaluate(artifact, "digits"), title="digits.so"))

# Both name the same scan, and are as sure of it, as of every other one.
test = images.open("digits").splits["test"]
scans = [test.load(index) for index in range(len(test))]
Image.fromarray(scans[0]).save(folder / "scan.png")
for title, model in (("scan.png in torch", classifier), ("scan.png by digits.so", artifact)):
    console.show(*tables.predictions(title, model.predict(folder / "scan.png", top=2)))
difference = np.abs(classifier.probabilities(scans) - artifact.probabilities(scans)).max()
console.show(f"largest difference of probabilities on {len(scans)} scans: {difference:.1e}\n")

# Time one image at a time, one thread each, by turns, so that both see the same machine.
torch.set_num_threads(1)
x = classifier.preprocess(scans[0])[None]
network = torch.inference_mode()(partial(classifier.net.eval(), torch.from_numpy(x)))
jobs = {
    "network alone": (network, partial(artifact.logits, x)),
    "pixels to classes": [partial(model.predict, scans[0]) for model in (classifier, artifact)],
}
times = {job: ([], []) for job in jobs}
for job, place in 1000 * [(job, place) for job in jobs for place in (0, 1)]:
    times[job][place].append(timeit(jobs[job][place], number=1))
files = {"torch": folder / "digits.safetensors", "artifact": folder / "digits.so"}
console.show(tables.comparison(files, seconds=times))

sys.exit(0 if np.mean(accuracies) >= 0.99 and difference <= 1e-5 else 1)
