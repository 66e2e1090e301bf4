"""Numbers for other tools: values with intervals, in the formats that those tools read."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from builders import exact, losses, record, run, times
from judgements import CHANGED, judged, verdict
from tex import commands_of

from polybench.document import joined
from polybench.errors import NothingMeasured
from polybench.record import Status
from polybench.registry import formats, outlets
from polybench.report.compose import compose
from polybench.stats import Estimate

BENCHER = {  # the schema that bencher.dev/bmf.json gives, with what the server adds: names are not empty, nor too long
    "type": "object",
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {
            "type": "object",
            "required": ["value"],
            "additionalProperties": False,
            "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
        },
    },
}
SMALLER = {  # what github-action-benchmark's extraction takes
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "value": {"type": "number"},
            **{key: {"type": "string"} for key in ("name", "unit", "range", "extra")},
        },
    },
}


def strict(made: str) -> Any:
    """As a reader takes it that knows no NaN."""
    return json.loads(made, parse_constant=lambda name: pytest.fail(name))


def test_bencher_reads_values_and_changes_with_their_intervals() -> None:
    read = strict(outlets.load("bencher").object(CHANGED, ""))
    jsonschema.validate(read, BENCHER)
    assert read["speed/relu"] == {
        "total_time": {"value": 1.2e-3}, "total_time-change": {"value": 1.2, "lower_value": 1.15, "upper_value": 1.25},
    }  # fmt: skip
    assert set(read["pretrain/relu"]) == {"val_loss", "val_loss-change", "tokens_per_s"}
    assert not {"speed/gelu", "speed/silu"} & set(read), "what was not measured has no value"
    exact = judged(verdict("fail", change=Estimate(1.01, 1.01, 1.01, 1)))
    assert strict(outlets.load("bencher").object(exact, "")) == {"memory/relu": {"saved_bytes": {"value": 101}}}


def test_github_action_benchmark_reads_what_is_better_when_smaller() -> None:
    read = strict(outlets.load("github-action-benchmark").object(CHANGED, ""))
    jsonschema.validate(read, SMALLER)
    assert [entry["name"] for entry in read] == [
        "speed/relu total_time", "speed/relu total_time-change",
        "pretrain/relu val_loss", "pretrain/relu val_loss-change",
    ]  # fmt: skip
    assert read[1] == {
        "name": "speed/relu total_time-change", "unit": "1", "value": 1.2, "range": "[1.150, 1.250]", "extra": "fail",
    }  # fmt: skip


def test_a_paper_has_every_number_of_the_verdicts_as_a_command() -> None:
    found = commands_of(outlets.load("latex").object(CHANGED, ""))
    assert found["ToyTotalTimeSpeedReluChange"] == r"\polybenchnumber{1.200}"
    assert found["ToyTotalTimeSpeedReluChangeLow"] == r"\polybenchnumber{1.150}"


RECORDS = [
    *exact({"relu": 4096, "swiglu": 8192}),
    *times({"relu": 0.5, "swiglu": 1.0}),
    *losses({"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.41, 3.1]}),
    record("pretrain", "polynorm", {"val_loss": [1.0]}),
    record("pretrain", "polynorm", seed=1, status=Status.DIVERGED, error="nan"),
]


def test_a_run_is_read_as_a_value_a_cell_and_metric_with_its_interval() -> None:
    document = compose(run(RECORDS))
    read = strict(formats.load("bencher").object(document))
    jsonschema.validate(read, BENCHER)
    assert read["memory/relu"]["saved_bytes"] == {"value": 4096}, "exact counts have no interval"
    loss = read["pretrain/relu"]["val_loss"]
    assert loss["value"] == pytest.approx(3.2333333) and loss["lower_value"] == pytest.approx(2.608, abs=1e-3)
    for name in ("relu", "swiglu"):
        time = read[f"speed/{name}"]["total_time"]
        assert time["lower_value"] < time["value"] < time["upper_value"] < 2e-3
        assert "copy_time" not in read[f"speed/{name}"], "a yardstick is no result"
    assert "pretrain/polynorm" not in read, "a mean over the seeds that did not diverge is no value"


def test_of_a_run_github_action_benchmark_gets_what_has_a_good_direction_downwards() -> None:
    read = strict(formats.load("github-action-benchmark").object(compose(run(RECORDS))))
    jsonschema.validate(read, SMALLER)
    names = [entry["name"] for entry in read]
    assert len(set(names)) == len(names)
    assert {"memory/relu saved_bytes", "speed/swiglu total_time", "pretrain/relu val_loss"} <= set(names)
    fast = run(losses({"relu": [10, 20], "swiglu": [20, 30]}, "tokens_per_s"))
    assert strict(formats.load("github-action-benchmark").object(compose(fast))) == []


@pytest.mark.parametrize("name", ["bencher", "github-action-benchmark"])
def test_no_value_at_all_is_no_empty_list(name: str) -> None:
    lost = compose(run([record("memory", "relu", status=Status.FAILED, error="because")]))
    with pytest.raises(NothingMeasured, match="toy/one has no value"):
        formats.load(name).object(lost)


def test_the_readings_of_two_runs_are_told_apart() -> None:
    one, two = (compose(run(RECORDS, path=f"results/toy/{name}")) for name in ("one", "two"))
    read = strict(formats.load("bencher").object(joined([one, two])))
    assert {"toy/one: memory/relu", "toy/two: memory/relu"} <= set(read)
