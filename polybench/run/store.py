"""Results on disk: `run.json` written whole, `records.jsonl` appended one write a job."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from polybench.errors import A_LINE, ResultsError, cut, first_line, in_short
from polybench.files import inside, make_folder, write_whole
from polybench.kind import registered
from polybench.metric import Metric
from polybench.plan.suite import KEPT_NAMES, Benchmark, Claim, Rule, Suite, duration
from polybench.record import Record, Status
from polybench.run import lines, scores
from polybench.run.faults import REMEDY, header_fault, parsed, record_fault
from polybench.run.scores import Scored

SCHEMA_VERSION = 1
RUN_FILE, RECORDS_FILE = "run.json", "records.jsonl"
ROOT = Path("results")
_MAPPINGS = ("suite", "environment", "metrics")  # that every run.json has


@dataclass(frozen=True)
class Run:
    """A folder that explains itself: environment, metric definitions, resolved suite, records.

    `header` is as it is stored, `scores` what its models scored on tasks, by the id of their trial. `derived` are
    metrics, by kind, that records got when they were compared.
    """

    path: Path
    header: dict[str, Any]
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    derived: Mapping[str, tuple[Metric, ...]] = field(default_factory=dict)
    scores: Scored = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.suite.suite}/{self.path.name}"

    @property
    def device(self) -> str:
        return str(self.header["device"])

    @property
    def environment(self) -> dict[str, Any]:
        return dict(self.header["environment"])

    @cached_property
    def suite(self) -> Suite:
        """The suite it was planned from, however old or new."""
        return _as_stored(self.header["suite"])

    @cached_property
    def metrics(self) -> dict[str, dict[str, Metric]]:
        """Metric definitions by kind and name, with what reports say of those that are registered.

        A kind whose definitions are lost has none.
        """
        stored = {**dict.fromkeys((r.trial.cell.kind for r in self.records), ()), **self.header["metrics"]}
        return {kind: self._metrics(kind, metrics) for kind, metrics in stored.items()}

    def _metrics(self, name: str, stored: Sequence[Mapping[str, Any]]) -> dict[str, Metric]:
        kind = registered(name)
        known = kind.named if kind else {}
        measured = {m["name"]: Metric.from_json(m, known.get(m["name"])) for m in stored}
        return measured | {m.name: m for m in self.derived.get(name, ())}


def _as_stored(data: Mapping[str, Any]) -> Suite:
    """A suite that was checked when it was stored: here what is missing has its default, what is unknown is left out.

    A path or limit that has become wrong since then is no reason not to read what was measured.
    """
    parts: dict[str, type[Benchmark | Claim]] = {"benchmarks": Benchmark, "claims": Claim}
    typed: dict[str, Any] = {k: [part.model_construct(**one) for one in data.get(k) or ()] for k, part in parts.items()}
    typed["gate"] = [as_rule(one) for one in data.get("gate") or ()]
    return Suite.model_construct(**{**data, **typed})


def as_rule(stored: Mapping[str, Any]) -> Rule:
    """A rule as a suite stores it, whose floor has its unit."""
    return Rule.model_construct(**{**stored, "floor": duration(stored.get("floor", 0.0))})


def create(path: Path, header: dict[str, Any]) -> None:
    """A new run folder. Raises ResultsError when something is there already."""
    if path.is_dir() and any(path.iterdir()):
        raise ResultsError(f"{path} is not empty, so nothing was written; choose another folder")
    make_folder(path)
    write_header(path, header)
    (path / RECORDS_FILE).touch()


def free(path: Path) -> Path:
    """The path, or the same with a number when two runs begin in one second."""
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate


def write_header(path: Path, header: dict[str, Any]) -> None:
    text = json.dumps({"schema_version": SCHEMA_VERSION, **header}, sort_keys=True, indent=1)
    write_whole(path / RUN_FILE, text + "\n")


def append(path: Path, records: Sequence[Record]) -> None:
    """Add records with one write, so that several processes never tear each other's lines.

    The files they leave behind are written before, so that no record names a file that never was.
    A line that a killed process left unfinished is closed first, so that it spoils no other.
    A record that could not be read again becomes one that failed, and says why.
    """
    for artifact in (a for r in records for a in r.artifacts if a.data):
        file = inside(path, artifact.name)
        make_folder(file.parent)
        write_whole(file, artifact.data)
    text = "".join(map(_line, records))
    target = path / RECORDS_FILE
    try:
        descriptor = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as problem:
        raise ResultsError(f"{target} cannot be opened: {problem.strerror}; put the folder back and resume") from None
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + text.encode()
        while data:  # one write unless the disk is nearly full
            data = data[os.write(descriptor, data) :]
    except OSError as problem:
        raise ResultsError(f"{target} cannot be written: {problem.strerror}; free some space and resume") from None
    finally:
        os.close(descriptor)


def rewrite(path: Path, records: Sequence[Record]) -> None:
    """These records in place of what a folder has: all of them, or what was there before where the disk refuses."""
    write_whole(path / RECORDS_FILE, "".join(map(_line, records)))


def _line(record: Record) -> str:
    return json.dumps(_readable(record), sort_keys=True, separators=(",", ":")) + "\n"


def _readable(record: Record) -> dict[str, Any]:
    """The record as JSON: of one whose values are none, as a plug-in may give, the trial and why."""
    data = record.to_json()
    if fault := record_fault(data):
        why = f"what was measured cannot be kept: {fault}"
        data = replace(record, status=Status.FAILED, measurements=(), facts={}, notes=(), error=why).to_json()
    return data


def load(path: Path) -> Run:
    """A run folder. Of several records of one trial the latest counts.

    Raises:
        ResultsError: the folder is no run, is of a newer schema, or is damaged in its middle; with the file, the line
            and the field.
    """
    header = read_header(path)
    latest: dict[str, Record] = {}
    notes: list[str] = []
    for data in lines.sound(path, RECORDS_FILE, notes):
        record = Record.from_json(data)
        latest.pop(record.trial.id, None)
        latest[record.trial.id] = record
    return Run(path, header, tuple(latest.values()), tuple(notes), scores=scores.read(path))


def find(text: str | None, root: Path = ROOT) -> Path:
    """The folder of a run: a path, `suite/run`, a run or the latest of a suite under the root, or the latest of all.

    Raises:
        ResultsError: there is none.
    """
    if text is None:
        runs = _runs(root)
        if not runs:
            raise ResultsError(f"there is no run under {root}/ yet; start with `polybench run suites/quick.yaml`")
        return max(runs, key=_started)
    if not text:
        raise ResultsError("a run is named by nothing, as by a variable that is not set; leave it away for the latest")
    if len(text) > 1000 or any(len(part) > 255 for part in Path(text).parts) or "\0" in text:
        raise ResultsError(f"{text[:40]}... is no name of a run")
    given = Path(text)
    if given.is_file() and given.name in (RUN_FILE, RECORDS_FILE):
        return given.parent
    if (given / RUN_FILE).is_file():
        return given
    inside = [p for p in _runs(root) if text in (p.name, f"{p.parent.name}/{p.name}", p.parent.name)]
    if not inside and given.is_dir():
        inside = _runs(given) or runs_in(given)
        if not inside:
            raise ResultsError(f"{cut(text, A_LINE)} holds no run: there is no {RUN_FILE} in it")
    if not inside:
        raise ResultsError(f"there is no run {in_short(text, A_LINE)} here or under {root}/")
    return max(inside, key=_started)


def runs_in(folder: Path) -> list[Path]:
    """The runs right below a folder that is none itself."""
    return [] if (folder / RUN_FILE).is_file() else sorted(file.parent for file in folder.glob(f"*/{RUN_FILE}"))


def _runs(root: Path) -> list[Path]:
    return [p.parent for p in root.glob(f"*/*/{RUN_FILE}") if p.parent.parent.name not in KEPT_NAMES]


def _started(path: Path) -> tuple[str, str]:
    try:
        return str(parsed(lines.content(path, RUN_FILE).decode("utf-8")).get("started_at", "")), path.name
    except (OSError, ValueError, AttributeError, ResultsError):
        return "", path.name


def read_header(path: Path) -> dict[str, Any]:
    file = path / RUN_FILE
    try:
        header = parsed(lines.content(path, RUN_FILE).decode("utf-8"))
    except OSError:
        raise ResultsError(f"{path} holds no run: {RUN_FILE} cannot be read") from None
    except ValueError as problem:
        raise ResultsError(f"{file} is damaged: it is not JSON: {first_line(problem)}; {REMEDY}") from None
    number = header.get("schema_version") if isinstance(header, dict) else None
    if isinstance(number, int) and number > SCHEMA_VERSION:
        raise ResultsError(f"{file} has schema {number}, this polybench reads up to {SCHEMA_VERSION}; update polybench")
    if not isinstance(number, int) or not all(isinstance(header.get(key), dict) for key in _MAPPINGS):
        raise ResultsError(f"{file} was not written by polybench")
    if fault := header_fault(header, file):
        raise fault
    return dict(header)
