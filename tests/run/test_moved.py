"""A run is gone on with where it began, and on the text on which it began."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import toy_kind
from killing import finish

from polybench.record import Status
from polybench.run.store import RECORDS_FILE, load

SUITE = """
suite: moved
activations: [relu, swiglu]
reference: swiglu
seeds: [0]
device: cpu
benchmarks:
  - name: curve
    kind: loss_curve
    matrix: {corpus: "text:words", d_model: 16, heads: 1, seq_len: 8, batch: 8, steps: 20}
"""


def words(folder: Path, about: str) -> None:
    (folder / "words").mkdir(parents=True)
    for i in range(6):
        (folder / "words" / f"{i}.txt").write_text(f"document {i} on {about} " * 40, encoding="utf-8")


@pytest.mark.usefixtures("one_core")
def test_it_starts_where_the_run_did_and_trains_on_another_text_only_if_forced(tmp_path: Path) -> None:
    """A run of which the last trial is lost."""
    folder = tmp_path
    toy_kind.install(folder)
    words(folder, "rivers")
    (folder / "moved.yaml").write_text(SUITE, encoding="utf-8")
    code, told = finish(folder, "moved.yaml", "--out", "run")
    assert code == 0, told
    records = folder / "run" / RECORDS_FILE
    records.write_bytes(records.read_bytes().splitlines(keepends=True)[0])

    words(folder / "elsewhere", "mountains")
    code, told = finish(folder / "elsewhere", "--resume", str(folder / "run"))
    assert code == 2
    assert f"the folder that relative paths of the suite start from ({folder} / {folder / 'elsewhere'})" in told

    shutil.rmtree(folder / "elsewhere" / "words")
    code, told = finish(folder / "elsewhere", "--resume", str(folder / "run"))
    assert code == 2 and f"it was started in {folder}, so go on there" in told

    shutil.rmtree(folder / "words")
    words(folder, "mountains")
    code, told = finish(folder, "--resume", "run")
    assert code == 3
    assert re.search(r"corpus text:words bytes \(\w+ / \w+\) has changed since this run began", told)
    assert [r.status for r in load(folder / "run").records] == [Status.OK, Status.FAILED]
    assert finish(folder, "--resume", "run", "--force")[0] == 0
    one, other = load(folder / "run").records
    assert one.facts["corpus"] != other.facts["corpus"]
