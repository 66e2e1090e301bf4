"""An executor that measures nothing."""

from __future__ import annotations

from collections.abc import Callable

from polybench.message import Ending, Message
from polybench.record import Measurement
from polybench.trial import Job


class Fake:
    """Answers each job with what `script` says for its first trial's activation."""

    def __init__(self, script: Callable[[str], tuple[list[Message], Ending]] | None = None):
        self.script = script or (lambda name: ([Message(0, VALUE)], Ending()))
        self.jobs: list[str] = []
        self.stopped = False

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        name = job.trials[0].cell.activation
        self.jobs.append(name)
        messages, ending = self.script(name)
        for message in messages:
            on_message(message)
        return ending

    def stop(self) -> None:
        self.stopped = True


VALUE = Measurement("m", (1.0, 2.0))
