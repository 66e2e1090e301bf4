"""Whatever a study lost, its report is written: trials gone, failed, half measured, or measured as nothing."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import studies
from builders import changed

from polybench.record import Record, Status
from polybench.registry import formats
from polybench.report.compose import compose

WHOLE = studies.everything()
FAILURES = [s for s in Status if s is not Status.OK]


def damaged(record: Record, chance: random.Random) -> Record | None:
    hit = chance.random()
    kept = tuple(m for m in record.measurements if chance.random() < 0.6)
    if hit < 0.15:
        return None
    if hit < 0.25:
        return replace(record, status=chance.choice(FAILURES), error="because", measurements=kept)
    if hit < 0.35:
        return replace(record, measurements=kept)
    if hit < 0.45:
        value = chance.choice([0.0, math.nan, math.inf])
        return replace(record, measurements=tuple(replace(m, values=(value,) * len(m.values)) for m in kept))
    return record


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_study_has_a_report(seed: int) -> None:
    chance = random.Random(seed)
    records = [r for one in WHOLE.records if (r := damaged(one, chance))]
    document = compose(changed(WHOLE, records))
    assert len({t.key for t in document.tables}) == len(document.tables) > 5
    assert all(len(row) == len(t.columns) for t in document.tables for row in t.rows)
    for name in ("terminal", "json"):
        assert "because" in formats.load(name).object(document)


@pytest.mark.parametrize("status", FAILURES)
def test_a_study_in_which_nothing_ended_well_says_why(status: Status) -> None:
    lost = [replace(r, status=status, error="because", measurements=()) for r in WHOLE.records]
    document = compose(changed(WHOLE, lost))
    assert not document.findings and not document.figures
    assert "because" in formats.load("terminal").object(document)
