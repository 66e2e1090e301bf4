"""Files that are there whole or not at all, and the one line that an exception leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from polybench.errors import ResultsError, first_line
from polybench.files import make_folder, replacing, sweep, write_whole


def below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.md", "old")
    write_whole(tmp_path / "report.md", "new")
    assert below(tmp_path) == {"report.md": b"new"}
    (tmp_path / "taken").mkdir()
    with pytest.raises(ResultsError, match="taken cannot be written"):
        write_whole(tmp_path / "taken", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.md", "taken"]


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    others = ["a[1].pt", ".a[1].pt", ".a[1].pt.local", ".a1.pt.0123abcd", "b.pt", ".b.pt.0123abcd"]
    for name in (".a[1].pt.0123abcd", *others):
        (tmp_path / name).write_text(name)
    (tmp_path / ".a[1].pt.89abcdef" / "inner").mkdir(parents=True)
    sweep(tmp_path / "a[1].pt")
    assert sorted(below(tmp_path)) == sorted(others)
    assert not list(tmp_path.glob("*/inner"))


@pytest.mark.parametrize("folder", [False, True])
def test_the_next_write_takes_away_what_a_killed_one_left_long_ago(folder: bool, tmp_path: Path) -> None:
    """And leaves what another one may be writing now."""
    killed, running = replacing(tmp_path / "kept"), replacing(tmp_path / "kept")
    for writer, age_s in ((killed, 7200), (running, 0)):
        partial = writer.__enter__()
        partial.mkdir() if folder else partial.write_text("half")
        os.utime(partial, (time.time() - age_s,) * 2)
    if folder:
        with replacing(tmp_path / "kept") as partial:
            partial.mkdir()
    else:
        write_whole(tmp_path / "kept", "whole")
    assert sorted(p.name[:6] for p in tmp_path.iterdir()) == [".kept.", "kept"]


def test_what_fails_halfway_leaves_what_was_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    (tmp_path / "folder").mkdir()
    write_whole(tmp_path / "folder" / "one", "old")
    before = below(tmp_path)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(ValueError), replacing(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "one").write_text("half")
        raise ValueError
    assert below(tmp_path) == before


def test_a_folder_takes_the_place_of_another_with_all_that_is_in_it(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replacing(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert below(tmp_path) == {"folder/new": b"new"}


def test_no_folder_is_made_where_a_file_is(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    write_whole(tmp_path / "file", "")
    with pytest.raises(ResultsError, match="cannot be made"):
        make_folder(tmp_path / "file" / "below")


@given(some.text())
def test_the_first_line_of_an_exception_is_one_line_and_never_empty(text: str) -> None:
    line = first_line(ValueError(text))
    assert len(line.splitlines()) == 1 and line == line.strip()
    assert line in text or (not text.strip() and line == "ValueError")
    assert first_line(ValueError(text), "nothing") == ("nothing" if line == "ValueError" and not text.strip() else line)
