"""Every cell and metric as one value with its interval: what a tool takes that keeps a history of numbers."""

from __future__ import annotations

import math

from polybench.compare.comparison import exp
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, typical
from polybench.document import Reading
from polybench.metric import Metric
from polybench.plan.labels import Labels
from polybench.report.section import Section
from polybench.stats import of_launches, paired


def section(comparisons: Comparisons) -> Section:
    """Of cells of which no trial failed: a mean over those that did not is no estimate of anything."""
    names = Labels.of(r.trial for r in comparisons.stored.records)
    found = []
    for point in comparisons.points():
        if point.trouble():
            continue
        label = names.of_cell(point.records[0].trial)
        for metric in comparisons.run.metrics[point.cell.kind].values():
            value = None if metric.curve or metric.hidden else typical(point, metric)
            if value is not None and math.isfinite(value):
                low, high = _ends(point, metric) or (None, None)
                found.append(Reading(label, metric.name, metric.unit, metric.better, value, low, high))
    return Section(readings=tuple(found))


def _ends(point: Point, metric: Metric) -> tuple[float, float] | None:
    """Times over launches with 98 %, what varies with the seed by Student's t with 95 %; nothing of exact counts."""
    values = point.values(metric.name)
    if metric.varies_with == "nothing" or not all(map(math.isfinite, values)):
        return None
    if metric.varies_with == "seed":
        found = paired(values)
    elif min(values) <= 0:
        return None
    else:
        launches = [m.values for r in point.records if (m := r.get(metric.name))]
        found = of_launches([[math.log(v) for v in launch] for launch in launches]).map(exp)
    middle = typical(point, metric) or 0.0
    return (min(found.low, middle), max(found.high, middle)) if found.known else None
