"""`polybench eval`: tasks of lm-evaluation-harness, put to a trained model or to all that a run kept."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.options import DeviceOption, Json
from polybench.errors import ResultsError, TrialError, UsageError

if TYPE_CHECKING:
    from polybench.document import Table
    from polybench.run.store import Run
    from polybench.score import Score
    from polybench.trial import Trial

KEPT = "*.model.pt"


def evaluate(
    model: Annotated[str, typer.Argument(metavar="CHECKPOINT|RUN", help="a *.model.pt, or a run that kept some")],
    tasks: Annotated[
        str, typer.Option(metavar="A,B", help="names, glob patterns or YAML files; what polybench brings if left out")
    ] = "polybench",
    include_path: Annotated[Path | None, typer.Option(metavar="DIR", help="a folder with tasks of your own")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="documents a task; all if left out")] = None,
    num_fewshot: Annotated[int | None, typer.Option(metavar="N", min=0, help="examples before the question")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="keep the scores here, not in the run")] = None,
    device: DeviceOption = None,
    as_json: Json = False,
) -> None:
    """Put tasks of lm-evaluation-harness to models that were kept.

    CHECKPOINT is one of them, RUN stands for all that a run kept. The report of a run shows what its models scored.

    Ends with 2 where a task or the model cannot be had, and with 3 where evaluating itself failed.
    """
    from polybench.files import make_folder
    from polybench.machine.environment import choose_device
    from polybench.measure.tasks import Tasks
    from polybench.record import Status
    from polybench.report.scores import table_of
    from polybench.run.scores import SCORES_FILE, keep, read
    from polybench.run.store import RUN_FILE, find, load

    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of lm-eval and of datasets
    chosen = choose_device(device or "auto")
    if Path(model).is_dir() and not (Path(model) / RUN_FILE).is_file() and (own := sorted(Path(model).glob(KEPT))):
        raise UsageError(f"{model} is a folder of models; name one, such as {own[0]}, or their run")
    alone = Path(model).is_file() or model.endswith(".pt")
    run = None if alone else load(find(model))
    paths, notes = [Path(model)] if run is None else _models(run), []
    ended = {r.trial.id: r for r in run.records} if run else {}
    asked = Tasks([name.strip() for name in tasks.split(",") if name.strip()], include_path)
    folder = out or (run.path if run else _home(paths[0]))
    make_folder(folder)
    read(folder)  # that scores can be added there is known before any is made
    from polybench.measure.training.harness import KeptModel

    scored: list[tuple[Trial, list[Score]]] = []
    for path in paths:
        try:
            kept = KeptModel(path, chosen)
            record = ended.get(kept.trial.id)
            if record and record.status != Status.OK:
                raise TrialError(f"{path.name}, since its training ended as {record.status}: {record.error}")
            if record and record.trial != kept.trial:
                now, then = record.trial.rate, kept.trial.rate
                raise TrialError(
                    f"{path.name}, since it was trained at the rate {then}, which tuning gave up for {now}"
                )
        except TrialError as problem:
            if run is None:
                raise
            notes.append(f"Left out: {problem}.")
            continue
        scores = asked.put_to(kept, limit, num_fewshot)
        keep(folder, kept.trial, scores)
        if kept.cut:
            notes.append(f"{kept.cut} requests of a model were longer than {kept.max_length} tokens: cut on the left.")
        scored.append((kept.trial, scores))
    notes = list(dict.fromkeys(notes))
    if not scored:
        raise ResultsError(f"no model of {model} could be asked; {notes[0]}")
    made = _side_by_side(run, scored) if run else [table_of(*scored[0])]
    if as_json:
        from polybench.report.formats.data import plain

        values = [{"trial": trial.to_json(), "scores": [s.to_json() for s in scores]} for trial, scores in scored]
        print(json.dumps(plain({"models": values, "tables": made, "notes": notes}), indent=1))
    else:
        print(_text(model, made, notes))
        print(f"scores: {folder / SCORES_FILE}")


def _home(model: Path) -> Path:
    """Where the scores of a model belong: to the run that kept it, else beside it."""
    from polybench.record import CHECKPOINT_FOLDER
    from polybench.run.store import RUN_FILE

    folder = model.parent
    return folder.parent if folder.name == CHECKPOINT_FOLDER and (folder.parent / RUN_FILE).is_file() else folder


def _side_by_side(run: Run, scored: Sequence[tuple[Trial, Sequence[Score]]]) -> list[Table]:
    """What was asked now, of the models that were asked now."""
    from polybench.compare.comparisons import Comparisons
    from polybench.report.scores import side_by_side

    fresh = {trial.id: tuple(scores) for trial, scores in scored}
    return [*side_by_side(Comparisons.of(replace(run, scores=fresh)))]


def _models(run: Run) -> list[Path]:
    from polybench.files import inside
    from polybench.record import CHECKPOINT_FOLDER

    paths = [p for p in sorted(inside(run.path, CHECKPOINT_FOLDER).glob(KEPT)) if not p.is_symlink()]
    if not paths:
        if any(b.protocol.get("save") for b in run.suite.benchmarks):
            raise UsageError(f"{run.path} has no models beside its records; they are where they were trained, if kept")
        raise UsageError(f"{run.path} kept no model; `protocol: {{save: true}}` on a benchmark of kind pretrain does")
    return paths


def _text(model: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    from polybench.document import Document
    from polybench.report.formats.terminal import terminal

    return str(terminal(Document("scores", f"of {model}", tables=tuple(tables), notes=tuple(notes))))
