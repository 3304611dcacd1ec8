import pytest
import torch

from convforge.compiler.backend.target import find_target
from convforge.errors import BudgetError, OutputError
from convforge.runtime import Runtime
from convforge.scaling.budget import Budget
from convforge.scaling.finish import Places, build, check_shipped, move, name_of, whole_cost
from convforge.scaling.latency import Cost, Stopwatch

TINY = {"width": 0.25, "depth": 0.25, "input_size": 8}
FIELDS = {"num_classes": 10, "in_channels": 1}


@pytest.mark.parametrize("target", ["native", "html", "c", "wheel", "wasm32"])
def test_a_target_is_known_by_the_name_that_compile_takes(target):
    assert name_of(find_target(target)) == target


def test_artifact_and_folder_lie_beside_the_classifier(tmp_path):
    places = Places.of(tmp_path / "a.b.safetensors", target=find_target("html"))
    assert places.artifact == tmp_path / "a.b.html"
    assert places.folder == tmp_path / "a.b.scale"


def test_what_is_there_is_replaced_with_force_only(tmp_path):
    target = find_target("html")
    places = Places.of(tmp_path / "x.safetensors", target=target)
    places.check(target=target, force=False)
    places.artifact.write_text("page")
    with pytest.raises(OutputError, match=r"x\.html: exists already"):
        places.check(target=target, force=False)
    places.check(target=target, force=True)


def test_a_moved_artifact_replaces_a_folder_and_a_wheel_keeps_its_name(tmp_path):
    (tmp_path / "made").mkdir()
    for name in ("new", "x-1-py3.whl"):
        (tmp_path / "made" / name).write_text(name)
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").write_text("")
    assert move(tmp_path / "made" / "new", tmp_path / "place").read_text() == "new"
    wheel = move(tmp_path / "made" / "x-1-py3.whl", tmp_path / "place.whl")
    assert wheel == tmp_path / "x-1-py3.whl"


def test_an_artifact_over_the_budget_is_refused_saying_of_what(tmp_path):
    cost = Cost(ms=2.5, file_bytes=1_000_000, macs=1, parameters=1)
    known = {"chosen_ms": 1.9, "trained": tmp_path / "x.safetensors"}
    check_shipped(cost, budget=Budget(max_ms=2.5), **known)
    words = r"takes 2\.5 ms and 1 MB, over the .* 2 ms; it took 1\.9 .* compile .*/x\.safetensors"
    with pytest.raises(BudgetError, match=words):
        check_shipped(cost, budget=Budget(max_ms=2), **known)
    with pytest.raises(BudgetError, match=r"over the .* 0\.9 MB; it is larger than") as told:
        check_shipped(cost, budget=Budget(max_ms=3, max_mb=0.9), **known)
    assert "busier" not in str(told.value)


@pytest.mark.slow
def test_a_tiny_network_costs_untrained_what_its_classifier_does(tmp_path, make_classifier):
    """The one test here that compiles: by one level, whole, and as a classifier."""
    before = torch.random.get_rng_state()
    one_level = Stopwatch("resnet20").measure({**FIELDS, **TINY})
    whole = whole_cost("resnet20", TINY, **FIELDS, threads=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 0 < one_level.ms < 5
    assert whole["ms"] == pytest.approx(one_level.ms, rel=4)
    assert one_level.file_bytes == pytest.approx(whole["file_bytes"], rel=0.3)
    assert Stopwatch("resnet20").measure({**FIELDS, **TINY}) == one_level  # from the cache
    file = tmp_path / "x.safetensors"
    make_classifier().save(file)
    target = find_target("native")
    budget = Budget(max_ms=100)
    path, size, ms = build(file, name="x.so", target=target, threads=1, budget=budget)
    assert (path, size) == (tmp_path / "x.so", path.stat().st_size)
    assert 0 < ms < 100
    assert Runtime(path).classes == tuple("0123456789")
    target = find_target("html")
    _, size, _ = build(file, name="x.html", target=target, threads=1, budget=budget)
    foreseen = Stopwatch("lenet5_relu", form="page").measure(FIELDS).file_bytes
    assert size <= foreseen <= 1.3 * size
