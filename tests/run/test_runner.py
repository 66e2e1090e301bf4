"""The scheduler, with executors that measure nothing: order, records, and what interrupts it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes import VALUE, Fake

from polybench.errors import ResultsError
from polybench.kind import Fact, Measured, Note, Progress
from polybench.message import Ending, Message
from polybench.record import Artifact, Record, Status
from polybench.run import executor
from polybench.run.runner import Advanced, Event, Finished, Started, records_of, run
from polybench.trial import Cell, Job, Trial


def trial(name: str, seed: int = 0) -> Trial:
    return Trial("b", Cell("memory", 1, name, "eager", "cpu", "float32", ()), seed)


def job(*names: str, alone: bool = False) -> Job:
    return Job(tuple(trial(n) for n in names), (), alone=alone)


def carried(jobs: list[Job], slots: int = 2) -> tuple[list[Record], list[Event], list[Fake]]:
    kept: list[Record] = []
    events: list[Event] = []
    fakes: list[Fake] = []

    def make() -> Fake:
        fakes.append(Fake())
        return fakes[-1]

    run(jobs, make, slots, kept.extend, events.append)
    return kept, events, fakes


def test_every_trial_gets_one_record() -> None:
    kept, _, fakes = carried([job(str(i)) for i in range(20)])
    assert sorted(r.trial.cell.activation for r in kept) == sorted(map(str, range(20)))
    assert all(f.stopped for f in fakes)


def test_of_trials_that_are_one_the_first_is_measured_for_all() -> None:
    fake = Fake(lambda name: ([Message(0, VALUE), Message(0, Artifact("traces/a", b"data"))], Ending()))
    first, twin = records_of(replace(job("a", "b"), as_one=True), fake)
    assert fake.jobs == ["a"]
    assert (first.same_as, twin.same_as) == ("", first.trial.id) and twin.trial == trial("b")
    assert twin.measurements == first.measurements == (VALUE,)
    assert first.artifacts and not twin.artifacts
    assert (twin.started_at, twin.duration_s) == (first.started_at, 0.0)
    assert Record.from_json(twin.to_json()) == twin and "same_as" not in first.to_json()


def test_jobs_that_are_alone_run_first_in_order_and_one_at_a_time() -> None:
    jobs = [job("p"), job("a1", alone=True), job("q"), job("a2", alone=True)]
    _, events, fakes = carried(jobs)
    assert fakes[0].jobs == ["a1", "a2"]
    names = [(type(e).__name__, e.job.trials[0].cell.activation) for e in events[:4]]
    assert names == [("Started", "a1"), ("Finished", "a1"), ("Started", "a2"), ("Finished", "a2")]


def test_a_record_is_kept_before_anyone_is_told() -> None:
    log: list[str] = []
    tell = {Started: "started", Advanced: "advanced", Finished: "finished"}
    run([job("x")], Fake, 1, lambda records: log.append("kept"), lambda event: log.append(tell[type(event)]))
    assert log == ["started", "kept", "finished"]


def test_messages_become_the_record() -> None:
    def script(name: str) -> tuple[list[Message], Ending]:
        return [
            Message(0, Progress(0.5)),
            Message(0, VALUE),
            Message(0, Fact("corpus", "abc")),
            Message(1, Ending(Status.DIVERGED, "nan")),
        ], Ending()

    seen: list[float] = []
    one, two = records_of(job("a", "b"), Fake(script), seen.append)
    assert (one.status, one.measurements[0].values, one.facts) == (Status.OK, (1.0, 2.0), {"corpus": "abc"})
    assert (two.status, two.error) == (Status.DIVERGED, "nan")
    assert one.started_at == two.started_at
    assert seen == [0.5]


def test_what_was_measured_before_a_crash_is_kept() -> None:
    died = Ending(Status.FAILED, "gone")
    (record,) = records_of(job("a"), Fake(lambda name: ([Message(0, VALUE)], died)))
    assert record.status is Status.FAILED
    assert record.measurements[0].values == (1.0, 2.0)


MEASURED: list[Message] = [Message(0, VALUE), Message(0, Measured("profile"))]


def test_what_fails_after_the_measurements_is_a_note() -> None:
    wrong = Message(0, Ending(Status.OUT_OF_MEMORY, "no room"))
    (record,) = records_of(job("a"), Fake(lambda name: ([*MEASURED, wrong], Ending())))
    assert (record.status, record.error) == (Status.OK, "")
    assert record.measurements[0].values == (1.0, 2.0)
    assert record.notes == ("its profile failed, what was measured before stands: no room",)


def test_a_crash_after_the_measurements_is_a_note_where_something_is_missing() -> None:
    file = Message(0, Artifact("traces/a.gz", b"hello"))
    died = Ending(Status.TIMED_OUT, "too late")
    one, two = records_of(
        job("a", "b"), Fake(lambda name: ([*MEASURED, file, *(replace(m, trial=1) for m in MEASURED)], died))
    )
    assert (one.status, one.notes, one.artifacts[0].data) == (Status.OK, (), b"hello")
    assert (two.status, two.artifacts) == (Status.OK, ())
    assert "too late" in two.notes[0]
    assert Record.from_json(two.to_json()) == two


def test_a_note_is_kept_and_hides_no_failure_of_what_follows() -> None:
    said = Message(0, Note("seen twice"))
    (one,) = records_of(job("a"), Fake(lambda name: ([said, Message(0, VALUE)], Ending())))
    assert (one.status, one.notes) == (Status.OK, ("seen twice",))
    (two,) = records_of(job("a"), Fake(lambda name: ([said, *MEASURED], Ending(Status.TIMED_OUT, "too late"))))
    assert two.status is Status.OK and two.notes[0] == "seen twice" and "too late" in two.notes[1]


def test_measuring_nothing_is_a_failure() -> None:
    (record,) = records_of(job("a"), Fake(lambda name: ([], Ending())))
    assert record.status is Status.FAILED


def test_a_full_disk_ends_the_run_and_starts_no_more_jobs() -> None:
    def full(records: tuple[Record, ...]) -> None:
        raise ResultsError("no space")

    fake = Fake()
    with pytest.raises(ResultsError, match="no space"):
        run([job(str(i)) for i in range(50)], lambda: fake, 1, full)
    assert len(fake.jobs) == 1
    assert fake.stopped


def test_an_interrupt_stops_the_workers_and_keeps_no_half_done_job() -> None:
    """The first job raises in the main thread's stead while the second is still running."""
    running = threading.Event()
    stopped = threading.Event()
    kept: list[Record] = []

    class Slow(Fake):
        def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
            on_message(Message(0, VALUE))
            running.set()
            stopped.wait()
            return Ending(Status.FAILED, "stopped")

        def stop(self) -> None:
            stopped.set()

    def tell(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([job("x"), job("y")], Slow, 2, kept.extend, tell)
    stopped.set()
    assert kept == []


@pytest.mark.parametrize(("number", "words"), [(15, "SIGTERM"), (40, "signal 40")])
def test_a_process_that_a_signal_ends_is_a_record_whether_it_has_a_name_or_not(number: int, words: str) -> None:
    assert executor._death(-number, "last words").error == f"the measuring process ended with {words}: last words"
