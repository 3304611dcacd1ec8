import json
import re

import pytest

import convforge as cf
from convforge.errors import (
    BudgetError,
    InputError,
    Interrupted,
    NetworkError,
    OutputError,
    RecipeError,
    TimeLimitError,
)
from convforge.images import source
from convforge.scaling import work
from convforge.scaling.report import report_html


@pytest.fixture(scope="module")
def digits():
    return source.open("digits")


@pytest.fixture
def scale(digits, tmp_path):
    """`scale` of resnet20 on the digits for 3 ms, into a folder of its own."""

    def run(**over):
        usual = {"output": tmp_path / "digits.safetensors", "max_ms": 3.0, "epochs": 99}
        return cf.scale("resnet20", digits, **{**usual, **over})

    return run


def names_of(found):
    return [row["name"] for row in found.record["candidates"]]


def test_the_best_of_the_candidates_is_trained_on_everything_and_shipped(scale, made_up, tmp_path):
    found = scale()
    rows = found.record["candidates"]
    assert rows[0]["state"] == "winner"
    assert rows[0]["scores"][-1] == max(
        row["scores"][-1] for row in rows if len(row["scores"]) == 2
    )
    (trained,) = made_up.trained
    kept = ("width", "depth", "input_size")
    assert {name: trained[name] for name in kept} == {name: rows[0][name] for name in kept}
    assert found.ms == pytest.approx(rows[0]["ms"])
    assert found.ms <= 3.0
    assert found.artifact.read_bytes() == b"artifact"
    assert cf.load(found.file).card.arguments["width"] == rows[0]["width"]
    assert json.loads((tmp_path / "digits.scale" / "result.json").read_text()) == found.record
    assert found.report == tmp_path / "digits.scale" / "report.html"
    assert "<svg" in report_html(found.record)
    assert len(names_of(found)) >= 6


def test_it_is_the_same_for_the_same_seed(scale, made_up, tmp_path):
    first, trials = scale(seed=5), list(made_up.trials)
    made_up.trials.clear()
    second = scale(seed=5, output=tmp_path / "again.safetensors")
    assert made_up.trials == trials
    assert second.record["candidates"] == first.record["candidates"]


@pytest.mark.parametrize("stop_at", [0, 2, -3, -1])
def test_what_was_interrupted_at_a_rung_goes_on_there(scale, made_up, tmp_path, stop_at):
    whole = scale(output=tmp_path / "whole.safetensors")
    trials, measured = list(made_up.trials), len(made_up.measured)
    made_up.trials.clear()
    made_up.measured.clear()
    made_up.stop_at = stop_at % len(trials)
    with pytest.raises(KeyboardInterrupt):
        scale()
    assert len(made_up.trials) == made_up.stop_at
    made_up.stop_at = None
    found = scale()
    assert made_up.trials == trials
    assert len(made_up.measured) <= measured + 2  # the smallest, and the proposal under way, again
    assert found.record["candidates"] == whole.record["candidates"]


def test_another_budget_is_another_search(scale, made_up):
    made_up.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        scale()
    made_up.stop_at = None
    with pytest.raises(OutputError, match=r"holds another search: budget\.max_ms is 3\.0 there"):
        scale(max_ms=2.0)
    assert scale(max_ms=2.0, force=True).ms <= 2.0


def test_an_impossible_budget_is_refused_after_one_measurement(scale, made_up, tmp_path):
    with pytest.raises(BudgetError, match=r"the smallest resnet20 that is tried takes .* max_ms"):
        scale(max_ms=1e-4)
    assert len(made_up.measured) == 1
    assert not made_up.trials
    assert not (tmp_path / "digits.scale").exists()


def test_a_search_stops_where_the_winners_time_begins(scale, made_up):
    made_up.trial_s = 30.0  # where a trial was thought to take 2 s and a little
    found = scale(max_train=300, epochs=None)
    assert 1 < len(made_up.trials) < 8
    assert made_up.now < 0.5 * 300
    (trained,) = made_up.trained
    assert trained["time_limit"] == pytest.approx(300 - made_up.now - 4.2)  # 1.2 s to compile
    states = {row["state"] for row in found.record["candidates"]}
    assert "not trained: no time" in states


def test_time_that_earlier_runs_took_counts(scale, made_up):
    made_up.trial_s, made_up.stop_at = 20.0, 3
    with pytest.raises(KeyboardInterrupt):
        scale(max_train=400, epochs=None)
    made_up.stop_at = None
    scale(max_train=400, epochs=None)
    (trained,) = made_up.trained
    assert trained["time_limit"] == pytest.approx(400 - made_up.now - 4.2)


def test_proposals_are_not_compiled_where_the_winners_time_begins(scale, made_up):
    made_up.trial_s = 26.0
    found = names_of(scale(max_train=350, epochs=None))
    assert made_up.now < 0.5 * 350
    made_up.trial_s, made_up.now = 1.0, 0.0
    again = names_of(scale(max_train=350, epochs=None, force=True))
    assert len(found) < len(again)


def test_where_no_time_is_left_the_winners_trial_is_handed_out(scale, made_up, tmp_path):
    made_up.whole_s = 250.0  # where 2 s were expected
    found = scale(max_train=300, epochs=None)
    assert not made_up.trained
    winner = found.record["candidates"][0]
    assert (winner["state"], len(winner["scores"])) == ("winner", 2)
    card = cf.load(found.file).card
    assert card.arguments["width"] == winner["width"]
    assert re.fullmatch(r"\d+ epochs of [\d,]+ images, a trial of a search", card.trained)
    assert card.metrics["test"]["count"] == 450
    assert card.trained in report_html(found.record)
    assert not (tmp_path / "digits.scale" / "trials").exists()


def test_where_nothing_was_trained_in_time_more_time_goes_on(scale, made_up):
    made_up.whole_s = 400.0
    with pytest.raises(TimeLimitError, match=r"300 s are over .* larger max_train goes on") as told:
        scale(max_train=300, epochs=None, mixes=["width"])
    assert told.value.names == ("max_train",)
    with pytest.raises(TimeLimitError):
        scale(max_train=300, epochs=None, mixes=["width"])
    measured = len(made_up.measured)
    scale(max_train=900, epochs=None, mixes=["width"])
    (trained,) = made_up.trained
    assert 200 < trained["time_limit"] < 900 - 2 * 243  # that compiling took before each failure
    assert len(made_up.measured) <= measured + 1  # the smallest is asked for again


def test_what_runs_elsewhere_is_compiled_twice_in_the_end(scale, made_up):
    scale(max_train=300, epochs=None, target="html", mixes=["width"])
    (trained,) = made_up.trained
    assert trained["time_limit"] == pytest.approx(300 - made_up.now - 6.2)


def test_of_a_page_its_own_bytes_are_within_the_budget(scale, made_up, tmp_path):
    budget = {"max_ms": None, "max_mb": 2.0, "mixes": ["width"]}
    library, page = (
        scale(**budget, target=target, output=tmp_path / f"{target}.safetensors").record
        for target in ("native", "html")
    )
    (large,), (small,) = library["candidates"], page["candidates"]
    assert small["width"] < large["width"]
    assert small["megabytes"] <= 2.0 < 2 * large["megabytes"]
    chosen = json.loads((tmp_path / "html.scale" / "records" / "winner.json").read_text())
    assert chosen["record"]["whole"]["file_bytes"] == 1e6 * small["megabytes"]


def test_one_mix_is_trained_without_a_search(scale, made_up):
    found = scale(mixes=["width"])
    assert names_of(found) == ["width"]
    assert not made_up.trials
    assert made_up.trained[0]["depth"] == 1.0


def test_a_candidate_that_misses_when_whole_gives_way_to_the_next(scale, made_up, tmp_path):
    rows = scale(output=tmp_path / "first.safetensors").record["candidates"]
    made_up.whole_factor = 3.01 / rows[0]["ms"]
    expected = next(row["name"] for row in rows if row["ms"] * made_up.whole_factor <= 3.0)
    found = scale().record["candidates"]
    winner = next(row for row in found if row["state"] == "winner")
    assert winner["name"] == expected != rows[0]["name"]
    assert found[0]["state"] == "is over the budget when whole: 3.01 ms"


def test_the_winner_stays_the_winner_when_its_training_goes_on(scale, made_up, monkeypatch):
    def stopped(*_, **__):
        raise Interrupted("stopped after step 3", signal=15)

    with monkeypatch.context() as patch:
        patch.setattr(work, "train", stopped)
        with pytest.raises(Interrupted, match="the same command goes on from there") as caught:
            scale()
    assert caught.value.signal == 15
    made_up.whole_factor = 40.0  # is not asked again
    found = scale()
    assert found.record["candidates"][0]["state"] == "winner"


def test_where_all_miss_it_says_so(scale, made_up):
    made_up.whole_factor = 40.0
    with pytest.raises(BudgetError, match=r"none of the candidates is within 3 ms: .* takes"):
        scale()
    made_up.whole_factor = 1.0
    assert scale().ms <= 3.0


def test_a_finished_artifact_that_misses_is_refused_and_its_training_kept(scale, made_up):
    made_up.built_factor = 10.0
    with pytest.raises(BudgetError, match=r"finished artifact takes .* The training is kept"):
        scale()
    made_up.built_factor = 1.0
    assert scale().ms <= 3.0
    assert len(made_up.trained) == 1


def test_no_mix_within_the_budget_is_refused_naming_why(scale, made_up):
    with pytest.raises(BudgetError, match=r"no mix of depth gets within .* its smallest takes"):
        scale(max_ms=0.3, mixes=["depth"])


def test_files_that_are_there_are_kept(scale, made_up, tmp_path):
    scale()
    with pytest.raises(OutputError, match="exists already"):
        scale()
    assert scale(force=True).ms <= 3.0
    with pytest.raises(OutputError, match=r"name ends in \.safetensors: name it digits"):
        scale(output=tmp_path / "digits.so")


@pytest.mark.parametrize(
    ("over", "error", "said"),
    [
        ({"max_ms": None}, BudgetError, "give max_ms, max_mb, or both"),
        ({"max_train": 60}, RecipeError, "epochs and max_train were both given"),
        ({"max_train": 0, "epochs": None}, RecipeError, "expected seconds above 0"),
        ({"mixes": ["wide"]}, InputError, "no mix is named 'wide'"),
        ({"target": "toaster"}, InputError, "target 'toaster' is not known"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(scale, made_up, over, error, said):
    with pytest.raises(error, match=said):
        scale(**over)
    assert not made_up.measured


def test_a_network_without_multipliers_is_refused(made_up, tmp_path):
    with pytest.raises(NetworkError, match="cannot be scaled"):
        cf.scale("lenet5", "digits", output=tmp_path / "x.safetensors", max_ms=1)
