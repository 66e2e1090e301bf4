"""Networks that were trained to be a function: error against parameters, and what training did not find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from polybench.compare.comparisons import Comparisons
from polybench.compare.construction import experiment
from polybench.compare.points import Group, Point
from polybench.document import Figure, Series
from polybench.measure.kinds.approximation import BUILT_ERROR, L2_ERROR, PARAMETERS, SUP_ERROR, UNITS
from polybench.metric import Metric
from polybench.report import bands
from polybench.report.section import Section
from polybench.report.wording import held_constant, key_of, sentences, title_of, troubles

_PICTURES = ((L2_ERROR, "Relative L2 error"), (SUP_ERROR, "Relative largest error"))


def section(comparisons: Comparisons) -> Section:
    """Empty where a run has trained no network to be a function; the tables by seed have the numbers."""
    trained = experiment(comparisons, "trained")
    return Section(
        figures=tuple(_figures(comparisons, trained)),
        notes=tuple(_unreached(experiment(comparisons, "power"), trained)),
    )


def _figures(comparisons: Comparisons, trained: Sequence[Point]) -> Iterator[Figure]:
    """Two pictures a function that networks of several sizes were trained to be, without those that lost seeds."""
    groups: dict[Group, list[Point]] = {}
    for point in trained:
        groups.setdefault((point.benchmark, point.cell.place.without("parameters")), []).append(point)
    wide = {g: ps for g, ps in groups.items() if len({p.cell.axis("parameters") for p in ps}) > 1}
    for metric, what in _PICTURES:
        for group, members in wide.items():
            whole = [p for p in members if p.values(metric.name) and not p.diverged]
            if not whole:
                continue
            counts = [len(p.values(metric.name)) for p in whole]
            names = dict.fromkeys(p.cell.activation for p in whole)
            lines = {name: [p for p in whole if p.cell.activation == name] for name in names}
            yield Figure(
                key=key_of("fits", metric.name, group, wide),
                kind="curves",
                title=title_of(what, group, wide),
                caption=sentences(
                    f"{what} of trained networks, geometric means",
                    bands.told(counts, min(counts) > 1),
                    held_constant(comparisons, group, ()),
                    troubles(members),
                ),
                x_label="Trained parameters",
                y_label=what,
                series=tuple(_line(name, ps, metric, bands.few(counts)) for name, ps in lines.items()),
                logarithmic="both",
            )


def _line(name: str, members: Sequence[Point], metric: Metric, few: bool) -> Series:
    logs: Mapping[float, Sequence[float]] = dict(
        sorted((max(p.values(PARAMETERS.name)), p.values(metric.name)) for p in members)
    )
    of = bands.line(name, logs, few, all(len(v) > 1 for v in logs.values()))
    y, low, high = (tuple(10.0**v for v in end) for end in (of.y, of.low, of.high))
    return Series(name, of.x, y, low, high)


def _unreached(powers: Sequence[Point], trained: Sequence[Point]) -> Iterator[str]:
    """What a network could be and training does not find: a square, which a few units of PolyReLU are exactly."""
    built = [p for p in powers if p.cell.axis("degree") == 2 and p.cell.activation == "polyrelu"]
    own = [p for p in trained if p.cell.axis("target") == "quadratic" and p.cell.activation == "polyrelu"]
    built, own = ([p for p in ps if p.values(m.name)] for ps, m in ((built, BUILT_ERROR), (own, SUP_ERROR)))
    if not (built and own):
        return
    best = min(own, key=lambda p: fmean(p.values(SUP_ERROR.name)))
    units, error = (max(built[0].values(m.name)) for m in (UNITS, BUILT_ERROR))
    numbers, reached = max(best.values(PARAMETERS.name)), 10.0 ** fmean(best.values(SUP_ERROR.name))
    near = f"within {error:.2g}" if error else "to the bit at every point of a grid"
    yield (
        f"Training does not find what is there: {units:.0f} units of polyrelu are x^2 {near}, and "
        f"{numbers:,.0f} trained numbers are off by {reached:.2g} at worst, as a geometric mean of {len(best.ok())} "
        "seeds. That a size suffices says nothing of what gradient descent reaches."
    )
