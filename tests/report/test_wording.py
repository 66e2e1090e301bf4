"""Words that tables share."""

from __future__ import annotations

from polybench.report.wording import FEW_ROWS, remedies, show
from polybench.stats import Estimate


def test_a_remedy_is_said_once_and_loses_nobody() -> None:
    many = [(f"a{i}", "2 more seeds") for i in range(FEW_ROWS + 1)]
    (said,) = remedies({"ulp": many, "error": many[:1] + many})
    assert said == "ulp, error are not resolved; this would settle it: 2 more seeds (each row)."
    first, second = remedies({"time": [*many, ("b", "1 more seed")], "rate": [("c", "3 more launches")]})
    assert all(f"a{i}" in first for i in range(FEW_ROWS + 1)) and "1 more seed (b)" in first
    assert second == "rate is not resolved; this would settle it: 3 more launches (c)."
    assert remedies({}) == []


def test_what_differs_exactly_does_not_look_equal() -> None:
    def exact(value: float, signed: bool = False) -> str:
        return show(Estimate(value, value, value, 1), signed)

    assert [exact(v) for v in (1.0, 1.00004, 0.426)] == ["1.000", "1.00004", "0.426"]
    assert [exact(v) for v in (2634353.498, 2.0**32, 1 / 1621.863)] == ["2,634,000", "4,295,000,000", "0.0006166"]
    assert [exact(v, signed=True) for v in (0.0, 0.0002)] == ["+0.000", "+0.0002"]


def test_a_ratio_whose_interval_is_wide_does_not_read_as_nothing() -> None:
    assert show(Estimate(0.03, 0.00005, 17.3, 2)) == "0.030 [5.0e-05, 17.3]"
    assert show(Estimate(1.2, 0.0, 17.3, 2)) == "1.2 [0.0, 17.3]"
    assert show(Estimate(0.00004, -1.3, 1.3, 2), signed=True) == "+0.0 [−1.3, +1.3]"
