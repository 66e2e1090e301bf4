"""How a command that judges ends: what it prints, what it writes, and its code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from judgements import ALL, judged

from polybench.cli.verdicts import conclude
from polybench.compare.judged import Judged
from polybench.errors import PolybenchError, ResultsError, UsageError
from polybench.registry import Loaded, outlets


def concluded(one: Judged, *write: str, as_json: bool = False) -> int:
    with pytest.raises(typer.Exit) as leave:
        conclude(one, as_json, write)
    return leave.value.exit_code


def test_all_outlets_are_written_and_the_last_line_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [f"{name}={tmp_path}/deep/{name}" for name in outlets.names()]
    assert concluded(ALL, *targets) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "the reason" and "::error " in out and not err
    assert {p.name for p in (tmp_path / "deep").iterdir()} == set(outlets.names())
    assert concluded(ALL, *targets, as_json=True) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 3 and "::error " in err


def test_without_a_file_the_summary_of_the_job_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert concluded(judged(), "github") == 0
    assert summary.read_text(encoding="utf-8").startswith("before\n\n### polybench gate toy: passed\n")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (["junitt=x"], "unknown outlet 'junitt', did you mean 'junit'?"),
        (["=x"], "say FORMAT=FILE"),
        (["junit"], "say where to, such as junit=verdicts.xml"),
        (["junit="], "say where to"),
        (["github"], "or set $GITHUB_STEP_SUMMARY, as GitHub does"),
        (["junit=."], "is no plain file"),
        (["junit=link"], "is no plain file"),
        (["junit=a", "markdown=./a"], "junit and markdown both go to a"),
    ],
)
def test_a_wrong_outlet_is_said_at_once(
    write: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    Path("link").symlink_to("elsewhere")
    with pytest.raises(PolybenchError, match=re.escape(words)):
        conclude(ALL, False, write)
    assert not capsys.readouterr().out and [p.name for p in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize(
    ("text", "announces", "told"),
    [(None, None, "it returns NoneType, not str"), (b"", None, "bytes"), ("", lambda judged: None, "not iterable")],
    ids=["text", "bytes", "lines"],
)
def test_an_outlet_that_returns_nothing_is_named(
    text: Any, announces: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Loaded("theirs", lambda judged, before: text, {"announces": announces} if announces else {})
    monkeypatch.setattr(outlets, "load", lambda name: theirs)
    with pytest.raises(ResultsError, match=rf"^verdicts cannot be made into theirs .*{told}"):
        conclude(ALL, False, [f"theirs={tmp_path}/v"])
    with pytest.raises(UsageError, match=r"^--write theirs: say where to, such as theirs=verdicts$"):
        conclude(ALL, False, ["theirs"])
    assert not list(tmp_path.iterdir())


def test_one_outlet_that_breaks_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="cannot be made"):
        conclude(ALL, False, [f"junit={tmp_path}/file/x.xml", f"markdown={tmp_path}/v.md"])
    assert (tmp_path / "v.md").exists()
