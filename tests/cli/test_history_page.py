"""`polybench history`: one page of all that is kept of a suite, whatever lies beside it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import exact, losses, run, save, save_baseline, suite, times
from commands import ROOT, Capture, call
from htmltree import Reader

from polybench.cli import main
from polybench.run import store

BYTES = {"relu": 4096.0, "swiglu": 8192.0, "polynorm": 4096.0}
TIMES = {"relu": 0.5, "swiglu": 1.0, "polynorm": 2.0}
LOSSES = {"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.41, 3.1], "polynorm": [2.7, 3.21, 2.9]}
OF = suite(gate=[{"metric": "saved_bytes"}])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


def kept(number: int, relu: float = 4096.0, path: str = "", **environment: str) -> Path:
    """A run of one day."""
    started = f"2026-01-{number:02}T08:00:00+00:00"
    records = [*exact({**BYTES, "relu": relu}), *times(TIMES, launches=1), *losses(LOSSES)]
    one = run([replace(r, started_at=started) for r in records], OF, **environment)
    return save(one, Path(path or f"results/toy/day-{number}"), started_at=started, filter=None)


def test_a_page_tells_what_changed_and_needs_no_network(capsys: Capture) -> None:
    kept(1)
    kept(2)
    kept(3, relu=5000.0, code="beef")
    assert call("history") == 0
    told = capsys.readouterr().out
    assert (
        "saved_bytes of relu in memory: 4,096 B became 5,000 B in session 3, 2026-01-03, with code c0de → beef." in told
    )
    assert told.endswith("history: results/toy/history.html\n")
    text = Path("results/toy/history.html").read_text(encoding="utf-8")
    page = Reader(text).top
    assert len(list(page.all("svg"))) == 1 + 2 + 3 and "http-equiv" not in text and "<link" not in text
    headings = [h.text for h in page.all("h3")]
    assert "saved_bytes" in headings and "Changes" in headings and "Sessions" in headings


def test_sessions_that_show_no_change_say_so_and_a_lone_one_that_it_has_no_other(capsys: Capture) -> None:
    kept(1)
    assert call("history", "--table", "sessions") == 0 and call("history") == 0
    assert "What changed [not resolved]: There is one session" in capsys.readouterr().out
    kept(2)
    assert call("history") == 0
    told = capsys.readouterr().out
    assert "2 sessions, 2026-01-01 to 2026-01-02." in told
    assert "What changed: Nothing among counts and losses in 2 sessions." in told
    assert "[not resolved]: Times are judged once a machine has more than 5 sessions" in told


def test_every_format_and_table_is_printed(capsys: Capture) -> None:
    for number in (1, 2):
        kept(number, relu=4096.0 + number)
    assert call("history", "toy", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [t["key"] for t in data["tables"]] == ["changes", "saved_bytes", "total_time", "val_loss", "sessions"]
    assert call("history", "toy", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 2 * (3 + 2 + 3) and {r["session"] for r in rows} == {"1", "2"}
    assert all(float(r["low"]) <= float(r["value"]) <= float(r["high"]) for r in rows)
    assert call("history", "toy", "--format", "markdown") == 0
    assert "| 2 | 2026-01-02 | results/toy/day-2 | run | A |" in capsys.readouterr().out
    assert call("history", "--table", "sessions") == 0
    assert "Changes" not in capsys.readouterr().out
    assert call("history", "--metric", "val_loss", "--format", "json") == 0
    assert [t["key"] for t in json.loads(capsys.readouterr().out)["tables"]] == ["val_loss", "sessions"]
    assert not list(Path("results").rglob("history.*"))
    assert call("history", "--out", "here", "--format", "markdown", "--format", "json") == 0
    assert sorted(p.name for p in Path("here").iterdir()) == ["history.json", "history.md"]


def test_published_runs_and_baselines_are_told_and_none_twice(capsys: Capture) -> None:
    kept(1, path="results/published/toy")
    started = store.load(kept(2)).records[0].started_at
    gated = run([replace(r, started_at=started) for r in exact(BYTES)], OF)
    save(gated, Path("results/baselines/ours"), started_at=started)
    kept(3, path="results/baselines/other/toy-machine")
    save(run(exact(BYTES), OF), Path("results/toy/day-2/shards/1"), shard="1/2")
    kept(5, path="results/other/5")
    header = json.loads(Path("results/other/5/run.json").read_text(encoding="utf-8"))
    header["suite"]["suite"] = "other"
    Path("results/other/5/run.json").write_text(json.dumps(header), encoding="utf-8")
    assert call("history", "toy", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    (sessions,) = (t for t in data["tables"] if t["key"] == "sessions")
    assert {row[2]["text"]: row[3]["text"] for row in sessions["rows"]} == {
        "results/published/toy": "published",
        "results/toy/day-2": "run",
        "results/baselines/other/toy-machine": "baseline",
    }
    assert any("results/baselines/ours, whose trials are all in results/toy/day-2" in note for note in data["notes"])


def test_the_stored_sessions_of_a_baseline_are_shown_beside_the_runs(capsys: Capture) -> None:
    one = run([*exact(BYTES), *times(TIMES)], suite(gate=[{"metric": "saved_bytes"}, {"metric": "total_time"}]))
    folder = save_baseline(one, Path("results/baselines/ours"), sessions=7)
    header = folder / "run.json"  # whose counts are of the first session's run
    header.write_text(header.read_text(encoding="utf-8").replace('"2025-12-01"', '"2025-12-01T00:00:00+00:00"'))
    machine = next(p for p in folder.iterdir() if p.is_dir())
    (machine / "2025-12-07T00-00-00.json").write_text("{", encoding="utf-8")
    kept(2)
    assert call("history", "toy", "--metric", "total_time", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    (times_of,) = (t for t in data["tables"] if t["key"] == "total_time")
    assert [[e["text"] for e in row[:5]] for row in times_of["rows"]] == [
        ["relu", "speed", "A", "1", "7"],
        ["polynorm", "speed", "A", "1", "7"],
    ]
    (sessions,) = (t for t in data["tables"] if t["key"] == "sessions")
    assert [row[3]["text"] for row in sessions["rows"]] == ["run", *["baseline"] * 6]
    assert any(note.startswith("Left out: ") and "2025-12-07" in note for note in data["notes"])


def test_what_cannot_be_read_is_a_note_and_the_rest_stands(capsys: Capture) -> None:
    kept(1)
    damaged = kept(2) / "records.jsonl"
    damaged.write_text("{}\n" + damaged.read_text(encoding="utf-8"), encoding="utf-8")
    torn = Path("results/toy/torn")
    torn.mkdir()
    (torn / "run.json").write_text("{", encoding="utf-8")
    save(run([], OF), Path("results/toy/empty"), filter=None)
    assert call("history", "toy", "--format", "json") == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert sum(note.startswith("Left out: ") for note in notes) == 3
    assert any("day-2/records.jsonl:1" in note for note in notes) and any("torn/run.json" in note for note in notes)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tyo",), 5, "did you mean 'toy'?"),
        (("--metric", "val_los"), 5, "did you mean 'val_loss'?"),
        (("--table", "session"), 2, "did you mean 'sessions'?"),
        (("--table", "sessions", "--out", "x"), 2, "leave --out away"),
        (("--format", "htm"), 2, "did you mean 'html'?"),
        (("missing.yaml",), 2, "missing.yaml"),
        (("--out", "results/toy/day-1/run.json"), 2, "choose another folder"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], code: int, said: str, capsys: Capture) -> None:
    kept(1)
    assert call("history", *arguments) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_without_any_run_it_says_how_to_make_one(capsys: Capture) -> None:
    assert call("history") == 5
    assert "start with `polybench run" in capsys.readouterr().err


def test_the_runs_of_this_repository_have_a_history(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(ROOT)
    assert call("history", "suites/memory.yaml", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["title"] == "memory: history" and not data["figures"]  # counts at rest
    assert "none before it" in data["findings"][0]["text"]
    (sessions,) = (t for t in data["tables"] if t["key"] == "sessions")
    assert "results/published/memory" in [row[2]["text"] for row in sessions["rows"]]
