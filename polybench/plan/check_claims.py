"""What is wrong with a suite's claims and gate rules: metrics, activations and cells that it does not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from polybench.errors import RegistryError, did_you_mean, in_short, instead
from polybench.kind import Kind, axes_of, kind_of
from polybench.metric import Metric
from polybench.plan.located import Route
from polybench.plan.matrix import combinations
from polybench.plan.problems import Collector
from polybench.plan.suite import DEVICES, RELATIONS, Benchmark, Claim, Rule
from polybench.plan.task_names import misspelt
from polybench.spec import canonical

CELL_FIELDS = ("benchmark", "kind", "activation", "backend", "device", "dtype")
_ON_A_TEXT = "loss on "  # as comparing names them, once a run tells its texts


def check_claims(collector: Collector, data: dict[str, Any], activations: list[str], kinds: list[Kind]) -> None:
    """Add to `collector` what no cell of the suite could ever answer."""
    claimable = {m.name: m for k in reversed(kinds) for m in k.named.values() if m.claimable}
    gated = {name: m for name, m in claimable.items() if not m.curve}
    unjudged = {
        m.name for k in kinds for m in k.metrics if m.better == "neither" and (m.of_time or m.varies_with == "sample")
    }
    axes = {a for k in kinds for a in k.axes.model_fields} | set(CELL_FIELDS)
    planned = None if collector.problems else _planned(data)
    for key, model, metrics in (("claims", Claim, claimable), ("gate", Rule, gated)):
        parts = data.get(key)
        for index, part in enumerate(parts if isinstance(parts, list) else []):
            if not isinstance(part, dict):
                continue
            route: Route = (key, index)
            metric = part.get("metric")
            if model is Rule and isinstance(metric, str) and metric in unjudged:
                collector.add((*route, "metric"), f"{metric!r} has no good direction, so it cannot be gated")
            known = metrics.get(metric) if isinstance(metric, str) else None
            for where, message in _of_rule(part, known) if model is Rule and known else ():
                collector.add((*route, *where), message)
            asked = model is Claim and isinstance(metric, str) and _of_task(metric) and _keeps_models(data)
            if isinstance(metric, str) and metric not in metrics and not asked and "kinds" not in collector.unsure:
                near = lacking(metric, metrics)
                if model is Claim and _of_task(metric):
                    near = "and no model is kept to be asked that task; protocol: {save: true} does"
                collector.add((*route, "metric"), f"no benchmark of this suite measures {in_short(metric)}, {near}")
            elif asked and (told := misspelt(str(metric))):
                collector.add((*route, "metric"), told)
            if known and planned and (told := textless(known, planned)):
                collector.add((*route, "metric"), told)
            if model is Claim:
                known_names = None if "activations" in collector.unsure else activations
                for where, message in claim_problems(part, metrics, known_names, data.get("reference")):
                    collector.add((*route, *where), message)
            for axis in part["where"] if isinstance(part.get("where"), dict) else ():
                here, value = (*route, "where", axis), part["where"][axis]
                if axis not in axes:
                    if "kinds" in collector.unsure:
                        continue
                    collector.add(here, f"no cell has {in_short(axis)}, {did_you_mean(axis, axes)}", True)
                elif axis == "activation":
                    for text in value if isinstance(value, list) else [value]:
                        _among(collector, str(text), here, activations)
                elif axis in ("benchmark", "kind", "backend", "dtype"):
                    _known(collector, value, here, _named(data, axis))
                elif axis == "device":
                    _known(collector, value, here, DEVICES)
                elif planned:
                    _known(collector, value, here, planned.get(axis, []))


def _of_task(metric: str) -> bool:
    """Whether it is the name of a score, such as `polybench_agreement acc`, which `polybench eval` finds later."""
    return len(metric.split()) > 1 and not metric.startswith(_ON_A_TEXT)


def lacking(metric: str, known: Iterable[str]) -> str:
    """What to write in place of a metric that is not there: the end of a sentence."""
    names = [*known]
    if metric.startswith(_ON_A_TEXT) and not any(name.startswith(_ON_A_TEXT) for name in names):
        return "claim other_losses, which asks every text of eval_corpora"
    near = did_you_mean(metric, names)
    if _of_task(metric) and near.startswith("known"):
        return "and no model was asked such a task; `polybench eval RUN` asks those that a run kept"
    return near


def textless(metric: Metric, axes: Iterable[str]) -> str:
    """Why nothing can be said of a loss a text, where no cell has further texts; empty where one has, or it is none."""
    alone = metric.curve and "eval_corpora" not in axes
    return f"{metric.name!r} needs texts to be judged on; name them as eval_corpora" if alone else ""


def _keeps_models(data: dict[str, Any]) -> bool:
    protocols = [b.get("protocol") for b in data["benchmarks"] if isinstance(b, dict)]
    return any(isinstance(p, dict) and p.get("save") is True for p in protocols)


def claim_problems(
    part: Mapping[str, Any], metrics: Mapping[str, Metric], activations: list[str] | None, reference: Any
) -> Iterator[tuple[Route, str]]:
    """(place within the claim, what is wrong) of its activations and of its `by`, for data that may be anything.

    `activations` is None where not all of them are known.
    """
    named: dict[str, tuple[Route, str]] = {}  # by its one name where an activation was said, and how
    said = [((key,), part.get(key)) for key in ("subject", *RELATIONS)]
    order = part["order"] if isinstance(part.get("order"), list) else []
    for route, text in (*said, *((("order", i), text) for i, text in enumerate(order))):
        if not isinstance(text, str):
            continue
        try:
            name = str(canonical(text))
        except RegistryError as problem:
            yield route, str(problem)
            continue
        if activations is not None and name not in activations:
            yield route, f"{in_short(text)} is not among the activations, {instead(activations)}"
        if name in named:
            twice = "stands in this order twice" if order else "is held against itself; name another activation"
            yield route, f"{in_short(text)} {twice}"
        named[name] = route, text
    alone = not order and not any(part.get(key) for key in RELATIONS)
    if alone and isinstance(reference, str) and reference in named:
        yield named[reference][0], f"{in_short(named[reference][1])} is the reference; say what it is better_than"
    metric = metrics.get(str(part.get("metric")))
    if metric:
        yield from _of_metric(part, metric)


def _of_metric(part: Mapping[str, Any], metric: Metric) -> Iterator[tuple[Route, str]]:
    """What cannot be claimed of it: a good direction that it has not, or a `by` in another unit."""
    by, same = part.get("by"), part.get("same_as") is not None
    if metric.better == "neither" and not any(part.get(key) for key in ("same_as", "more_than", "less_than")):
        where: Route = next(((key,) for key in ("better_than", "worse_than", "order") if part.get(key)), ())
        yield where, f"{metric.name!r} has no good direction; claim more_than, less_than or same_as of it"
    if told := _amount("by", by, metric):
        yield ("by",), told
    if metric.effect == "difference" and by is None and same and not metric.in_nats:
        yield (), f"{metric.name} in {metric.unit} has no margin of its own; say by: how much is the same"


def _of_rule(part: Mapping[str, Any], metric: Metric) -> Iterator[tuple[Route, str]]:
    """What a rule cannot ask of it: a floor where it is no time, or a tolerance in another unit."""
    if metric.unit != "s" and part.get("floor"):
        yield ("floor",), f"a floor is for times, and {metric.name!r} is none; leave it away"
    if told := _amount("tolerance", part.get("tolerance"), metric):
        yield ("tolerance",), told


def _amount(key: str, value: Any, metric: Metric) -> str:
    """Why this is not how much of the metric: a share of what is compared by difference, or a slip in one."""
    if metric.effect == "ratio":
        return no_share(value)
    if isinstance(value, str) and value.endswith("%"):
        return f"{metric.name} is compared by difference, so say {key}: in {metric.unit}, such as 0.01"
    return ""


def no_share(value: Any) -> str:
    """Why a number is no share: above 1 it is a slip of the pen, unless it is written with %."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 1:
        return ""
    return f"{value:g} is {value:.0%}; write {value:g}%, or {value:.0%} if that is meant"


def _among(collector: Collector, text: str, route: Route, known: list[str]) -> None:
    name = collector.activation(text, route)
    if name and name not in known and "activations" not in collector.unsure:
        collector.add(route, f"{in_short(text)} is not among the activations, {instead(known)}")


def _known(collector: Collector, value: Any, route: Route, known: list[Any]) -> None:
    for text in value if isinstance(value, list) else [value]:
        if text not in known:
            near = did_you_mean(text, map(str, known))
            collector.add(route, f"no cell of this suite has {route[-1]} {in_short(text)}, {near}")


def _planned(data: dict[str, Any]) -> dict[str, list[Any]]:
    """The values that each axis takes in the cells of a suite whose matrices are sound."""
    values: dict[str, list[Any]] = {}
    for item in data["benchmarks"]:
        kind = kind_of(item["kind"])
        for cell in combinations(item.get("matrix", {}), kind):
            for axis, value in axes_of(kind, cell):
                if value not in values.setdefault(axis, []):
                    values[axis].append(value)
    return values


def _named(data: dict[str, Any], field: str) -> list[str]:
    """The benchmarks, kinds, backends or dtypes that a suite names, or gets by default."""
    names: list[str] = []
    for item in (b for b in data["benchmarks"] if isinstance(b, dict)):
        if field in ("benchmark", "kind"):
            values = [item.get("name" if field == "benchmark" else "kind")]
        else:
            plural = f"{field}s"
            values = item.get(plural) or Benchmark.model_fields[plural].default
        names += [v for v in (values if isinstance(values, list) else []) if isinstance(v, str)]
    return names
