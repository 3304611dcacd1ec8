"""Every example runs, as a user runs it: in a process of its own."""

import subprocess
import sys

import pytest

from convforge.loading import load

# As `python examples/digits.py FOLDER`, with a recipe of so many epochs.
DIGITS = """
import dataclasses, runpy, sys
from convforge.training import recipe
path, folder, epochs = sys.argv[1:]
own = recipe.RECIPES["lenet5_relu"]
recipe.RECIPES["lenet5_relu"] = dataclasses.replace(own, epochs=int(epochs))
sys.argv = [path, folder]
runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.parametrize(("epochs", "code"), [(2, 1), pytest.param(30, 0, marks=pytest.mark.slow)])
def test_digits_compares_torch_and_artifact_and_tells_whether_99_percent_are_reached(
    repository, tmp_path, epochs, code
):
    example = repository / "examples" / "digits.py"
    command = [sys.executable, "-c", DIGITS, example, tmp_path / "demo", str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    for words in (
        "on average over five splits: ",
        "95 % interval",
        "true class ↓, answer →",
        "largest difference of probabilities on 450 scans: ",
        "network alone, median of 1000",
        "pixels to classes, median of 1000",
    ):
        assert words in done.stdout
    answers = [
        load(tmp_path / "demo" / name).predict(tmp_path / "demo" / "scan.png", top=1)[0].label
        for name in ("digits.safetensors", "digits.so")
    ]
    assert answers[0] == answers[1]


def test_examples_are_short(repository):
    for path in sorted((repository / "examples").iterdir()):
        if path.suffix in {".py", ".c"}:
            limit = 60 if path.name == "digits.py" else 40
            assert len(path.read_text(encoding="utf-8").splitlines()) <= limit, path
