"""The chapter on Python: its code gives what it says, its tables name what there is."""

import inspect
import re

import pytest

import convforge as cf
from convforge import errors


@pytest.fixture(scope="module")
def chapter(repository):
    return (repository / "docs" / "python.md").read_text(encoding="utf-8")


def test_its_python_gives_what_stands_beside_it(chapter, run_python):
    assert run_python(chapter) == 21


def test_every_function_is_there_with_arguments_that_it_takes(chapter):
    told = dict(re.findall(r"^\| `cf\.(\w+)\((.*?)\)`", chapter, re.MULTILINE))
    assert set(told) == set(cf._HOMES) - {"Classifier", "Runtime"}
    for name, arguments in told.items():
        known = inspect.signature(getattr(cf, name)).parameters
        for argument in re.findall(r"(\w+)=([^,]+)", arguments):
            assert repr(known[argument[0]].default).strip("'") == argument[1].strip('"'), argument


def test_every_member_is_there(chapter):
    both, runtime = chapter.partition("`Runtime(path")[::2]
    runtime = runtime.partition("## Errors")[0]
    shared = re.findall(r"^\| `(\w+)", both.partition("## Classifier")[2], re.MULTILINE)
    assert len(shared) == 6
    for name in shared:
        assert hasattr(cf.Classifier, name) or name == "card", name  # set when it is made
        assert hasattr(cf.Runtime, name), name
    names = re.findall(r"`(\w+)", " ".join(re.findall(r"^\| (`.*?) \|", runtime, re.MULTILINE)))
    held = {"input_shape", "output_shape"}  # set when it is made
    assert {name for name in names if not hasattr(cf.Runtime, name)} == held


def test_every_error_is_told(chapter):
    there = {
        name
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, errors.ConvforgeError)
    }
    assert there == set(re.findall(r"\b(\w+Error|Interrupted)\b", chapter)) - {"KeyError"}
