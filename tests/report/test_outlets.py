"""Verdicts where people read them: every outlet says the same, and is read back by what it is made for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judgements import ALL, CHANGED, CODES, HOSTILE, HOSTILE_ONE, LOSS, OUTCOMES, TIME, judged, verdict
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt

from polybench.compare.judged import CLAIMS, Judged
from polybench.registry import outlets
from polybench.report.outlets.comment import comment
from polybench.report.outlets.github import MOST_LINES, github, marks
from polybench.report.outlets.junit import junit
from polybench.report.outlets.markdown import MOST_ROWS, page, text

LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SUITE = """\
suite: toy
activations: [relu, swiglu]
reference: swiglu
benchmarks:
  - {name: memory, kind: memory}
claims:
  - {metric: val_loss, subject: relu, better_than: swiglu}
gate:
  - {metric: saved_bytes, tolerance: 0}

  - {metric: total_time, tolerance: 5%, where: {level: block}}
"""


@pytest.mark.parametrize("name", outlets.names())
@pytest.mark.parametrize(
    "one", [ALL, CHANGED, HOSTILE_ONE, judged(), judged(code=3)], ids=["all", "changed", "hostile", "no", "3"]
)
def test_an_outlet_makes_text_of_any_verdicts_and_the_same_twice(name: str, one: Judged) -> None:
    outlet = outlets.load(name).object
    made = outlet(one, "")
    assert isinstance(made, str) and made.endswith("\n")
    assert outlet(one, "") == made


# ---- JUnit


def facts_of_jenkins(root: ET.Element) -> None:
    """The schema that Jenkins' xUnit plugin checks, junit-10.xsd: what may stand in what, and what must."""
    attributes = {
        "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id",
                      "package", "disabled", "file", "url", "version", "log", "group"},
        "testcase": {"name", "classname", "time", "assertions", "status", "class", "file", "line", "group", "url"},
        "failure": {"type", "message"}, "error": {"type", "message"}, "skipped": {"type", "message"},
        "system-out": set(),
    }  # fmt: skip
    children = {
        "testsuites": {"testsuite"}, "testsuite": {"testcase", "properties", "system-out", "system-err"},
        "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
    }  # fmt: skip
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= attributes[element.tag]
        assert {child.tag for child in element} <= children.get(element.tag, set())
    assert all(suite.get("name") and int(suite.get("tests", "")) >= 1 for suite in root)
    assert all(case.get("name") for case in root.iter("testcase"))


@LAWS
@given(
    st.lists(st.sampled_from(OUTCOMES), max_size=5),
    st.sampled_from([None, 0, 1, 3, 5]),
    st.sampled_from(["gate", "compare", CLAIMS]),
)
def test_a_build_server_sees_each_verdict_once_and_is_red_when_the_build_is(
    outcomes: list[Any], code: int | None, command: str
) -> None:
    one = judged(*(verdict(o, f"memory/{i}") for i, o in enumerate(outcomes)), code=code, command=command)
    made = junit(one, "")
    facts_of_jenkins(ET.fromstring(made))
    read = JUnitXml.fromstring(made.encode())
    found = {case.name: type(case.result[0]) if case.result else None for suite in read for case in suite}
    wanted = {"fail": Failure, "missing": Failure, "broken": Error, "pass": None, "improved": None}
    assert {n: found[n] for n in found if n != "exit code"} == {
        f"memory/{i}": wanted.get(o, Skipped) for i, o in enumerate(outcomes)
    }
    kinds = list(found.values())
    assert (read.tests, read.failures, read.errors) == (len(kinds), kinds.count(Failure), kinds.count(Error))
    assert sum(suite.skipped for suite in read) == kinds.count(Skipped)
    if one.code in (1, 3, 5):
        assert (Failure if one.code == 1 else Error) in kinds
    if one.code == 4:
        assert Skipped in kinds


def test_what_xml_cannot_hold_is_escaped_and_read_back() -> None:
    (suite,) = JUnitXml.fromstring(junit(HOSTILE_ONE, "").encode())
    (case,) = suite
    (result,) = case.result
    assert "@you #1 `c` $d$" in result.message and r"\x1b[31m" in result.message and r"\ud800" in result.message
    assert case.name == HOSTILE.replace("\x1b", r"\x1b").replace("\ud800", r"\ud800")


# ---- GitHub


def command(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner reads it."""
    found = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line)
    assert found, line

    def plain(value: str, *more: tuple[str, str]) -> str:
        for code, sign in (*more, ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
            value = value.replace(code, sign)
        return value

    given = dict(pair.split("=", 1) for pair in found[2].split(","))
    return found[1], {k: plain(v, ("%3A", ":"), ("%2C", ",")) for k, v in given.items()}, plain(found[3])


def test_an_annotation_stands_at_the_line_of_its_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,b:c.yaml").write_text(SUITE, encoding="utf-8")
    verdicts = (
        verdict("inconclusive", "speed/relu", TIME, rule="total_time where level=block"),
        verdict("fail"), verdict("pass"), verdict("broken", rule="gone"),
    )  # fmt: skip
    read = [command(line) for line in marks(judged(*verdicts, source="a,b:c.yaml"))]
    assert [(kind, given["file"], given.get("line")) for kind, given, _ in read] == [
        ("error", "a,b:c.yaml", "8"), ("error", "a,b:c.yaml", "9"), ("warning", "a,b:c.yaml", "11"),
    ]  # fmt: skip
    assert "fail: memory/relu saved_bytes 100 -> 101 B: because" in read[1][2]
    claim = verdict("fail", "pretrain/relu", LOSS, rule="val_loss: relu < swiglu")
    (only,) = marks(judged(claim, command=CLAIMS, source="a,b:c.yaml"))
    assert command(only)[1]["line"] == "7" and "refuted: " in only


def test_the_file_of_an_annotation_is_called_from_the_root_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "s.yaml").write_text(SUITE, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "sub")
    for source in ("s.yaml", str(tmp_path / "sub" / "s.yaml")):
        monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
        assert command(marks(judged(verdict("fail"), source=source))[0])[1]["file"] == "sub/s.yaml"
        monkeypatch.delenv("GITHUB_WORKSPACE")
        assert command(marks(judged(verdict("fail"), source=source))[0])[1]["file"] == "s.yaml"


@pytest.mark.parametrize(
    ("content", "told"), [(None, None), ("suite: [", "s.yaml"), ("[]", "s.yaml"), ("gate: 3", "s.yaml"), ("", "s.yaml")]
)
def test_a_suite_that_is_gone_or_changed_costs_only_the_line(
    content: str | None, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("s.yaml").write_text(content, encoding="utf-8")
    (line,) = marks(judged(verdict("fail"), source="s.yaml"))
    assert command(line)[1].get("file") == told


@LAWS
@given(st.lists(st.sampled_from(OUTCOMES), max_size=30), st.sampled_from([None, 1, 3]))
def test_there_are_at_most_ten_annotations_and_none_is_lost_in_silence(outcomes: list[Any], code: int | None) -> None:
    one = judged(*(verdict(o, str(i)) for i, o in enumerate(outcomes)), code=code)
    read = [command(line) for line in marks(one)]
    told = [o for o in outcomes if o in CODES]
    count = len(told) + one.beyond
    assert len(read) == min(count, MOST_LINES)
    if count > MOST_LINES:
        assert f"and {count - MOST_LINES + 1} more" in read[-1][2]
    if one.code in (1, 3):
        assert read[0][0] == "error"


def test_no_text_becomes_a_workflow_command_of_its_own() -> None:
    (line,) = marks(HOSTILE_ONE)
    assert "\n" not in line and "\r" not in line
    kind, _, message = command(line)
    assert kind == "error" and "\n::error::x %0A" in message


# ---- Markdown


MARKDOWN = MarkdownIt("commonmark").enable("table")


def rendered(source: str) -> str:
    return str(MARKDOWN.render(source))


def test_a_page_is_a_table_of_what_is_not_a_plain_pass() -> None:
    html = rendered(page(ALL))
    assert html.count("<tr>") == len(OUTCOMES)  # with a head, without the pass
    assert "<h3>polybench gate toy: broken</h3>" in html and "<p>the reason</p>" in html
    assert f"<code>saved_bytes</code>: 2 of {len(OUTCOMES)} cells pass" in html
    words = re.findall(r"<td>\S+ (.*?)</td>\n<td><code>", html)
    assert words == [ALL.word(v) for v in ALL.worst_first if v.outcome != "pass"]
    claims = rendered(page(judged(verdict("pass"), verdict("fail"), verdict("inconclusive"), command=CLAIMS)))
    assert all(word in claims for word in ("supported", "refuted", "not resolved"))


def test_nothing_in_a_label_or_reason_is_markup() -> None:
    html = rendered(page(HOSTILE_ONE))
    assert html.count("<tr>") == 2 and html.count("<td>") == 5
    assert "<b>" not in html and "<em>" not in html and "<a" not in html
    assert not re.search(r"@you|#1\b", html), "a name that would be called"


@LAWS
@given(st.text(max_size=30))
def test_text_shows_what_it_was_given(words: str) -> None:
    html = re.sub(r"<!-- -->", "", rendered(f"x{text(words)}x"))
    shown = html.removeprefix("<p>").removesuffix("</p>\n")
    for name, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        shown = shown.replace(name, sign)
    wanted = " ".join(words.split())
    assert shown == f"x{wanted.replace(chr(0), chr(0xFFFD))}x"


def test_a_page_of_many_cells_fits_into_a_comment() -> None:
    many = judged(*(verdict("fail", f"{i}{'l' * 999}", reason="r" * 9999) for i in range(500)))
    made = comment(many, "")
    assert len(made) < 65_536
    assert f"And {500 - MOST_ROWS} more." in made


def test_a_comment_has_one_part_a_suite_which_is_replaced() -> None:
    first, second = judged(verdict("fail")), judged(verdict("pass"))
    other = Judged("compare", "speed", (), 0, "compared")
    once = comment(first, "")
    assert once.startswith("<!-- polybench: gate toy -->\n")
    assert comment(first, once) == once
    both = comment(other, once)
    assert comment(second, both) == comment(other, comment(second, ""))
    assert comment(judged(), "what somebody wrote\n").startswith("what somebody wrote\n")


def test_the_steps_of_a_job_share_a_summary() -> None:
    once = github(ALL, "")
    assert once == page(ALL)
    assert github(CHANGED, once) == f"{once}\n{page(CHANGED)}"
