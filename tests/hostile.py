"""Run folders in which one value is wrong: every field of every published run, in every way of a list.

`python tests/hostile.py COUNT` tries so many of them, spread over all, and prints what each command ended with.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import call

from polybench.run.store import RECORDS_FILE, RUN_FILE

PUBLISHED = sorted(p.parent for p in (Path(__file__).parents[1] / "results").glob(f"*/*/{RECORDS_FILE}"))
MOST_RECORDS, MOST_VALUES = 16, 6  # of a run's copy, so that a report takes no second
EACH = 20  # of so many runs one has its pictures drawn
ENDS = {0, 1, 2, 3, 4, 5}  # what commands may end with
DEFECT = "polybench itself failed"
Route = tuple[str | int, ...]


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


GONE = object()  # the value is taken out
BESIDE = object()  # and here another is put beside it
WRONG: dict[str, Any] = {
    "gone": GONE,
    "beside": BESIDE,
    "null": None,
    "object": {},
    "list": [],
    "list of null": [None],
    "empty": "",
    "text": "x",
    "markup": "<script>|](javascript:x)",
    "half a character": "\ud83d",
    "below zero": -1,
    "zero": 0,
    "fraction": 1.5,
    "true": True,
    "huge": 10**30,
    "largest": 1.7e308,
    "nan": "nan",
    "deep": _nested(70),
    "deeper": "DEEPER",  # 100,000 levels, put into the text
}


@dataclass(frozen=True)
class Wrong:
    """One value of one file of one run, and what is put in its place."""

    run: Path
    file: str
    route: Route
    how: str

    def __str__(self) -> str:
        return f"{self.run.name}/{self.file} {'.'.join(map(str, self.route))} {self.how}"


def routes(data: Any, route: Route = ()) -> Iterator[Route]:
    """Every field; of a list its first and last one."""
    if route:
        yield route
    if isinstance(data, dict):
        for key, value in data.items():
            yield from routes(value, (*route, key))
    elif isinstance(data, list):
        for index in sorted({0, len(data) - 1} if data else ()):
            yield from routes(data[index], (*route, index))


def small(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the first records of a run, their values cut short."""
    header = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))
    metrics = [
        m["name"] for ms in header["metrics"].values() for m in ms if not m["curve"] and m["better"] != "neither"
    ]
    header["suite"]["gate"] = [{"metric": name, "tolerance": 0.05, "where": {}} for name in metrics[:4]]
    with (run / RECORDS_FILE).open(encoding="utf-8") as file:
        records = [json.loads(line) for line, _ in zip(file, range(MOST_RECORDS), strict=False)]
    for measurement in (m for r in records for m in r["measurements"]):
        for key in measurement.keys() & {"values", "steps"}:
            measurement[key] = measurement[key][:MOST_VALUES]
    return header, records


def every() -> list[Wrong]:
    """All of them, in an order that is always the same and mixes runs, fields and ways."""
    found = []
    for run in PUBLISHED:
        header, records = small(run)
        for file, data in ((RUN_FILE, header), (RECORDS_FILE, [records[0], records[-1]])):
            found += [Wrong(run, file, route, how) for route in routes(data) for how in WRONG]
    random.Random(0).shuffle(found)
    return found


def spoiled(data: Any, route: Route, how: str) -> None:
    for part in route[:-1]:
        data = data[part]
    if WRONG[how] is GONE:
        del data[route[-1]]
    elif WRONG[how] is BESIDE:
        data.update(invented={"a": [1]}) if isinstance(data, dict) else data.append(copy.deepcopy(data[-1]))
    else:
        data[route[-1]] = WRONG[how]


def write(folder: Path, header: Any, records: Any) -> None:
    folder.mkdir(parents=True)
    texts = {RUN_FILE: json.dumps(header, indent=1), RECORDS_FILE: "".join(json.dumps(r) + "\n" for r in records)}
    for name, text in texts.items():
        deeper = "[" * 100_000 + "]" * 100_000
        (folder / name).write_text(text.replace('"DEEPER"', deeper), encoding="utf-8")


def made(wrong: Wrong, folder: Path) -> tuple[Path, Path]:
    """The run with that value, and the sound one."""
    header, records = small(wrong.run)
    write(folder / "sound", header, records)
    ends = [records[0], records[-1]] if wrong.file == RECORDS_FILE else header
    spoiled(ends, wrong.route, wrong.how)
    if wrong.file == RECORDS_FILE:
        records[0], records[-1] = ends[0], ends[-1]
        records += ends[2:]
    write(folder / "wrong", header, records)
    return folder / "wrong", folder / "sound"


def tried(wrong: Wrong, folder: Path, drawn: bool = True) -> dict[str, tuple[int, str]]:
    """What each command ends with and says, on that run; pictures, which take most of the time, where `drawn`."""
    bad, sound = made(wrong, folder)
    plain = [word for name in ("terminal", "markdown", "json", "csv") for word in ("--format", name)]
    commands = {
        "report": ("report", bad, *(["--all"] if drawn else plain)),
        "gate": ("gate", bad, "--baseline", sound),
        "gate back": ("gate", sound, "--baseline", bad),
        "save": ("baseline", "save", bad, "--name", folder / "kept"),
        "diff": ("baseline", "diff", bad, sound),
        "merge": ("merge", bad, sound, "--out", folder / "merged"),
        "trace": ("trace", bad),
    }
    ended = {}
    for name, command in commands.items():
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = call(*command)
        ended[name] = (code, out.getvalue())
    return ended


def faults(ended: dict[str, tuple[int, str]]) -> list[str]:
    """The commands that ended as none may."""
    return [
        f"{name} {code}: {text.strip().splitlines()[-1]}"
        for name, (code, text) in ended.items()
        if code not in ENDS or DEFECT in text or "Traceback" in text
    ]


def main(count: int, start: int = 0) -> int:
    codes, bad, parts = Counter[tuple[str, int]](), 0, Counter[str]()
    chosen = every()
    print(f"{len(chosen)} in all")
    for number, wrong in enumerate(chosen[start : start + count]):
        if number and number % 500 == 0:
            print(f"{number} tried, {bad} crashed", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            ended = tried(wrong, Path(folder), drawn=number % EACH == 0)
        codes.update((name, code) for name, (code, _) in ended.items())
        parts.update(line.strip() for line in ended["report"][1].splitlines() if "could not be made" in line)
        if found := faults(ended):
            bad += 1
            print(f"{wrong}: {'; '.join(found)}", flush=True)
    print(dict(sorted(codes.items())))
    print("\n".join(f"{n} {line}" for line, n in parts.most_common()))
    print(f"{bad} of {min(count, len(chosen))} crashed")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
