"""Who was settled early was timed in fewer launches: who is first is said by ratios, whatever the machine did since."""

from __future__ import annotations

from dataclasses import replace

from builders import run, section, times

from polybench.record import Record
from polybench.report import answer, tables
from polybench.run.store import Run


def slowing(factor: float) -> Run:
    """Twenty launches, of which polynorm, who takes 1.2 times as long as swiglu, had the first five.

    From then on everything takes `factor` times as long.
    """
    first = times({"swiglu": 1.0, "relu": 1.1, "polynorm": 1.2}, launches=5)
    others = times({"swiglu": 1.0, "relu": 1.1}, launches=20)

    def later(record: Record) -> Record:
        slow = (replace(m, values=tuple(factor * v for v in m.values)) for m in record.measurements)
        return replace(record, measurements=tuple(slow))

    return run([*first, *(later(r) for r in others if r.trial.seed >= 5)])


def test_the_first_is_first_by_ratio_and_not_by_medians_of_other_launches() -> None:
    for factor in (0.5, 1.0, 2.0):
        one = slowing(factor)
        (table,) = section(tables, one).tables
        bold = [str(row[0]) for row in table.rows if any(entry.best for entry in row)]
        (said,) = section(answer, one).findings
        assert len(bold) == 1 and "swiglu" in bold[0]
        assert said.text.startswith("swiglu has the shortest time") and said.resolved
