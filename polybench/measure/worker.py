"""The measuring process: a job a line on stdin, what was measured a line at a time on stdout.

Run as `python -m polybench.measure.worker`. It ends when its stdin closes, so that no worker outlives a
killed polybench, and whatever a plug-in prints goes to stderr, so that it never breaks the protocol.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator

from polybench.errors import Diverged, OverBudget, TrialError, Unsupported, first_line
from polybench.kind import Item, kind_of
from polybench.message import Done, Ending, Message, Said, encode
from polybench.record import Status
from polybench.trial import Job

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
        for message in messages_of(Job.from_json(json.loads(jobs.get()))):
            out.write(encode(message) + "\n")
        out.flush()


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def messages_of(job: Job) -> Iterator[Message]:
    """What each trial of the job yields, how it ended if it went wrong, and `Done` at the end."""
    failed: set[int] = set()
    try:
        _forget_compiled()
        first = job.trials[0].cell
        kind = kind_of(first.kind)
        protocol = kind.protocol(**dict(job.protocol))
        for index, item in kind.run(job.trials, kind.axes(**dict(first.axes)), protocol):
            if isinstance(item, Exception):
                failed.add(index)
            yield Message(index, _said(item))
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as problem:  # whatever a plug-in raises is that trial's outcome, not ours
        for index in range(len(job.trials)):
            if index not in failed:
                yield Message(index, explain(problem))
    yield Message(0, Done())


def _forget_compiled() -> None:
    """torch.compile keeps 8 versions of a function and runs every further one eagerly without an error."""
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()


def _said(item: Item) -> Said:
    if isinstance(item, Exception):
        return explain(item)
    if isinstance(item, Said):
        return item
    raise TypeError(f"the kind yielded {item!r}, which is no measurement, fact, file, progress or exception")


def explain(problem: BaseException) -> Ending:
    """The status an exception stands for, and one line for people."""
    name, text = type(problem).__name__, first_line(problem)
    lowered = f"{name}: {problem}".lower()
    if isinstance(problem, Unsupported):
        return Ending(Status.UNSUPPORTED, text)
    if isinstance(problem, Diverged):
        return Ending(Status.DIVERGED, text)
    if isinstance(problem, OverBudget):
        return Ending(Status.TIMED_OUT, text)
    if isinstance(problem, MemoryError) or any(sign in lowered for sign in _OUT_OF_MEMORY):
        return Ending(Status.OUT_OF_MEMORY, first_line(problem, otherwise="out of memory"))
    if isinstance(problem, RuntimeError) and any(sign in lowered for sign in _UNSUPPORTED):
        return Ending(Status.UNSUPPORTED, text)
    if isinstance(problem, TrialError):
        return Ending(Status.FAILED, text)
    return Ending(Status.FAILED, text if text == name else f"{name}: {text}")


if __name__ == "__main__":
    main()
