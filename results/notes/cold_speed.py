"""What commands that measure nothing cost on large inputs: `python cold_speed.py TREE... [--only ROW] [--rounds N]`.

Each tree is a checkout of polybench, such as `git worktree add ../before COMMIT` makes; they take turns. Inputs are
made anew in a temporary folder, from random times, by the first tree, which is to be the older one. Printed are CPU
seconds, user and system, and the most memory that was resident: getrusage of each command alone, so other work matters
little.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_S, MOST_BYTES = 180, 6 << 30  # after which a command is stopped
ACTIVATIONS, REFERENCE, BACKENDS = ("relu", "relu2", "gelu", "swiglu", "geglu", "polyrelu", "polynorm"), "swiglu", 2
ARMS, LAUNCHES, WIDTHS = (len(ACTIVATIONS) + 1) * BACKENDS, 5, 3
SAMPLED = ("forward_time", "backward_time", "total_time", "wall_time", "copy_time", "product_time")
EXACT = {"page_faults": 0.0, "copy_bytes": 4e6, "product_flops": 2e9, "least_bytes": 4e6, "flops": 3e9}


@dataclass(frozen=True)
class Row:
    """A command, `{}` in its arguments for the folder of inputs, and what is to be there."""

    name: str
    command: tuple[str, ...]
    goal: str
    ends: tuple[int, ...] = (0,)  # what it may end with


def suite(places: int, blocks: int) -> dict[str, object]:
    """So many shapes, 3 of each number of tokens."""
    return {
        "suite": "cold", "activations": ACTIVATIONS, "reference": REFERENCE, "device": "cpu",
        "benchmarks": [{
            "name": "block", "kind": "speed", "backends": ["eager", "compile"][:BACKENDS],
            "matrix": {"tokens": [64 * i for i in range(1, places // WIDTHS + 1)],
                       "d_model": [64 * i for i in range(1, WIDTHS + 1)]},
            "protocol": {"launches": LAUNCHES, "pilot": LAUNCHES, "blocks": blocks},
        }],
        "gate": [{"metric": "total_time", "tolerance": "5%"}, {"metric": "forward_time", "tolerance": "5%"}],
    }  # fmt: skip


def made(folder: Path, name: str, records: int, blocks: int, noise: int = 0) -> Path:
    """A whole run of about so many records, of random times that hang on the activation."""
    from polybench.plan.check import load_suite
    from polybench.record import Measurement, Record, Status
    from polybench.run import session, store

    file = folder / f"{name}.yaml"
    places = round(records / ARMS / LAUNCHES / WIDTHS) * WIDTHS
    file.write_text(json.dumps(suite(places, blocks)), encoding="utf-8")
    opened = session.begin(load_suite(file).suite, folder / name, None, str(file))
    draw, found = random.Random(noise), []
    for job in opened.todo.jobs:
        common = [draw.gauss(0, 0.05) for _ in range(blocks)]
        for trial in job.trials:
            level = 1e-3 * (1 + 0.1 * ACTIVATIONS.index(trial.cell.activation)) * (1 + draw.gauss(0, 0.005))
            times = {m: tuple(level * (1 + c + draw.gauss(0, 0.01)) for c in common) for m in SAMPLED}
            whole = [*times.items(), *((m, (v,)) for m, v in EXACT.items())]
            kept = tuple(Measurement(m, values) for m, values in whole)
            stamp = f"2026-01-01T00:00:{trial.seed:02d}+00:00"
            found.append(Record(trial, Status.OK, kept, {"timed_by": "made up"}, "", stamp, 1.0, machine="0"))
    store.append(folder / name, found)
    return folder / name


def inputs(folder: Path, rows: set[str]) -> Iterator[str]:
    """Make what the rows need; gives the sizes, in words."""
    needed = {"large": (10_080, 46, 0), "small": (1_200, 46, 0), "million": (3_600, 46, 0), "old": (10_080, 46, 1),
              "heavy": (10_080, 70, 0)}  # fmt: skip
    for name, (records, blocks, noise) in needed.items():
        if any(f"{{}}/{name}" in word for row in ROWS if row.name in rows for word in row.command):
            path = made(folder, name, records, blocks, noise)
            lines = (path / "records.jsonl").read_text(encoding="utf-8").splitlines()
            values = sum(len(m["values"]) for m in json.loads(lines[0])["measurements"]) * len(lines)
            size = (path / "records.jsonl").stat().st_size
            yield f"{name}: {len(lines):,} records, {values:,} values, {size / 1e6:.0f} MB"
    cells = {**suite(WIDTHS, 1), "gate": []}
    shapes = {"tokens": [*range(1, 9)], "d_model": [*range(16, 8016, 8)]}
    cells["benchmarks"] = [{"name": name, "kind": "memory", "matrix": shapes} for name in ("one", "two")]
    (folder / "cells.yaml").write_text(json.dumps(cells), encoding="utf-8")
    spaces = {**suite(WIDTHS, 1), "activations": [*ACTIVATIONS, f"relu{' ' * 50_000}x"]}
    (folder / "spaces.yaml").write_text(json.dumps(spaces), encoding="utf-8")
    (folder / "long.jsonl").write_text(json.dumps({"text": "word " * (80_000_000 // 5)}) + "\n", encoding="utf-8")


_LONG = "import pathlib, polybench.corpora.reading as r; print(sum(map(len, r.lines(pathlib.Path('{}/long.jsonl')))))"
ROWS = (
    Row("report of 10,080 records", ("report", "{}/large", "--out", "{}/out"), "10 s, 1 GB"),
    Row("report of 1,200 records", ("report", "{}/small", "--out", "{}/out"), "3 s, 250 MB"),
    Row("csv of 1 M rows", ("report", "{}/million", "--format", "csv"), "6 s, 400 MB"),
    Row("gate of 10,080 records", ("gate", "{}/large", "--baseline", "{}/old"), "2 s", (0, 4)),
    Row("plan of 112,000 cells", ("plan", "{}/cells.yaml"), "3 s"),
    Row("resume, nothing left", ("run", "--resume", "{}/heavy", "--force", "--quiet"), "3 s"),
    Row("validate relu, 50,000 spaces, x", ("validate", "{}/spaces.yaml"), "linear", (2,)),
    Row("a JSON line of 80 MB as a corpus", ("-c", _LONG), "linear"),
)


def spent(tree: Path, row: Row, folder: Path) -> tuple[float, float] | None:
    """CPU seconds and peak MB of the command in that tree; None where it was stopped."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_S, MOST_S))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    words = [word.replace("{}", str(folder)) for word in row.command]
    program = [sys.executable, *([] if words[0] == "-c" else ["-m", "polybench"]), *words]
    with (folder / "printed").open("wb") as out:
        child = subprocess.Popen(
            program, cwd=folder, env={**os.environ, "PYTHONPATH": str(tree)}, stdout=out, stderr=out, preexec_fn=limit
        )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode in (-signal.SIGKILL, -signal.SIGXCPU) or b"MemoryError" in (folder / "printed").read_bytes():
        return None
    if child.returncode not in row.ends:
        said = (folder / "printed").read_text(errors="replace")[-500:]
        raise SystemExit(f"{row.name} in {tree} ended with {child.returncode}: {said}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def shown(found: list[tuple[float, float] | None]) -> str:
    """The middle of the rounds."""
    kept = [one for one in found if one]
    if len(kept) < len(found):
        return f"stopped at {MOST_S} s or {MOST_BYTES >> 30} GiB"
    seconds, peak = (statistics.median(values) for values in zip(*kept, strict=True))
    return f"{seconds:.2f} s, {peak:,.0f} MB"


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        for size in inputs(Path(sys.argv[2]), set(sys.argv[3:])):
            print(size, flush=True)
        return
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("trees", nargs="+", type=Path)
    asked.add_argument("--only", action="append", help="rows whose name begins so")
    asked.add_argument("--rounds", type=int, default=2)
    options = asked.parse_args()
    rows = [r for r in ROWS if not options.only or r.name.startswith(tuple(options.only))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own, since the peak of a child begins with what its parent holds.
        where = {**os.environ, "PYTHONPATH": str(options.trees[0].resolve())}
        subprocess.run([sys.executable, __file__, "--make", folder, *(r.name for r in rows)], check=True, env=where)
        print(
            f"\n| what | goal | {' | '.join(t.name for t in options.trees)} |\n|---|---|{'---:|' * len(options.trees)}"
        )
        for row in rows:
            turns = [[spent(tree.resolve(), row, folder) for tree in options.trees] for _ in range(options.rounds)]
            print(
                f"| {row.name} | {row.goal} | {' | '.join(map(shown, map(list, zip(*turns, strict=True))))} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
