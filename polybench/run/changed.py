"""What changed between a stored run and now, and would mix in it what does not go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from polybench.plan.jobs import Plan
from polybench.record import Record, Status
from polybench.run.batches import equal_but_for_seeds, keeps_seeds, seeds_of, timeless
from polybench.trial import OTHER_TEXT

_NAMED, _WIDTH = 3, 40  # values of a suite that are named, and the letters that each may take


def code_changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Whether the code of polybench is another, or of a plug-in that both environments know, with both hashes."""
    before, after = ({"polybench": e.get("code"), **e.get("plugins", {})} for e in (one, other))
    both = [name for name in before if name in after and before[name] != after[name]]
    return [f"the code of {name} ({before[name]} / {after[name]})" for name in both]


def texts_of(records: Iterable[Record]) -> dict[str, str]:
    """The hash of every text, and of all images, that was measured on, by its name; of several the latest.

    What failed is measured again, and so says nothing.
    """
    return {name: value for record in records if record.status.settled for name, value in record.sources.items()}


def text_changes(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """What was another text under the same name, with both hashes."""
    return [f"{name} ({one[name]} / {other[name]})" for name in one if other.get(name, one[name]) != one[name]]


def on_one_text(records: Iterable[Record], known: Iterable[Record]) -> list[Record]:
    """The records, failed where they were measured on another text than what is known, or than one of them before."""
    texts, found = texts_of(known), list[Record]()
    for record in records:
        if parted := text_changes(texts, record.sources):
            record = replace(record, status=Status.FAILED, measurements=(), error=f"{parted[0]} {OTHER_TEXT}")
        texts |= texts_of([record])
        found.append(record)
    return found


def suite_changes(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What another suite asks otherwise, with the first values that differ; further seeds change nothing."""
    kept = keeps_seeds(before, asked)
    if kept and equal_but_for_seeds(before, asked):
        return []
    if {**before, "claims": asked.get("claims")} == asked:
        return ["what the suite claims"]
    added = ["seeds", *(f"benchmarks.{name}.seeds" for name in seeds_of(asked))] if kept else []
    found = (
        f"{at}: {one} / {other}"
        for at, one, other in _parted(timeless(before), timeless(asked))
        if at not in ("description", *added)
    )
    one, other = ([b["name"] for b in suite.get("benchmarks", ())] for suite in (before, asked))
    told = list(islice(found, _NAMED)) or ["what it leaves out" if one == other else "the order of its benchmarks"]
    return [f"the suite ({'; '.join([*told, *(['and more'] if next(found, None) else [])])})"]


def folder_changes(header: Mapping[str, Any], whole: Plan) -> list[str]:
    """Whether relative paths of the suite start from another folder, by where polybench was started."""
    here = str(Path.cwd())
    began = header.get("folder", here)
    if began == here or not _relative(whole):
        return []
    return [f"the folder that relative paths of the suite start from ({began} / {here})"]


def _parted(one: Any, other: Any, at: str = "") -> Iterator[tuple[str, str, str]]:
    """Every value that differs, as its place and both in words; benchmarks are matched by name."""
    one, other = _by_name(one), _by_name(other)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from _parted(one.get(key), other.get(key), f"{at}.{key}" if at else str(key))
    elif one != other:
        yield at, _words(one), _words(other)


def _by_name(value: Any) -> Any:
    named = isinstance(value, list) and value and all(isinstance(v, dict) and "name" in v for v in value)
    return {v["name"]: v for v in value} if named else value


def _words(value: Any) -> str:
    if value is None:
        return "none"
    return "there" if isinstance(value, dict) else shorten(str(value), _WIDTH, placeholder=" ...")


def _relative(whole: Plan) -> bool:
    """Whether an axis names a file by where this program was started, as `text:folder/a.txt` does."""
    values = {str(value) for trial in whole.trials for _, value in trial.cell.axes if ":" in str(value)}
    paths = {one.partition(":")[2].strip() for value in values for one in value.split("+")}
    return any(path and not Path(path).is_absolute() for path in paths)
