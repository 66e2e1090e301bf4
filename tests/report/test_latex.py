"""The report for a paper: every number is a command, every table is made of them, and TeX takes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from builders import exact, losses, record, run, suite, times
from hypothesis import given, settings
from hypothesis import strategies as st
from tex import commands_of, typeset

from polybench.document import Column, Document, Entry, Table
from polybench.record import Status
from polybench.report.compose import compose
from polybench.report.formats.latex import latex
from polybench.report.formats.tex import names_of, plain, unit_of

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)
LOSSES = {"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.41, 3.1], "polynorm": [2.7, 3.22, 2.91]}
HOSTILE = "50 % of {it} & $5_~^\\ #1 ½ ł é"
RECORDS = [
    *exact({"relu": 4096, "swiglu": 8192, "polynorm": 4096}),
    record(
        "memory", "polynorm", status=Status.OUT_OF_MEMORY, error="50 % of {it} & $5_~^\\ #1 ½ ł é", backend="checkpoint"
    ),
    *times({"relu": 0.5, "swiglu": 1.0, "polynorm": 1.001}),
    *losses(LOSSES),
]
DOCUMENT = compose(run(RECORDS, suite(description="What it answers.")))
CELL = re.compile(r"\\(?:polybenchnumber|polybenchquantity)\{([^}]*)\}(?:\{[^}]*\})?")


def shown(found: dict[str, str], cell: str) -> str:
    """A field of a table as a reader sees it, its commands put in."""
    text = re.sub(r"\\([A-Z][A-Za-z]+)\{\}", lambda name: found[name[1]], cell)
    text = CELL.sub(lambda number: number[1], text).replace(r"\ensuremath{<}\,", "< ")
    text = re.sub(r"\\textbf\{(.*)\}", r"\1", text).replace(r"\ensuremath{-}", "−").replace(r"\_", "_")
    return text.replace(r"\ensuremath{-\infty}", "−∞").replace(r"\ensuremath{\infty}", "∞").replace("--", "–")


def as_digits(text: str) -> str:
    """Numbers as siunitx takes them, which groups digits and sets signs itself."""
    return re.sub(r"−(?=[\d∞])", "-", re.sub(r"(?<=\d),(?=\d)", "", text))


def test_a_table_says_what_the_report_says_by_commands_alone() -> None:
    source = latex(DOCUMENT)
    bodies = re.findall(r"\\midrule\n(.*?)\n\\bottomrule", source, re.S)
    assert len(bodies) == len(DOCUMENT.tables) > 2
    found, numbers = commands_of(source), 0
    for table, body in zip(DOCUMENT.tables, bodies, strict=True):
        for row, line in zip(table.rows, body.splitlines(), strict=True):
            cells = line.removesuffix(r" \\").split(" & ")
            for column, entry, cell in zip(table.columns, row, cells, strict=True):
                assert as_digits(shown(found, cell)) == as_digits(entry.shown)
                if column.numeric and entry.value is not None:
                    assert not re.search(r"\d", cell.partition("[no interval")[0]), "digits copied by hand"
                    numbers += 1
    assert numbers > 20


def test_an_interval_has_a_command_for_each_end_and_a_number_its_unit() -> None:
    found = commands_of(latex(DOCUMENT))
    (loss,) = [name for name in found if name.startswith("ToyPretrain") and name.endswith("PolynormLessSwigluS")]
    value, low, high = (float(CELL.fullmatch(found[f"{loss}{end}"])[1]) for end in ("", "Low", "High"))  # type: ignore[index]
    assert low < value < high < 0
    assert any(body.endswith(r"{\micro\second}") for body in found.values())
    assert any(body.endswith(r"{nat/token}") for body in found.values())


def table(*rows: tuple[str, ...], key: str = "k") -> Document:
    columns = (Column("name", numeric=False), *(Column(f"c{i}") for i in range(1, len(rows[0]))))
    made = Table(key, "Title", "A caption.", columns, tuple(tuple(map(Entry, row)) for row in rows))
    return Document("toy/run", "", (), (made,), (), ())


def test_what_is_below_a_number_is_never_that_number() -> None:
    found = commands_of(latex(table(("a", "< 0.001", "1,479", "−0.5 [−∞, +0.1]", "3 of 8 diverged", "not reached"))))
    assert found == {
        "ToyKACOne": r"\ensuremath{<}\,\polybenchnumber{0.001}",
        "ToyKACTwo": r"\polybenchnumber{1479}",
        "ToyKACThree": r"\polybenchnumber{-0.5}",
        "ToyKACThreeLow": r"\ensuremath{-\infty}",
        "ToyKACThreeHigh": r"\polybenchnumber{+0.1}",
        "ToyKCaption": "Title. A caption.",
        "ToyKNotes": "",
    }


def test_a_command_keeps_its_name_when_others_come_and_none_is_twice() -> None:
    few = commands_of(latex(table(("relu", "1"), ("b=1.5", "2"))))
    more = commands_of(latex(table(("gelu", "0"), ("relu", "1"), ("b=1.5", "2"), ("b=15", "3"))))
    assert few.items() <= more.items()
    alike = commands_of(latex(table(("re-lu", "1"), ("re lu", "2"), ("re lu", "3"))))
    values = [body for name, body in alike.items() if name.startswith("ToyKReLu")]
    assert sorted(values) == [rf"\polybenchnumber{{{i}}}" for i in (1, 2, 3)]


@LAWS
@given(st.lists(st.tuples(st.text(max_size=6), st.text("ab12.-é ", max_size=6)), unique=True, max_size=8))
def test_names_are_letters_and_hang_on_no_order(keys: list[tuple[str, str]]) -> None:
    names = names_of(keys)
    assert len(set(names.values())) == len(keys)
    assert all(re.fullmatch("[A-Za-z]+", name) for name in names.values())
    assert names_of(reversed(keys)) == names


@LAWS
@given(st.text(max_size=40))
def test_no_text_is_a_command_or_opens_what_it_does_not_close(text: str) -> None:
    commands_of(rf"\newcommand{{\Text}}{{{plain(text)}}}")
    commands_of(rf"\newcommand{{\Unit}}{{{unit_of(text)}}}")


def test_tex_takes_the_whole_report(tmp_path: Path) -> None:
    rows = ("relu", "1.0 [0.9, 1.1]", "< 0.001", "−0.5 [−∞, +0.1]"), ("½ €", "1e-05", "1 [no interval, n 1]", "–")
    for document in (DOCUMENT, table(*rows)):
        told = typeset(latex(document), tmp_path)
        assert "undefined" not in told.lower()


@pytest.mark.parametrize("bad", [r"\newcommand{\A}{\undefined}", r"\newcommand{\A}{{}", r"\newcommand{\A1}{}"])
def test_the_parser_sees_what_tex_would_refuse(bad: str) -> None:
    with pytest.raises(Exception):  # noqa: B017
        commands_of(bad)
