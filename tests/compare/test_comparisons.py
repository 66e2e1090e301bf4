"""A run is aligned once, and what a report says of a metric is declared where the metric is."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import studies
import toy_kind
from builders import changed, exact, losses, record, run, section, suite, times

from polybench.compare import comparisons as made
from polybench.compare.comparison import Comparison, compare
from polybench.compare.comparisons import Comparisons
from polybench.compare.grid import Grid
from polybench.compare.points import Point, points
from polybench.kind import kind_of
from polybench.metric import Metric
from polybench.registry import kinds
from polybench.report import answer, overview, rates, tables
from polybench.report.compose import SECTIONS, compose
from polybench.report.section import Section
from polybench.run.store import Run

TOY = {"relu": 0.1, "swiglu": 0.3, "polynorm": 0.5}


def test_every_record_becomes_a_point_once_however_many_tables_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted on the way to a report of everything, from tuning to sizes: the alignment, and each comparison."""
    aligned: list[Run] = []
    compared: Counter[tuple[str, str, str, str]] = Counter()

    def align(run: Run) -> list[Point]:
        aligned.append(run)
        return points(run)

    def compare_once(grid: Grid, point: Point, other: Point | None, metric: Metric, against: str) -> Comparison:
        compared[point.benchmark, point.cell.id, metric.name, against] += 1
        return compare(grid, point, other, metric, against)

    for module in [m for name, m in sys.modules.items() if name.startswith("polybench.")]:
        if hasattr(module, "points") and module.points is points:
            monkeypatch.setattr(module, "points", align)
    monkeypatch.setattr(made, "compare", compare_once)
    assert len(compose(studies.everything()).tables) > 10
    assert len(aligned) == 1
    assert set(compared.values()) == {1} and len(compared) > 100


def test_a_comparison_is_worked_out_once() -> None:
    one = Comparisons.of(run(exact({"relu": 1, "swiglu": 2})))
    first = one.against("relu", "saved_bytes")
    assert one.against("relu", "saved_bytes") is first and one.to_reference("saved_bytes") is not first


def test_the_whole_run_is_there_beside_what_is_compared_of_it() -> None:
    one = Comparisons.of(studies.everything())
    asked = {(p.benchmark, p.cell) for p in one.points()}
    assert asked < set(one.whole.cells)
    assert not any(benchmark.endswith(".tuning") for benchmark, _ in asked)
    assert {c.axis("varies") for b, c in asked if b == "small"} == {"both"}
    plain = Comparisons.of(run(times({"relu": 1.0, "swiglu": 1.0})))
    assert plain.grid is plain.whole and len(plain.grid.controls) == 1


def both_words(differ: bool, names: Sequence[str] = ("relu", "swiglu")) -> Run:
    """Tokens a second, of some activations at both rates, which are one training for each seed unless they differ."""
    apart = {"relu": [2.0, 2.01, 2.02, 2.03], "swiglu": [1.0, 1.0, 1.0, 1.0], "polynorm": [1.09, 1.0, 1.1, 1.05]}
    own = losses(apart, "tokens_per_s", lr="tuned")
    twins = [studies.placed(r, "pretrain", lr="shared").trial for r in own]
    shared = [replace(r, trial=t) if differ else r.of(t) for r, t in zip(own, twins, strict=True)]
    shared = [r for r in shared if r.trial.cell.activation in names]
    return run([*own, *shared], suite(benchmarks=[{"name": "pretrain", "kind": "pretrain"}]))


def test_one_training_in_two_cells_is_asked_and_answered_once() -> None:
    """As if the second cell were not there, in p values corrected over the column and in the answer."""
    twice = both_words(differ=False)
    once = replace(twice, records=tuple(r for r in twice.records if not r.same_as))
    alone = {p.cell: c.q for p, c in Comparisons.of(once).to_reference("tokens_per_s").items()}
    both = {p.cell: c for p, c in Comparisons.of(twice).to_reference("tokens_per_s").items()}
    assert (len(both), len(alone)) == (5, 3)
    for at, c in both.items():
        assert c.cell == at and c.q == alone[studies.placed(c.point.records[0], "pretrain", lr="tuned").trial.cell]
    apart = {p.cell: c.q for p, c in Comparisons.of(both_words(differ=True)).to_reference("tokens_per_s").items()}
    assert any(q != both[at].q for at, q in apart.items())
    for differ in (False, True):
        whole = section(answer, both_words(differ, tuple(TOY)))
        assert sum(f.question == "In training speed" for f in whole.findings) == 1 + differ
    (note,) = section(rates, twice).notes
    assert "8 of them" in note and "of relu, swiglu is" in note and "no further evidence" in note


@pytest.mark.parametrize("part", [part for part in SECTIONS if part is not tables], ids=lambda part: part.__name__)
def test_a_section_with_nothing_to_say_is_empty(part: Any) -> None:
    assert section(part, run(())) == Section()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A made-up run of a kind that somebody else declared, as far as run.json knows it."""
    monkeypatch.setattr(kinds, "_loaded", dict(kinds._loaded))
    exec(toy_kind.SOURCE, {})
    records = [
        record(
            "toy",
            name,
            {"score": [2.0 + seed], "regret": [loss + seed / 100 + 1e-4 * loss * (seed - 2)], "secret": [1.0]},
            seed=seed,
        )
        for name, loss in TOY.items()
        for seed in range(5)
    ]
    one = run([*records, *exact(TOY)], suite(benchmarks=[{"name": k, "kind": k} for k in ("toy", "memory")]))
    return changed(one, metrics={**one.header["metrics"], "toy": [m.to_json() for m in kind_of("toy").metrics]})


def test_a_metric_of_somebodys_own_kind_has_its_sentence_column_table_and_picture(toy: Run) -> None:
    document = compose(toy)
    (told,) = [f for f in document.findings if f.question == "In regret"]
    assert told.text.startswith("relu has the least regret, 0.1200 nat/token, and is ahead of both others")
    by_key = {t.key: t for t in document.tables}
    assert [c.name for c in by_key["overview"].columns] == ["activation", "bytes kept for backward", "regret"]
    assert by_key["toy-regret"].title == "toy: regret in nats, by seed"
    assert [row[0].text for row in by_key["toy-regret"].rows] == list(toy.suite.activations)
    assert [c.name for c in by_key["toy"].columns] == ["activation", "score", "score over swiglu's"]
    assert [(f.title, f.x_label.split(",")[0]) for f in document.figures if f.kind == "pareto"] == [
        ("Regret against score", "Score of a game")
    ]


def test_its_run_is_reported_where_the_kind_is_not_installed(toy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(kinds._loaded, "toy")
    document = compose(toy)
    assert not [f for f in document.findings if f.question == "In regret"]
    assert {"score", "regret", "secret"} <= {c.name for t in document.tables if t.key == "toy" for c in t.columns}


def test_a_stored_definition_is_what_a_metric_is_not_what_reports_say_of_it() -> None:
    for name in kinds.names():
        for metric in kind_of(name).named.values():
            stored = metric.to_json()
            assert not {"asked", "header", "title", "by_seed", "hidden", "cost"} & set(stored)
            bare = Metric.from_json({**stored, "invented": 1})
            assert bare == metric and bare.asked is None and not bare.hidden
            again = Metric.from_json(stored, metric)
            assert (again.asked, again.header, again.title) == (metric.asked, metric.header, metric.title)
            assert Metric.from_json(stored, replace(metric, version=99, hidden=True)).hidden is False


def test_questions_are_asked_of_scalars_and_tables_by_seed_hold_what_varies_with_it() -> None:
    for name in kinds.names():
        for metric in kind_of(name).named.values():
            assert not (metric.curve and (metric.asked or metric.header or metric.by_seed or metric.cost))
            assert not metric.by_seed or (metric.varies_with, metric.effect) == ("seed", "difference")
            assert not metric.asked or (metric.better != "neither" and metric.asked.rank > 0)


def test_an_overview_of_one_question_is_none() -> None:
    assert section(overview, run(exact({"relu": 1, "swiglu": 2}))) == Section()
