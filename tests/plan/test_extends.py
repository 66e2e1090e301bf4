"""Where the values of a suite come from: its file, what it extends, and the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_suite import SUITE, loaded, mistakes, write

from polybench.errors import SuiteError, UsageError
from polybench.plan.check import load_suite
from polybench.plan.extends import extended
from polybench.plan.resolved import lines


def test_extends_merges_mappings_and_replaces_lists_and_each_value_keeps_its_origin(tmp_path: Path) -> None:
    base = write(tmp_path, SUITE, "base.yaml")
    middle = write(tmp_path, "extends: base.yaml\nseeds: [7]\nmargin: 10%\n", "middle.yaml")
    child = write(tmp_path, "extends: middle.yaml\nsuite: child\n", "child.yaml")
    found = load_suite(child, ["margin=0.2"])
    assert (found.suite.suite, found.suite.seeds, found.suite.margin) == ("child", [7], 0.2)
    assert found.suite.benchmarks == load_suite(base).suite.benchmarks
    told = dict(re.match(r"(\S+) = .*?  # (.*)", line).groups() for line in lines(found))  # type: ignore[union-attr]
    assert told["suite"] == f"{child}:2"
    assert told["seeds"] == f"{middle}:2"
    assert told["margin"] == "-s margin=0.2"
    assert told["reference"] == f"{base}:3"
    assert told["device"] == "default"
    assert told["benchmarks[0].matrix.d_model"] == f"{base}:10"


def test_mappings_merge_at_every_depth(tmp_path: Path) -> None:
    write(tmp_path, "a: {x: 1, y: [1, 2]}\nb: 1\nc: {d: 1}\n", "base.yaml")
    found = extended(write(tmp_path, "extends: base.yaml\na: {y: [3], z: {q: 0}}\nb: {c: 2}\nc: 5\n"))
    assert found.data == {"a": {"x": 1, "y": [3], "z": {"q": 0}}, "b": {"c": 2}, "c": 5}
    origins = {route: Path(mark.file).stem for route, mark in found.values.items()}
    assert (origins["a", "x"], origins["a", "y"], origins["a", "y", 0]) == ("base", "suite", "suite")
    assert ("a", "y", 1) not in origins
    assert ("c", "d") not in origins


def test_a_mistake_of_the_parent_is_told_at_the_parent(tmp_path: Path) -> None:
    base = write(tmp_path, SUITE.replace("stdlib", "stdlb"), "base.yaml")
    (found,) = mistakes(write(tmp_path, "extends: base.yaml\n", "child.yaml"))
    assert found.startswith(f"{base}:13:22: ")


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    write(tmp_path, "extends: a.yaml\n", "b.yaml")
    (found,) = mistakes(tmp_path / "a.yaml")
    assert found == f"{tmp_path / 'b.yaml'}:1:10: extends: these files extend each other: a.yaml -> b.yaml -> a.yaml"
    write(tmp_path, "extends: self.yaml\n", "self.yaml")
    assert "self.yaml -> self.yaml" in mistakes(tmp_path / "self.yaml")[0]


@pytest.mark.parametrize("key", ["mem.matrix.tokens", "benchmarks.mem.matrix.tokens", "benchmarks.0.matrix.tokens"])
def test_a_benchmark_is_overridden_by_name_or_index(tmp_path: Path, key: str) -> None:
    assert loaded(tmp_path, SUITE, (f"{key}=[8, 16]",)).suite.benchmarks[0].matrix["tokens"] == [8, 16]


def test_overrides_reach_new_mappings_and_lists_of_options(tmp_path: Path) -> None:
    overrides = ("mem.timeout_s=5", "pre.protocol.evaluations=3", "activations=[swiglu, polynorm(eps=1e-5, order=2)]",
                 "claims=[]")  # fmt: skip
    found = loaded(tmp_path, SUITE, overrides).suite
    assert found.benchmarks[0].timeout_s == 5
    assert found.benchmarks[1].protocol == {"evaluations": 3}
    assert found.activations == ["swiglu", "polynorm(eps=1e-05, order=2)"]


def test_an_override_reaches_a_place_in_a_list(tmp_path: Path) -> None:
    found = loaded(tmp_path, SUITE, ("gate.0.tolerance=3%", "activations.1=gelu(approximate=tanh)", "claims=[]")).suite
    assert found.gate[0].tolerance == 0.03 and found.gate[0].metric == "saved_bytes"
    assert found.activations == ["relu", "gelu(approximate=tanh)", "swiglu"]


@pytest.mark.parametrize(
    "text", ["seeds", "=3", "benchmarks.meem.matrix.tokens=1", "benchmarks.9.kind=x", "seeds=[1, 2", "extends=b.yaml"]
)
def test_an_override_that_makes_no_sense_is_a_usage_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"-s {text}")):
        loaded(tmp_path, SUITE, (text,))


def test_an_override_names_a_benchmark_whose_name_has_dots(tmp_path: Path) -> None:
    text = SUITE.replace("name: mem", "name: v1.5").replace("name: pre", "name: v1")
    for key in ("v1.5.timeout_s", "benchmarks.v1.5.timeout_s"):
        suite = loaded(tmp_path, text, (f"{key}=5", "v1.timeout_s=6")).suite
        assert [b.timeout_s for b in suite.benchmarks] == [5, 6]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("memm.matrix.tokens=1", "there is no benchmark 'memm', did you mean 'mem'?"),
        ("xyz.seeds=1", "there is no benchmark 'xyz', known: mem, pre"),
        ("mem=1", "say which key of the benchmark 'mem', such as mem.dtypes=[bfloat16]"),
        ("benchmarks.1=1", "say which key of the benchmark '1'"),
        ("gate.9.tolerance=1", "gate is a list of 1, the first of which is gate.0"),
        ("gate.tolerance=1", "gate is a list of 1, the first of which is gate.0"),
        ("reference.relu=1", "there is no 'relu' in reference, so say the whole of it"),
        ("activations.0.order=2", "there is no 'order' in activations[0], so say the whole of it"),
    ],
)
def test_an_override_of_no_benchmark_is_told_which_there_are(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"-s {text}: {told}")):
        loaded(tmp_path, SUITE, (text,))


def test_a_mistake_in_an_override_is_located_at_the_override(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"^-s mem\.matrix\.tokens=many: benchmarks\[0\]\.matrix\.tokens: "):
        loaded(tmp_path, SUITE, ("mem.matrix.tokens=many",))
