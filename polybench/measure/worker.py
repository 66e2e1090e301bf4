"""The measuring process: a job a line on stdin, what was measured a line at a time on stdout.

Run as `python -m polybench.measure.worker`. It ends when its stdin closes, so that no worker outlives a
killed polybench, and whatever a plug-in prints goes to stderr, so that it never breaks the protocol.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
from typing import Any

from polybench.errors import Diverged, OverBudget, TrialError, Unsupported, first_line
from polybench.kind import Fact, Item, Measured, Progress, kind_of
from polybench.record import Artifact, Measurement, Status
from polybench.trial import Trial

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "unable to allocate")
_UNSUPPORTED = ("not implemented for", "not compiled with", "is not supported", "no c++ compiler", "invalidcxxcompiler")


def main() -> None:
    """Serve jobs until stdin closes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        for message in messages_of(json.loads(jobs.get())):
            out.write(json.dumps(message) + "\n")
        out.flush()


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def messages_of(job: dict[str, Any]) -> Any:
    """Messages of one job: what each trial yields, its error if it has one, and `done` at the end."""
    trials = [Trial.from_json(t) for t in job["trials"]]
    failed: set[int] = set()
    try:
        _forget_compiled()
        kind = kind_of(trials[0].cell.kind)
        protocol = kind.protocol(**job["protocol"])
        for index, item in kind.run(trials, kind.axes(**dict(trials[0].cell.axes)), protocol):
            if isinstance(item, Exception):
                failed.add(index)
            yield _message(index, item)
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as problem:  # whatever a plug-in raises is that trial's outcome, not ours
        for index in range(len(trials)):
            if index not in failed:
                yield _message(index, problem)
    yield {"done": True}


def _forget_compiled() -> None:
    """torch.compile keeps 8 versions of a function and runs every further one eagerly without an error."""
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()


def _message(index: int, item: Item | BaseException) -> dict[str, Any]:
    if isinstance(item, Measurement):
        return {"trial": index, "measurement": item.to_json()}
    if isinstance(item, Fact):
        return {"trial": index, "fact": [item.name, item.value]}
    if isinstance(item, Artifact):
        return {"trial": index, "artifact": [item.name, base64.b64encode(item.data).decode()]}
    if isinstance(item, Measured):
        return {"trial": index, "measured": item.followed_by}
    if isinstance(item, Progress):
        return {"progress": item.done}
    status, text = explain(item)
    return {"trial": index, "status": status.value, "error": text}


def explain(problem: BaseException) -> tuple[Status, str]:
    """The status an exception stands for, and one line for people."""
    name, text = type(problem).__name__, first_line(problem)
    lowered = f"{name}: {problem}".lower()
    if isinstance(problem, Unsupported):
        return Status.UNSUPPORTED, text
    if isinstance(problem, Diverged):
        return Status.DIVERGED, text
    if isinstance(problem, OverBudget):
        return Status.TIMED_OUT, text
    if isinstance(problem, MemoryError) or any(sign in lowered for sign in _OUT_OF_MEMORY):
        return Status.OUT_OF_MEMORY, first_line(problem, otherwise="out of memory")
    if isinstance(problem, RuntimeError) and any(sign in lowered for sign in _UNSUPPORTED):
        return Status.UNSUPPORTED, text
    if isinstance(problem, TrialError):
        return Status.FAILED, text
    return Status.FAILED, text if text == name else f"{name}: {text}"


if __name__ == "__main__":
    main()
