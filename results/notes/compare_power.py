"""How often `polybench compare` cries wolf, and what it finds, beside the rules of other tools on the same samples.

    python results/notes/compare_power.py FOLDER [--equal 60] [--slower 10]

Makes a repository of ten activations under FOLDER: a base, a head that differs by a comment and by a local's name, and
heads in which half of the activations take 8 % and 15 % longer. Each comparison is of 40 times, eager and compiled,
with the base rebuilt in a fresh worktree. What is there already is not measured again, so it can be stopped and gone on
with. A compiler drops what nothing uses, so compiled cells are equal code in every head.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from polybench.compare.alignment import Alignment, Asked
from polybench.compare.detectors import DETECTORS, Copies, Launches
from polybench.compare.side_by_side import verdicts
from polybench.run.comparison_folder import AGAIN, Stored, load
from polybench.run.side import BASE, CONTROL, HEAD, SIDES
from polybench.stats import clopper_pearson

PLANTED = ("gelu", "silu", "tanh", "softplus", "mish")
EQUAL = ("relu", "sigmoid", "elu", "hardswish", "leaky_relu")
FACTORS = {"slower-8": 1.08, "slower-15": 1.15}
D_MODEL, TOKENS = 128, (128, 512)
PLAIN = "median more than 10% apart"
OTHERS = [d for d in DETECTORS if not d.name.startswith("polybench")]
PROJECT = """\
[project]
name = "power"

[project.entry-points.polybench]
power = "power"
"""
HEADER = """\
import torch
from torch.nn import functional

from polybench.registry import activations


def wait(x_NxF, share):
    with torch.no_grad():
        torch.tanh(x_NxF[: round(len(x_NxF) * share)])
"""
ACTIVATION = '''

@activations.register("power-{name}", branches=1, source="torch.nn.functional")
class {title}(torch.nn.Module):
    """{comment}"""

    def forward(self, {x}):
        {work}return functional.{name}({x})
'''


def suite() -> str:
    names = ", ".join(f"power-{name}" for name in (*EQUAL, *PLANTED))
    return f"""\
suite: power
activations: [{names}]
reference: power-{EQUAL[0]}
device: cpu
benchmarks:
  - name: speed
    kind: speed
    backends: [eager, compile]
    matrix: {{level: activation, tokens: {list(TOKENS)}, d_model: {D_MODEL}}}
gate:
  - {{metric: total_time, tolerance: 5%}}
"""


def source(factor: float, shares: dict[str, float], comment: str = "As torch has it.", x: str = "x_F") -> str:
    """The module in which the planted ones take `factor` times as long."""
    found = HEADER
    for name in (*EQUAL, *PLANTED):
        slow = factor > 1 and name in PLANTED
        work = f"wait({x}, {(factor - 1) * shares[name]:.4f})\n        " if slow else ""
        found += ACTIVATION.format(name=name, title=name.title().replace("_", ""), comment=comment, x=x, work=work)
    return found


def measured_shares() -> dict[str, float]:
    """How many times the rows of one tanh without gradients each planted activation takes, forward and backward."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    x = torch.randn(TOKENS[-1], 4 * D_MODEL, requires_grad=True)
    dy = torch.randn_like(x)

    def seconds(call) -> float:  # type: ignore[no-untyped-def]
        times = []
        for _ in range(300):
            began = time.thread_time()
            call()
            times.append(time.thread_time() - began)
        return statistics.median(times)

    def both(name: str) -> None:
        torch.autograd.grad(getattr(functional, name)(x), x, dy)

    def alone() -> None:
        with torch.no_grad():
            torch.tanh(x)

    tanh = seconds(alone)
    return {name: seconds(lambda name=name: both(name)) / tanh for name in PLANTED}


def repository(folder: Path) -> Path:
    """A revision a head, each with the tag of its name."""
    made = folder / "repository"
    if (made / ".git").is_dir():
        return made
    made.mkdir(parents=True)
    shares = measured_shares()

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=power", "-c", "user.email=power@localhost", *arguments], cwd=made, check=True
        )

    git("init", "-q")
    revisions = {
        "base": source(1.0, shares),
        "comment": source(1.0, shares, "Just what torch has.", "rows_F"),
        **{name: source(factor, shares) for name, factor in FACTORS.items()},
    }
    for name, text in revisions.items():
        for file, content in (("pyproject.toml", PROJECT), ("suite.yaml", suite()), ("power.py", text)):
            (made / file).write_text(content, encoding="utf-8")
        git("add", "-A")
        git("commit", "-q", "-m", name)
        git("tag", name)
    return made


def compare(made: Path, head: str, out: Path, budget: str) -> Stored:
    if not (out / "done").is_file():
        command = [sys.executable, "-m", "polybench", "compare", "suite.yaml", "--base", "base", "--head", head]
        began = time.monotonic()
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [*command, "--budget", budget, "--quiet", "--out", str(out)], cwd=made, env=environment,
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode not in (0, 1, 4):
            raise SystemExit(f"{head}: exit code {done.returncode}: {done.stderr}")
        (out / "done").write_text(f"{time.monotonic() - began:.0f}\n{done.stdout}", encoding="utf-8")
    return load(out)


@dataclass
class Count:
    """What one rule said: by factor the cells that it flagged as slower and all of them, and runs of equal code."""

    flagged: dict[float, int] = field(default_factory=lambda: defaultdict(int))
    cells: dict[float, int] = field(default_factory=lambda: defaultdict(int))
    runs_flagged: int = 0
    runs: int = 0

    def add(self, factors: dict[float, list[bool]], equal: bool) -> None:
        for factor, flags in factors.items():
            self.flagged[factor] += sum(flags)
            self.cells[factor] += len(flags)
        if equal:
            self.runs += 1
            self.runs_flagged += any(factors.get(1.0, ()))


def rulings(stored: Stored, factor: float) -> Iterator[tuple[str, float, bool]]:
    """By rule: the factor of a cell, and whether the rule calls it slower."""
    alignment = Alignment(stored.plans[BASE], stored.plans[HEAD])
    outcome = {v.label: v.outcome for v in verdicts(stored)}
    first = {v.label: bool(v.reason) or v.outcome == "fail" for v in verdicts(stored)}
    for asked in alignment.asked:
        cell = asked.cell
        truth = factor if cell.backend == "eager" and cell.activation.removeprefix("power-") in PLANTED else 1.0
        label = alignment.labels.of_cell(alignment.timed[asked.benchmark, cell])
        yield "polybench compare, 5%", truth, outcome[label] == "fail"
        yield "its first look alone", truth, outcome[label] in ("fail", "pass") and first[label]
        base, control, head = (times(stored, side, asked) for side in (BASE, CONTROL, HEAD))
        copies = Copies(cell, base, control, {}, [])
        for other in OTHERS:
            yield other.name, truth, other.rule(copies, head).outcome == "slower"
        yield PLAIN, truth, _median(head) > 1.1 * _median(base)


def times(stored: Stored, side: str, asked: Asked) -> Launches:
    """Seconds of the first look, launch by launch."""
    records = [r for r in stored.runs[side].records if r.trial.cell == asked.cell and r.trial.seed < AGAIN]
    ordered = sorted(records, key=lambda r: r.trial.seed)
    return [m.values for r in ordered if (m := r.get(asked.metric.name))]


def _median(launches: Launches) -> float:
    return statistics.median(v for launch in launches for v in launch)


def shown(flagged: int, of: int) -> str:
    low, high = clopper_pearson(flagged, of)
    return f"{flagged} of {of} [{low:.1%}, {high:.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--equal", type=int, default=60, help="comparisons of equal code")
    parser.add_argument("--slower", type=int, default=10, help="comparisons of each slower head")
    parser.add_argument("--budget", default="5m")
    asked = parser.parse_args()
    made = repository(asked.folder.resolve())
    counts: dict[str, Count] = defaultdict(Count)
    minutes: list[float] = []
    launches: list[int] = []
    heads = [("comment", 1.0)] * asked.equal + [h for h in FACTORS.items() for _ in range(asked.slower)]
    for i, (head, factor) in enumerate(heads):
        stored = compare(made, head, asked.folder.resolve() / f"{i:03}-{head}", asked.budget)
        minutes.append(int((stored.path / "done").read_text(encoding="utf-8").split()[0]) / 60)
        launches.append(max(len({r.trial.seed for r in stored.runs[side].records}) for side in SIDES))
        by_rule: dict[str, dict[float, list[bool]]] = defaultdict(lambda: defaultdict(list))
        for rule, truth, flag in rulings(stored, factor):
            by_rule[rule][truth].append(flag)
        for rule, factors in by_rule.items():
            counts[rule].add(factors, equal=factor == 1.0)
        print(f"{i + 1} of {len(heads)}: {head}, {minutes[-1]:.1f} min", file=sys.stderr, flush=True)
    columns = [f"x{factor:.2f}" for factor in FACTORS.values()]
    print("| rule | runs of equal code that fail | cells of equal code |", " | ".join(columns), "|")
    print("|---|---:|---:|" + "---:|" * len(columns))
    for rule, count in counts.items():
        found = [shown(count.flagged[f], count.cells[f]) for f in FACTORS.values()]
        alarms = shown(count.runs_flagged, count.runs), shown(count.flagged[1.0], count.cells[1.0])
        print("|", " | ".join([rule, *alarms, *found]), "|")
    took = f"{statistics.median(minutes):.1f} minutes each (at most {max(minutes):.1f})"
    most = f"up to {statistics.median(launches):.0f} launches a cell"
    print(f"\n{len(heads)} comparisons of 40 cells, {took}, {most}; intervals of 95 %, exact.")


if __name__ == "__main__":
    main()
