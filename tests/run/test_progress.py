"""What is shown while a suite runs, also where tuning decides later what comes next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bowls import Bowls, bowl, study

from polybench.run import local, progress, session, store
from polybench.run.session import Session

BOWLS = {"relu": bowl(0.032), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}


@pytest.fixture
def tuned(tmp_path: Path) -> Session:
    return session.begin(study(), tmp_path / "run", None, "made up")


def test_the_bar_goes_through_every_stage(tuned: Session, capsys: pytest.CaptureFixture[str]) -> None:
    with progress._bar(tuned) as tell:
        local.carry_out(tuned, tell, make_executor=lambda: Bowls(BOWLS))
    found = store.load(tuned.path)
    assert len(found.records) == found.header["planned"] > len(tuned.todo.trials)


def test_lines_count_up_to_as_many_trials_as_are_known_of(tuned: Session, capsys: pytest.CaptureFixture[str]) -> None:
    local.carry_out(tuned, progress._lines(tuned), make_executor=lambda: Bowls(BOWLS))
    lines = capsys.readouterr().err.splitlines()
    counts = [tuple(map(int, re.findall(r"[0-9]+", line)[:2])) for line in lines]
    assert [done for done, _ in counts] == list(range(1, len(lines) + 1))
    assert all(done <= total for done, total in counts) and counts[-1][0] == counts[-1][1]
    assert len({line.split("] ")[1].split(" ok")[0] for line in lines}) == len(lines)
    assert any(line.endswith("the same training as the one before") for line in lines)
