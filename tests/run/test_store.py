"""Results on disk survive whatever happens to them, or are refused in one sentence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import exact, losses, record, run, save, suite, times
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.errors import ResultsError
from polybench.record import Record, Status
from polybench.run import store
from polybench.run.store import RECORDS_FILE, RUN_FILE

HERE = Path(__file__).parents[1]
RUN = run([*exact({"relu": 1, "swiglu": 2}), *losses({"relu": [3.5, 3.25]})])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(RUN, tmp_path / "toy" / "one")


def texts(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def refused(path: Path, *words: str) -> None:
    """Loading says one sentence and leaves every file as it is."""
    before = texts(path) if path.is_dir() else {}
    with pytest.raises(ResultsError) as caught:
        store.load(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    for word in words:
        assert word in sentence
    assert (texts(path) if path.is_dir() else {}) == before


def test_a_run_comes_back_as_it_was(folder: Path) -> None:
    found = store.load(folder)
    assert found.records == RUN.records
    assert found.header == {"schema_version": store.SCHEMA_VERSION, **RUN.header}
    assert found.name == "toy/one"
    assert found.metrics == RUN.metrics
    assert found.notes == ()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.floats() | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=5),
    st.sampled_from(list(Status)),
    st.text(max_size=20),
    st.integers(0, 99),
)
def test_a_record_comes_back_with_every_value(values: list[float], status: Status, error: str, seed: int) -> None:
    one = record("pretrain", "relu", {"val_curve": values}, steps=range(len(values)), status=status, error=error,
                 seed=seed, facts={"corpus": error})  # fmt: skip
    line = json.dumps(one.to_json(), allow_nan=False)
    found = Record.from_json(json.loads(line))
    assert repr(found) == repr(one)  # NaN is not equal to itself, but is written alike
    assert found.to_json() == one.to_json()


def test_of_several_records_of_a_trial_the_latest_counts(folder: Path) -> None:
    better = record("memory", "relu", {"saved_bytes": [7]})
    store.append(folder, [record("memory", "relu", status=Status.FAILED), better])
    found = store.load(folder)
    assert len(found.records) == len(RUN.records)
    assert found.records[-1] == better


WRITER = """
import sys
from pathlib import Path
from builders import record
from polybench.run import store
for number in range(40):
    one = record("memory", "relu", {"saved_bytes": [float(number)] * 200}, seed=number + 1000 * (1 + int(sys.argv[2])))
    store.append(Path(sys.argv[1]), [one])
"""


def test_four_processes_append_without_a_torn_line(folder: Path) -> None:
    paths = {"PYTHONPATH": f"{HERE}:{HERE.parent}"}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, folder, str(i)], env=paths) for i in range(4)]
    assert [w.wait() for w in writers] == [0] * 4
    found = store.load(folder)
    assert len(found.records) == len(RUN.records) + 4 * 40
    assert found.notes == ()
    # A write that is seen half done looks torn, so an empty line may follow it; no line is ever cut.
    assert all(json.loads(line) for line in (folder / RECORDS_FILE).read_bytes().splitlines() if line)


def test_a_line_torn_anywhere_is_left_out_with_a_note_and_the_next_append_closes_it(folder: Path) -> None:
    file = folder / RECORDS_FILE
    whole = file.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for kept in range(1, len(last) - 1):
        file.write_bytes(whole[: len(whole) - len(last) + kept])
        found = store.load(folder)
        assert found.records == RUN.records[:-1]
        (note,) = found.notes
        assert "an unfinished line was left out" in note
        store.append(folder, [RUN.records[-1]])
        again = store.load(folder)
        assert again.records == RUN.records
        assert again.notes == found.notes


def test_a_last_line_that_lacks_only_its_end_is_whole(folder: Path) -> None:
    file = folder / RECORDS_FILE
    file.write_bytes(file.read_bytes()[:-1])
    assert store.load(folder).records == RUN.records
    store.append(folder, exact({"polynorm": 3}))
    assert len(store.load(folder).records) == len(RUN.records) + 1


@pytest.mark.parametrize("damage", ["{}", "[]", "null", "7", "x", '{"trial": 1}', '{"duration_s":1}', "\xff"])
def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_touched(folder: Path, damage: str) -> None:
    file = folder / RECORDS_FILE
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], damage, *lines[1:]]) + "\n", encoding="latin-1")
    refused(folder, f"{RECORDS_FILE}:2: this line is no record")


def header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        data = json.loads((folder / RUN_FILE).read_text())
        change(data)
        (folder / RUN_FILE).write_text(json.dumps(data))

    return write


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no run.json": (lambda f: (f / RUN_FILE).unlink(), "holds no run"),
    "no records": (lambda f: (f / RECORDS_FILE).unlink(), "has lost its records"),
    "torn run.json": (lambda f: (f / RUN_FILE).write_text('{"suite": '), "is damaged: it is not JSON"),
    "binary run.json": (lambda f: (f / RUN_FILE).write_bytes(b"\xff\xfe"), "is damaged"),
    "empty run.json": (lambda f: (f / RUN_FILE).write_text(""), "is damaged"),
    "a list": (lambda f: (f / RUN_FILE).write_text("[]"), "was not written by polybench"),
    "another's": (lambda f: (f / RUN_FILE).write_text('{"name": "x"}'), "was not written by polybench"),
    "another's schema": (lambda f: (f / RUN_FILE).write_text('{"schema_version": 1}'), "was not written by polybench"),
    "wrong types": (header(lambda d: d.update(suite=1)), "was not written by polybench"),
    "a benchmark without a kind": (
        header(lambda d: d["suite"]["benchmarks"][0].pop("kind")),
        "suite.benchmarks[0]: the key 'kind' is missing",
    ),
    "newer schema": (header(lambda d: d.update(schema_version=99)), "has schema 99"),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_a_spoiled_folder_is_refused_in_one_sentence(folder: Path, how: str) -> None:
    spoil, words = SPOILERS[how]
    spoil(folder)
    refused(folder, words)


def test_an_empty_folder_and_a_missing_one_hold_no_run(tmp_path: Path) -> None:
    refused(tmp_path, "holds no run")
    refused(tmp_path / "nowhere", "holds no run")


def test_a_folder_that_holds_anything_is_never_written_to(folder: Path, tmp_path: Path) -> None:
    before = texts(folder)
    with pytest.raises(ResultsError, match="is not empty, so nothing was written"):
        store.create(folder, RUN.header)
    assert texts(folder) == before
    with pytest.raises(ResultsError, match="cannot be made"):
        store.create(folder / RUN_FILE, RUN.header)
    with pytest.raises(ResultsError, match="cannot be made"):
        store.create(folder / RUN_FILE / "below", RUN.header)
    assert texts(folder) == before
    (tmp_path / "empty").mkdir()
    store.create(tmp_path / "empty", RUN.header)
    assert store.load(tmp_path / "empty").records == ()


def test_a_run_is_found_by_what_people_call_it(tmp_path: Path) -> None:
    root = tmp_path / "results"
    for name, day in (("alpha/one", "2026-01-03"), ("alpha/two", "2026-01-01"), ("beta/three", "2026-01-02")):
        save(run(exact({"relu": 1}), suite(suite=name.split("/")[0])), root / name, started_at=day)
    save(RUN, root / "baselines" / "kept", started_at="2027-01-01")

    def found(text: str | None) -> str:
        return store.find(text, root).relative_to(root).as_posix()

    assert found(None) == "alpha/one"
    assert found("alpha") == "alpha/one"
    assert found("beta") == found("three") == found("beta/three") == "beta/three"
    assert found(str(root / "alpha" / "two")) == "alpha/two"
    assert found(str(root / "alpha" / "two" / RUN_FILE)) == "alpha/two"
    assert found(str(root / "alpha")) == "alpha/one"
    assert found(str(root)) == "alpha/one"
    assert found(str(root / "baselines" / "kept")) == "baselines/kept"
    with pytest.raises(ResultsError, match="there is no run 'gamma'"):
        found("gamma")
    (tmp_path / "other").mkdir()
    with pytest.raises(ResultsError, match="holds no run"):
        found(str(tmp_path / "other"))
    with pytest.raises(ResultsError, match=r"there is no run under .*; start with"):
        store.find(None, tmp_path / "other")


def test_a_run_is_a_frame_with_one_row_a_value(folder: Path) -> None:
    import polybench

    failed = record("pretrain", "polynorm", status=Status.DIVERGED, error="nan", seed=9)
    store.append(folder, [failed, *times({"swiglu": 1.0}, launches=1, blocks=3)])
    found = polybench.load(folder)
    records = store.load(folder).records
    assert len(found) == sum(max(1, sum(len(m.values) for m in r.measurements)) for r in records)
    (row,) = found[found.seed == 9].to_dict("records")
    assert (row["status"], row["error"], row["corpus"]) == ("diverged", "nan", "sotu")
    assert found[(found.metric == "saved_bytes") & (found.activation == "swiglu")].value.tolist() == [2.0]
    assert set(found[found.control].activation) == {"swiglu"}


def test_old_and_newer_suites_and_metrics_are_read_with_defaults_and_kept_as_they_are(folder: Path) -> None:
    def age(d: dict[str, Any]) -> None:
        for key in ("claims", "gate", "description", "launcher"):
            d["suite"].pop(key)
        d["suite"] |= {"invented": 1, "device": "quantum"}
        for benchmark in d["suite"]["benchmarks"]:
            benchmark |= {"invented": 1, "timeout_s": "an hour"}
            benchmark.pop("protocol")
        for metrics in d["metrics"].values():
            for metric in metrics:
                metric["invented"] = 1
                if metric["along"] == "step":
                    metric.pop("along")

    header(age)(folder)
    found = store.load(folder)
    assert (found.suite.claims, found.suite.gate, found.suite.description) == ([], [], "")
    assert [b.protocol for b in found.suite.benchmarks] == [{}] * len(found.suite.benchmarks)
    assert found.suite.reference == RUN.suite.reference and found.name == RUN.name.replace("one", folder.name)
    assert found.header["suite"]["invented"] == 1
    assert found.metrics == RUN.metrics
