"""What a terminal shows fits its width, breaks between words only, and leaves nothing out that a pipe gets."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from builders import exact, losses, record, run, save, times
from commands import Capture, call, python
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.cli import main
from polybench.document import Column, Document, Entry, Finding, Table
from polybench.record import Status
from polybench.report.compose import compose
from polybench.report.formats.fitting import lines, wrapped
from polybench.report.formats.terminal import brief, page
from polybench.run.store import load

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
HARDEST = ("memory", "scaling-cpu")  # seven columns of names, and the most columns of values
WIDTHS = (60, 61, 72, 80, 100, 120, 160, 200)
INDENT = 4
WORD = st.text("abc_[],.", min_size=1, max_size=22)
WORDS = st.lists(WORD, min_size=1, max_size=5).map(" ".join)


@cache
def published(name: str) -> Document:
    return compose(load(PUBLISHED / name))


def said(table: Table, width: int | None) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines(table, width)]


def pieces(title: str) -> set[str]:
    """The words of a header and what they may be broken into, behind underscores."""
    found = set()
    for word in title.split():
        parts = re.split(r"(?<=_)(?=.)", word)
        found |= {"".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
    return found


def check(table: Table, width: int) -> None:
    told = said(table, width)
    words = {w for row in table.rows for entry in row for w in entry.shown.split()}
    words |= {piece for column in table.columns for piece in pieces(column.title)}
    for line in told:
        assert len(line) <= width or max(map(len, line.split())) > width - INDENT, line
        for word in line.split():
            assert word in words or word.rstrip(",:") in {w.rstrip(",:") for w in words}, word
    whole = " ".join(" ".join(told).split())
    for row in table.rows:
        for entry in row:
            assert " ".join(entry.shown.split()) in whole


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", HARDEST)
def test_tables_of_published_runs_fit_and_break_between_words(name: str, width: int) -> None:
    for table in published(name).tables:
        check(table, width)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.lists(st.builds(Column, name=WORDS, unit=st.just(""), numeric=st.booleans()), min_size=1))
    row = st.tuples(*[st.builds(Entry, WORDS) for _ in columns])
    return Table("t", "t", "", tuple(columns), tuple(draw(st.lists(row, min_size=1, max_size=3))))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(tables(), st.integers(60, 200))
def test_any_table_fits_and_breaks_between_words(table: Table, width: int) -> None:
    check(table, width)


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(tables())
def test_a_pipe_gets_a_line_a_row(table: Table) -> None:
    assert len(said(table, None)) >= len(table.rows) + 1
    for row in table.rows:
        assert any(all(e.shown in line for e in row) for line in said(table, None))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_short_report_fits_and_says_how_many_tables_there_are(width: int) -> None:
    document = published("scaling-cpu")
    short = brief(document, ["2 failed, first a/b: " + "because " * 40], "{rest}")
    told = ["".join(span.text for span in line) for line in page(short, width)]
    assert max(map(len, told)) <= width
    assert told[-1] == f"{len(document.tables) - 1} more tables"
    assert "Did not end well:" in told
    assert [t.key for t in short.tables] == ["overview"] and short.findings == document.findings
    if width >= 120:
        assert len(told) <= 80  # two screens of forty lines


def test_a_number_and_its_interval_stay_on_one_line() -> None:
    text = "is not resolved from relu +0.19 [−0.19, +0.58], gelu 1.02 [0.9, 1.1] (as a ratio to it)"
    for width in range(24, 100):
        told = wrapped(text, width)
        assert " ".join(told) == text
        assert all(whole in "\n".join(told) for whole in ("+0.19 [−0.19, +0.58],", "1.02 [0.9, 1.1]"))
    (line, *rest) = wrapped("a [b, c] d", 6)
    assert line == "a [b," and rest  # words in brackets are words


def test_the_first_rows_of_what_is_unstable_are_named() -> None:
    columns = (Column("activation", numeric=False), Column("total_time"))
    rows = tuple((Entry(f"a{i}"), Entry("1", outcome="unstable" if i != 3 else "same")) for i in range(20))
    document = Document("t", "", (Finding("q", "x", True),), (Table("speed", "", "", columns, rows),), (), ())
    (note,) = brief(document, [], "").notes
    assert note.splitlines()[:2] == ["Unstable:", "  speed: a0: total_time"]
    assert "a3" not in note and note.splitlines()[-1] == "  and 13 more"


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of three kinds with a trial that failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)
    failed = record("pretrain", "polynorm", status=Status.FAILED, error="no room [really]")
    values = {"relu": [1.0, 2.0], "swiglu": [2.0, 3.5]}
    records = [*exact({"relu": 1, "swiglu": 2}), *times({"relu": 1.0, "swiglu": 1.5}), *losses(values), failed]
    return save(run(records), Path("results/toy/one"))


def on_terminal(*arguments: str | Path, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert call(*arguments) == 0
    return capsys.readouterr().out


def test_a_terminal_gets_the_answer_and_a_pipe_everything(
    one: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert call("report", "--format", "terminal") == 0
    whole = capsys.readouterr().out
    assert not list(one.glob("report*"))
    keys = [t.key for t in compose(load(one)).tables]
    short = on_terminal("report", columns=80, monkeypatch=monkeypatch, capsys=capsys)
    assert "pretrain/polynorm/seed=0: no room [really]" in " ".join(short.split())
    assert f"{len(keys) - 1} more tables: polybench report --table NAME" in short
    assert short.splitlines()[-1] == f"report: {one / 'report.html'}"
    assert {p.name for p in one.glob("report*")} == {"report.html", "report.md", "report.json", "report.csv.gz"}
    same = on_terminal("report", "--format", "terminal", columns=80, monkeypatch=monkeypatch, capsys=capsys)
    assert short.startswith(same)
    for line in short.splitlines():
        assert len(line) <= 80
    every = on_terminal("report", "--all", "--format", "terminal", columns=9999, monkeypatch=monkeypatch, capsys=capsys)
    assert every == whole and "\x1b" not in every


@pytest.mark.parametrize("columns", [0, -1])
@pytest.mark.usefixtures("one")
def test_a_terminal_of_no_width_gets_the_usual_one(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    usual, none = (
        on_terminal("report", "--format", "terminal", columns=each, monkeypatch=monkeypatch, capsys=capsys)
        for each in (80, columns)
    )
    assert none == usual


def test_tables_are_shown_by_name_in_the_order_asked_for(one: Path, capsys: Capture) -> None:
    assert call("report", "--table", "speed", "--table", "memory") == 0
    told = capsys.readouterr().out
    assert 0 < told.index("\nspeed  ") < told.index("\nmemory  ") and "Overview" not in told
    assert call("report", "--table", "memory", "--format", "markdown") == 0
    assert "## memory" in capsys.readouterr().out
    assert not list(one.glob("report*"))
    assert call("report", "--table", "memroy") == 2
    err = capsys.readouterr().err
    assert "did you mean 'memory'?" in err and "It has overview, " in err
    assert call("report", "--table", "memory", "--out", "x") == 2


@pytest.mark.parametrize("runs", ["", "elsewhere "])
def test_completion_knows_the_tables_of_the_last_report_and_loads_nothing_heavy(one: Path, runs: str) -> None:
    if runs:
        one = one.rename(runs.strip())
    names = ["memory", "speed", "speed-limits"]
    (one / "report.json").write_text(json.dumps({"tables": [{"key": key} for key in names]}), encoding="utf-8")
    words = f"polybench report {runs}--table s"
    variables = {"_POLYBENCH_COMPLETE": "complete_bash", "COMP_CWORD": str(words.count(" ")), "COMP_WORDS": words}
    code = f"""
import os, sys
os.chdir({str(Path.cwd())!r})
os.environ |= {variables}
sys.argv = ["polybench"]
from polybench.cli.main import app
try:
    app(prog_name="polybench")
except SystemExit:
    pass
print([m for m in ("torch", "pandas", "numpy", "matplotlib", "scipy") if m in sys.modules], file=sys.stderr)
"""
    ran = python("-c", code)
    assert (ran.stdout.split(), ran.stderr) == (["speed", "speed-limits"], "[]\n")
