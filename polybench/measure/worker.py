"""The measuring process: a job a line on stdin, what was measured a line at a time on stdout.

Run as `python -m polybench.measure.worker`. It ends when its stdin closes, and on Linux with its parent, so that no
worker outlives a killed polybench. Whatever a plug-in prints goes to stderr, so that it never breaks the protocol. A
job that asks to be forked is done by a copy of this process, which has made everything ready.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from traceback import clear_frames
from typing import TextIO

from polybench.errors import (
    Diverged,
    Escape,
    OverBudget,
    TrialError,
    Unsupported,
    as_error,
    did_you_mean,
    first_line,
    in_short,
    tells_of_memory,
)
from polybench.kind import Fact, Item, Kind, kind_of
from polybench.measure.forking import ONE, in_a_copy, prepare
from polybench.measure.kernel import end_with_parent, go_first, keep_orphans
from polybench.measure.turns import in_turn
from polybench.message import Done, Ending, Message, Said, encode
from polybench.record import Measurement, Status
from polybench.trial import OTHER_TEXT, TEXTS, Job, Trial

_UNSUPPORTED = ("not implemented for", "not compiled with", "is not supported", "no c++ compiler", "invalidcxxcompiler")
# torch's errors where it cannot compile, of torch._dynamo.exc and torch._inductor.exc; an activation's own have others.
_NOT_COMPILED = {"BackendCompilerFailed", "CppCompileError", "FailOnRecompileLimitHit", "InternalTorchDynamoError"}


def main() -> None:
    """Serve jobs until stdin closes."""
    # A cluster asks all processes of a job to end. polybench is who hears, and no trial fails by it meanwhile.
    signal.signal(signal.SIGTERM, lambda *_: None)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    end_with_parent()
    keep_orphans()
    go_first()
    inbox, ready = _Inbox(), False
    if ONE in sys.argv:
        job = inbox.take()
        inbox.watch()
        carry_out(job, out)
        os._exit(0)
    while True:
        job, code = inbox.take(), 0
        if job.fork:
            if not ready:
                prepare(job)
                ready = True
            code = in_a_copy(job, out, carry_out)
            out.write("\n" if code else "")  # whatever it was writing when it died
        else:
            inbox.watch()
            carry_out(job, out)
        out.write(encode(Message(0, Done(code))) + "\n")
        out.flush()


def carry_out(job: Job, out: TextIO) -> None:
    """Write all that comes of a job, but not that it is done."""
    for message in messages_of(job):
        out.write(encode(message) + "\n")


class _Inbox:
    """Jobs from stdin; a thread looks whether it is closed only once that is asked for, since none may be copied."""

    def __init__(self) -> None:
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._watched = False

    def take(self) -> Job:
        return Job.from_json(json.loads(self._lines.get() if self._watched else _line()))

    def watch(self) -> None:
        """From now on end the process as soon as stdin closes, whatever it does."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            self._lines.put(_line())


def _line() -> bytes:
    """The next line of stdin, read past no further, so that a closed stdin can be told; ends the process there."""
    read = bytearray()
    while not read.endswith(b"\n"):
        found = os.read(0, 1 << 16)  # nobody sends a job before the one before it is done
        if not found:
            os._exit(0)
        read += found
    return bytes(read)


def messages_of(job: Job) -> Iterator[Message]:
    """What each trial of the job yields, and how it ended if it went wrong."""
    failed: set[int] = set()
    try:
        if not job.fork:
            _begin_anew()
        first = job.trials[0].cell
        kind = kind_of(first.kind)
        protocol = kind.protocol(**dict(job.protocol))
        for index, item in in_turn(kind.run(job.trials, kind.axes(**dict(first.axes)), protocol), job.turns):
            _check(kind, job.trials, index, item)
            if isinstance(item, Exception):
                failed.add(index)
            yield Message(index, _said(item))
    except BaseException as problem:  # whatever a plug-in raises is that trial's outcome; Ctrl-C does not come here
        clear_frames(problem.__traceback__)  # and gives back what it had taken, or nothing more could be said
        for index in range(len(job.trials)):
            if index not in failed:
                yield Message(index, explain(problem))


def _begin_anew() -> None:
    """As in a fresh process: torch.compile keeps 8 versions of a function and runs every further one eagerly without an
    error, and a job that was to repeat itself to the bit has set that for all that follow."""
    if torch := sys.modules.get("torch"):
        torch.set_deterministic_debug_mode("default")
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()


def _check(kind: Kind, trials: Sequence[Trial], index: object, item: Item) -> None:
    """Raises TrialError where a kind speaks of no trial of the job or of a metric that is not its own, or where a text
    or images have changed since the run that is gone on with began."""
    if not isinstance(index, int) or not 0 <= index < len(trials):
        raise TrialError(
            f"the kind {kind.name} yielded something for trial {in_short(index)} of {len(trials)}; they count from 0"
        )
    if isinstance(item, Measurement) and item.metric not in (known := [m.name for m in kind.metrics]):
        raise TrialError(
            f"the kind {kind.name} yielded {in_short(item.metric)}, which is none of the metrics that it is registered "
            f"with; {did_you_mean(item.metric, known)}"
        )
    if isinstance(item, Fact) and (what := trials[index].cell.source_of(item.name)):
        before = json.loads(os.environ.get(TEXTS, "{}")).get(what, item.value)
        if before != item.value:
            raise TrialError(f"{what} ({before} / {item.value}) {OTHER_TEXT}")


def _said(item: Item) -> Said:
    if isinstance(item, Exception):
        return explain(item)
    if isinstance(item, Said):
        return item
    raise TypeError(f"the kind yielded {item!r}, which is no measurement, fact, file, note, progress or exception")


def explain(raised: BaseException) -> Ending:
    """The status an exception stands for, and one line for people."""
    problem = as_error(raised)
    name, text = type(problem).__name__, first_line(problem)
    lowered = f"{name}: {problem}".lower()
    if isinstance(problem, Unsupported):
        return Ending(Status.UNSUPPORTED, text)
    if isinstance(problem, Diverged):
        return Ending(Status.DIVERGED, text)
    if isinstance(problem, OverBudget):
        return Ending(Status.TIMED_OUT, text)
    if isinstance(problem, MemoryError) or tells_of_memory(lowered):
        return Ending(Status.OUT_OF_MEMORY, first_line(problem, otherwise="out of memory"))
    if isinstance(problem, RuntimeError) and any(sign in lowered for sign in _UNSUPPORTED):
        return Ending(Status.UNSUPPORTED, text)
    if kinds := _NOT_COMPILED & {kind.__name__ for kind in type(problem).__mro__}:
        if "FailOnRecompileLimitHit" in kinds:
            text = "one function had to be compiled again and again; TORCH_LOGS=recompiles says why"
        return Ending(Status.UNSUPPORTED, f"torch.compile failed: {text}")
    if isinstance(problem, TrialError | Escape):
        return Ending(Status.FAILED, text)
    return Ending(Status.FAILED, text if text == name else f"{name}: {text}")


if __name__ == "__main__":
    main()
