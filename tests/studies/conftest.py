"""What the tests of several studies share: a report made by hand, and small tasks."""

import pytest

from convforge.studies.spread import Spread
from convforge.studies.study import (
    Column,
    Finding,
    Panel,
    Report,
    Result,
    Series,
    Study,
    Task,
)


@pytest.fixture
def task():
    """Twenty digits, one epoch, two seeds, on the processor."""
    return Task(count=20, epochs=1, seeds=2, device="cpu")


@pytest.fixture
def study():
    return Study(
        name="depth", title="A <title>", claim="A claim.", source="A source", figure="1 %.",
        images="digits",
    )  # fmt: skip


@pytest.fixture
def report(study):
    """A report whose numbers are known."""
    result = Result(
        sizes={"images": "digits", "seeds": 3},
        columns=(Column("network"), Column("MACs", "count"), Column("error", "share")),
        rows=(("plain", 120_422_400, Spread((0.1, 0.2, 0.3))), ("other", 1, 0.5)),
        findings=(
            Finding(claim="one & all", measured="so much", verdict="holds"),
            Finding(claim="another", measured="so little", verdict="does not hold", rule="a rule"),
        ),
        panels=(
            Panel(
                title="curves", x="epoch", y="error", share=True, level=0.25,
                series=(
                    Series(label="a", x=(1, 2), y=(0.5, 0.2), low=(0.4, 0.1), high=(0.6, 0.3)),
                    Series(label="b", x=(1, 2), y=(0.6, 0.4), style="dashed", colour=1),
                ),
            ),
            Panel(
                title="bars", x="", y="times", ticks=("one", "two"), log="y",
                series=(
                    Series(label="a", x=(0, 1), y=(4, 2), low=(3, 1), high=(5, 3), style="bars"),
                    Series(label="c", x=(0, 1), y=(8, 1), style="bars", colour=2),
                ),
            ),
            Panel(
                title="points", x="N", y="ms", log="x",
                series=(
                    Series(label="p", x=(4,), y=(1,), low=(0.5,), high=(2,), style="points"),
                ),
            ),
        ),
        remarks=("A remark.",),
    )  # fmt: skip
    return Report(
        study=study,
        result=result,
        command="convforge study depth --seeds 3",
        circumstances={"machine": "2 x CPU", "seconds": 1.5},
    )
