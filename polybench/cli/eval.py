"""`polybench eval`: tasks of lm-evaluation-harness, put to a trained model or to all that a run kept."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.options import DeviceOption, Json
from polybench.errors import ResultsError, TrialError, UsageError

if TYPE_CHECKING:
    from polybench.document import Table
    from polybench.report.scores import ScoredModel
    from polybench.run.store import Run

KEPT = "*.model.pt"


def evaluate(
    model: Annotated[str, typer.Argument(metavar="CHECKPOINT|RUN", help="a *.model.pt, or a run that kept some")],
    tasks: Annotated[str, typer.Option(metavar="A,B", help="names, glob patterns or YAML files")] = "",
    include_path: Annotated[Path | None, typer.Option(metavar="DIR", help="a folder with tasks of your own")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="documents a task; all if left out")] = None,
    num_fewshot: Annotated[int | None, typer.Option(metavar="N", min=0, help="examples before the question")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="keep the scores here, not beside the model")] = None,
    device: DeviceOption = None,
    as_json: Json = False,
) -> None:
    """Put tasks of lm-evaluation-harness to models that were kept.

    CHECKPOINT is one of them, RUN stands for all that a run kept.

    Ends with 2 where a task or the model cannot be had, and with 3 where evaluating itself failed.
    """
    from polybench.compare.comparisons import Comparisons
    from polybench.files import make_folder
    from polybench.machine.environment import choose_device
    from polybench.measure.tasks import Tasks
    from polybench.record import Status
    from polybench.report.scores import ScoredModel, side_by_side, table_of
    from polybench.run.scores import SUFFIX, keep, path_of
    from polybench.run.store import find, load

    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of lm-eval and of datasets
    chosen = choose_device(device or "auto")
    alone = Path(model).is_file() or model.endswith(".pt")
    run = None if alone else load(find(model))
    paths, notes = [Path(model)] if run is None else _models(run), []
    ended = {r.trial.id: r for r in run.records} if run else {}
    asked = Tasks([name.strip() for name in tasks.split(",") if name.strip()], include_path)
    if out:
        make_folder(out)
    from polybench.measure.training.harness import KeptModel

    scored: list[ScoredModel] = []
    for path in paths:
        try:
            kept = KeptModel(path, chosen)
            record = ended.get(kept.trial.id)
            if record and record.status != Status.OK:
                raise TrialError(f"{path.name}, since its training ended as {record.status}: {record.error}")
        except TrialError as problem:
            if run is None:
                raise
            notes.append(f"Left out: {problem}.")
            continue
        scores = tuple(asked.put_to(kept, limit, num_fewshot))
        keep(path_of(path, out), kept.trial, [{**asdict(s), "limit": limit} for s in scores])
        if kept.cut:
            notes.append(f"{kept.cut} requests of a model were longer than {kept.max_length} tokens: cut on the left.")
        scored.append(ScoredModel(kept.trial, scores))
    notes = list(dict.fromkeys(notes))
    if not scored:
        raise ResultsError(f"no model of {model} could be asked; {notes[0]}")
    if run is None:
        made: tuple[Table, ...] = (table_of(scored[0].trial, scored[0].scores),)
    else:
        made = side_by_side(scored, run.suite.reference, Comparisons.of(run).grid)
    if as_json:
        values = [{"trial": s.trial.to_json(), "scores": [asdict(v) for v in s.scores]} for s in scored]
        print(json.dumps({"models": values, "tables": [asdict(t) for t in made], "notes": notes}, indent=1))
    else:
        print(_text(model, made, notes))
        print(f"scores: {out or paths[0].parent}/*{SUFFIX}")


def _models(run: Run) -> list[Path]:
    from polybench.files import inside
    from polybench.record import CHECKPOINT_FOLDER

    paths = [p for p in sorted(inside(run.path, CHECKPOINT_FOLDER).glob(KEPT)) if not p.is_symlink()]
    if not paths:
        raise UsageError(f"{run.path} kept no model; `protocol: {{save: true}}` on a benchmark of kind pretrain does")
    return paths


def _text(model: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    from polybench.document import Document
    from polybench.report.formats.terminal import terminal

    return str(terminal(Document("scores", f"of {model}", (), tuple(tables), (), (), tuple(notes))))
