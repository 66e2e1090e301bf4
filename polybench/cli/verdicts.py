"""How every command that judges ends: its verdicts as text or JSON, written wherever they are read, and its code."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from polybench.errors import ResultsError, UsageError, reason
from polybench.interrupt import contained

if TYPE_CHECKING:
    from polybench.compare.judged import Judged
    from polybench.compare.verdict import Verdict
    from polybench.registry import Loaded


@dataclass(frozen=True)
class _Target:
    """An outlet, and the file that it writes."""

    outlet: Loaded
    file: Path


def _checked(write: list[str] | None) -> list[str] | None:
    """Said before anything is measured: an outlet that is not there, or has nowhere to write to."""
    _targets(write or ())
    return write


Write = Annotated[
    list[str] | None,
    typer.Option(
        "--write",
        metavar="FORMAT=FILE",
        callback=_checked,
        help="write the verdicts too, such as junit=junit.xml; several times if you like",
    ),
]


def conclude(
    judged: Judged,
    as_json: bool,
    write: Sequence[str] | None = (),
    text: str | None = None,
    document: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Print the verdicts (text, or one JSON document), write every outlet asked for, and leave with the code.

    `text` is printed instead of a line a verdict, and `document` is what the JSON has beside the verdicts.
    What outlets say on the screen, such as workflow commands, goes to standard error beside JSON, which stays one
    document. The last line says why it ends as it does.

    Raises:
        UsageError: an outlet that is not there, or has nowhere to write to.
        ResultsError: an outlet cannot be made or written; all others are.
    """
    targets = _targets(write or ())
    if as_json:
        print(json.dumps({**to_json(judged), **(document or {})}, indent=1, allow_nan=False))
    else:
        print(as_text(judged) if text is None else text)
    faults: list[str] = []
    for target in targets:
        try:
            for line in _deliver(target, judged):
                print(line, file=sys.stderr if as_json else sys.stdout)
        except ResultsError as problem:
            faults.append(str(problem))
    if not as_json:
        print(judged.reason)
    if faults:
        raise ResultsError("; ".join(faults))
    raise typer.Exit(judged.code)


def as_text(judged: Judged) -> str:
    """A line a verdict, worst first; of a gate a plain pass is only counted, a rule at a time."""
    from polybench.compare.judged import CLAIMS, PASSED, shown_values

    lines = []
    for v in judged.worst_first:
        if v.outcome == "pass" and not v.reason and judged.command != CLAIMS:
            continue
        what = f"{judged.word(v)}: {v.label} {v.metric.name} {shown_values(v)}".rstrip()
        lines.append(what + (f": {v.reason}" if v.reason else ""))
    for rule in dict.fromkeys(v.rule for v in judged.verdicts if judged.command != CLAIMS):
        mine = [v for v in judged.verdicts if v.rule == rule]
        lines.append(f"{rule}: {sum(v.outcome in PASSED for v in mine)} of {len(mine)} cells pass")
    return "\n".join(lines)


def to_json(judged: Judged) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "command": judged.command,
        "suite": judged.suite,
        "exit_code": judged.code,
        "reason": judged.reason,
        "verdicts": [_json(v) for v in judged.verdicts],
    }


def _json(v: Verdict) -> dict[str, Any]:
    """JSON has no infinity: an open end of an interval is null."""
    change = {k: finite(x) for k, x in asdict(v.change).items()} if v.change else None
    numbers = {"baseline": finite(v.baseline), "value": finite(v.value), "change": change, "p": finite(v.p)}
    return {**asdict(v), "metric": v.metric.name, "unit": v.metric.unit, **numbers}


def finite(value: float | None) -> float | None:
    """The number, or None where JSON has none for it."""
    return value if value is not None and math.isfinite(value) else None


def _targets(write: Sequence[str]) -> list[_Target]:
    found: dict[Path, _Target] = {}
    for text in write:
        target = _target(text)
        place = target.file.resolve()
        if place in found:
            raise UsageError(f"--write: {found[place].outlet.name} and {target.outlet.name} both go to {target.file}")
        found[place] = target
    return list(found.values())


def _target(text: str) -> _Target:
    """What `FORMAT=FILE` asks for; without a file the one that the outlet's environment variable names."""
    from polybench.registry import outlets

    name, _, file = text.partition("=")
    if not name:
        raise UsageError(f"--write {text!r}: say FORMAT=FILE, such as junit=junit.xml")
    outlet = outlets.load(name)
    variable = outlet.facts.get("variable", "")
    file = file or os.environ.get(variable, "")
    if not file:
        where = f", or set ${variable}, as GitHub does" if variable else ""
        raise UsageError(
            f"--write {text}: say where to, such as {name}=verdicts{outlet.facts.get('suffix', '')}{where}"
        )
    path = Path(file)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UsageError(f"--write {text}: {file} is no plain file; name another")
    return _Target(outlet, path)


def _deliver(target: _Target, judged: Judged) -> Sequence[str]:
    """Write the file of an outlet; what it has for the screen. Raises ResultsError where either breaks."""
    from polybench.files import make_folder, write_whole

    try:
        before = target.file.read_text(encoding="utf-8", errors="replace") if target.file.exists() else ""
    except OSError as problem:
        raise ResultsError(f"{target.file} cannot be read: {problem.strerror}") from None
    speak = target.outlet.facts.get("announces")
    try:
        with contained():
            text = target.outlet.object(judged, before)
            lines = list(speak(judged)) if speak else []
            if not isinstance(text, str):
                raise TypeError(f"it returns {type(text).__name__}, not str")
    except Exception as problem:
        raise ResultsError(f"verdicts cannot be made into {target.outlet.name} ({reason(problem)})") from problem
    make_folder(target.file.parent)
    write_whole(target.file, text)
    return lines
