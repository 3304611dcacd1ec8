"""The sources build anywhere: by CMake, by one command, with and without an assembler."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.backend.package_c import check_sources, save_sources
from convforge.compiler.backend.target import C_SOURCES
from convforge.errors import OutputError
from convforge.runtime import Runtime

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-overlength-strings")
ALONE = ("-std=c11", "-O2", "-march=native", "-DCF_ONE_LEVEL", "-pthread")
COMPILERS = [
    pytest.param(
        ["gcc"], id="gcc", marks=pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
    ),
    pytest.param(
        [sys.executable, "-m", "ziglang", "cc"],
        id="clang-of-zig",
        marks=pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang"),
    ),
]


@pytest.fixture
def folder(compiled_small, tmp_path):
    sources, card, _ = compiled_small
    save_sources(sources, tmp_path / "my net-1", card=card, target=C_SOURCES)
    return tmp_path / "my net-1"


@pytest.fixture
def image(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "image.ppm")
    return tmp_path / "image.ppm"


def run(*command, folder=None):
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def probabilities(program, image):
    lines = run(program, image).splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3", "4"]
    return np.float32([line.split()[1] for line in lines])


@pytest.fixture
def expected(compiled_small, tmp_path, picture):
    """What the library of this machine makes of the same image."""
    _, _, built = compiled_small
    from convforge.compiler.backend.package import save_artifact

    save_artifact(built.path, tmp_path / "net.so")
    return Runtime(tmp_path / "net.so").probabilities([picture])[0]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_one_command_builds_the_program(folder, image, expected, compiler):
    sources = [*sorted(path.name for path in folder.glob("*.c")), "weights.S"]
    run(*compiler, *ALONE, *STRICT, *sources, "-lm", "-o", "predict", folder=folder)
    assert run(folder / "predict") == "baseline: self-test passed\n"
    np.testing.assert_allclose(probabilities(folder / "predict", image), expected, atol=1e-6)


@pytest.mark.skipif(not shutil.which("cmake"), reason="no cmake")
@pytest.mark.parametrize("assembler", ["ON", "OFF"])
def test_cmake_builds_every_level(folder, image, expected, assembler):
    flags = f"-DCMAKE_C_FLAGS={' '.join(STRICT)}"
    run("cmake", "-B", "build", f"-DCF_ASSEMBLER={assembler}", flags, folder=folder)
    run("cmake", "--build", "build", "--parallel", "2", folder=folder)
    program = folder / "build" / "predict"
    level = Runtime(folder.parent / "net.so").level
    assert run(program) == f"{level}: self-test passed\n"
    np.testing.assert_allclose(probabilities(program, image), expected, atol=1e-6)
    (library,) = (folder / "build").glob("libmy_net_1.*")
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([program, "missing.ppm"], check=True, capture_output=True)
    run("cmake", "--install", "build", "--prefix", "installed", folder=folder)
    assert list((folder / "installed").rglob("convforge.h"))
    assert list((folder / "installed").rglob(library.name))


def test_the_folder_says_what_it_is(folder, compiled_small):
    _, card, _ = compiled_small
    text = (folder / "README.md").read_text()
    assert text.startswith("# my_net_1\n")
    assert "a classifier of 5 classes that sees 3 x 12 x 12" in text
    assert json.loads((folder / "card.json").read_text()) == json.loads(card.dumps())
    for name in ("CMakeLists.txt", "README.md", "main.c", "tools/weights_to_c.c"):
        assert "@" not in (folder / name).read_text()


def test_a_zip_holds_the_same_in_a_folder(folder, compiled_small, tmp_path):
    sources, card, _ = compiled_small
    path = tmp_path / "my net-1.zip"
    save_sources(sources, path, card=card, target=C_SOURCES)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert {Path(name).parts[0] for name in names} == {"my net-1"}
        for name in names:
            assert archive.read(name) == (tmp_path / name).read_bytes()
    assert len(names) == sum(file.is_file() for file in folder.rglob("*"))


def test_sources_replace_older_ones_and_nothing_else(folder, compiled_small, tmp_path):
    sources, card, _ = compiled_small
    save_sources({**sources, "layers_9.c": b""}, folder, card=card, target=C_SOURCES)
    save_sources(sources, folder, card=card, target=C_SOURCES)
    assert not (folder / "layers_9.c").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    with pytest.raises(OutputError, match="is a folder with other files"):
        check_sources(tmp_path / "thesis")
    (tmp_path / "empty").mkdir()
    check_sources(tmp_path / "empty")


def test_what_was_put_or_changed_beside_the_sources_is_kept(folder, compiled_small):
    sources, card, _ = compiled_small
    (folder / "build").mkdir()
    check_sources(folder)  # an empty folder is no file
    (folder / "build" / "net.o").write_text("")
    with pytest.raises(OutputError, match=r"other files, or changed ones \(build/net.o\); move"):
        save_sources(sources, folder, card=card, target=C_SOURCES)
    (folder / "build" / "net.o").unlink()
    (folder / "main.c").write_text("int main(void) { return 0; }\n")
    with pytest.raises(OutputError, match=r"changed ones \(main.c\)"):
        save_sources(sources, folder, card=card, target=C_SOURCES)
    assert (folder / "main.c").read_text() == "int main(void) { return 0; }\n"
    (folder / "main.c").unlink()
    (folder / "main.c").symlink_to("README.md")
    with pytest.raises(OutputError, match=r"changed ones \(main.c\)"):
        check_sources(folder)


def test_the_manifest_is_what_sha256sum_checks(folder):
    lines = (folder / "files.sha256").read_text().splitlines()
    for digest, name in (line.split("  ") for line in lines):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    files = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert files == {line.split("  ")[1] for line in lines} | {"files.sha256"}


def test_sources_of_a_bare_network_say_so(compiled_small, tmp_path):
    sources, _, _ = compiled_small
    save_sources(sources, tmp_path / "net", card=None, target=C_SOURCES)
    assert "A convolutional network, compiled" in (tmp_path / "net" / "README.md").read_text()
    assert not (tmp_path / "net" / "card.json").exists()
