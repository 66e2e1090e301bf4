"""What goes over the pipe between polybench and a worker arrives as it was sent, and nothing else is taken for it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from polybench.kind import Fact, Item, Measured, Note, Progress, kind_of
from polybench.measure import worker
from polybench.message import Done, Ending, Message, Said, decode, encode
from polybench.record import Artifact, Measurement, Status
from polybench.trial import Cell, Job, Trial

words, numbers = some.text(max_size=20), some.floats(width=32, allow_nan=False)
scalars = words | some.integers() | numbers | some.booleans()
files = some.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,9}/[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,9}", fullmatch=True)
SAID = {
    Measurement: some.builds(
        Measurement, words, some.lists(numbers).map(tuple), some.none() | some.lists(some.integers()).map(tuple)
    ),
    Fact: some.builds(Fact, words, words),
    Artifact: some.builds(Artifact, files, some.binary(max_size=50)),
    Measured: some.builds(Measured, words),
    Progress: some.builds(Progress, numbers),
    Note: some.builds(Note, words),
    Ending: some.builds(Ending, some.sampled_from(Status), words),
    Done: some.just(Done()),
}


def pairs(values: some.SearchStrategy[object]) -> some.SearchStrategy[tuple[tuple[str, object], ...]]:
    return some.dictionaries(words, values, max_size=4).map(lambda found: tuple(sorted(found.items())))


cells = some.builds(Cell, words, some.integers(), words, words, words, words, pairs(scalars))
trials = some.builds(Trial, words, cells, some.integers(), some.booleans(), some.none() | numbers)
jobs = some.builds(
    Job, some.lists(trials, min_size=1, max_size=3).map(tuple), pairs(scalars), numbers, some.booleans(), words,
    pairs(words), numbers,
)  # fmt: skip


def test_every_kind_of_item_is_tried() -> None:
    assert set(SAID) == set(get_args(Said)) >= {item for item in get_args(Item) if item is not Exception}


@given(some.integers(0, 99), some.one_of(*SAID.values()))
def test_a_message_arrives_as_it_was_sent(trial: int, item: Said) -> None:
    line = encode(Message(trial, item))
    assert len(line.splitlines()) == 1
    assert decode(line) == decode(line.encode()) == Message(trial, item)


def test_numbers_that_are_none_arrive_too() -> None:
    found = decode(encode(Message(0, Measurement("m", (math.nan, math.inf, -math.inf)))))
    assert found and isinstance(found.item, Measurement) and str(found.item.values) == "(nan, inf, -inf)"


@given(jobs)
def test_a_job_arrives_as_it_was_sent(job: Job) -> None:
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


JUNK = (
    "", "no", "3", "[]", "{}", '{"trial": 0}', '{"trial": 0, "ending": {}}', '{"trial": 0, "fact": ["a", "b"]}',
    '{"fact": {"name": "a", "value": "b"}}', '{"trial": 0, "ending": {"status": "splendid", "error": ""}}',
    '{"trial": 0, "artifact": {"name": "../x", "data": ""}}', '{"trial": 0, "done": {}, "measured": {}}',
)  # fmt: skip


@pytest.mark.parametrize("line", JUNK)
def test_what_is_no_message_is_none(line: str) -> None:
    assert decode(line) is None


@given(some.text())
def test_no_text_breaks_the_pipe(text: str) -> None:
    assert decode(text) is None


def test_a_kind_that_yields_something_else_fails_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = replace(kind_of("memory"), run=lambda *_: iter([(0, "a word")]))  # type: ignore[list-item]
    monkeypatch.setattr(worker, "kind_of", lambda name: kind)
    job = Job((Trial("b", Cell("memory", 2, "relu", "eager", "cpu", "float32", ()), 0),), ())
    (failed,) = worker.messages_of(job)
    assert isinstance(failed.item, Ending) and failed.item.status is Status.FAILED
    assert "a word" in failed.item.error
