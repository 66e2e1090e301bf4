"""What people see while a suite runs: a bar on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from polybench.machine.environment import cores
from polybench.run.runner import Advanced, Event, Finished, Planned, Started
from polybench.run.session import Session
from polybench.saying import say

Tell = Callable[[Event], None]


@contextmanager
def shown(session: Session, quiet: bool) -> Iterator[Tell]:
    """A listener for a session's events, on stderr."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bar(session) as tell:
            yield tell
    else:
        yield _lines(session)


def _lines(session: Session) -> Tell:
    total = session.done + len(session.todo.trials)
    count = session.done
    labels = session.todo.labels

    def tell(event: Event) -> None:
        nonlocal count, total
        if isinstance(event, Planned):
            total = event.total
        elif isinstance(event, Finished):
            for record in event.records:
                count += 1
                tail = f": {record.error}" if record.error else f" in {record.duration_s:.1f} s"
                if record.same_as:
                    tail = ", the same training as the one before"
                status = record.status.words
                say(f"[{count}/{max(total, count)}] {labels.of_trial(record.trial)} {status}{tail}")

    return tell


@contextmanager
def _bar(session: Session) -> Iterator[Tell]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn

    slots = cores() if session.header["device"] == "cpu" else 1
    work = session.todo.seconds(slots) or 1.0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        suite = progress.add_task("suite", total=work, left="")
        tasks: dict[int, int] = {}
        share: dict[int, float] = {}  # seconds of a job, with others beside it
        behind = 0.0
        failed = 0

        def update() -> None:
            ahead = sum(share[key] * progress.tasks[_at(progress, task)].completed for key, task in tasks.items())
            done = behind + ahead
            elapsed = progress.tasks[0].elapsed or 0.0
            left = f"about {_minutes(elapsed * (work - done) / done)} left" if done > 0.02 * work else "estimating"
            trouble = f", {failed} failed" if failed else ""
            progress.update(suite, completed=done, left=left + trouble)

        def tell(event: Event) -> None:
            nonlocal behind, failed, work
            if isinstance(event, Planned):
                work = behind + event.todo.seconds(slots)
                progress.update(suite, total=work)
                return
            key = id(event.job)
            if isinstance(event, Started):
                share[key] = event.job.seconds / (1 if event.job.alone else slots)
                tasks[key] = progress.add_task(escape(session.todo.labels.of_job(event.job)), total=1.0, left="")
            elif isinstance(event, Advanced) and key in tasks:
                task = progress.tasks[_at(progress, tasks[key])]
                done = max(event.done, 1e-6)
                left = (task.elapsed or 0.0) * (1 - done) / done
                progress.update(tasks[key], completed=done, left=f"{_minutes(left)} left")  # type: ignore[arg-type]
            elif isinstance(event, Finished):
                behind += share.pop(key)
                failed += sum(r.status.broken for r in event.records)
                if key in tasks:
                    progress.remove_task(tasks.pop(key))  # type: ignore[arg-type]
            update()

        yield tell


def _at(progress: object, task: object) -> int:
    return next(i for i, t in enumerate(progress.tasks) if t.id == task)  # type: ignore[attr-defined]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
