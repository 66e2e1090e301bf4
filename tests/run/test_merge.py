"""Several runs become one: everything that was measured, nothing twice, and no time beside another machine's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import MACHINE, across, changed, exact, losses, record, run, save, section, suite, times

from polybench.errors import ResultsError
from polybench.machine.environment import fingerprint, together
from polybench.record import Artifact, Record, Status
from polybench.report import figures
from polybench.report.compose import compose
from polybench.run import session, store
from polybench.run.merge import adopt, merge, missing, unite
from polybench.run.store import Run

OF = suite(benchmarks=[{"name": "memory", "kind": "memory"}])
RELU, SWIGLU, POLY = exact({"relu": 1, "swiglu": 2, "polynorm": 3})
OTHER = {"cpu": "other", "gpus": ["H200"], "host": "node2"}


def kept(path: Path, records: list[Record], of: Any = OF, header: dict[str, Any] | None = None, **machine: Any) -> Path:
    return save(run(records, of, **machine), path, filter=None, **(header or {}))


def test_parts_become_one_run_that_says_where_it_comes_from_and_what_is_missing(tmp_path: Path) -> None:
    one = kept(tmp_path / "a", [RELU], header={"shard": "1/3", "trials": ["x"], "planned": 1}, host="node1")
    two = kept(tmp_path / "b", [SWIGLU], header={"shard": "2/3", "started_at": "2025"}, **OTHER)
    merged = merge([one, two], tmp_path / "m")
    assert [(r.trial, r.measurements) for r in merged.records] == [(r.trial, r.measurements) for r in (RELU, SWIGLU)]
    assert [r.machine for r in merged.records] == [fingerprint(store.load(p).environment) for p in (one, two)]
    assert (merged.header["started_at"], merged.header["planned"]) == ("2025", 3)
    assert "shard" not in merged.header and "trials" not in merged.header
    assert missing(merged) == ["memory/polynorm"]
    document = compose(merged)
    facts = dict(document.facts)
    assert facts["merged from"] == f"shard 1/3 {one} on node1, shard 2/3 {two} on node2"
    assert facts["machines"] == "2 that differ: node1 | node2 (processor.cpu: toy / other; gpu.gpus: [] / ['H200'])"
    assert facts["processor"].startswith("toy / other") and facts["GPU"] == "H200"
    told = " ".join(document.notes)
    assert "2 of 3 trials are there" in told and "Not measured by any part: memory/polynorm." in told
    assert "Times of different machines are not compared" in told
    again = merge([tmp_path / "m", kept(tmp_path / "c", [POLY], host="node1")], tmp_path / "n")
    assert [s["run"] for s in again.header["sources"]] == [str(one), str(two), str(tmp_path / "c")]
    assert missing(again) == [] and not [n for n in compose(again).notes if "not complete" in n]


def test_a_merged_run_goes_on_with_what_is_missing_on_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "capture", lambda: {**MACHINE, "cpu": "third"})
    merge([kept(tmp_path / "a", [RELU]), kept(tmp_path / "b", [SWIGLU], **OTHER)], tmp_path / "m")
    current = session.resume(tmp_path / "m", None, force=False)
    assert [t.id for t in current.todo.trials] == [POLY.trial.id]
    assert [s["environment"]["cpu"] for s in current.header["sources"]] == ["toy", "other", "third"]
    assert current.header["environment"]["cpu"] == "toy / other / third"
    with pytest.raises(ResultsError, match="the machine"):
        session.resume(tmp_path / "a", None, force=False)


def test_a_trial_measured_twice_is_kept_once_if_alike_and_refused_if_not(tmp_path: Path) -> None:
    later = replace(RELU, started_at="2026-02-02T00:00:00+00:00", duration_s=9.0)
    paths = [kept(tmp_path / "a", [RELU, SWIGLU]), kept(tmp_path / "b", [later, POLY])]
    assert len(merge(paths, tmp_path / "m").records) == 3
    paths.append(kept(tmp_path / "c", exact({"polynorm": 4})))
    with pytest.raises(ResultsError) as caught:
        merge(paths, tmp_path / "n")
    assert "\n" not in str(caught.value)
    for word in ("memory/polynorm was", "measured twice and not alike", *(f"{p}/records.jsonl" for p in paths[1:])):
        assert word in str(caught.value)
    assert not (tmp_path / "n").exists()


def test_what_failed_in_one_run_and_ended_well_in_another_is_no_conflict() -> None:
    failed = record("memory", "relu", status=Status.FAILED, error="because")
    for pair in ([failed], [RELU]), ([RELU], [failed]):
        (found,) = unite([run(records, OF) for records in pair])
        assert found.status is Status.OK
    (found,) = unite([run([failed], OF), run([failed], OF)])
    assert found.status is Status.FAILED


def test_a_curve_that_ended_in_nan_is_equal_to_itself() -> None:
    one = record("pretrain", "relu", {"val_curve": [1.0, float("nan")]}, steps=[0, 1], status=Status.DIVERGED)
    assert len(unite([run([one]), run([Record.from_json(one.to_json())])])) == 1


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"suite": suite(margin=0.1).model_dump(mode="json")}, "their suites differ"),
        ({"filter": "*relu*"}, "their filters differ"),
        ({"device": "cuda"}, "their devices differ"),
        ({"processes": 2}, "their numbers of processes differ"),
        ({"environment": {**MACHINE, "code": "0ther"}}, "the code of polybench (c0de / 0ther) differs"),
    ],
)
def test_runs_that_do_not_go_together_are_refused(tmp_path: Path, header: dict[str, Any], words: str) -> None:
    one, two = (
        kept(tmp_path / "a", [RELU]),
        save(changed(run([SWIGLU], OF), **{"filter": None, **header}), tmp_path / "b"),
    )
    with pytest.raises(ResultsError) as caught:
        merge([one, two], tmp_path / "m")
    assert words in str(caught.value) and str(one) in str(caught.value) and str(two) in str(caught.value)
    if "environment" in header:
        assert merge([one, two], tmp_path / "m", force=True).header["forced"] == [
            "the code of polybench (c0de / 0ther)"
        ]


def test_files_that_trials_left_behind_come_along(tmp_path: Path) -> None:
    trace = replace(RELU, artifacts=(Artifact("traces/a.gz", b"hello"),))
    one = kept(tmp_path / "a", [trace])
    (one / "checkpoints").mkdir()
    (one / "checkpoints" / "relu.model.pt").write_bytes(b"weights")
    merged = merge([one, kept(tmp_path / "b", [SWIGLU])], tmp_path / "m")
    assert (merged.path / "traces" / "a.gz").read_bytes() == b"hello"
    assert (merged.path / "checkpoints" / "relu.model.pt").read_bytes() == b"weights"
    assert merged.records[0].artifacts == (Artifact("traces/a.gz"),)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    one = kept(tmp_path / "a", [RELU])
    before = {p.name: p.read_bytes() for p in one.iterdir()}
    with pytest.raises(ResultsError, match="is not empty, so nothing was written"):
        merge([one], one)
    assert {p.name: p.read_bytes() for p in one.iterdir()} == before


def speeds(first: str, second: str) -> Run:
    """Two seeds: of the first both activations ran on one machine, of the second each on its own."""
    made = []
    for name, speed in (("relu", 2.0), ("swiglu", 1.0)):
        for seed, machine in ((0, first), (1, first if name == "relu" else second)):
            loss = 3 + 1 / speed
            values = {"val_loss": [loss], "tokens_per_s": [speed], "step_peak_bytes": [9], "val_curve": [5, loss],
                      "train_time": [0, 1 / speed]}  # fmt: skip
            one = record("pretrain", name, values, seed=seed, steps=[0, 8], batch=2, seq_len=4)
            made.append(replace(one, machine=machine))
    return run(made)


def test_times_of_different_machines_are_never_compared_but_losses_are() -> None:
    counts = {}
    for machines in (("m1", "m1"), ("m1", "m2"), ("m1", "")):
        found = [c for c in across(speeds(*machines)) if c.cell.activation == "relu" and c.change]
        counts[machines] = {c.metric.name: c.change.n for c in found if c.change}
    names = {"val_loss", "tokens_per_s", "equal_time_loss", "time_to_reference", "tokens_to_reference"}
    assert {n: counts["m1", "m1"].get(n) for n in names} == dict.fromkeys(names, 2)
    assert counts["m1", ""] == counts["m1", "m1"]  # an old record does not say where it was made
    assert counts["m1", "m2"]["val_loss"] == counts["m1", "m2"]["tokens_to_reference"] == 2
    for name in ("tokens_per_s", "equal_time_loss", "time_to_reference"):
        assert counts["m1", "m2"][name] == 1
    pictures = {
        m: {f.x_label.split(",")[0] for f in section(figures, speeds(*m)).figures if f.kind == "pareto"} for m in counts
    }
    assert pictures["m1", "m1"] - pictures["m1", "m2"] == {"Training time a token"}
    assert pictures["m1", "m2"] == {"Peak memory of a training step"}


def test_blocks_of_different_machines_are_never_paired(tmp_path: Path) -> None:
    both = [r for r in times({"relu": 2.0, "swiglu": 1.0}, launches=2) if not r.trial.control]
    of = suite(benchmarks=[{"name": "speed", "kind": "speed"}])
    elsewhere = [replace(r, started_at="2026-03-03T00:00:00+00:00") for r in both if r.trial.cell.activation == "relu"]
    at_home = [r for r in both if r.trial.cell.activation == "swiglu"]
    merged = merge([kept(tmp_path / "a", at_home, of), kept(tmp_path / "b", elsewhere, of, **OTHER)], tmp_path / "m")
    assert all(c.change is None for c in across(merged, only="total_time"))
    assert any(c.change for c in across(run(both, of), only="total_time"))


def test_a_run_of_several_machines_is_none_of_them() -> None:
    one, two = {**MACHINE, "host": "a"}, {**MACHINE, "host": "b"}
    assert fingerprint(one) == fingerprint(two) == fingerprint(together([one, two]))
    other = {**MACHINE, **OTHER}
    assert len({fingerprint(e) for e in (one, other, together([one, other]))}) == 3


def test_a_run_takes_back_what_its_parts_measured_and_keeps_what_it_knew(tmp_path: Path) -> None:
    path = kept(tmp_path / "run", [RELU])
    failed = record("memory", "polynorm", status=Status.FAILED, error="because")
    parts = [kept(tmp_path / "1", [*exact({"relu": 9}), SWIGLU], host="n1"), kept(tmp_path / "2", [failed], **OTHER)]
    for _ in range(2):  # to adopt the same again changes nothing
        found = adopt(path, [*parts, tmp_path / "never"])
        assert {r.trial.cell.activation: r.measurements for r in found.records} == {
            "relu": RELU.measurements, "swiglu": SWIGLU.measurements, "polynorm": ()}  # fmt: skip
        assert len((path / "records.jsonl").read_text().splitlines()) == 3
        assert [s["run"] for s in found.header["sources"]] == [str(p) for p in (path, *parts)]
        assert missing(found) == []


def test_what_took_turns_is_taken_back_together_and_nothing_else_is(tmp_path: Path) -> None:
    """Of one launch an arm timed out and all were measured again; of the other launch nothing was left."""
    of = suite(benchmarks=[{"name": "speed", "kind": "speed", "protocol": {"launches": 2}}])
    names = {"relu": 2.0, "swiglu": 1.0, "polynorm": 3.0}
    known = times(names, launches=2)
    lost = replace(known[2], status=Status.TIMED_OUT, measurements=())
    again = [replace(r, started_at=f"2026-02-02T00:00:0{r.trial.seed}+00:00") for r in times(names, launches=2)]
    path = kept(tmp_path / "run", [*known[:2], lost, *known[3:]], of)
    part = kept(tmp_path / "part", again, of)
    for _ in range(2):
        found = {r.trial.id: r.started_at for r in adopt(path, [part]).records}
        assert found == {r.trial.id: r.started_at for r in (*again[:4], *known[4:])}
        assert len((path / "records.jsonl").read_text().splitlines()) == 12


@pytest.mark.parametrize("fact", ["corpus", "corpus stdlib"])
def test_runs_on_other_texts_are_refused_unless_forced(fact: str, tmp_path: Path) -> None:
    of = suite(benchmarks=[{"name": "pretrain", "kind": "pretrain"}])
    sides = {"relu": "0ne", "swiglu": "0ther"}
    paths = [kept(tmp_path / n, losses({n: [3.0, 3.1]}, facts={fact: v, "sides": v}), of) for n, v in sides.items()]
    with pytest.raises(
        ResultsError, match=rf"cannot be merged: {fact} .*sotu.* \(0ne / 0ther\) differs; .*--force"
    ) as caught:
        merge(paths, tmp_path / "m")
    assert "sides" not in str(caught.value) and not (tmp_path / "m").exists()
    (told,) = merge(paths, tmp_path / "m", force=True).header["forced"]
    assert told.startswith(fact) and told.endswith("(0ne / 0ther)")
