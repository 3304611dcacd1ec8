from __future__ import annotations

import pytest

import convforge as cf
from convforge import images, version


def test_every_public_name_is_there_and_is_its_homes():
    for name in cf.__all__:
        assert getattr(cf, name) is not None
    for name, home in cf._HOMES.items():
        assert getattr(cf, name).__module__ == home


def test_public_names_are_listed_once_in_order():
    assert cf.__all__ == sorted(set(cf.__all__))
    assert set(cf.__all__) == {*cf._HOMES, "__version__"}
    assert set(cf.__all__) <= set(dir(cf))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'convforge' has no attribute 'trian'"):
        cf.trian  # noqa: B018


def test_every_public_name_is_documented():
    assert all(getattr(cf, name).__doc__ for name in cf._HOMES)


def test_no_name_of_images_is_that_of_a_module_which_would_hide_it(repository):
    modules = {path.stem for path in (repository / "src/convforge/images").glob("*.py")}
    assert not modules & set(images.__all__)
    assert set(images.__all__) == set(images._HOMES)


def test_the_version_is_one(python):
    assert cf.__version__ == version.__version__
    assert python("import convforge; print(convforge.__version__)") == f"{cf.__version__}\n"


def test_star_imports_the_public_names(python):
    said = python(
        "before = set(globals())\nfrom convforge import *\n"
        "print(sorted(set(globals()) - before - {'before'}))"
    )
    assert said == f"{sorted(cf.__all__)}\n"


@pytest.mark.parametrize(
    "program",
    [
        "import convforge",
        "import convforge.runtime, convforge.loading, convforge.seal",
        "import convforge.compiler.pipeline, convforge.compiler.compilation",
        "import convforge.compiler.ir.reference",
    ],
)
def test_it_imports_no_torch(python, program):
    said = python(f"{program}\nimport sys\nprint('torch' in sys.modules)")
    assert said == "False\n"


def test_an_artifact_runs_with_numpy_and_nothing_heavy(python, artifact_file):
    said = python(
        "import sys, numpy as np\nbefore = set(sys.modules)\nimport convforge\n"
        "runtime = convforge.load(sys.argv[1])\n"
        "runtime.selftest()\nruntime.logits(np.zeros((1, 1, 32, 32), np.float32))\n"
        "runtime.probabilities([np.zeros((9, 9, 3), np.uint8)])\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})",
        artifact_file,
    )
    heavy = {"PIL", "asyncio", "concurrent", "hashlib", "logging", "rich", "safetensors", "torch"}
    assert not heavy & set(said.split()), said
    assert "convforge" in said
