"""Built and trained networks reach the report: growths and orders of sizes that are known, and what training missed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from builders import record, run, suite

from polybench.compare.comparisons import Comparisons
from polybench.compare.construction import families, growth_of_ratio
from polybench.document import Document, Table
from polybench.kind import kind_of
from polybench.measure.kinds.approximation import LAYERS, UNITS
from polybench.record import Record, Status
from polybench.report import constructions, fits, invariance
from polybench.report.compose import compose
from polybench.report.formats.draw import svg
from polybench.run.store import Run

KIND = "approximation"
NAMES = ["relu", "polyrelu", "polynorm"]
SUITE = suite(activations=NAMES, reference="relu", benchmarks=[{"name": KIND, "kind": KIND, "dtypes": ["float64"]}])


def of(records: list[Record]) -> Run:
    made = run(records, SUITE)
    return replace(made, header={**made.header, "metrics": {KIND: [m.to_json() for m in kind_of(KIND).metrics]}})


def built(name: str, experiment: str, units: float, error: float, bits: int, **axes: int) -> Record:
    values = {"units": [units], "hidden_layers": [bits // 2], "weights": [3 * units], "built_error": [error]}
    return record(KIND, name, values, dtype="float64", experiment=experiment, bits=bits, **axes)


def powers() -> Iterator[Record]:
    """x^2 by 3 units for every 2 bits, off by as much as is asked for, and by two units that are exact."""
    for bits in (4, 8, 12):
        yield built("relu", "power", 3 * bits / 2 - 2, 2.0**-bits, bits, degree=2)
        yield built("polyrelu", "power", 2, 0.0, bits, degree=2)


def smooth() -> Iterator[Record]:
    """Sizes of 5 eps^(-2/3), and ln(1 / eps) times as many in ReLU; found at half of what is asked for."""
    for bits in (3, 6, 9, 12):
        size, error = 5 * 2 ** (bits * 2 / 3), 2.0 ** -(bits + 1)
        yield built("relu", "taylor", bits * math.log(2) * size, error, bits, dimension=2, smoothness=3)
        yield built("polyrelu", "taylor", size, error, bits, dimension=2, smoothness=3)


def trained() -> Iterator[Record]:
    for size, seed, name in ((s, seed, name) for s in (120, 1000) for seed in range(3) for name in NAMES):
        error = -2 - 0.1 * seed - (size == 1000) - (name == "polynorm")
        values = {"log_l2_error": [error], "log_sup_error": [error + 0.5], "parameters": [float(size)]}
        axes = {"experiment": "trained", "parameters": size, "target": "quadratic"}
        yield record(KIND, name, values, seed=seed, dtype="float64", **axes)


def scaled() -> Iterator[Record]:
    for name, change in (("relu", 1e4), ("polynorm", 0.0)):
        values = {"scale_change": [change], "radial_share": [0.1], "scale_change_curve": [change, 0.5]}
        yield record(KIND, name, values, dtype="float64", steps=[-1, 0], experiment="scale")


def network() -> Iterator[Record]:
    for name in NAMES[:2]:
        values = {"units": [64.0], "rounding_error": [3e-16], "departure": [0.0]}
        yield record(KIND, name, values, dtype="float64", experiment="network", depth=2)


RUN = of([*powers(), *smooth(), *trained(), *scaled(), *network()])


@pytest.fixture(scope="module")
def document() -> Document:
    return compose(RUN)


def table(document: Document, key: str) -> Table:
    return next(t for t in document.tables if t.key == key)


def test_growth_and_order_are_those_of_the_sizes() -> None:
    (_, (relu, poly)), (_, (relu_smooth, poly_smooth)) = families(Comparisons.of(RUN)).items()
    growth = relu.growth(UNITS)
    assert (growth.value, growth.high - growth.low) == (pytest.approx(1.5 / math.log(2)), 0)
    assert relu.growth(LAYERS).value == pytest.approx(0.5 / math.log(2))
    assert (poly.growth(UNITS).low, poly.growth(UNITS).high) == (0, 0)
    assert (relu.worst, poly.worst, poly_smooth.worst) == (1, 0, 0.5)
    order = poly_smooth.order()
    assert (order.value, order.low, order.high) == pytest.approx((-2 / 3,) * 3)
    steeper = relu_smooth.order()
    assert steeper.high < -2 / 3
    ratio = growth_of_ratio(relu_smooth, poly_smooth)
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1, 1, 1))
    assert growth_of_ratio(poly_smooth, poly_smooth) is None
    assert growth_of_ratio(relu, relu_smooth) is None


def test_the_tables_say_them(document: Document) -> None:
    rows = [[e.text for e in row] for row in table(document, "powers-growth").rows]
    assert rows[0][:5] == ["x^2", "relu", "4 to 12", "4 to 16", "2.164"]
    assert rows[1][:5] == ["x^2", "polyrelu", "4 to 12", "2", "0.000"]
    smooth_row = {row[2].text: [e.text for e in row] for row in table(document, "taylor-order").rows}
    assert smooth_row["polyrelu"][6:10] == ["−0.67", "−0.67", "–", "–"]
    assert smooth_row["relu"][8].startswith("2.08 to 8.32")
    assert [e.text for e in table(document, "exact-networks").rows[1]] == ["polyrelu", "2", "32", "64", "3e-16", "0"]
    assert [e.text for e in table(document, "scale").rows[0]] == ["relu", "32", "10,000", "0.1"]


def test_logarithms_below_zero_count(document: Document) -> None:
    by_seed = table(document, f"{KIND}-log-l2-error")
    at = {c.name: i for i, c in enumerate(by_seed.columns)}
    row = next(r for r in by_seed.rows if r[0].text == "polynorm")
    assert (row[at["n"]].text, row[at["sd over seeds"]].value) == ("3", pytest.approx(0.1))
    assert row[at["less relu's"]].value == pytest.approx(-1)
    assert any("polynorm has the lowest error" in f.text for f in document.findings)


def test_what_training_missed_is_said(document: Document) -> None:
    (note,) = [n for n in document.notes if "Training does not find" in n]
    # The mean of three seeds of the larger network: 10^-2.6 at worst.
    assert "2 units of polyrelu are x^2 to the bit at every point of a grid, and 1,000 trained" in note
    assert "are off by 0.0025 at worst" in note
    assert not compose(of([*trained()])).notes


def test_every_picture_can_be_drawn(document: Document) -> None:
    titles = [f.title for f in document.figures]
    assert len([t for t in titles if t.startswith("Units against error")]) == 2
    assert len([t for t in titles if "error" in t and t.startswith("Relative")]) == 2
    assert [t for t in titles if "scaled" in t] and not [t for t in titles if "gradient" in t]  # which was not measured
    for figure in document.figures:
        assert figure.series and svg(figure)


def test_failures_are_told_and_take_nothing_with_them() -> None:
    """An activation that diverged has no line; a construction that failed has no family."""
    lost = record(KIND, "polyrelu", {}, status=Status.DIVERGED, error="the loss became nan", seed=3, dtype="float64",
                  experiment="trained", parameters=120, target="quadratic")  # fmt: skip
    failed = record(
        KIND, "polyrelu", {}, status=Status.FAILED, error="boom", dtype="float64", experiment="power", bits=4
    )
    made = Comparisons.of(of([*(r for r in powers() if r.trial.activation == "relu"), failed, *trained(), lost]))
    figures = {f.key: f for f in fits.section(made).figures}
    (l2,) = [f for key, f in figures.items() if "l2" in key]
    assert {s.label: len(s.x) for s in l2.series} == {"relu": 2, "polynorm": 2, "polyrelu": 1}
    assert "the loss became nan" in l2.caption
    assert [row[1].text for row in constructions.section(made).tables[0].rows] == ["relu"]


def test_a_run_of_another_kind_has_none_of_it() -> None:
    other = Comparisons.of(run([record("memory", "relu", {"saved_bytes": [1.0]})]))
    assert all(part.section(other) == type(part.section(other))() for part in (constructions, fits, invariance))
