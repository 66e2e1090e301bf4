"""The check of the checker: what it counts, what it injects, and what it says."""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import MACHINE, section
from commands import ROOT, Capture, call

from polybench.cli import selfcheck as command
from polybench.compare import selfcheck
from polybench.compare.detectors import DETECTORS, EQUAL, OURS, Copies
from polybench.document import Table
from polybench.kind import axes_of, kind_of
from polybench.measure.instruments.workshop import Arm
from polybench.measure.kinds.selfcheck import ExtraWork
from polybench.measure.model.build import Executed
from polybench.plan.check import load_suite
from polybench.plan.jobs import plan
from polybench.record import Measurement, Record, Status
from polybench.report import selfcheck as report
from polybench.run.store import Run, load
from polybench.stats import clopper_pearson
from polybench.trial import Cell, Trial

KIND = kind_of(selfcheck.KIND)
LAUNCHES, BLOCKS = 22, 10
LEVELS, WORDS = ("activation", "block", "decoder"), ["alone", "in a block", "in a decoder"]
SMALL = {"activation": {}, "block": {}, "decoder": {"layers": 1, "seq_len": 4, "vocabulary": 16}}


def made_up(cells: int, sd: float = 0.01, apart: float = 0.005, equal: float = 1.0, launches: int = LAUNCHES) -> Run:
    """A run of so many cells a level, whose copies differ by noise of blocks and launches and by the named factors."""
    generator = np.random.default_rng(0)
    records = []
    for level in LEVELS:
        for repeat in range(cells):
            axes = axes_of(KIND, {"level": level, "repeat": repeat})
            cell = Cell(KIND.name, KIND.version, "relu", "eager", "cpu", "float32", axes)
            for launch in range(launches):
                times = 1e-4 * np.exp(sd * generator.normal(size=(3, BLOCKS)) + apart * generator.normal(size=(3, 1)))
                base, control, other = times.tolist()
                extra = [0.1 * t * equal for t in other]
                values = {"base": base, "control": control, "equal": [t * equal for t in other], "extra": extra}
                found = tuple(Measurement(f"{name}_time", tuple(v)) for name, v in values.items())
                records.append(Record(Trial(level, cell, launch), Status.OK, found, duration_s=2.0))
    header = {
        "suite": command.suite(6).model_dump(mode="json"),
        "environment": MACHINE,
        "metrics": {KIND.name: [m.to_json() for m in KIND.metrics]},
        "device": "cpu",
        "planned": len(records),
    }
    return Run(Path("results/selfcheck/one"), header, tuple(records))


def tables(run: Run) -> dict[str, Table]:
    return {t.key: t for t in section(report, run).tables}


def counts(table: Table) -> dict[str, list[str]]:
    """What stands before the interval, by the first column."""
    return {row[0].text: [e.text.partition(" [")[0] for e in row[1:]] for row in table.rows}


def test_every_rule_is_counted_on_the_same_cells() -> None:
    shown = tables(made_up(4))
    rows = counts(shown["selfcheck"])
    assert [*rows] == [d.name for d in DETECTORS]
    names = [c.name for c in shown["selfcheck"].columns]
    assert names[1:7] == ["false alarms", "x1.02", "x1.03", "x1.05", "x1.08", "x1.10"]
    assert rows[OURS][0] == rows[OURS][1] == "0" and rows[OURS][3:6] == ["100"] * 3
    assert rows["asv, p < 0.002 and medians 3% apart"][3:6] == ["100"] * 3
    assert rows["asv, p < 0.002 and medians 10% apart"][:4] == ["0"] * 4
    assert rows["Mann-Whitney, p < 0.05"][1:6] == ["100"] * 5
    assert shown["selfcheck"].rows[0][1].text == f"0 [0, {100 * clopper_pearson(0, 12)[1]:.1f}]"
    by_level = shown["selfcheck-levels"]
    assert len(by_level.rows) == len(LEVELS) * len(rows)
    assert {row[0].text for row in by_level.rows} == {f"{level}, 4 cells" for level in WORDS}


def test_our_rule_says_how_much_it_took_and_the_others_took_all() -> None:
    found = tables(made_up(4))["selfcheck"]
    launches, seconds = ({row[0].text: row[column].value for row in found.rows} for column in (-2, -1))
    assert launches[OURS] < LAUNCHES / 2
    assert all(n == LAUNCHES for name, n in launches.items() if not name.startswith("polybench"))
    assert seconds == {name: pytest.approx(2.0 * n) for name, n in launches.items()}  # type: ignore[operator]


def test_a_verdict_after_few_launches_is_that_of_these_launches() -> None:
    """What was recorded after the stop has no say: with other times there the ruling stays."""
    (copies, *_) = selfcheck.cells(made_up(1))
    rule = DETECTORS[0].rule
    before = rule(copies, copies.others[1.10])
    assert before.outcome == "slower" and before.launches < LAUNCHES

    def spoilt(times: Sequence[Sequence[float]], factor: float) -> list[list[float]]:
        return [[t * factor if i >= before.launches else t for t in launch] for i, launch in enumerate(times)]

    other = replace(copies, base=spoilt(copies.base, 1.0), control=spoilt(copies.control, 3.0))
    assert rule(other, spoilt(copies.others[1.10], 0.2)) == before


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_no_rule_flags_what_is_the_same_and_every_rule_flags_what_is_twice_as_slow(detector) -> None:  # type: ignore[no-untyped-def]
    flat = [[1e-3 * (1 + 0.001 * ((7 * b + n) % 5)) for b in range(BLOCKS)] for n in range(LAUNCHES)]
    twice = [[2 * t for t in launch] for launch in flat]
    cell = selfcheck.cells(made_up(1))[0].cell
    copies = Copies(cell, flat, flat, {EQUAL: flat, 2.0: twice}, [1.0] * LAUNCHES)
    assert not detector.rule(copies, flat).flags
    assert detector.rule(copies, twice).outcome == "slower"
    faster = replace(copies, base=twice, control=twice)
    assert detector.rule(faster, flat).outcome == "faster"


def test_copies_that_differ_are_false_alarms() -> None:
    found = selfcheck.judged(made_up(2, equal=1.2))
    assert selfcheck.share(found, OURS, EQUAL) == (6, 6)
    assert selfcheck.share(selfcheck.judged(made_up(2)), OURS, EQUAL) == (0, 6)


@pytest.mark.parametrize(
    ("sd", "equal", "words"),
    [(0.01, 1.0, ""), (0.01, 1.2, "quiet the machine"), (3.0, 1.0, "so uneven that x1.10 was found in at most")],
)
def test_a_machine_is_trusted_that_calls_equal_equal_and_finds_what_is_slowed(
    sd: float, equal: float, words: str
) -> None:
    trusted, reason = selfcheck.conclusion(selfcheck.judged(made_up(2, sd, equal=equal)))
    assert trusted == (not words) and words in reason
    assert "false alarms in 6 cells (2 alone, 2 in a block, 2 in a decoder)" in reason


def test_a_cell_that_failed_is_not_counted() -> None:
    run = made_up(2)
    records = [replace(r, status=Status.FAILED) if r.trial.cell.axis("repeat") else r for r in run.records]
    assert len(selfcheck.cells(replace(run, records=tuple(records)))) == 3


def test_slower_copies_take_the_named_factor() -> None:
    for copies in selfcheck.cells(made_up(1)):
        assert sorted(copies.others) == [EQUAL, *selfcheck.SLOWDOWNS]
        for factor in selfcheck.SLOWDOWNS:
            for launch, equal in zip(copies.others[factor], copies.others[EQUAL], strict=True):
                assert launch == pytest.approx([factor * t for t in equal])


def test_extra_work_lasts_what_is_asked_and_is_timed_apart() -> None:
    """By a clock on which any run of the loop takes a millisecond: half of one is half as many turns."""
    ticks, called = count(), list[int]()
    work, whole = (ExtraWork(clock=lambda: 1e-3 * next(ticks)) for _ in range(2))
    x, module = torch.ones(1, requires_grad=True), torch.nn.Identity()

    def made(copy: int) -> Arm:
        def forward() -> torch.Tensor:
            called.append(copy)
            return x * 2

        return work.before(copy, lambda: Arm(forward, (x,), torch.ones(1), module, Executed(module, module, 1)))

    copies = [made(copy) for copy in (0, 1)]
    copies[0].once()
    assert work.turns == 0 and work.done() == pytest.approx([1e-3])
    work.take(5e-4)
    whole.take(1e-3)
    assert 0 < work.turns * 2 == whole.turns
    for copy in (1, 0, 1):
        copies[copy].once()
    assert called == [0, 1, 0, 1] and work.done() == pytest.approx([1e-3, 1e-3]) and work.done() == []


def test_runs_of_the_first_version_are_read(tmp_path: Path, capsys: Capture) -> None:
    found = selfcheck.judged(load(ROOT / "results" / "published" / "gpu-selfcheck"))
    assert selfcheck.share(found, OURS, 1.05) == (10, 12)  # from one or two launches each
    assert selfcheck.share(found, OURS, EQUAL) == (0, 12)
    assert selfcheck.share(found, OURS, 1.10) == (0, 0)


def test_the_suite_has_as_many_cells_as_asked_for_or_a_few_more() -> None:
    for wanted in (1, 6, 7, 24, 25, 36, 60, 100):
        made = command.suite(wanted, seed=3)
        cells = {(t.cell, t.benchmark) for t in plan(made, "cpu").trials}
        assert wanted <= len(cells) < wanted + 24
        assert {c.axis("level") for c, _ in cells} == set(LEVELS)
        assert {c.backend for c, _ in cells} == {"eager", "compile"}
        assert all(b.protocol == {"seed": 3} for b in made.benchmarks)


def test_a_cell_and_a_launch_have_a_process_of_their_own() -> None:
    jobs = plan(command.suite(12, launches=2), "cpu").jobs
    assert len(jobs) == 24 and all(j.fork and len(j.trials) == 1 for j in jobs)
    assert len({(j.process, j.trials[0].cell) for j in jobs}) == len({j.process for j in jobs}) == 12


def test_shapes_are_those_of_the_suites() -> None:
    """Quick and speed time them too, whatever else they vary."""
    suites = [load_suite(ROOT / "suites" / f"{name}.yaml", ()).suite for name in ("quick", "speed")]
    timed = [t.cell.axes for s in suites for t in plan(s, "cpu").trials if t.cell.kind == "speed"]
    for shape in command.SHAPES:
        assert any(set(shape.items()) <= set(axes) for axes in timed), shape


def test_as_a_user_runs_it(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [{"level": level, "tokens": 8, "d_model": 8, **more} for level, more in SMALL.items()]
    monkeypatch.setattr(command, "SHAPES", tuple(shapes))
    monkeypatch.setattr(command, "BACKENDS", ("eager",))
    out = tmp_path / "run"
    assert call("selfcheck", "--cells", 3, "--launches", 1, "--blocks", 7, "--seed", 5, "--out", out, "-q") in (0, 4)
    assert "false alarms in 3 cells (1 alone, 1 in a block, 1 in a decoder)" in capsys.readouterr().out
    assert (out / "report.md").is_file()
    assert call("selfcheck", out, "--json") in (0, 4)
    data = json.loads(capsys.readouterr().out)
    assert [*data["tables"]] == ["selfcheck", "selfcheck-levels", "selfcheck-cells"]
    assert [row[0]["text"] for row in data["tables"]["selfcheck-cells"]["rows"]] == [
        "alone",
        "in a block",
        "in a decoder",
    ]
    assert call("selfcheck", out, "--out", "other") == 2
    assert call("selfcheck", "nowhere") == 2
    lines = (out / "records.jsonl").read_text(encoding="utf-8").splitlines()
    lost = {**json.loads(lines[-1]), "status": "failed", "error": "planted", "measurements": []}
    (out / "records.jsonl").write_text("\n".join([*lines[:-1], json.dumps(lost)]) + "\n", encoding="utf-8")
    assert call("selfcheck", out) == 3
    assert "1 of 3 trials failed" in capsys.readouterr().err
    with lzma.open(out / "records.jsonl.xz", "wb") as packed:
        packed.write((out / "records.jsonl").read_bytes())
    (out / "records.jsonl").unlink()
    capsys.readouterr()
    assert call("selfcheck", out) == 2
    assert f"xz -dk {out / 'records.jsonl.xz'}" in capsys.readouterr().err
