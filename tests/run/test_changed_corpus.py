"""A corpus that changed under the same name: what a kind records of it makes two runs not comparable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import losses, run, suite

from polybench.compare.gate import between, exit_code
from polybench.corpora.corpus import tokens
from polybench.record import Status
from polybench.run.changed import on_one_text
from polybench.run.store import Run


def one_run(corpus: str) -> Run:
    """Losses of a run on the corpus as it is now."""
    facts = {"corpus": tokens(corpus, "bytes").hash}
    found = losses({"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.4, 3.1]}, facts=facts)
    return run(found, suite(gate=[{"metric": "val_loss", "tolerance": 0.02}]))


def test_what_was_measured_on_another_text_than_the_run_is_a_failure() -> None:
    """Of the records that come in together too; what names no text is not asked."""
    first, other = (losses({"relu": [3.0, 3.1]}, facts={"corpus": text}) for text in ("0ne", "0ther"))
    found = on_one_text([*first, *other, *losses({"swiglu": [3.0]})], ())
    assert [bool(r.measurements) for r in found] == [True, True, False, False, True]
    assert all("(0ne / 0ther) has changed since this run began" in r.error for r in found[2:4])
    assert on_one_text(other, first)[0].status is Status.FAILED and on_one_text(other, other) == other
    # Records come in one after the other: what failed does not make its text that of the run.
    kept = list(first)
    for one in other:
        kept += on_one_text([one], kept)
    assert [r.status for r in kept] == [Status.OK] * 2 + [Status.FAILED] * 2


@pytest.mark.parametrize("name", ["text", "tokens"])
def test_runs_on_a_changed_corpus_are_not_comparable(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "one.bin"
    content = b"\n\n".join(b"paragraph %d" % i for i in range(30)) + b"."
    file.write_bytes(content + b"!" * (len(content) % 2))
    before, again = one_run(f"{name}:{file}"), one_run(f"{name}:{file}")
    assert exit_code(between(before, again))[0] == 0
    changed = np.frombuffer(file.read_bytes(), np.uint8).copy()
    changed[3] += 1
    file.write_bytes(changed.tobytes())
    verdicts = between(before, one_run(f"{name}:{file}"))
    assert {v.outcome for v in verdicts} == {"not comparable"}
    assert exit_code(verdicts)[0] == 4
