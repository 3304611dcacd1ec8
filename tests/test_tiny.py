"""The whole road, walked once: train, save, load, evaluate, compile, load, predict."""

import subprocess
import sys
import time

import numpy as np

import convforge as cf

FORBIDDEN = ("torch", "torchvision", "sklearn")


def test_the_whole_road_from_digits_to_a_prediction_takes_under_20_seconds(scans, tmp_path):
    started = time.process_time()
    trained = cf.train("digits", network="lenet5_relu", epochs=4)
    trained.save(tmp_path / "digits.safetensors")
    classifier = cf.load(tmp_path / "digits.safetensors")
    artifact = cf.compile(classifier, tmp_path / "digits.so")
    runtime = cf.load(artifact.path)

    slow = cf.evaluate(classifier, "digits")
    fast = cf.evaluate(runtime, "digits")
    assert slow.count == fast.count == 450
    assert slow.top1 > 0.9
    np.testing.assert_array_equal(slow.confusion, fast.confusion)

    assert classifier.card == runtime.card == trained.card
    for scan in scans:
        expected = classifier.predict(scan, top=10)
        found = runtime.predict(scan, top=10)
        assert [p.label for p in found][:1] == [p.label for p in expected][:1]
        np.testing.assert_allclose(by_class(found), by_class(expected), rtol=0, atol=1e-5)
    # Of this process alone, so that a busy machine does not matter.
    assert time.process_time() - started < 20


def by_class(predictions):
    return [p.probability for p in sorted(predictions, key=lambda p: p.index)]


def test_an_artifact_predicts_without_torch(artifact_file, scans, python):
    said = python(
        "import sys, convforge\n"
        "print(convforge.load(sys.argv[1]).predict(sys.argv[2], top=1)[0].label)\n"
        f"print([name for name in {FORBIDDEN} if name in sys.modules])",
        artifact_file,
        scans[0],
    )
    label, imported = said.splitlines()
    assert label in "0123456789"
    assert imported == "[]"


def test_importing_convforge_takes_under_150_milliseconds_and_imports_no_torch(python):
    imported = python(f"import sys, convforge; print([m for m in {FORBIDDEN} if m in sys.modules])")
    assert imported == "[]\n"
    # The least of five runs: what others do on this machine can only add.
    assert min(import_milliseconds() for _ in range(5)) < 150


def import_milliseconds():
    """What `python -X importtime` counts for convforge with everything that it imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import convforge"],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.endswith("| convforge")]
    return int(line.split("|")[1]) / 1000
