"""Seeds that are added to a run: the run goes on, nothing is measured twice, and each look is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from builders import MACHINE, losses, run, save, section, suite

from polybench.errors import ResultsError
from polybench.report import losses as loss_tables
from polybench.report import provenance
from polybench.run import session, store
from polybench.run.batches import looks_of
from polybench.run.changed import suite_changes
from polybench.run.merge import merge

BENCHMARKS = [{"name": "pretrain", "kind": "pretrain"}]
NAMES = ("relu", "swiglu", "polynorm")


def of(seeds: list[int], **changes: Any) -> Any:
    return suite(**{"benchmarks": BENCHMARKS, "seeds": seeds, **changes})


def kept(path: Path, seeds: list[int], **header: Any) -> Path:
    values = {name: [3.0 + 0.01 * (i + len(name)) for i in range(max(seeds) + 1)] for name in NAMES}
    records = [r for r in losses(values) if r.trial.seed in seeds]
    return save(run(records, of(seeds)), path, filter=None, **header)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "capture", lambda: MACHINE)


def test_a_run_goes_on_with_further_seeds_and_keeps_what_it_was_judged_with(tmp_path: Path) -> None:
    path = kept(tmp_path / "a", [0, 1, 2])
    current = session.resume(path, of([0, 1, 2, 3, 4]), force=False)
    assert sorted({t.seed for t in current.todo.trials}) == [3, 4] and current.header["forced"] == []
    assert current.header["looks"] == {"pretrain": [[0, 1, 2]]}
    store.write_header(path, {k: v for k, v in current.header.items() if k != "schema_version"})
    assert session.resume(path, None, force=False).header["looks"] == {"pretrain": [[0, 1, 2]]}
    third = session.resume(path, of([0, 1, 2, 3, 4, 9]), force=False)
    assert third.header["looks"] == {"pretrain": [[0, 1, 2], [0, 1, 2, 3, 4]]}


def test_a_run_whose_suite_is_as_before_has_no_further_look(tmp_path: Path) -> None:
    path = kept(tmp_path / "a", [0, 1, 2])
    assert "looks" not in session.resume(path, of([2, 1, 0]), force=False).header


def test_a_run_goes_on_with_more_time_for_what_was_stopped(tmp_path: Path) -> None:
    path = kept(tmp_path / "a", [0, 1, 2])
    more = of([0, 1, 2, 3], benchmarks=[{**BENCHMARKS[0], "timeout_s": 3600}])
    current = session.resume(path, more, force=False)
    assert current.todo.jobs and {job.timeout_s for job in current.todo.jobs} == {3600}
    assert current.header["forced"] == [] and current.header["suite"]["benchmarks"][0]["timeout_s"] == 3600
    with pytest.raises(ResultsError) as caught:
        session.resume(path, more.model_copy(update={"margin": 0.1}), force=False)
    assert "margin" in str(caught.value) and "timeout_s" not in str(caught.value)


def test_a_run_goes_on_with_another_budget_where_that_biases_no_answer(tmp_path: Path) -> None:
    path = kept(tmp_path / "a", [0, 1, 2])
    more = of([0, 1, 2, 3], benchmarks=[{**BENCHMARKS[0], "protocol": {"budget_s": 60.0}}])
    current = session.resume(path, more, force=False)
    assert current.header["forced"] == [] and {dict(job.protocol)["budget_s"] for job in current.todo.jobs} == {60.0}
    with pytest.raises(ResultsError) as caught:
        session.resume(path, more.model_copy(update={"margin": 0.1}), force=False)
    assert "margin" in str(caught.value) and "budget_s" not in str(caught.value)
    unknown = [{"benchmarks": [{"name": "a", "kind": "unknown", "protocol": {"budget_s": s}}]} for s in (1, 2)]
    assert suite_changes(*unknown) == ["the suite (benchmarks.a.protocol.budget_s: 1 / 2)"]


def test_what_was_published_of_a_claim_may_be_added(tmp_path: Path) -> None:
    claim = {"metric": "val_loss", "subject": "polynorm", "better_than": "swiglu"}
    path = save(run(losses({name: [3.0] for name in NAMES}), of([0], claims=[claim])), tmp_path / "a", filter=None)
    told = of([0], claims=[{**claim, "source": "a paper", "reported": -0.019}], description="told better")
    assert session.resume(path, told, force=False).header["forced"] == []
    assert session.resume(path, told, force=False).header["suite"]["claims"][0]["reported"] == -0.019


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (of([0, 1]), r"the suite (seeds: [0, 1, 2] / [0, 1])"),
        (of([0, 1, 3]), r"the suite (seeds: [0, 1, 2] / [0, 1, 3])"),
        (of([0, 1, 2, 3], loss_margin=0.1), "the suite (loss_margin: 0.01 / 0.1)"),
        (of([0, 1, 2], claims=[{"metric": "val_loss", "subject": "relu"}]), "what the suite claims"),
    ],
)
def test_seeds_cannot_be_taken_away_nor_other_things_changed(tmp_path: Path, asked: Any, told: str) -> None:
    with pytest.raises(ResultsError, match=re.escape(f"these changed: {told}")):
        session.resume(kept(tmp_path / "a", [0, 1, 2]), asked, force=False)


def test_what_changed_beside_further_seeds_is_named_by_its_place() -> None:
    old = of([0]).model_dump(mode="json")
    tuned = [{**b, "tune": {"lr": [0.1], "seeds": [1]}} for b in old["benchmarks"]]
    other = [{**b, "tune": {"lr": [0.1], "seeds": [2]}} for b in old["benchmarks"]]
    name = old["benchmarks"][0]["name"]
    assert suite_changes({**old, "benchmarks": tuned}, {**old, "seeds": [0, 1], "benchmarks": other}) == [
        f"the suite (benchmarks.{name}.tune.seeds: [1] / [2])"
    ]
    two = [*old["benchmarks"], {**old["benchmarks"][0], "name": "second"}]
    assert suite_changes({**old, "benchmarks": two}, {**old, "benchmarks": two[::-1]}) == [
        "the suite (the order of its benchmarks)"
    ]
    younger = {key: value for key, value in old.items() if key != "launcher"}
    assert suite_changes(younger, old) == ["the suite (what it leaves out)"]


def test_runs_with_other_seeds_merge_into_one_of_several_looks(tmp_path: Path) -> None:
    first = kept(tmp_path / "a", [0, 1, 2])
    later = kept(tmp_path / "b", [3, 4], started_at="2026-02-02T00:00:00+00:00")
    merged = merge([later, first], tmp_path / "m")
    assert merged.suite.seeds == [0, 1, 2, 3, 4] and merged.header["looks"] == {"pretrain": [[0, 1, 2]]}
    assert merged.header["planned"] == len(merged.records) == 15
    (table,) = section(loss_tables, merged).tables
    assert any("pretrain was judged before at 3 seeds" in note for note in section(provenance, merged).notes)
    assert "Judged at 5 seeds, and before at 3, and every p counts how often" in table.caption
    again = merge([tmp_path / "m", kept(tmp_path / "c", [5, 6], started_at="2026-03")], tmp_path / "n")
    assert again.header["looks"] == {"pretrain": [[0, 1, 2], [0, 1, 2, 3, 4]]}
    assert "looks" not in merge([first, kept(tmp_path / "d", [0, 1, 2])], tmp_path / "o").header


def test_only_what_is_judged_by_seeds_is_said_to_have_been_judged_before(tmp_path: Path) -> None:
    timed = [*BENCHMARKS, {"name": "step", "kind": "speed"}]
    path = save(run(losses({name: [3.0, 3.1] for name in NAMES}), of([0, 1], benchmarks=timed)), tmp_path / "a")
    header = session.resume(path, of([0, 1, 2], benchmarks=timed), force=False).header
    store.write_header(path, {k: v for k, v in header.items() if k != "schema_version"})
    (told,) = [note for note in section(provenance, store.load(path)).notes if note.startswith("Seeds were added")]
    assert told.startswith("Seeds were added: pretrain was judged before at 2 seeds")


def test_own_seeds_of_a_benchmark_are_its_looks() -> None:
    def header(seeds: list[int] | None) -> dict[str, Any]:
        return {"suite": {"seeds": [0], "benchmarks": [{"name": "a", "seeds": seeds}, {"name": "b"}]}}

    assert looks_of([header([1, 2]), header([1, 2, 3])]) == {"a": [[1, 2]]}
    assert looks_of([header(None), header([0, 4])]) == {"a": [[0]]}


@pytest.mark.parametrize("place", ["", "benchmarks[0]."])
def test_a_field_of_a_newer_polybench_is_named_with_what_to_do(place: str, tmp_path: Path) -> None:
    path = kept(tmp_path / "a", [0, 1])
    header = store.load(path).header
    (header["suite"]["benchmarks"][0] if place else header["suite"])["newer"] = 1
    store.write_header(path, header)
    with pytest.raises(ResultsError) as caught:
        session.resume(path, None, force=False)
    assert str(caught.value).startswith(f"{path / store.RUN_FILE}: {place}newer is not known here, as where a newer")
    assert "update polybench to go on with it" in str(caught.value)
