"""Where the spread comes from: one deviation a source, with an interval that covers, and compared with nothing."""

from __future__ import annotations

import statistics

import pytest
import studies
from builders import losses, run, section
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.compare.points import compared
from polybench.report import spread
from polybench.report.compose import compose
from polybench.report.spread import deviation

LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SIZES = {"init": 0.01, "data": 0.04, "both": 0.05}


def apart(**axes: str) -> list[studies.Record]:
    return [r for v, size in SIZES.items() for r in studies.compared(varies=v, size=size, seeds=6, **axes)]


@LAWS
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(0.1, 10))
def test_a_deviation_lies_in_its_interval_and_scales_with_its_values(values: list[float], factor: float) -> None:
    from scipy.stats import chi2

    found = deviation(values)
    assert found is not None
    assert found.low <= found.value <= found.high
    squares = statistics.variance(values) * (len(values) - 1)
    assert found.low**2 == pytest.approx(squares / chi2.ppf(0.975, len(values) - 1))
    assert found.high**2 == pytest.approx(squares / chi2.ppf(0.025, len(values) - 1))
    scaled = deviation([factor * v for v in values])
    assert scaled is not None and scaled.high == pytest.approx(factor * found.high, abs=1e-9)


def test_one_value_has_no_deviation() -> None:
    assert deviation([3.0]) is None and deviation([]) is None


def test_every_source_has_its_own_deviation_and_that_of_the_difference() -> None:
    """All activations wobble by the same pattern, as strongly as the source."""
    records = apart()
    (table,) = section(spread, studies.study(records)).tables
    told = {"init": "initial values", "data": "data order", "both": "both"}
    assert [row[1].text for row in table.rows] == [text for text in told.values() for _ in studies.WORTH]
    found = {}
    for source, text in told.items():
        values = {name: [r.get("val_loss").values[0] for r in records
                         if (r.trial.cell.axis("varies"), r.trial.cell.activation) == (source, name)]
                  for name in studies.WORTH}  # fmt: skip
        rows = {row[0].text: row for row in table.rows if row[1].text == text}
        less = [a - b for a, b in zip(values["relu"], values["swiglu"], strict=True)]
        found[source] = rows["relu"][2].value
        assert found[source] == statistics.stdev(values["relu"])
        assert rows["relu"][4].value == pytest.approx(statistics.stdev(less))
        assert rows["swiglu"][4].text == "–"
    assert found["both"] == pytest.approx(5 * found["init"])
    assert found["data"] == pytest.approx(4 * found["init"])


def test_what_moves_one_source_is_compared_in_no_other_table() -> None:
    document = compose(studies.study(apart(lr="tuned")))
    held = next(t for t in document.tables if t.key == "small-val-loss")
    at = [c.name for c in held.columns].index("n")
    assert [row[at].text for row in held.rows] == ["6", "6", "6"]
    assert [t.key for t in document.tables if t.key.endswith("spread")] == ["small-spread"]
    assert len([f for f in document.findings if f.question == "At equal tokens"]) == 1


def test_a_benchmark_with_one_source_is_an_ordinary_one() -> None:
    one = studies.study(studies.compared(varies="init"))
    assert section(spread, one).tables == () and compared(one) is one
    plain = run(losses({"relu": [3.0, 3.1], "swiglu": [3.0, 3.2]}))
    assert section(spread, plain).tables == () and compared(plain) is plain


def test_places_without_a_second_source_are_left_out() -> None:
    both = studies.compared(lr="shared", varies="both")
    (table,) = section(spread, studies.study([*apart(lr="tuned"), *both])).tables
    assert len(table.rows) == 9
