"""Between two runs: what got worse than the baseline, rule by rule, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from polybench.compare.grid import Grid, Point, matches
from polybench.compare.verdict import Ruling, Verdict, judge
from polybench.errors import NothingMeasured, RegistryError, UsageError
from polybench.kind import Protocol, kind_of
from polybench.machine.environment import differences as fingerprint_differences
from polybench.metric import Metric
from polybench.run.store import Run
from polybench.spec import Scalar
from polybench.stats import ALPHA, holm


def between(baseline: Run, run: Run) -> list[Verdict]:
    """A verdict for every cell that a rule of the run's suite names.

    A cell fails when its interval lies beyond the tolerance and its p survives Holm's correction over
    every gated cell that is tested, so that the whole gate cries wolf in at most 5 % of runs.

    Raises:
        UsageError: the suite has no rules.
        NothingMeasured: the run has no records, or a rule matches no cell of either run.
    """
    rules = run.suite.get("gate") or []
    if not rules:
        raise UsageError(f"the suite of {run.name} has no gate: rules; add some, for example {{metric: peak_bytes}}")
    for one in (run, baseline):
        if not one.records:
            raise NothingMeasured(f"nothing was measured in {one.path}")
    grids = Grid(baseline), Grid(run)
    old, new = (grid.cells for grid in grids)
    differences = fingerprint_differences(baseline.environment, run.environment)
    differences += [f"{one.name} was resumed after changes" for one in (run, baseline) if one.header.get("forced")]
    bumped = {(b, replace(c, version=0)): c.version for b, c in new}
    verdicts: list[Verdict] = []
    for rule in rules:
        name = _rule_name(rule)
        found = [
            judge(
                name,
                rule,
                metric,
                old.get(key),
                new.get(key),
                [*differences, *_careless(baseline, run, key[0])],
                bumped,
                grids,
            )
            for key in dict.fromkeys([*old, *new])
            if (metric := _metric(baseline, run, key[1].kind, rule["metric"]))
            and _gated(old.get(key), new.get(key), rule)
        ]
        if not found:
            raise NothingMeasured(f"the gate rule {name} matches no cell of either run")
        verdicts += found
    return _corrected(verdicts)


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What fails alone but not among so many is not decided."""
    tested = [i for i, v in enumerate(verdicts) if v.p is not None]
    adjusted = dict(zip(tested, holm([verdicts[i].p or 0.0 for i in tested]), strict=True))
    return [
        replace(v, outcome="inconclusive", reason=f"{v.reason}: Holm p {adjusted[i]:.2g} over {len(tested)} cells")
        if v.outcome == "fail" and adjusted.get(i, 0.0) > ALPHA
        else v
        for i, v in enumerate(verdicts)
    ]


def exit_code(
    verdicts: Sequence[Verdict], inconclusive: Literal["report", "pass", "fail"] = "report"
) -> tuple[int, str]:
    """The code and the sentence that says why (precedence 3, 1, 4, 0)."""

    def count(*outcomes: Ruling) -> list[Verdict]:
        return [v for v in verdicts if v.outcome in outcomes]

    def first(bad: list[Verdict]) -> str:
        return f"{bad[0].label} {bad[0].metric.name}: {bad[0].reason}"

    total = len(verdicts)
    if len(count("new")) == total:
        return 5, f"gate compared nothing: none of {total} gated cells is in the baseline; save one with --save"
    if bad := count("broken"):
        return 3, f"gate broken: {len(bad)} of {total} gated cells could not be measured, first {first(bad)}"
    if bad := count("fail", "missing"):
        return 1, f"gate failed: {len(bad)} of {total} gated cells are worse or missing, first {first(bad)}"
    if bad := count("inconclusive", "not comparable"):
        what = f"{len(bad)} of {total} gated cells cannot be judged, first {first(bad)}"
        if inconclusive == "fail":
            return 1, f"gate failed: {what}"
        if inconclusive == "report":
            return 4, f"gate inconclusive: {what}"
    wins, fresh = count("improved"), count("new")
    extra = f", {len(wins)} better than the baseline" if wins else ""
    extra += f", {len(fresh)} new and without a baseline" if fresh else ""
    return 0, f"gate passed: {total - len(fresh)} gated cells{extra}"


def _careless(baseline: Run, run: Run, benchmark: str) -> list[str]:
    """What of a benchmark's protocol differs, other than how often: a heap or a sample's length biases times."""
    one, other = (_biasing(r, benchmark) for r in (baseline, run))
    keys = sorted({*one, *other})
    return [f"protocol {k}: {one.get(k)} / {other.get(k)}" for k in keys if one.get(k) != other.get(k)]


def _biasing(run: Run, benchmark: str) -> dict[str, Scalar]:
    """What may bias it; all that is said where the kind is not here any more."""
    stated = next((b for b in run.suite["benchmarks"] if b["name"] == benchmark), None)
    if stated is None:
        return {}
    try:
        return kind_of(stated["kind"]).protocol.biasing(stated["protocol"])
    except RegistryError:
        return Protocol.biasing(stated["protocol"])


def _rule_name(rule: dict[str, object]) -> str:
    where = rule.get("where")
    text = ", ".join(f"{k}={v}" for k, v in where.items()) if isinstance(where, dict) else ""
    return f"{rule['metric']}" + (f" where {text}" if text else "")


def _metric(baseline: Run, run: Run, kind: str, name: str) -> Metric | None:
    return run.metrics.get(kind, {}).get(name) or baseline.metrics.get(kind, {}).get(name)


def _gated(old: Point | None, new: Point | None, rule: dict[str, object]) -> bool:
    where = rule.get("where") or {}
    return any(p is not None and matches(p, where) for p in (old, new))  # type: ignore[arg-type]
