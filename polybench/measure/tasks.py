"""Tasks of lm-evaluation-harness: found by name, loaded, and put to a model; what comes back are plain scores.

lm-eval is imported inside, since it is an extra; torch comes with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from polybench.errors import EvaluationFailed, PolybenchError, UsageError, did_you_mean, reason
from polybench.score import Score

OURS = "polybench"  # all of the tasks that polybench brings
_FOLDER = Path(__file__).parents[1] / "tasks"
_LISTED = "`lm-eval ls tasks` lists them, --include-path names a folder of your own"


class Tasks:
    """The tasks of these names, glob patterns or YAML files; `include` is a folder beside that of polybench.

    Raises:
        UsageError: lm-eval is not installed, or a name or the folder is unknown.
    """

    def __init__(self, names: Sequence[str], include: Path | None = None):
        if not importlib.util.find_spec("lm_eval"):
            raise UsageError("lm-evaluation-harness is not installed: pip install 'torch-polybench[lm-eval]'")
        if include and not include.is_dir():
            raise UsageError(f"--include-path {include} is no folder")
        if not names:
            raise UsageError(f"say which tasks, for example --tasks lambada_openai,arc_easy; {_LISTED}")
        from lm_eval.tasks import TaskManager

        logging.getLogger("lm_eval").setLevel(logging.ERROR)  # what it fills in stands in the table
        # Reading all that lm-eval brings takes seconds, and a task of one's own can do without.
        folders: list[str | Path] = [_FOLDER, *([include] if include else [])]
        self._manager = TaskManager(include_path=folders, include_defaults=False)
        if not set(names) <= {OURS, *self._manager.all_subtasks}:
            self._manager = TaskManager(include_path=folders)
        self.names = [found for name in names for found in self._matching(name)]

    def _matching(self, name: str) -> list[str]:
        if Path(name).suffix == ".yaml" and Path(name).is_file():
            return [name]
        known = self._manager.all_tasks
        found: list[str] = self._manager.match_tasks([name])
        if not found:
            hint = did_you_mean(name, known)
            raise UsageError(f"there is no task {name!r}, {hint if hint.startswith('did') else _LISTED}")
        return found

    def put_to(self, model: Any, limit: int | None = None, shots: int | None = None) -> list[Score]:
        """Every score of `model`, which lm-eval asks.

        Raises:
            UsageError: a task cannot be loaded, such as for want of its data.
            EvaluationFailed: lm-eval or the task broke while asking.
        """
        from lm_eval import evaluate
        from lm_eval.defaults import DEFAULT_OTHER_SEED

        parts = [part for name in self.names for part in self._load(name)]
        try:
            loaded = self._manager.load(parts)
        except ValueError as problem:
            raise UsageError(f"--tasks: {problem}") from None
        for task in loaded["tasks"].values():
            own = task.get_config("num_fewshot")
            # A task that says 0 itself means it, as in lm_eval.simple_evaluate.
            wanted = shots if shots is not None and own != 0 else own or 0
            task.set_config(key="num_fewshot", value=wanted)
            task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
        try:
            results = evaluate(lm=model, task_dict=loaded, limit=limit, log_samples=False)
        except PolybenchError:
            raise
        except Exception as problem:  # tasks are programs of others
            raise EvaluationFailed(f"{', '.join(self.names)} failed, {reason(problem)}") from problem
        asked = {**loaded["tasks"], **loaded.get("groups", {})}
        return of_results(results, {name: _told(one, limit) for name, one in asked.items()})

    def _load(self, name: str) -> list[Any]:
        """The group of this name, or its tasks."""
        try:
            found = self._manager.load([name])
        except Exception as problem:  # whatever the libraries of data sets raise
            if _wants_network(problem):
                raise UsageError(
                    f"task {name} needs data that is not on this machine, and the hub cannot be reached; "
                    "load it once with a network, or take a task of local files"
                ) from problem
            raise UsageError(f"task {name} cannot be loaded, {reason(problem)}") from problem
        groups = found.get("groups", {})
        return [groups[name]] if name in groups else list(found["tasks"].values())


def _wants_network(problem: BaseException | None) -> bool:
    """Whether this, or what it was raised from, is a connection that failed; the libraries have many names for it."""
    while problem:
        words = {kind.__name__ for kind in type(problem).__mro__}
        if any(w in name for name in words for w in ("Connect", "OfflineMode", "LocalEntryNotFound", "Timeout")):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def _told(asked: Any, limit: int | None) -> dict[str, Any]:
    """What a task, or a group of them, says of itself beside its results."""
    is_group = hasattr(asked, "get_all_tasks")
    metadata = asked.metadata if is_group else asked.get_config("metadata")
    chance = metadata.get("chance") if isinstance(metadata, Mapping) else None
    tasks = asked.get_all_tasks() if is_group else [asked]
    digests = [_digest([*islice(task.eval_docs, limit)]) for task in tasks]
    return {
        "chance": float(chance) if isinstance(chance, int | float) else None,
        "limit": limit,
        "data": digests[0] if len(digests) == 1 else _digest(digests) if all(digests) else "",
    }


def _digest(data: Any) -> str:
    try:
        text = json.dumps(data, sort_keys=True)
    except TypeError:  # such as images
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_results(results: dict[str, Any], told: Mapping[str, Mapping[str, Any]]) -> list[Score]:
    """What `lm_eval.simple_evaluate` returned, a score each; a metric's filter is named where there is one.

    `told` are further fields by task.
    """
    found = []
    for task, values in results["results"].items():
        for key, value in values.items():
            metric, comma, filter = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = values.get(f"{metric}_stderr,{filter}")
            higher = results["higher_is_better"].get(task, {}).get(metric)
            found.append(
                Score(
                    task=task,
                    metric=metric if filter == "none" else f"{metric} ({filter})",
                    value=float(value),
                    stderr=float(stderr) if isinstance(stderr, int | float) else None,
                    n=results["n-samples"].get(task, {}).get("effective"),
                    better="neither" if higher is None else "higher" if higher else "lower",
                    shots=int(results["n-shot"].get(task) or 0),
                    version=str(results["versions"].get(task, "")),
                    **told.get(task, {}),
                )
            )
    return found
