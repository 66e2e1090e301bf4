"""A run folder may come from anybody: nothing in it crashes a command, and no link in it leads anywhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hostile
import pytest
from builders import exact, losses, record, run, save, suite, times
from commands import call

from polybench.cli import main
from polybench.errors import ResultsError
from polybench.files import inside
from polybench.record import CHECKPOINT_FOLDER, TRACE_FOLDER, Artifact, Measurement, Status
from polybench.report import compose as composing
from polybench.report import losses as section_of_losses
from polybench.report.compose import compose
from polybench.run import store
from polybench.run.cluster import FOLDER, leftovers
from polybench.run.merge import merge
from polybench.run.store import RECORDS_FILE, RUN_FILE
from polybench.saying import PLAIN

RUN = run([*exact({"relu": 1, "swiglu": 2}), *losses({"relu": [3.5, 3.25], "swiglu": [3.0, 3.1]})])
SAMPLE = 25  # of what `tests/hostile.py` tries by the thousand


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


def said(*command: str | Path) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = call(*command)
    return code, out.getvalue()


@pytest.mark.parametrize("wrong", hostile.every()[:SAMPLE], ids=str)
def test_one_wrong_value_crashes_no_command(wrong: hostile.Wrong, tmp_path: Path) -> None:
    ended = hostile.tried(wrong, tmp_path / "folders", drawn=False)
    assert not hostile.faults(ended)
    for code, text in ended.values():
        assert code != 2 or text.strip()


def test_every_published_run_is_read() -> None:
    for path in hostile.PUBLISHED:
        assert store.load(path).records


def written(header: Any, records: list[Any]) -> Path:
    folder = Path("hostile")
    hostile.write(folder, header, records)
    return folder


HEADER = json.loads(json.dumps({"schema_version": 1, **RUN.header}))
LINES = [r.to_json() for r in RUN.records]
# Where the value stands, what it becomes, and the words that say so.
Fault = tuple[str, hostile.Route, Any, str]
FAULTS: list[Fault] = [
    (RUN_FILE, ("suite", "benchmarks"), None, "run.json:LINE is damaged: suite.benchmarks: None should be"),
    (RUN_FILE, ("suite", "benchmarks", 0, "name"), 3, "suite.benchmarks[0].name: 3 should be a valid string"),
    (RUN_FILE, ("suite", "description"), {}, "suite.description: {} should be a valid string"),
    (RUN_FILE, ("suite", "margin"), "wide", "suite.margin: 'wide' should be a valid number"),
    (RUN_FILE, ("suite", "loss_margin"), "wide", "suite.loss_margin: 'wide' should be a valid number"),
    (RUN_FILE, ("suite", "benchmarks", 0, "loss_margin"), [], "suite.benchmarks[0].loss_margin: [] should be"),
    (RUN_FILE, ("suite", "processes"), None, "suite.processes: None should be a valid integer"),
    (RUN_FILE, ("looks",), None, "looks: None should be a valid dictionary"),
    (RUN_FILE, ("looks",), {"pretrain": [[0], [{}]]}, "looks.pretrain[1][0]: {} should be a valid integer"),
    (RUN_FILE, ("suite", "gate"), [{}], "suite.gate[0]: the key 'metric' is missing"),
    (RUN_FILE, ("metrics", "memory"), None, "metrics.memory: None should be a valid list"),
    (RUN_FILE, ("metrics", "memory", 0), {"name": "x"}, "metrics.memory[0]: the key 'unit' is missing"),
    (RUN_FILE, ("metrics", "memory", 0, "better"), "up", "metrics.memory[0].better: 'up' should be"),
    (RUN_FILE, ("environment", "gpus"), [None], "environment.gpus[0]: None should be a valid string"),
    (RUN_FILE, ("planned",), -1, "planned: -1 should be greater than or equal to 0"),
    (RUN_FILE, ("device",), hostile._nested(70), "it is nested too deeply"),
    (RUN_FILE, ("device",), "DEEPER", "it is not JSON: it is nested too deeply"),
    (RECORDS_FILE, ("measurements", 0, "values"), {}, "2: this line is no record: measurements[0].values: {} should"),
    (RECORDS_FILE, ("measurements", 0, "values"), [], "measurements[0].values: [] is empty"),
    (RECORDS_FILE, ("measurements", 0, "values"), ["x"], "measurements[0].values[0]: 'x' should be"),
    (RECORDS_FILE, ("measurements", 0, "values"), [10**30, True], "measurements[0].values[1]: True should be"),
    (RECORDS_FILE, ("measurements", 0, "steps"), [1, 2], "measurements[0]: it has 1 values at 2 steps"),
    (RECORDS_FILE, ("trial", "seed"), 10**30, "trial.seed: 1000000000000000000000000000000 should be less than"),
    (RECORDS_FILE, ("trial", "cell", "invented"), 1, "trial.cell.invented: 1 is not known here"),
    (RECORDS_FILE, ("status",), "perfect", "status: 'perfect' should be 'ok'"),
    (RECORDS_FILE, ("duration_s",), float("nan"), "duration_s: nan should be a finite number"),
    (RECORDS_FILE, ("artifacts",), ["../x"], "artifacts[0]: '../x' is no folder/file within the run"),
    (RECORDS_FILE, ("same_as",), {}, "same_as: {} should be a valid string"),
    (RECORDS_FILE, ("notes",), ["DEEPER"], "2: this line is no record: it is not JSON: it is nested too deeply"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f[1][-1]}: {f[3][:40]}")
def test_a_fault_is_named_with_file_line_and_field(fault: Fault) -> None:
    file, route, value, words = fault
    header, records = json.loads(json.dumps(HEADER)), json.loads(json.dumps(LINES))
    data = header if file == RUN_FILE else records[1]
    for part in route[:-1]:
        data = data[part]
    data[route[-1]] = value
    folder = written(header, records)
    with pytest.raises(ResultsError) as caught:
        store.load(folder)
    sentence = str(caught.value)
    lines = (folder / RUN_FILE).read_text().splitlines()
    at = next((i for i, line in enumerate(lines, 1) if '"benchmarks": null' in line), 0)
    assert words.replace("LINE", str(at)) in sentence
    assert str(folder / file) in sentence and "\n" not in sentence and len(sentence) < 400
    assert said("report", folder)[0] == 2


def test_what_is_unknown_is_kept_and_what_is_lost_is_done_without() -> None:
    header, records = json.loads(json.dumps(HEADER)), json.loads(json.dumps(LINES))
    header["invented"] = header["environment"]["invented"] = {"a": [1, None]}
    header["metrics"].pop("memory")
    records[0]["invented"] = 1
    found = store.load(written(header, records))
    assert found.header == header
    assert found.metrics["memory"] == {}
    assert compose(found).tables


def test_half_a_character_becomes_a_question_mark() -> None:
    records = json.loads(json.dumps(LINES))
    records[0] |= {"error": "\ud83d!", "status": "failed"}
    folder = written(HEADER, records)
    assert store.load(folder).records[0].error == "?!"
    assert said("report", folder)[0] == 0


def test_what_could_not_be_read_again_is_kept_as_a_failure(tmp_path: Path) -> None:
    """A plug-in may measure nothing, or text: the run stays whole, and says why the trial is lost."""
    folder = save(RUN, tmp_path / "kept")
    empty = replace(record("memory", "polynorm"), measurements=(Measurement("saved_bytes", ()),))
    store.append(folder, [empty])
    last = store.load(folder).records[-1]
    assert (last.trial, last.status, last.measurements) == (empty.trial, Status.FAILED, ())
    assert last.error.startswith("what was measured cannot be kept: measurements[0].values: [] is empty")


def test_a_part_of_a_report_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compose(RUN)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(section_of_losses, "section", broken)
    document = compose(RUN)
    assert "on losses could not be made (ZeroDivisionError: planted); the rest stands" in " ".join(document.notes)
    assert "pretrain-val-loss" in {t.key for t in whole.tables} - {t.key for t in document.tables}
    assert document.findings == whole.findings
    assert section_of_losses in composing.SECTIONS


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_time_of_nothing_is_not_comparable(value: float, tmp_path: Path) -> None:
    sound = times({"relu": 1.0, "swiglu": 1.5})
    first = sound[0]
    stopped = replace(first, measurements=tuple(replace(m, values=(value, *m.values[1:])) for m in first.measurements))
    of = suite(gate=[{"metric": "total_time", "tolerance": 0.05}])
    before, after = (save(run(r, of), tmp_path / n) for r, n in ((sound, "before"), ([stopped, *sound[1:]], "after")))
    assert said("report", after)[0] == 0
    for one, other in ((before, after), (after, before)):
        code, text = said("gate", one, "--baseline", other)
        assert (code, "a time of 0" in text) == (4, True)


PRECIOUS = "precious"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the user's, to which links in a run lead."""
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "file"
    file.write_text(PRECIOUS)
    return file


def test_a_report_overwrites_no_file_that_a_link_leads_to(precious: Path) -> None:
    folder = save(RUN, Path("given"))
    for suffix in ("html", "md", "json", "csv.gz"):
        (folder / f"report.{suffix}").symlink_to(precious)
        (folder / f".report.{suffix}.{os.getpid()}").symlink_to(precious)
    assert said("report", folder)[0] == 0
    assert precious.read_text() == PRECIOUS
    assert not (folder / "report.html").is_symlink()
    assert "<html" in (folder / "report.html").read_text()


def test_no_link_of_a_run_is_followed(precious: Path) -> None:
    """Neither when it is read, nor when it is gone on with, nor when it is merged."""
    made = Artifact(f"{TRACE_FOLDER}/x.gz", b"data")
    folder = save(run([replace(r, artifacts=(Artifact(made.name),)) for r in RUN.records]), Path("given"))
    for name in (TRACE_FOLDER, CHECKPOINT_FOLDER, FOLDER):
        (folder / name).symlink_to(precious.parent)
    (precious.parent / "run.json").write_text("{}")
    (precious.parent / "x.model.pt").write_text("model")
    before = sorted(precious.parent.iterdir())
    with pytest.raises(ResultsError, match="leads out of"):
        store.append(folder, [replace(RUN.records[0], artifacts=(made,))])
    with pytest.raises(ResultsError, match="leads out of"):
        merge([folder], Path("merged"))
    (precious.parent / "part").mkdir()
    (precious.parent / "part" / RUN_FILE).write_text("{}")
    with pytest.raises(ResultsError, match="leads out of"):
        leftovers(folder)
    for command in (["trace", "given"], ["eval", "given", "--tasks", "x"]):
        assert said(*command)[0] == 2
    assert sorted(p for p in precious.parent.iterdir() if p.name != "part") == before
    assert precious.read_text() == PRECIOUS


@pytest.mark.parametrize("name", [RUN_FILE, RECORDS_FILE])
@pytest.mark.parametrize("kind", ["link", "circle", "pipe", "folder"])
def test_what_only_looks_like_a_file_of_a_run_is_refused(name: str, kind: str, precious: Path) -> None:
    file = save(RUN, Path("given")) / name
    file.rename(precious.parent / name)
    if kind == "link":
        file.symlink_to(precious.parent / name)
    elif kind == "circle":
        file.symlink_to(file.absolute())
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises(ResultsError):
        store.load(Path("given"))
    if kind == "link" and name == RECORDS_FILE:
        before = (precious.parent / name).read_bytes()
        with pytest.raises(ResultsError, match="cannot be opened"):
            store.append(Path("given"), RUN.records)
        assert (precious.parent / name).read_bytes() == before


def test_inside_is_what_no_link_leads_out_of(tmp_path: Path) -> None:
    (tmp_path / "run" / "a").mkdir(parents=True)
    (tmp_path / "run" / "in").symlink_to(tmp_path / "run" / "a")
    (tmp_path / "linked").symlink_to(tmp_path / "run")
    for name in ("a", "in", "a/new", "in/new", "new"):
        assert inside(tmp_path / "linked", name) == tmp_path / "linked" / name
    for name in ("..", "../x", "a/../../x", "/etc/passwd"):
        with pytest.raises(ResultsError, match="leads out of"):
            inside(tmp_path / "run", name)


def test_markup_of_a_run_stays_text() -> None:
    evil = "<script>alert(1)</script> <img src=x> [click](javascript:x) a | b\n# head"
    of = suite(description=evil)
    folder = save(run([replace(r, error=evil) for r in RUN.records], of), Path("given"))
    code, text = said("report", folder, "--format", "markdown")
    assert code == 0
    assert "<script" not in text and "<img" not in text and "](javascript" not in text and "\n# head" not in text
    assert "&lt;script>alert(1)" in text


def test_a_report_that_cannot_be_written_is_still_printed() -> None:
    folder = save(RUN, Path("given"))
    for suffix in ("html", "md", "json", "csv.gz"):
        (folder / f"report.{suffix}" / "x").mkdir(parents=True)
    code, text = said("report", folder)
    assert code == 0
    assert "report.html cannot be written: Is a directory, so there is no report.html" in text
    assert "no report was written; --out DIR writes it elsewhere" in text and "report: " not in text
    assert said("report", folder, "--out", folder)[0] == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_an_encoding_cannot_say_is_typed_or_escaped(encoding: str, tmp_path: Path) -> None:
    folder = save(run([replace(r, error="½ \U0001f680 −0.5 µs") for r in RUN.records]), tmp_path / "given")
    where = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "polybench"]
    for arguments, code in ((["report", str(folder)], 0), (["report", os.fsdecode(b"\xff\xc3\xa9")], 2)):
        done = subprocess.run([*command, *arguments], capture_output=True, env=where, cwd=tmp_path, check=False)
        assert done.returncode == code, done.stderr
        (done.stdout + done.stderr).decode(encoding)
    assert b"\\udcff" in done.stderr


def test_a_sign_that_an_encoding_lacks_is_typed_and_any_other_character_escaped() -> None:
    assert "½−0.5 µs ≤ 10⁻¹²\ud800".encode("ascii", PLAIN) == rb"\xbd-0.5 us <= 10^-12\ud800"
    assert "½−0.5 µs ≤ 2\ud800".encode("utf-8", PLAIN).decode() == "½−0.5 µs ≤ 2\\ud800"


def test_several_runs_are_one_document(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(RUN, tmp_path / "toy" / name)
    runs = [tmp_path / "toy" / "one", tmp_path / "toy" / "two"]
    data = json.loads(said("report", *runs, "--format", "json")[1])
    assert data["title"] == "toy/one, toy/two"
    keys = [t["key"] for t in data["tables"]]
    assert len(keys) == len(set(keys)) and {k[:7] for k in keys} == {"toy-one", "toy-two"}
    lines = said("report", *runs, "--format", "csv")[1].splitlines()
    assert [line.partition(",")[0] for line in lines] == ["run", *["toy/one"] * 6, *["toy/two"] * 6]
    html = said("report", *runs, "--format", "html")[1]
    assert html.count("<!doctype html>") == html.lower().count("<html") == 1
    assert said("report", runs[0], runs[0], "--format", "csv")[1].count("toy/one (2)") == 6


def test_a_run_is_not_held_against_itself(tmp_path: Path) -> None:
    folder = save(run(exact({"relu": 1, "swiglu": 2}), suite(gate=[{"metric": "saved_bytes"}])), tmp_path / "one")
    (tmp_path / "link").symlink_to(folder)
    for other in (folder, tmp_path / "link"):
        code, text = said("gate", folder, "--baseline", other)
        assert (code, "both the run and the baseline" in text) == (2, True)
    assert said("baseline", "save", folder, "--name", tmp_path / "kept")[0] == 0
    code, text = said("gate", folder, "--baseline", tmp_path / "kept")
    assert (code, "kept from this very run" in text) == (0, True)
