"""Networks that were built to be a function: exactness, and what their size grows with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.construction import Family, experiment, families, growth_of_ratio
from polybench.compare.points import Group, Point
from polybench.document import ABSENT, Column, Entry, Figure, Series, Table
from polybench.measure.kinds import approximation as kind
from polybench.measure.kinds.approximation import BUILT_ERROR, LAYERS, UNITS
from polybench.metric import Metric, significant
from polybench.report.section import Section
from polybench.report.wording import (
    MINUS,
    field_of,
    held_constant,
    key_of,
    number,
    sentences,
    show,
    title_of,
    worst_entry,
)
from polybench.stats import CONFIDENCE_SEED, Estimate

LAST = 2  # networks of a family whose slope is shown alone
_TOLD = frozenset(m.name for m in (UNITS, LAYERS, kind.WEIGHTS, BUILT_ERROR, kind.ROUNDING, kind.DEPARTURE))
_SAME = (
    "Units of the same construction in both, the smallest here that keeps the error that is asked for; nothing says "
    "that no smaller ReLU network would"
)
_INTERVAL = f"{CONFIDENCE_SEED:.0%} t intervals from how far the networks lie from the line"


def section(comparisons: Comparisons) -> Section:
    """Empty where a run has built no network."""
    built, networks = families(comparisons), experiment(comparisons, "network")
    return Section(
        tables=(*_exact(networks), *_powers(built), *_taylor(built)),
        figures=tuple(_sizes(comparisons, built)),
        metrics=_TOLD if built or networks else frozenset(),
    )


def _exact(networks: Sequence[Point]) -> Iterator[Table]:
    """Random ReLU networks beside PolyReLU networks of the same weights."""
    if networks:
        columns = (kind.UNITS, kind.ROUNDING, kind.DEPARTURE)
        seeds = max(len(p.ok()) for p in networks)
        yield Table(
            key="exact-networks",
            title="ReLU networks, and PolyReLU networks of the same weights",
            caption=sentences(
                f"In float64, the worst of {seeds} random networks; one unit roundoff is {2.0**-53:.2g}",
                f"{kind.ROUNDING.name}: {kind.ROUNDING.definition}",
                f"{kind.DEPARTURE.name}: {kind.DEPARTURE.definition}",
            ),
            columns=(*_heads("activation", "depth", "width"), *(Column(m.name, note=m.definition) for m in columns)),
            rows=tuple(
                (Entry(p.cell.activation), *_fields(p, "depth", "width"), *(worst_entry(p, m) for m in columns))
                for p in networks
            ),
            notes=tuple(f"{p.cell.activation}: {why}" for p in networks if (why := p.trouble())),
        )


def _powers(built: Mapping[Group, Sequence[Family]]) -> Iterator[Table]:
    """Powers and products: how many units and layers an e-fold smaller error costs."""
    rows = [(g, f) for g, of in built.items() for f in of if g[1].axis("experiment") != "taylor"]
    if rows:
        yield Table(
            key="powers-growth",
            title="Powers and products: what a smaller error costs",
            caption=sentences(
                "Networks within the error 2^-bits on [-1, 1], of one coordinate or two, on a grid that holds where "
                "sawtooths are worst",
                _SAME,
                f"Growth: slope over ln(1 / error), with {_INTERVAL}; a slope without one is exact",
                "Error over asked: the largest of the family; 1 or less is kept",
            ),
            columns=(
                *_heads("function", "activation", "bits"), Column("units"), Column("units an e-fold"),
                Column("layers"), Column("layers an e-fold"), Column("error over asked"), Column("n"),
            ),
            rows=tuple(
                (
                    Entry(_function(group)), Entry(f.activation), Entry(_range(f.members)), _span(f, UNITS),
                    _estimate(f.growth(UNITS)), _span(f, LAYERS), _estimate(f.growth(LAYERS)), number(f.worst),
                    Entry(str(len(f.members))),
                )
                for group, f in rows
            ),
        )  # fmt: skip


def _taylor(built: Mapping[Group, Sequence[Family]]) -> Iterator[Table]:
    """Smooth functions: the order of each construction, and how its size over PolyReLU's grows."""
    groups = {g: of for g, of in built.items() if g[1].axis("experiment") == "taylor"}
    if groups:
        yield Table(
            key="taylor-order",
            title="Smooth functions: size against error",
            caption=sentences(
                "Piecewise Taylor polynomials of degree n - 1 of a function of d coordinates, none of whose "
                "derivatives exceeds 1; errors as found on a grid of "
                f"{kind.PRIME_STEPS[1] + 1:,} or {kind.PRIME_STEPS[2] + 1}^2 points",
                _SAME,
                f"Slope: of ln units over ln error, with {_INTERVAL}; theory has {MINUS}d/n as the error goes to 0, "
                "and for ReLU a factor ln(1 / error) beside it. Units that do not grow with the pieces make it flatter "
                f"at large errors, so that of the last {LAST} networks stands beside it",
                "Ratio an e-fold: growth of ReLU's units over PolyReLU's at the error that is asked for",
            ),
            columns=(
                *_heads("d", "n", "activation", "bits"), Column("units"), Column("slope"),
                Column(f"of the last {LAST}"), Column(f"{MINUS}d/n"), Column("relu's over polyrelu's"),
                Column("ratio an e-fold"), Column("error over asked"), Column("networks"),
            ),
            rows=tuple(_taylor_row(group, f, of) for group, of in groups.items() for f in of),
        )  # fmt: skip


def _taylor_row(group: Group, family: Family, beside: Sequence[Family]) -> tuple[Entry, ...]:
    d, n = (int(group[1].axis(name)) for name in ("dimension", "smoothness"))
    base = next((f for f in beside if f.activation == "polyrelu"), None)
    growth = growth_of_ratio(family, base) if base and family.activation == "relu" else None
    first_last, orders = ABSENT, (family.order(), family.order(LAST))
    if base and growth:
        ratios = [a / b for a, b in zip(family.values(UNITS), base.values(UNITS), strict=True)]
        first_last = f"{significant(ratios[0], 3)} to {significant(ratios[-1], 3)}"
    return (
        Entry(str(d)), Entry(str(n)), Entry(family.activation), Entry(_range(family.members)), _span(family, UNITS),
        _estimate(orders[0]), _slope(orders[1].value if orders[1] else None), _slope(-d / n), Entry(first_last),
        _estimate(growth), number(family.worst), Entry(str(len(family.members))),
    )  # fmt: skip


def _heads(*names: str) -> list[Column]:
    return [Column(name, numeric=False) for name in names]


def _fields(point: Point, *axes: str) -> list[Entry]:
    return [Entry(field_of(point.cell, axis)) for axis in axes]


def _function(group: Group) -> str:
    cell = group[1]
    return "x y" if cell.axis("experiment") == "product" else f"x^{cell.axis('degree')}"


def _range(members: Sequence[Point]) -> str:
    first, last = (members[i].cell.axis("bits") for i in (0, -1))
    return f"{first} to {last}"


def _span(family: Family, metric: Metric) -> Entry:
    first, *_, last = family.values(metric)
    text = f"{first:,.0f} to {last:,.0f}" if first != last else f"{first:,.0f}"
    return Entry(text, last)


def _slope(value: float | None) -> Entry:
    return Entry(ABSENT) if value is None else Entry(f"{value:.2f}".replace("-", MINUS), value)


def _estimate(estimate: Estimate | None) -> Entry:
    if estimate is None:
        return Entry(ABSENT)
    return Entry(show(estimate), estimate.value, estimate.low, estimate.high)


def _sizes(comparisons: Comparisons, built: Mapping[Group, Sequence[Family]]) -> Iterator[Figure]:
    """Units against the inverse error, a picture a function."""
    for group, of in built.items():
        found = group[1].axis("experiment") == "taylor"
        asked = "Error as found" if found else "The error that is asked for"
        yield Figure(
            key=key_of("built", UNITS.name, group, built),
            kind="curves",
            title=title_of("Units against error", group, built),
            caption=sentences(asked, UNITS.definition, _SAME, held_constant(comparisons, group, ())),
            x_label="1 / error",
            y_label="Hidden units",
            series=tuple(_size_line(f, found) for f in of),
            logarithmic="both" if found else "x",  # powers grow with the logarithm of the error
        )


def _size_line(family: Family, found: bool) -> Series:
    error = family.values(BUILT_ERROR) if found else [0.5**bits for bits in family.bits]
    drawn = [(1 / e, units) for e, units in zip(error, family.values(UNITS), strict=True) if e > 0]
    return Series(family.activation, tuple(x for x, _ in drawn), tuple(units for _, units in drawn))
