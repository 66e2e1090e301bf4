"""The table of what ran: where something was compiled, and nowhere else."""

from __future__ import annotations

from builders import exact, record, run, section, suite

from polybench.measure.ran_metrics import RAN
from polybench.report import ran, tables
from polybench.report.compose import compose


def counted(activation: str, *counts: float, backend: str = "eager"):
    values = {m.name: [count] for m, count in zip(RAN, counts, strict=True)}
    return record("memory", activation, {"saved_bytes": [8], **values}, backend=backend)


EAGER, COMPILED = counted("swiglu", 0, 0, 6, 0), counted("swiglu", 1, 0, 0, 2, backend="compile")


def test_what_each_backend_ran_stands_side_by_side() -> None:
    (table,) = section(ran, run([EAGER, COMPILED])).tables
    assert table.key == "memory-ran"
    assert [[e.text for e in row] for row in table.rows] == [
        ["swiglu", "eager", "0", "0", "6", "0"],
        ["swiglu", "compile", "1", "0", "0", "2"],
    ]


def test_a_run_in_which_nothing_was_compiled_has_no_such_table() -> None:
    """Nor has one of an earlier polybench, which counted nothing."""
    for one in (run([EAGER]), run(exact({"swiglu": 8, "relu": 4}))):
        assert section(ran, one) == section(ran, run([]))
        assert not [t.key for t in compose(one).tables if t.key.endswith("-ran")]


def test_the_table_of_a_benchmark_goes_without_them() -> None:
    (table,) = section(tables, run([EAGER, COMPILED], suite())).tables
    assert not {m.name for m in RAN} & {c.name for c in table.columns}
