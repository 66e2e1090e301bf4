"""Times as people write them."""

from __future__ import annotations

import pytest

from polybench.durations import seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2us", 2e-6),
        ("2 µs", 2e-6),
        ("100ns", 1e-7),
        ("1.5ms", 1.5e-3),
        ("90s", 90),
        ("5m", 300),
        (".5 h", 1800),
        ("2e-06s", 2e-6),
    ],
)
def test_a_number_and_a_unit_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "s", "2 days", "-1s", "1e s", "5m 3s", "nans"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this is no time; write a number and"):
        seconds(text)
