"""Which rule holds which cell: the last that matches, said by the plan, and a rule that holds none is a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import suite
from commands import Capture, call
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.plan.governing import governing, idle, matches
from polybench.plan.jobs import plan
from polybench.plan.suite import Suite

LAWS = settings(max_examples=30, deadline=None, derandomize=True, database=None)
MATRIX = {"level": ["activation", "block"], "tokens": 64}
WHERE = st.fixed_dictionaries(
    {},
    optional={
        "activation": st.sampled_from(["relu", ["relu", "swiglu"]]),
        "level": st.sampled_from(["activation", "block"]),
        "benchmark": st.sampled_from(["speed", "memory"]),
        "device": st.just("cpu"),
    },
)
RULES = st.lists(
    st.fixed_dictionaries({"metric": st.sampled_from(["saved_bytes", "total_time"]), "where": WHERE}), max_size=4
)


def of(rules: list[dict[str, Any]]) -> Suite:
    benchmarks = [{"name": kind, "kind": kind, "matrix": MATRIX} for kind in ("speed", "memory")]
    return suite(gate=rules, benchmarks=benchmarks)


@LAWS
@given(RULES)
def test_idle_rules_are_those_that_hold_no_cell_of_the_plan(rules: list[dict[str, Any]]) -> None:
    """For a suite of one device; where it is not known, a rule for a device takes nothing for sure."""
    made = of(rules)
    cells = {(t.benchmark, t.cell) for t in plan(made, "cpu").trials}
    kind = {"saved_bytes": "memory", "total_time": "speed"}
    held = [
        any(governing(made.gate, rule.metric, b, c) is rule for b, c in cells if c.kind == kind[rule.metric])
        for rule in made.gate
    ]
    found = idle(made)
    assert {i for i, used in enumerate(held) if not used} >= set(found)
    if not any("device" in rule.where for rule in made.gate):
        assert {i for i, used in enumerate(held) if not used} == set(found)
    for index, taker in found.items():
        assert taker is None or (taker > index and made.gate[taker].metric == made.gate[index].metric)


def test_one_rule_for_all_and_then_those_for_some() -> None:
    made = of([{"metric": "total_time", "tolerance": 0.05}, {"metric": "total_time", "where": {"level": "block"}}])
    cells = {c for t in plan(made, "cpu").trials if (c := t.cell).kind == "speed"}
    for cell in cells:
        rule = governing(made.gate, "total_time", "speed", cell)
        assert rule is made.gate[matches("speed", cell, {"level": "block"})]
    assert not idle(made)


@pytest.mark.parametrize("trials", [(), ("--trials",)])
def test_the_plan_says_which_rule_holds_which_cells(trials: tuple[str, ...], tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "toy.yaml"
    rules = [{"metric": "total_time", "tolerance": 0.05}, {"metric": "total_time", "where": {"level": "block"}}]
    path.write_text(json.dumps(of(rules).model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
    assert call("plan", path, *trials) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("  gate")]
    assert "total_time within 0.05, 3 of 6 cells (gate[0])" in line
    assert "total_time where level=block within 0, 3 of 6 cells (gate[1])" in line
    assert ("speed/relu/level=block" in line) == bool(trials)
    assert call("plan", path, "--json") == 0
    speed, memory = json.loads(capsys.readouterr().out)["benchmarks"]
    assert [len(rule["cells"]) for rule in speed["gate"]] == [3, 3] and memory["gate"] == []
