"""What experiment trackers are told of a run, read back by the tracker where it is installed."""

from __future__ import annotations

import importlib.machinery
import math
import os
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import exact, losses, record, run, save, suite, times
from commands import Capture, call

from polybench.cli import main
from polybench.record import Record, Status
from polybench.registry import loggers
from polybench.report.loggers import trackio
from polybench.report.tracking import tracked
from polybench.run.store import Run
from polybench.tracked import Curve, Tracked

LOSSES = {"relu": [3.0, 3.5], "swiglu": [2.9, 3.41]}
STEPS = (0, 10, 20)


def trained(name: str, seed: int, final: float) -> Record:
    values = {
        "val_loss": [final],
        "val_curve": [5.0, 4.0, final],
        "train_time": [0.0, 1.5, 3.0],
        "w_in_rank": [0.5] * 3,
    }
    return record("pretrain", name, values, seed=seed, steps=STEPS)


RECORDS = [trained(name, seed, v) for name, of in LOSSES.items() for seed, v in enumerate(of)]
BROKEN = record(
    "pretrain", "polynorm", {"val_curve": [5.0, math.nan]}, status=Status.DIVERGED, error="nan", steps=(0, 10)
)
RUN = run([*RECORDS, BROKEN, *exact({"relu": 4096, "swiglu": 8192}), *times({"relu": 0.5, "swiglu": 1.0})])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


def one(name: str, of: Run = RUN) -> Tracked:
    (found,) = (t for t in tracked(of) if t.name == name)
    return found


def test_a_training_is_tracked_by_its_seed_and_a_cell_without_curves_as_a_whole() -> None:
    names = [t.name for t in tracked(RUN)]
    assert len(names) == len(set(names)) == 5 + 2 + 2
    assert names[:5] == [f"pretrain/relu/seed={i}" for i in (0, 1)] + [f"pretrain/swiglu/seed={i}" for i in (0, 1)] + [
        "pretrain/polynorm/seed=0"
    ]
    assert {(t.project, t.group) for t in tracked(RUN)} == {("toy", "toy/one")}


def test_a_training_has_its_configuration_its_curves_and_its_figures_with_intervals() -> None:
    mine = one("pretrain/relu/seed=1")
    assert mine.config["seed"] == 1 and mine.config["activation"] == "relu" and mine.config["status"] == "ok"
    assert mine.config["torch"] == "2.6" and mine.config["corpus"] == dict(RECORDS[0].trial.cell.axes)["corpus"]
    assert mine.curves == (
        Curve("val_curve", "nat/token", STEPS, (5.0, 4.0, 3.5)),
        Curve("train_time", "s", STEPS, (0.0, 1.5, 3.0)),
    )  # what runs along layers is none
    assert mine.by_step()[10] == {"val_curve": 4.0, "train_time": 1.5} and mine.seconds == {0: 0.0, 10: 1.5, 20: 3.0}
    told = mine.summary
    assert told["val_loss"] == 3.5 and told["val_loss/mean"] == pytest.approx(3.25)
    assert told["val_loss/low"] < told["val_loss/mean"] < told["val_loss/high"]  # type: ignore[operator]
    assert told["val_loss/less swiglu"] == pytest.approx(0.095)
    assert told["val_loss/less swiglu, low"] < 0.095 < told["val_loss/less swiglu, high"]  # type: ignore[operator]
    assert told["val_loss/less swiglu, verdict"] in {"not resolved", "worse"}
    assert told["tokens_to_reference"] == "inf"
    assert all(isinstance(v, str) or math.isfinite(v) for v in told.values())


def test_a_cell_has_its_ratio_and_an_exact_one_no_interval() -> None:
    timed = one("speed/relu").summary
    assert timed["total_time/over swiglu"] == pytest.approx(0.5, rel=1e-2)
    assert timed["total_time/over swiglu, verdict"] == "faster"
    counted = one("memory/relu").summary
    assert counted["saved_bytes"] == 4096 and counted["saved_bytes/over swiglu"] == 0.5
    assert "saved_bytes/over swiglu, low" not in counted


def test_tensorboard_reads_its_curves_back(capsys: Capture) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    save(RUN, Path("kept"))
    assert call("export", "kept", "--to", "tensorboard") == 0
    out = Path("kept/tensorboard")
    assert capsys.readouterr().out == f"{out}: toy/kept for tensorboard; next: tensorboard --logdir {out}\n"
    folders = {p.parent.relative_to(out).as_posix() for p in out.rglob("events.out.*")}
    assert folders == {t.name for t in tracked(RUN) if t.curves}
    read = accumulator.EventAccumulator(str(out / "pretrain/relu/seed=1")).Reload()
    assert read.Tags()["scalars"] == ["val_curve", "train_time"]
    events = read.Scalars("val_curve")
    assert [(e.step, e.value) for e in events] == [(0, 5.0), (10, 4.0), (20, 3.5)]
    assert [e.wall_time - events[0].wall_time for e in events] == [0.0, 1.5, 3.0]
    (_, broken) = accumulator.EventAccumulator(str(out / "pretrain/polynorm/seed=0")).Reload().Scalars("val_curve")
    assert math.isnan(broken.value)


def test_no_label_leads_out_of_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    mine = replace(one("pretrain/relu/seed=0"), name="../../a b/..//c:d/é=1")
    loggers.load("tensorboard").object([mine], tmp_path / "out")
    assert [p.parent.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("events.out.*")] == [
        "out/_/_/a_b/_/_/c_d/é=1"
    ]


class Client(types.ModuleType):
    """Stands in for a tracker: it keeps what it is told."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.runs: list[Any] = []

    def init(self, **arguments: Any) -> Any:
        made = types.SimpleNamespace(arguments=arguments, logged=[], summary={}, finished=False)
        made.log = lambda values, step: made.logged.append((step, values))
        made.finish = lambda: setattr(made, "finished", True)
        self.runs.append(made)
        self.sent_to = {name: os.environ[name] for name in trackio.ELSEWHERE if name in os.environ}
        return made

    def finish(self) -> None:
        self.runs[-1].finish()


@pytest.fixture
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client(request.param)
    monkeypatch.setitem(sys.modules, request.param, made)
    for variable in ("WANDB_MODE", "TRACKIO_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return made


@pytest.mark.parametrize("client", ["wandb"], indirect=True)
def test_wandb_is_told_offline(client: Client, capsys: Capture) -> None:
    save(RUN, Path("kept"))
    assert call("export", "kept", "--to", "wandb", "--out", "there") == 0
    assert "wandb sync there/wandb/offline-run-*" in capsys.readouterr().out
    assert {(r.arguments["mode"], r.arguments["dir"], r.arguments["project"]) for r in client.runs} == {
        ("offline", "there", "toy")
    }
    assert all(r.finished for r in client.runs)
    for made, told in zip(client.runs, tracked(replace(RUN, path=Path("kept"))), strict=True):
        assert (made.arguments["name"], made.arguments["config"]) == (told.name, told.config)
        assert made.logged == list(told.by_step().items()) or told.config["status"] == "diverged"
        assert made.summary == told.summary


@pytest.mark.parametrize("client", ["trackio"], indirect=True)
def test_trackio_is_told_on_this_disk(client: Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", "")
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/mine")
    save(RUN, Path("kept"))
    assert call("export", "kept", "--to", "trackio", "--out", "there") == 0
    assert "TRACKIO_DIR=there trackio show --project toy" in capsys.readouterr().out
    first = client.runs[0]
    assert not client.sent_to and all(r.finished for r in client.runs)
    assert first.arguments["name"] == "toy/kept/pretrain/relu/seed=0" and first.finished
    assert [step for step, _ in first.logged] == [0, 10, 20, 20]
    assert first.logged[-1][1]["val_loss"] == 3.0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("kept", "--to", "tensorbord"), 2, "did you mean 'tensorboard'?"),
        (("kept",), 2, "Missing option '--to'"),
        (("kept", "--to", "tensorboard", "--out", "kept"), 2, "kept is not empty"),
        (("empty", "--to", "tensorboard"), 5, "nothing was measured in empty"),
        (("counted", "--to", "tensorboard"), 5, "no training of this run has curves"),
        (("nowhere", "--to", "wandb"), 2, "wandb is not installed: `pip install wandb` (the extra `wandb`) brings it"),
        (("nowhere", "--to", "tensorboard"), 2, "there is no run 'nowhere'"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: tuple[str, ...], code: int, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "wandb" in arguments:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    save(RUN, Path("kept"))
    save(run([]), Path("empty"))
    save(run(exact({"relu": 1, "swiglu": 2}), suite()), Path("counted"))
    assert call("export", *arguments) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_thread_of_a_tracker_that_breaks_is_one_sentence(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        def write() -> None:
            raise OSError(28, "No space left on device")

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    broken = Client("wandb")
    monkeypatch.setattr(broken, "init", full)
    monkeypatch.setitem(sys.modules, "wandb", broken)
    save(run(losses(LOSSES)), Path("kept"))
    assert call("export", "kept", "--to", "wandb") == 2
    said = capsys.readouterr().err
    assert "kept could not be exported to wandb" in said and said.count("\n") == 1


def test_a_tracker_that_breaks_is_one_sentence(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Client("wandb")
    monkeypatch.setattr(broken, "init", lambda **_: sys.exit("no account"))
    monkeypatch.setitem(sys.modules, "wandb", broken)
    save(run(losses(LOSSES)), Path("kept"))
    assert call("export", "kept", "--to", "wandb") == 2
    assert "kept could not be exported to wandb" in capsys.readouterr().err
