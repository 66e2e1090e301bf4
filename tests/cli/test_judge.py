"""`polybench judge`: answers for scripts, and a run that grows until it has one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import MACHINE, exact, losses, record, run, save, suite
from commands import ROOT, Capture, call

from polybench.cli import main
from polybench.cli import run as measuring
from polybench.record import Record, Status
from polybench.run import session, store
from polybench.trial import Trial

PUBLISHED = ROOT / "results" / "published" / "pretrain-cpu"
SUITE = """\
suite: small
activations: [relu, gelu, swiglu]
reference: swiglu
seeds: [0, 1, 2, 3]
device: cpu
benchmarks:
  - {name: mem, kind: memory, matrix: {tokens: [64, 128], d_model: 32}}
  - {name: pre, kind: pretrain, matrix: {corpus: stdlib, d_model: 32}}
claims:
  - {metric: saved_bytes, subject: relu, better_than: gelu}
"""
BASE = [3.0, 3.2, 3.1, 3.05]
Shift = Callable[[Trial], float]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)
    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    Path("small.yaml").write_text(SUITE, encoding="utf-8")


def wobbling(size: float, worth: float = -0.02) -> Shift:
    """relu is `worth` nats off, give or take what swings from seed to seed."""
    return lambda trial: worth + size * ((-1) ** trial.seed) if trial.cell.activation == "relu" else 0.0


def measured(monkeypatch: pytest.MonkeyPatch, shift: Shift, seconds: float = 1.0) -> list[int]:
    """In place of measuring: losses that follow from the seed; how many trials there were each time."""
    batches: list[int] = []

    def measure(current: session.Session, order: object, force: bool, quiet: bool, release: object) -> None:
        store.write_header(current.path, dict(current.header))
        batches.append(len(current.todo.trials))
        store.append(current.path, [_record(trial, shift, seconds) for trial in current.todo.trials])

    monkeypatch.setattr(measuring, "measure", measure)
    return batches


def _record(trial: Trial, shift: Shift, seconds: float) -> Record:
    size = {"relu": 100.0, "gelu": 300.0, "swiglu": 400.0}.get(trial.cell.activation, 500.0)
    values = (
        {"saved_bytes": [size]} if trial.cell.kind == "memory" else {"val_loss": [3 + 0.01 * trial.seed + shift(trial)]}
    )
    one = record(trial.cell.kind, "relu", values)
    return Record(trial, Status.OK, one.measurements, {}, "", f"2026-01-01T00:00:{trial.seed:02}+00:00", seconds)


def asked(capsys: Capture, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = call("judge", *arguments, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == code and found["schema_version"] == 1
    return code, found


def test_a_published_run_answers(capsys: Capture) -> None:
    code, found = asked(
        capsys, PUBLISHED, "--claim", "val_loss: polynorm < swiglu", "--claim", "val_loss: gelu > swiglu"
    )
    assert (code, found["answer"], len(found["claims"])) == (0, "keep", 2)
    one = found["claims"][0]
    assert (one["answer"], one["unit"], one["effect"], one["n"], one["confidence"]) == (
        "keep", "nat/token", "difference", 10, 0.95
    )  # fmt: skip
    assert round(one["estimate"], 4) == -0.0247 and [round(x, 4) for x in one["interval"]] == [-0.0312, -0.0181]
    assert one["p"] < 0.001 and one["more"] is None
    code, found = asked(capsys, PUBLISHED, "--claim", "val_loss: polynorm < swiglu by 0.03")
    assert (code, found["answer"]) == (4, "unsure") and found["claims"][0]["more"]["seeds"] > 0
    code, found = asked(capsys, PUBLISHED, "--claim", "val_loss: polynorm < polyrelu < swiglu < relu < gelu")
    assert (code, found["answer"]) == (1, "discard")
    assert call("judge", PUBLISHED) == 0  # the claims of its suite
    out = capsys.readouterr().out
    assert out.count("keep: ") == 4 and out.splitlines()[-1] == "judge supported 4 claims"


def test_of_a_suite_only_what_is_claimed_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    batches = measured(monkeypatch, wobbling(0.001))
    code, found = asked(capsys, "small.yaml", "--claim", "val_loss: relu < swiglu by 0.01", "--out", "one")
    assert (code, found["answer"], batches) == (0, "keep", [8])
    one = store.load(Path("one"))
    assert {r.trial.benchmark for r in one.records} == {"pre"} and one.suite.suite == "small-judge"
    assert call("judge", "one") == 0  # it holds the claim that it was made for
    assert call("judge", "small.yaml", "--out", "two") == 0  # without one the suite's own
    assert batches == [8, 4]
    code, found = asked(
        capsys, "small.yaml", "--claim", "saved_bytes where tokens=64: polynorm < swiglu", "--out", "new"
    )
    assert (code, found["answer"], batches[-1]) == (1, "discard", 2)  # an activation that the suite does not list


def test_it_goes_on_until_it_is_answered(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    batches = measured(monkeypatch, wobbling(0.03))
    arguments = (
        "small.yaml",
        "--claim",
        "val_loss: relu < swiglu",
        "--out",
        "one",
        "--until-decided",
        "--budget",
        "2h",
    )
    code, found = asked(capsys, *arguments)
    assert (code, found["answer"], found["ended"]) == (0, "keep", "every claim is answered")
    one = store.load(Path("one"))
    assert len(batches) > 1 and sum(batches) == 2 * len(one.suite.benchmarks[0].seeds or ())
    looks = one.header["looks"]["pre"]
    assert len(looks) == len(batches) - 1 and looks[0] == [0, 1, 2, 3]
    assert not session.resume(Path("one"), None, force=False).todo.jobs  # an ordinary run, and whole
    again, _ = asked(capsys, "one")
    assert again == 0


def test_it_ends_when_the_budget_is_spent_and_can_go_on(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    batches = measured(monkeypatch, wobbling(0.03), seconds=1000.0)
    arguments = ("--until-decided", "--budget", "1m")
    code, found = asked(capsys, "small.yaml", "--claim", "val_loss: relu < swiglu", "--out", "one", *arguments)
    assert (code, found["answer"], batches) == (4, "unsure", [8])
    assert found["ended"].startswith("the budget is spent, and another seed would take about ")
    assert found["claims"][0]["more"]["seeds"] > 0
    code, found = asked(capsys, "one", "--until-decided", "--budget", "100h")
    assert (code, found["answer"]) == (0, "keep") and len(batches) > 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["small.yaml", "--claim", "val_loss: relu"], 2, "this cannot be read; write METRIC"),
        (["small.yaml", "--claim", "val_los: relu < gelu"], 2, "measures no 'val_los', did you mean 'val_loss'?"),
        (["small.yaml", "--claim", "val_curve: relu < gelu"], 2, "measures no 'val_curve'"),
        (["small.yaml", "--claim", "val_loss: rely < gelu"], 2, "unknown activation 'rely', did you mean 'relu'?"),
        (["small.yaml", "--claim", "val_loss: relu < relu"], 2, "'relu' is held against itself"),
        (["small.yaml", "--claim", "val_loss: relu < gelu by 5%"], 2, "by difference, so say by: in nat/token"),
        (["small.yaml", "--claim", "val_loss where tokns=64: relu < gelu"], 2, "no cell has 'tokns', did you mean"),
        (
            ["small.yaml", "--claim", "saved_bytes where tokens=65: relu < gelu"],
            2,
            "no cell of this suite has tokens 65",
        ),
        (["small.yaml", "--claim", "parameters: relu < gelu < swiglu"], 2, "no good direction; claim more_than"),
        (["small.yaml", "--budget", "5m"], 2, "--budget needs --until-decided"),
        (["small.yaml", "--until-decided", "--budget", "5"], 2, "--budget 5: this is no time"),
        (["gone.yaml"], 2, "cannot be read: No such file"),
        (["gone"], 2, "gone"),
        (["run", "--out", "x"], 2, "--out need a suite"),
        (["run"], 2, "run has no claims of its own to judge; say one, such as --claim"),
        (["run", "--claim", "val_loss: relu < polynrm"], 2, "did you mean 'polynorm'?"),
        (["run", "--claim", "val_loss: relu < polynorm"], 2, "'polynorm' is not among the activations"),
        (["run", "--claim", "saved_bytes: relu < gelu"], 5, "nothing to judge 'saved_bytes: relu < gelu' by"),
        (["run", "--claim", "val_loss where text=sotu: relu < gelu"], 2, "no cell has 'text', known: accumulate"),
        (["run", "--claim", "other_losses: relu < gelu"], 2, "needs texts to be judged on; name them as eval_corpora"),
        (["run", "--claim", "loss on sotu: relu < gelu"], 2, "claim other_losses, which asks every text"),
        (["run", "--claim", "own acc: relu > gelu"], 2, "`polybench eval RUN` asks those that a run kept"),
        (["run", "--claim", "val_loss where d_model=7: relu < gelu"], 5, "nothing to judge"),
    ],
)
def test_a_mistake_is_a_sentence(arguments: list[str], code: int, words: str, capsys: Capture) -> None:
    save(run(losses({"relu": BASE, "gelu": BASE}), suite(activations=["relu", "gelu", "swiglu"])), Path("run"))
    assert call("judge", *arguments) == code
    found = capsys.readouterr().err
    assert words in found and "Traceback" not in found


def test_what_failed_is_told_before_what_is_refuted(capsys: Capture) -> None:
    lost = record("memory", "relu", status=Status.FAILED, error="planted")
    of = suite(activations=["relu", "gelu", "swiglu"])
    save(run([*exact({"gelu": 1, "swiglu": 2}), lost], of), Path("run"))
    code, found = asked(capsys, "run", "--claim", "saved_bytes: swiglu < gelu", "--claim", "saved_bytes: relu < gelu")
    assert code == 3 and "planted" in found["reason"] and found["answer"] == "discard"
