"""A wheel has the name, the tags and the record that pip wants."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import platform
import re
import zipfile

import pytest

from convforge.compiler.backend.package_wheel import check_wheel, save_wheel
from convforge.compiler.backend.target import AARCH64_MACOS, X86_64_WINDOWS, find_target
from convforge.errors import OutputError


@pytest.fixture
def target():
    return find_target("wheel")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("digits.whl", "digits-1.0"),
        ("digits-2.1.whl", "digits-2.1"),
        ("My cats & dogs-3rc1.whl", "my_cats_dogs-3rc1"),
        ("digits", "digits-1.0"),
    ],
)
def test_the_name_says_what_pip_wants(compiled_small, target, tmp_path, given, name):
    _, card, built = compiled_small
    path = save_wheel(built.path, tmp_path / given, card=card, target=target)
    machine = platform.machine()
    assert re.fullmatch(rf"{name}-py3-none-(many)?linux_(\d+_\d+_)?{machine}\.whl", path.name)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "given",
    ["1digits.whl", "class.whl", "json.whl", "numpy.whl", "-1.0.whl", "a-b.whl", "a-1-2.whl"],
)
def test_a_name_that_pip_or_python_would_not_take_is_refused(tmp_path, given):
    with pytest.raises(OutputError, match=r"such as digits"):
        check_wheel(tmp_path / given)


def test_the_record_lists_every_file_with_its_digest(compiled_small, target, tmp_path):
    _, card, built = compiled_small
    path = save_wheel(built.path, tmp_path / "digits.whl", card=card, target=target)
    with zipfile.ZipFile(path) as archive:
        information = "digits-1.0.dist-info"
        assert archive.namelist() == [
            "digits/__init__.py",
            f"digits/{built.path.name}",
            f"{information}/METADATA",
            f"{information}/WHEEL",
            f"{information}/RECORD",
        ]
        record = archive.read(f"{information}/RECORD").decode()
        for name, digest, length in csv.reader(io.StringIO(record)):
            if name.endswith("RECORD"):
                continue
            content = archive.read(name)
            found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            assert (digest, length) == (f"sha256={found.decode()}", str(len(content)))
        metadata = archive.read(f"{information}/METADATA").decode().splitlines()
        assert [line for line in metadata if line.startswith("Requires-Dist")] == [
            "Requires-Dist: numpy",
            "Requires-Dist: pillow; extra == 'files'",
        ]
        tag = path.stem.split("-", 2)[2]
        assert f"Tag: {tag}\n" in archive.read(f"{information}/WHEEL").decode()


@pytest.mark.parametrize(
    ("asked", "platform_tag"),
    [
        (b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.27\0", "manylinux_2_34_x86_64"),
        (b"\0GLIBC_2.2.5\0", "manylinux_2_5_x86_64"),
        (b"\0" * ((1 << 20) - 5) + b"GLIBC_2.17\0", "manylinux_2_17_x86_64"),
        (b"GLIBC_PRIVATE\0", "linux_x86_64"),
    ],
)
def test_linuxes_tag_is_by_what_the_library_asks_for(tmp_path, target, asked, platform_tag):
    from convforge.compiler.backend.target import X86_64_LINUX

    (tmp_path / "artifact.so").write_bytes(asked)
    library = tmp_path / "artifact.so"
    path = save_wheel(library, tmp_path / "a.whl", card=None, target=X86_64_LINUX)
    assert path.stem.endswith(f"-{platform_tag}")


@pytest.mark.parametrize(
    ("other", "platform_tag"),
    [(AARCH64_MACOS, "macosx_11_0_arm64"), (X86_64_WINDOWS, "win_amd64")],
)
def test_other_systems_have_theirs(tmp_path, other, platform_tag):
    (tmp_path / "artifact").write_bytes(b"")
    path = save_wheel(tmp_path / "artifact", tmp_path / "a.whl", card=None, target=other)
    assert path.stem.endswith(f"-{platform_tag}")
