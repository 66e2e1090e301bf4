"""The accuracy kind against cases whose error is known, and what the report makes of errors of exactly zero."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from builders import across, changed, record, run, suite
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from polybench.compare.gate import between
from polybench.kind import axes_of, kind_of
from polybench.measure.instruments.precision import forward_backward, relative_error, ulps
from polybench.measure.instruments.watching import Ran
from polybench.measure.kinds.accuracy import (
    DECADES,
    ELEMENTS,
    FORWARD_CURVE,
    PARAMETER_CURVE,
    ROUNDOFF,
    accuracy,
    at_one,
    sound,
)
from polybench.measure.model.build import Chosen
from polybench.metric import power_of_ten
from polybench.plan.suite import DTYPES
from polybench.record import Measurement, Record
from polybench.registry import activations, backends, formats
from polybench.report.compose import compose
from polybench.report.formats.draw import svg
from polybench.run.store import Run
from polybench.spec import Spec
from polybench.trial import Cell, Trial

KIND = kind_of("accuracy")
ONE = DECADES.index(0)


class Rounded(nn.Module):
    """x (1 + e): off by a known share e in every type but float64."""

    share = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return x if x.dtype == torch.float64 else x * (1 + self.share)


class Cubed(nn.Module):
    """c x^3 in the input's type, which overflows float16 beyond 40 and vanishes below 0.0004."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.c * (x * x * x)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"rounded": Rounded, "cubed": Cubed}

    def choose(name: str, backend: str) -> Chosen:
        return Chosen(Spec(name), 1, known[name], backends.load(backend).object)

    monkeypatch.setattr("polybench.measure.model.build.chosen", choose)


def measured(spec: str, dtype: str = "float32", backend: str = "eager", **axes: Any) -> dict[str, Measurement]:
    cell = Cell("accuracy", KIND.version, spec, backend, "cpu", dtype, axes_of(KIND, axes))
    trial = Trial("accuracy", cell, 0)
    items = accuracy([trial], KIND.axes(**axes), KIND.protocol())
    return {item.metric: item for _, item in items if isinstance(item, Measurement)}


def one(found: Mapping[str, Measurement], metric: str) -> float:
    (value,) = found[metric].values
    return value


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("share", [2.0**-7, 2.0**-20])
def test_a_known_error_is_measured(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rounded, "share", share)
    found = measured("rounded", width=64)
    for metric in ("forward_error", "gradient_error"):
        assert one(found, metric) == pytest.approx(share, rel=2 * ROUNDOFF["float32"] / share)
    # An ULP is between eps / 2 and eps of a value, so the share is 1 to 2 times share / eps of them.
    assert 1 <= one(found, "forward_ulp") / (share * 2**23) <= 2
    assert one(found, "forward_ulp_worst") <= 2 * share * 2**23 + 1
    assert "sound_from" not in found and "sound_to" not in found  # it is sound nowhere
    assert found["forward_error_curve"].steps == tuple(range(-4, 5))


def test_no_error_at_all_is_zero_everywhere() -> None:
    found = measured("relu", "bfloat16")
    for metric, measurement in found.items():
        if not metric.startswith(("sound", "largest")):
            assert set(measurement.values) == {0.0}, metric
    assert (one(found, "sound_from"), one(found, "sound_to")) == (1e-4, 1e4)
    assert "parameter_error" not in found  # it has none


@pytest.mark.usefixtures("planted")
def test_overflow_and_lost_digits_are_found_where_they_begin() -> None:
    found = measured("cubed", "float16", width=512)
    lost = dict(zip(DECADES, found["not_finite_curve"].values, strict=True))
    # x^3 leaves float16 (65504) beyond |x| = 40.3: never at N(0, 10^2) below 4 sigma, mostly at N(0, 100^2).
    assert lost[0] == 0 and 0 < lost[1] < 0.01 and 0.2 < lost[2] < lost[3]
    curve = found["forward_error_curve"].values
    assert curve[ONE] < 4 * ROUNDOFF["float16"]
    assert curve[ONE + 2] == math.inf
    assert curve[0] == 1.0  # x^3 of 1e-12 is zero in float16: every digit is lost
    assert one(found, "sound_to") == 1.0
    assert one(found, "sound_from") in (0.1, 1.0)
    wide = measured("cubed", "float32", width=512)
    assert (one(wide, "sound_from"), one(wide, "sound_to")) == (1e-4, 1e4)
    assert one(wide, "parameter_error") < 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", activations.names())
def test_every_activation_is_within_a_few_roundings_at_scale_one(spec: str, dtype: str) -> None:
    found = measured(spec, dtype, width=4096)
    absent = {"parameter_error", "parameter_error_curve", *(["largest_input"] if dtype == "float64" else [])}
    assert {m.name for m in KIND.metrics} - absent <= set(found)
    for metric in ("forward_error", "gradient_error"):
        assert one(found, metric) <= 4 * ROUNDOFF[dtype]
    assert one(found, "forward_ulp") <= 2  # of geglu 1.3: erf of torch, and a product
    for measurement in found.values():
        assert len(measurement.values) in (1, len(DECADES))


@pytest.mark.parametrize("width", [1, ELEMENTS])
def test_rows_of_any_length_are_measured(width: int) -> None:
    for spec in ("polynorm", "swiglu"):
        assert one(measured(spec, "bfloat16", width=width), "forward_error") < 4 * ROUNDOFF["bfloat16"]


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert measured("gelu", "float16") == measured("gelu", "float16")


def test_all_scales_are_one_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are calls of one shape, type and leaf, which is all that a compiled call is guarded by."""
    seen: list[tuple[Any, ...]] = []

    def watched(call: Any) -> Any:
        def recorded(x: Tensor) -> Any:
            seen.append((x.shape, x.dtype, x.stride(), x.requires_grad, x.is_leaf))
            return call(x)

        return recorded

    eager = backends.load("eager")
    compiled = type(eager)("eager", watched, {**eager.facts, "compiles": True})
    monkeypatch.setattr(backends, "_loaded", {**backends._loaded, "eager": compiled})
    monkeypatch.setattr("polybench.measure.instruments.watching.ran_alone", lambda *_: Ran(1, 0, 1, 1, ()))
    measured("geglu", "float16", width=32)
    assert len(seen) > len(DECADES) and len(set(seen)) == 1


@pytest.mark.parametrize("name", DTYPES)
def test_the_unit_roundoffs_are_torchs(name: str) -> None:
    assert torch.finfo(getattr(torch, name)).eps / 2 == ROUNDOFF[name]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.floats(-1e4, 1e4, allow_nan=False), st.sampled_from(["float16", "bfloat16", "float32"]))
def test_rounding_to_nearest_is_within_half_an_ulp(value: float, name: str) -> None:
    dtype = getattr(torch, name)
    exact = torch.tensor([value], dtype=torch.float64)
    rounded = exact.to(dtype)
    assert float(ulps(rounded, exact)) <= 0.5
    up = torch.nextafter(rounded.float(), torch.tensor(math.inf)).double() if name == "float32" else None
    if up is not None and value:
        assert float(ulps(up.float(), exact)) <= 1.5


def test_ulps_and_norms_of_odd_values() -> None:
    exact = torch.tensor([1.0, 2.0, 0.0, 3.0], dtype=torch.float64)
    found = torch.tensor([1.0 + 2**-23, 2.0, 0.0, math.nan])
    assert ulps(found, exact).tolist() == [1.0, 0.0, 0.0, math.inf]
    assert relative_error([found], [exact]) == math.inf
    assert relative_error([found[:3]], [exact[:3]]) == pytest.approx(2**-23 / math.sqrt(5))
    zero = torch.zeros(2)
    assert relative_error([zero], [zero.double()]) == 0.0
    assert relative_error([zero + 1], [zero.double()]) == math.inf


def test_evaluating_keeps_no_graph_and_writes_no_gradient() -> None:
    module = Cubed()
    x = torch.randn(4, 3)
    y, dx, dc = forward_backward(module, module.parameters(), x, torch.ones(4, 3))
    assert not y.requires_grad and module.c.grad is None and x.grad is None
    torch.testing.assert_close(dx, 3 * x**2)
    torch.testing.assert_close(dc, (x**3).sum().view(1))


def test_soundness_has_no_gap_around_one() -> None:
    limit = 8 * 2.0**-24
    good = [limit] * len(DECADES)
    low, high = KIND.metric("sound_from"), KIND.metric("sound_to")
    assert sound({FORWARD_CURVE: good}, "float32") == {low: 1e-4, high: 1e4}
    gap = [*good]
    gap[ONE + 2] = gap[ONE - 1] = math.inf
    assert sound({FORWARD_CURVE: gap}, "float32") == {low: 1.0, high: 10.0}
    gap[ONE] = 1.1 * limit
    assert sound({FORWARD_CURVE: gap}, "float32") == {}
    assert at_one({FORWARD_CURVE: gap}) == {KIND.metric("forward_error"): 1.1 * limit}
    # The sum of 2^17 terms may lose sqrt(2^17) = 362 times more, unless its type is narrower than its accumulator.
    assert sound({PARAMETER_CURVE: [300 * limit] * len(DECADES)}, "float32") != {}
    assert sound({PARAMETER_CURVE: [2.0**-4] * len(DECADES)}, "bfloat16") == {}


def test_a_worker_forgets_what_an_earlier_job_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    from polybench.measure.worker import messages_of
    from polybench.trial import Job

    resets: list[int] = []
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace(reset=lambda: resets.append(1)))
    trial = Trial("a", Cell("memory", 1, "nothing", "eager", "cpu", "float32", axes_of(kind_of("memory"), {})), 0)
    assert list(messages_of(Job((trial,), ())))
    assert resets == [1]


# What the report makes of it.

CURVE = [1e-7] * len(DECADES)


def errors(
    name: str,
    values: Sequence[float],
    curve: Sequence[float] = CURVE,
    lost: Sequence[float] = (),
    sound_from: Sequence[float] = (1e-4,),
    sound_to: Sequence[float] = (1e4,),
    **changes: Any,
) -> list[Record]:
    limits = {k: v for k, v in (("sound_from", sound_from), ("sound_to", sound_to)) if v}
    return [
        record(
            "accuracy", name,
            {"forward_error": [value], "forward_ulp": [value], **limits,
             "forward_error_curve": curve, "not_finite_curve": lost or [0.0] * len(DECADES)},
            seed=seed, steps=list(DECADES), **changes,
        )
        for seed, value in enumerate(values)
    ]  # fmt: skip


def accuracy_run(records: Sequence[Record], **changes: Any) -> Run:
    of = suite(benchmarks=[{"name": "accuracy", "kind": "accuracy"}], **changes)
    return changed(run(records, of), metrics={"accuracy": [m.to_json() for m in KIND.metrics]})


ZEROS = [
    *errors("relu", [0.0, 0.0, 0.0], [0.0] * len(DECADES)),
    *errors("swiglu", [1e-7, 2e-7, 3e-7]),
    *errors("polynorm", [2e-7, 4e-7, 6e-7], [*CURVE[:-2], math.inf, math.inf], [0.0] * 7 + [0.5, 1.0]),
]


def test_beside_nothing_there_is_no_ratio_but_a_verdict() -> None:
    whole = accuracy_run(ZEROS)
    found = {c.cell.activation: c for c in across(whole, only="forward_error")}
    assert (found["relu"].change, found["relu"].outcome) == (None, "better")
    assert found["polynorm"].change is not None
    assert found["polynorm"].change.value == pytest.approx(2)
    found = {c.cell.activation: c for c in across(whole, "relu", only="forward_error")}
    assert (found["swiglu"].change, found["swiglu"].outcome) == (None, "worse")
    both = accuracy_run([*errors("relu", [0.0, 0.0]), *errors("swiglu", [0.0, 0.0])])
    (same,) = [c for c in across(both, only="forward_error") if c.cell.activation == "relu"]
    assert same.change is not None and (same.change.low, same.change.value, same.change.high) == (1.0, 1.0, 1.0)
    assert same.outcome == "same"
    mixed = accuracy_run([*errors("relu", [0.0, 1.0]), *errors("swiglu", [1.0, 0.0])])
    (open_,) = [c for c in across(mixed, only="forward_error") if c.cell.activation == "relu"]
    assert (open_.change, open_.outcome) == (None, "unresolved")


def test_the_gate_judges_errors_of_zero() -> None:
    rules = [{"metric": "forward_error", "tolerance": 0.5}]
    zero, some = (accuracy_run(errors("swiglu", [v, v]), gate=rules) for v in (0.0, 1e-7))
    assert [v.outcome for v in between(zero, zero)] == ["pass"]
    (worse,) = between(zero, some)
    assert (worse.outcome, worse.reason) == ("fail", "0 became 1e-07")
    assert [v.outcome for v in between(some, zero)] == ["improved"]
    mixed = accuracy_run(errors("swiglu", [1e-7, 0.0]), gate=rules)
    other = accuracy_run(errors("swiglu", [0.0, 1e-7]), gate=rules)
    assert [v.outcome for v in between(mixed, other)] == ["inconclusive"]


def test_the_table_says_at_a_glance_how_exact_each_is() -> None:
    records = [*ZEROS, *errors("swiglu", [5e-7], width=1), *errors("relu", [0.0], sound_to=[10.0], width=1)]
    (table, _) = compose(accuracy_run([*records, *errors("polynorm", [1e-7], sound_from=(), width=1)])).tables
    rows = {row[0].text: [e.text for e in row] for row in table.rows}
    header = [c.name for c in table.columns]
    at = {name: header.index(name) for name in ("output, norm", "sound from", "sound to", "not finite")}
    assert rows["relu"][at["output, norm"]] == "0"
    assert rows["swiglu"][at["output, norm"]] == "5.0e-07"  # the worst of the row lengths
    assert (rows["swiglu"][at["sound from"]], rows["swiglu"][at["sound to"]]) == ("10⁻⁴", "10⁴")
    assert rows["polynorm"][at["not finite"]] == "from 10³ up"
    assert rows["relu"][at["not finite"]] == "never"
    assert rows["relu"][at["sound to"]] == "10 (1)"  # bounded by rows of one value
    assert rows["polynorm"][at["sound from"]] == "nowhere (1)"


def test_every_report_and_picture_renders_zeros_and_infinities() -> None:
    document = compose(accuracy_run(ZEROS))
    (figure,) = document.figures
    assert figure.logarithmic == "both"
    assert [s.label for s in figure.series] == ["swiglu", "polynorm"]
    assert "Exact to the last bit at every scale: relu." in figure.caption
    assert len(figure.series[1].x) == len(DECADES) - 2
    assert "10⁻⁴" in svg(figure) and "10⁴" in svg(figure)
    for name in formats.names():
        made = formats.load(name).object(document)
        text = gzip.decompress(made).decode() if isinstance(made, bytes) else made
        assert "relu" in text
        # The formats of single values have them raw.
        assert not re.search(r"\b(nan|-?inf)\b", text) or name in ("csv", "csv.gz")


@pytest.mark.parametrize(
    ("value", "text"), [(1e-4, "10⁻⁴"), (1.0, "1"), (10.0, "10"), (1e12, "10¹²"), (3e-3, "0.003"), (0.0, "0")]
)
def test_powers_of_ten_are_written_as_such(value: float, text: str) -> None:
    assert power_of_ten(value) == text
