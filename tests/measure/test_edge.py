"""The largest input that is survived: the bisection finds it to the bit, and it is what rational arithmetic says."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from builders import axes_of, items, record, run, section
from torch import Tensor, nn

from polybench.kind import Note, kind_of
from polybench.measure.instruments.edge import Edge, Outlier, edge
from polybench.measure.kinds.accuracy import LARGEST, LARGEST_INPUT, ROUNDOFF
from polybench.measure.model.build import Chosen, chosen
from polybench.plan.suite import DTYPES
from polybench.record import Measurement, Record, Status
from polybench.registry import activations, backends
from polybench.report import accuracy
from polybench.spec import Spec
from polybench.trial import Cell, Trial

CODES = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def beyond(number: float, dtype: str) -> float:
    """The next number of a type."""
    one = torch.tensor([number], dtype=getattr(torch, dtype))
    return float((one.view(CODES[one.itemsize]) + 1).view(one.dtype))


def rounded(value: Fraction | None, dtype: str) -> Fraction | None:
    """To the nearest number of a type, of two the even one; None beyond the largest. For values of 1 and more."""
    if value is None:
        return None
    exponent = math.floor(math.log2(value))
    exponent += (value >= Fraction(2) ** (exponent + 1)) - (value < Fraction(2) ** exponent)
    spacing = Fraction(2) ** exponent * 2 * Fraction(ROUNDOFF[dtype])
    nearest = round(value / spacing) * spacing
    return nearest if nearest <= Fraction(LARGEST[dtype]) else None


def power(x: float, order: int, dtype: str) -> Fraction | None:
    """x times x times x, each product rounded to a type."""
    found: Fraction | None = Fraction(x)
    for _ in range(order - 1):
        found = found and rounded(found * Fraction(x), dtype)
    return found


def outlier(spec: str, dtype: str, backend: str = "eager", rows: int = 1, width: int = 64) -> Outlier:
    picked = chosen(spec, backend)
    return of(picked.module(), dtype, picked.branches, rows, width, picked)


def of(module: nn.Module, dtype: str, branches: int, rows: int, width: int, by: Chosen | None = None) -> Outlier:
    kind = getattr(torch, dtype)
    module = module.to(kind)
    call = by.executed(module) if by else module
    exactly, parameters = copy.deepcopy(module).double(), tuple(module.parameters())
    return Outlier(call, exactly, parameters, branches, width, rows, kind, "cpu")


def largest(of: Outlier) -> float:
    found = edge(of.survives, of.dtype)
    assert found and found.again is None
    return found.largest


def test_the_largest_numbers_are_those_of_the_types() -> None:
    assert {dtype: torch.finfo(getattr(torch, dtype)).max for dtype in LARGEST} == LARGEST
    assert {*LARGEST} == {*DTYPES}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_edge_is_found_to_the_bit(dtype: str) -> None:
    kind, most = getattr(torch, dtype), LARGEST[dtype]
    ends = [1.0, beyond(1.0, dtype), 1.5, 3.0, beyond(4.0, dtype), most / 2, most / 1.5, most]
    for end in (float(torch.tensor(e, dtype=kind)) for e in ends):
        tried: list[float] = []
        assert edge(lambda x, end=end, tried=tried: tried.append(x) or x <= end, kind) == Edge(end)  # type: ignore[misc]
        assert all(1 <= x <= most for x in tried) and (end == most or beyond(end, dtype) in tried)
    assert edge(lambda x: x > 1, kind) is None
    assert edge(lambda x: not 8 < x < 64, kind) == Edge(8.0, 64.0)  # what is survived again is told


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_polyrelu_survives_until_its_highest_power_is_no_number(order: int, dtype: str) -> None:
    """The gradient of a_r is x^r, in products of float32 that are rounded to the type at last; all else is less."""

    def finite(x: float) -> bool:
        return rounded(power(x, order, "float32"), dtype) is not None

    found = largest(outlier(f"polyrelu(order={order})", dtype))
    assert finite(found) and not finite(beyond(found, dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_polynorm_survives_until_the_square_of_its_highest_power_is_no_number(order: int, dtype: str) -> None:
    """Beyond it the norm is infinite and the term 0, all of which is finite, and wrong."""

    def finite(x: float) -> bool:
        highest = power(x, order, "float32")
        return rounded(highest and highest * highest, "float32") is not None

    found = largest(outlier(f"polynorm(order={order})", dtype))
    assert finite(found) and (found == LARGEST[dtype] or not finite(beyond(found, dtype)))


class InItsType(nn.Module):
    """x^3 over its root mean square, with no cast to a wider type."""

    def forward(self, x_F: Tensor) -> Tensor:
        cube_F = x_F * x_F * x_F
        return cube_F * torch.rsqrt((cube_F * cube_F).mean(-1, keepdim=True))


def test_a_norm_of_cubes_in_float16_ends_at_the_sixth_root_of_its_largest_number() -> None:
    found = largest(of(InItsType(), "float16", 1, 1, 64))
    cube, more = (power(x, 3, "float16") for x in (found, beyond(found, "float16")))
    assert cube and more and rounded(cube * cube, "float16") and not rounded(more * more, "float16")
    assert found == pytest.approx(65504 ** (1 / 6), rel=1e-3)  # 6.35, where a cube alone is a number up to 40.3


@pytest.mark.parametrize("name", activations.names())
def test_every_activation_has_an_edge_whatever_the_rows(name: str) -> None:
    one = outlier(name, "float16", width=8)
    found = largest(one)
    assert one.survives(found) and (found == LARGEST["float16"] or not one.survives(beyond(found, "float16")))
    assert found == largest(outlier(name, "float16", rows=3, width=8))


def test_the_fused_polynorm_survives_what_the_eager_one_does_not() -> None:
    eager, fused = (largest(outlier("polynorm", "bfloat16", backend)) for backend in ("eager", "fused"))
    assert eager < 3e6 and fused == LARGEST["bfloat16"]


class Once(nn.Module):
    """x, and nothing finite between 8 and 64."""

    def forward(self, x_F: Tensor) -> Tensor:
        lost_F = (x_F.abs() > 8) & (x_F.abs() < 64) & (x_F.dtype != torch.float64)
        return x_F / (~lost_F).to(x_F.dtype)


class Nothing(nn.Module):
    """x, and NaN in every type that is measured."""

    def forward(self, x_F: Tensor) -> Tensor:
        return x_F if x_F.dtype == torch.float64 else x_F * math.nan


@pytest.mark.parametrize(
    ("module", "value", "notes"), [(Once, 8.0, ["beyond 8 it survives again at 64"]), (Nothing, 0.0, [])]
)
def test_what_survives_again_is_noted_and_what_not_even_1_does_is_0(
    monkeypatch: pytest.MonkeyPatch, module: type[nn.Module], value: float, notes: list[str]
) -> None:
    eager = backends.load("eager").object
    monkeypatch.setattr("polybench.measure.model.build.chosen", lambda name, _: Chosen(Spec(name), 1, module, eager))
    kind = kind_of("accuracy")
    cell = Cell("accuracy", kind.version, "made", "eager", "cpu", "float16", axes_of(kind, {"width": 64}))
    found = list(items(Trial("accuracy", cell, 0)))
    assert [i.values for i in found if isinstance(i, Measurement) and i.metric == LARGEST_INPUT.name] == [(value,)]
    assert [i.text for i in found if isinstance(i, Note)] == notes


def measured(name: str, dtype: str, value: float | None, **more: Any) -> Record:
    values = {"forward_ulp": [0.5], "forward_error_curve": [1e-3]}
    return record(
        "accuracy", name, values | ({LARGEST_INPUT.name: [value]} if value is not None else {}), dtype=dtype, **more
    )


def test_the_table_has_types_beside_each_other_and_the_least_of_all_widths() -> None:
    failed = measured("gelu", "float16", None, status=Status.OUT_OF_MEMORY, error="too much")
    one = run([
        measured("relu", "bfloat16", LARGEST["bfloat16"]), measured("relu", "float16", 40.3125, width=64),
        measured("relu", "float16", 65504.0, width=128), measured("swiglu", "float16", 0.0), failed,
        measured("relu", "float64", None), measured("polynorm", "float16", 8.0, width=64),
        measured("polynorm", "float16", None, width=128),
    ])  # fmt: skip
    _, table = section(accuracy, one).tables
    assert [c.name for c in table.columns] == ["activation", "bfloat16 eager", "float16 eager"]
    assert [[e.text for e in row] for row in table.rows] == [
        ["relu", "all", "40.3125"], ["polynorm", "–", "not measured"], ["swiglu", "–", "nowhere"],
        ["gelu", "–", Status.OUT_OF_MEMORY.words],
    ]  # fmt: skip
