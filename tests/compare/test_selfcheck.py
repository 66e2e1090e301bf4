"""The check of the checker: what it counts, what it injects, and what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import MACHINE

from polybench.cli import selfcheck as command
from polybench.compare import selfcheck
from polybench.kind import axes_of, kind_of
from polybench.measure.instruments.workshop import Arm
from polybench.measure.kinds.selfcheck import ARMS, _slowed
from polybench.measure.model.build import Executed
from polybench.record import Measurement, Record, Status
from polybench.report.selfcheck import table
from polybench.run.store import Run
from polybench.trial import Cell, Trial


def made_up(count: int, sd: float, factors: Sequence[float] = (1.05, 1.10), equal: float = 1.0) -> Run:
    """A run of `count` cells a slowdown, whose copies differ by noise of that spread and by the named factors."""
    kind, generator = kind_of(selfcheck.KIND), np.random.default_rng(0)
    records = []
    for slowdown in factors:
        for repeat in range(count):
            cell = Cell(kind.name, kind.version, "relu", "eager", "cpu", "float32",
                        axes_of(kind, {"slowdown": slowdown, "repeat": repeat}))  # fmt: skip
            for launch in range(3):
                times = 1e-4 * np.exp(sd * generator.normal(size=(4, 60)))
                times[2] *= equal
                times[3] *= slowdown
                measured = tuple(Measurement(m.name, tuple(v)) for m, v in zip(ARMS, times.tolist(), strict=True))
                records.append(Record(Trial(kind.name, cell, launch), Status.OK, measured))
    header = {
        "suite": command.suite(count, 3, 60).model_dump(mode="json"),
        "environment": MACHINE,
        "metrics": {kind.name: [m.to_json() for m in kind.metrics]},
        "device": "cpu",
        "planned": len(records),
    }
    return Run(Path("results/selfcheck/one"), header, tuple(records))


def test_every_rule_is_counted_on_the_same_cells() -> None:
    shown = table(made_up(10, 0.005))
    rows = {row[0].text: [e.text.partition(" [")[0] for e in row[1:]] for row in shown.rows}
    assert rows["polybench"] == ["0 of 20", "10 of 10", "10 of 10"]
    assert rows["pytest-benchmark: mean 10 % apart"][:2] == ["0 of 20", "0 of 10"]
    assert [c.name for c in shown.columns] == ["rule", "false alarms", "found at x1.05", "found at x1.10"]


def test_copies_that_differ_are_false_alarms() -> None:
    alarms, count, low, high = selfcheck.bound(made_up(5, 0.01, equal=1.2))
    assert (alarms, count, high) == (10, 10, 1.0)
    assert low > selfcheck.WORST_RATE
    assert selfcheck.bound(made_up(5, 0.01))[:3] == (0, 10, 0.0)


@pytest.mark.parametrize(
    ("sd", "equal", "words"), [(0.01, 1.0, ""), (0.01, 1.2, "quiet the machine"), (3.0, 1.0, "times are so uneven")]
)
def test_a_machine_is_trusted_that_calls_equal_equal_and_finds_what_is_slowed(
    sd: float, equal: float, words: str
) -> None:
    trusted, reason = selfcheck.conclusion(made_up(5, sd, equal=equal))
    assert trusted == (not words) and words in reason and "false alarms in 10 cells" in reason


def test_a_cell_that_failed_is_not_counted() -> None:
    run = made_up(2, 0.01)
    records = [replace(r, status=Status.FAILED) if r.trial.cell.axis("repeat") else r for r in run.records]
    assert len(selfcheck.cells(replace(run, records=tuple(records)))) == 2


@pytest.mark.parametrize("slowdown", command.SLOWDOWNS)
def test_the_slowed_copy_does_the_named_factor_of_work(slowdown: float) -> None:
    calls = 0

    def forward() -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x * 2

    x, module = torch.ones(1, requires_grad=True), torch.nn.Identity()
    arm = Arm(forward, (x,), torch.ones(1), module, Executed(module, module, 1))
    extra = Fraction(slowdown - 1).limit_denominator(40)
    slowed = _slowed(arm, extra)
    for turn in range(1, 5):
        for _ in range(extra.denominator):
            slowed.once()
        assert calls == turn * (extra.denominator + extra.numerator)
    assert calls / (4 * extra.denominator) == pytest.approx(slowdown, abs=5e-4)


def test_the_suite_has_as_many_cells_as_asked_for_or_a_few_more() -> None:
    for wanted in (1, 60, 100):
        matrix = command.suite(wanted, 3, 60).benchmarks[0].matrix
        count = len(command.ACTIVATIONS) * len(matrix["slowdown"]) * len(matrix["repeat"])
        assert wanted <= count < wanted + 12


def test_as_a_user_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from polybench.cli.main import main

    def call(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["polybench", "selfcheck", *arguments])
        with pytest.raises(SystemExit) as leave:
            main()
        return int(leave.value.code or 0)

    out = str(tmp_path / "run")
    assert call("--cells", "12", "--launches", "1", "--blocks", "20", "--out", out, "--quiet") in (0, 4)
    assert "false alarms in 12 cells" in capsys.readouterr().out
    assert (tmp_path / "run" / "report.md").is_file()
    assert call(out, "--json") in (0, 4)
    data = json.loads(capsys.readouterr().out)
    assert data["table"]["rows"][0][0]["text"] == "polybench"
    assert call(out, "--out", "other") == 2
    assert call("nowhere") == 2
