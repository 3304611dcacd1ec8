import importlib
import inspect

import pytest

from convforge.errors import InputError
from convforge.studies import catalog
from convforge.studies.study import Task


def test_there_are_the_eight_studies_each_with_a_module_of_its_name():
    assert list(catalog.CATALOG) == [
        *("depth", "lrn", "bottleneck", "separable"),
        *("residual", "activation", "padding", "scaling"),
    ]
    for name, study in catalog.CATALOG.items():
        module = importlib.import_module(f"convforge.studies.{name}")
        assert list(inspect.signature(module.run).parameters) == ["study", "task"]
        for text in (study.title, study.claim, study.source, study.figure):
            assert text.strip()


def test_the_table_is_read_without_torch(python):
    program = "import sys; import convforge.studies.catalog; print('torch' in sys.modules)"
    assert python(program) == "False\n"


def test_an_unknown_study_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'dept'; did you mean depth\? there are depth, lrn"):
        catalog.find("dept")


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("depth", Task(seeds=0), "seeds must be at least 1, got 0"),
        ("depth", Task(epochs=-1), "epochs must be at least 1"),
        ("lrn", Task(count=0), "count of images must be at least 1"),
        ("bottleneck", Task(images="digits"), "trains nothing; leave out images"),
        ("separable", Task(epochs=3), "trains nothing; leave out epochs"),
    ],
)
def test_a_task_that_cannot_be_is_refused_before_anything_runs(name, task, words):
    with pytest.raises(InputError, match=words):
        catalog.run(name, task)


def test_a_report_says_how_it_came_about(monkeypatch, report):
    from convforge.studies import depth

    asked = []

    def conduct(study, task):
        asked.append((study.name, task.size))
        return report.result

    monkeypatch.setattr(depth, "run", conduct)
    found = catalog.run("depth", Task(size="full", device="cpu"))
    assert asked == [("depth", "full")]
    assert found.result is report.result
    assert found.study is catalog.CATALOG["depth"]
    assert found.command == "convforge study depth --full"
    assert {"machine", "threads of torch", "seconds", "date"} <= set(found.circumstances)
