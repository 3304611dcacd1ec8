import pytest

from convforge.errors import OutputError
from convforge.scaling.ledger import Ledger, remove


def test_a_step_is_done_once(tmp_path):
    done = []

    def step():
        done.append(1)
        return {"found": len(done)}

    for _ in range(2):
        ledger = Ledger(tmp_path / "x.scale", identity={"seed": 1})
        assert ledger.once("rung 0 width", step) == {"found": 1}
    assert ledger.get("rung 0 width") == {"found": 1}
    assert ledger.get("rung 1 width") is None
    assert ledger.all("rung") == [{"found": 1}]


def test_another_search_in_the_folder_is_refused_saying_what_differs(tmp_path):
    Ledger(tmp_path / "x.scale", identity={"budget": {"max_ms": 2.0}, "seed": (1,)})
    Ledger(tmp_path / "x.scale", identity={"budget": {"max_ms": 2.0}, "seed": [1]})
    with pytest.raises(OutputError, match=r"another search: budget\.max_ms is 2\.0 there and 3"):
        Ledger(tmp_path / "x.scale", identity={"budget": {"max_ms": 3.0}, "seed": [1]})


def test_time_counts_on_from_the_last_record(tmp_path, made_up):
    first = Ledger(tmp_path / "x.scale", identity={})
    made_up.now += 10
    first.put("plan", 1)
    made_up.now += 100  # is lost
    second = Ledger(tmp_path / "x.scale", identity={}, started=made_up.now - 1)
    made_up.now += 2
    assert second.spent == 13


def test_a_damaged_record_is_named(tmp_path):
    Ledger(tmp_path / "x.scale", identity={}).put("plan", 1)
    (tmp_path / "x.scale" / "records" / "plan.json").write_text("{")
    with pytest.raises(OutputError, match=r"plan\.json: a record of a search that cannot be read"):
        Ledger(tmp_path / "x.scale", identity={})


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Ledger(tmp_path / "file" / "x.scale", identity={})


def test_what_is_removed_is_a_searchs_own(tmp_path):
    folder = tmp_path / "x.scale"
    Ledger(folder, identity={}).put("plan", 1)
    (folder / "notes.txt").write_text("mine")
    remove(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    remove(tmp_path / "nothing")
