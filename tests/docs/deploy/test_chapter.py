"""The chapter on deploying: its commands exist, its programs run, its limits are the server's."""

import re
import shlex
import shutil
import subprocess

import pytest

import convforge as cf
from convforge.compiler.backend.interface import HEADER
from convforge.serving import gate
from convforge.serving.settings import Settings

CPP = shutil.which("c++")


@pytest.fixture(scope="module")
def chapter(repository):
    return (repository / "docs" / "deploy.md").read_text(encoding="utf-8")


def block(chapter, language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", chapter, re.DOTALL | re.MULTILINE)
    return found


def test_commands_exist(chapter, commands_in, parse_command):
    assert {parse_command(words)[0] for words in commands_in(chapter)} == {"compile"}


def test_the_unit_starts_the_server_with_options_that_it_has(chapter, parse_command):
    unit = block(chapter, "ini")
    words = shlex.split(re.search("^ExecStart=(.*)$", unit, re.MULTILINE)[1])
    assert words[0].endswith("/bin/convforge")
    name, values = parse_command(words[1:])
    assert name == "serve"
    key = re.search("^LoadCredential=(.*?):", unit, re.MULTILINE)[1]
    assert str(values["api_key_file"]) == f"%d/{key}"


def test_limits_are_the_servers(chapter):
    settings = Settings()
    assert f"`--timeout`, which is {settings.timeout_s:.0f} seconds" in chapter
    assert f"at most {gate.HELD} times {settings.max_bytes / 1e6:.0f} MB" in chapter
    assert f"up to {3 * settings.max_pixels / 1e6:.0f} MB for each worker" in chapter


@pytest.mark.skipif(CPP is None, reason="there is no C++ compiler")
def test_its_programs_find_the_artifact_wherever_both_are_moved(
    chapter, repository, artifact_file, tmp_path
):
    built, moved = tmp_path / "built", tmp_path / "moved"
    for folder in ("lib", "sources"):
        (built / folder).mkdir(parents=True)
    shutil.copy(artifact_file, built / "lib" / "libdigits.so")
    shutil.copy(repository / "examples" / "predict.c", built)
    (built / "sources" / "convforge.h").write_text(HEADER, encoding="utf-8")
    (built / "classify.cpp").write_text(block(chapter, "cpp"), encoding="utf-8")
    for line in block(chapter, "sh").splitlines():
        subprocess.run(shlex.split(line), cwd=built, check=True)
    built.rename(moved)
    done = subprocess.run([moved / "classify"], capture_output=True, text=True, check=True, cwd="/")
    probabilities = [float(line) for line in done.stdout.splitlines()]
    assert len(probabilities) == len(cf.load(artifact_file).classes)
    assert sum(probabilities) == pytest.approx(1, abs=1e-3)
    (moved / "scan.ppm").write_bytes(b"P6 1 1 255\n\0\0\0")
    done = subprocess.run([moved / "predict", moved / "scan.ppm"], capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == len(probabilities)


@pytest.mark.slow  # builds a module
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_its_module_answers_in_node(chapter, trained, tmp_path):
    pytest.importorskip("ziglang")
    cf.compile(trained, tmp_path / "cats.wasm", target="wasm32")
    (tmp_path / "run.mjs").write_text(block(chapter, "js"), encoding="utf-8")
    done = subprocess.run(
        ["node", tmp_path / "run.mjs"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in trained.classes
