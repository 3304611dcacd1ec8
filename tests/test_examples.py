"""Every example runs, as a user runs it: in a process of its own."""

import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.backend.toolchain import find_compiler
from convforge.images.picture import decode
from convforge.loading import load

# As `python examples/digits.py FOLDER`, with a recipe of so many epochs.
DIGITS = """
import dataclasses, runpy, sys
from convforge.training.recipes import FAST
path, folder, epochs = sys.argv[1:]
own = FAST["lenet5_relu"]
FAST["lenet5_relu"] = dataclasses.replace(own, epochs=int(epochs))
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


def test_photo_names_the_cat_and_the_cup_with_published_weights(repository):
    command = [sys.executable, repository / "examples" / "photo.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    answers = done.stdout.splitlines()
    assert answers[0] == "chelsea.png"
    assert "cat" in answers[1]
    assert answers[4] == "coffee.png"
    assert "espresso" in answers[5]


def test_photo_names_a_file_that_is_none(repository, tmp_path):
    command = [sys.executable, repository / "examples" / "photo.py", tmp_path / "absent.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'absent.png'}: no such file")


@pytest.mark.slow  # LeNet-5 twenty-seven times
def test_study_prints_verdicts_and_writes_page_and_picture(repository, tmp_path):
    example = repository / "examples" / "study.py"
    command = [sys.executable, example, "activation", "digits", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "relu reaches a training error of 25 % in fewer epochs than tanh" in done.stdout
    assert {file.name for file in tmp_path.iterdir()} == {"activation.html", "activation.png"}


def test_predict_gives_in_c_what_python_gives(repository, artifact_file, scans, tmp_path):
    program, source = tmp_path / "predict", repository / "examples" / "predict.c"
    flags = ("-std=c11", "-Wall", "-Wextra", "-Werror")
    shutil.copy(artifact_file, tmp_path / "digits.so")
    comment = source.read_text(encoding="utf-8").partition("       cc ")[2]
    words = shlex.split(comment.splitlines()[0])  # as its comment says
    options = words[words.index("-L.") : words.index("-o")]
    assert options[1:] == ["-l:digits.so", "-Wl,-rpath,$ORIGIN"]
    build = [*find_compiler(), *flags, source, *options, "-o", program]
    subprocess.run(build, check=True, cwd=tmp_path)  # and is then called from another folder
    pixels = decode(scans[0])
    Image.fromarray(pixels).save(tmp_path / "scan.ppm")
    done = subprocess.run([program, tmp_path / "scan.ppm"], capture_output=True, check=True)
    found = [np.float32(line.split()[1]) for line in done.stdout.splitlines()]
    np.testing.assert_array_equal(found, load(artifact_file).probabilities([pixels])[0])


@pytest.mark.parametrize(
    ("content", "code"), [(b"P6 8 8 255\nab", 1), (b"P6 1 1 65535\nabcdef", 2), (b"a letter", 2)]
)
def test_predict_refuses_what_is_no_image(repository, artifact_file, tmp_path, content, code):
    program, source = tmp_path / "predict", repository / "examples" / "predict.c"
    subprocess.run([*find_compiler(), source, artifact_file, "-o", program], check=True)
    (tmp_path / "scan.ppm").write_bytes(content)
    done = subprocess.run([program, tmp_path / "scan.ppm"], capture_output=True, check=False)
    assert done.returncode == code


def test_examples_are_short(repository):
    for path in sorted((repository / "examples").iterdir()):
        if path.suffix in {".py", ".c"}:
            limit = 60 if path.name == "digits.py" else 40
            assert len(path.read_text(encoding="utf-8").splitlines()) <= limit, path
