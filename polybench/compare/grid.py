"""Points aligned: the same block or seed of two cells side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from polybench.compare.points import Group, Point, by_place, machines
from polybench.compare.seeds import Looks
from polybench.medians import Launches
from polybench.metric import Metric
from polybench.plan.suite import Benchmark, Suite
from polybench.record import Measurement, block_ratios
from polybench.stats import MANY_LAUNCHES, Estimate, launch_excess, of_launches
from polybench.trial import Cell


class Grid:
    """Points of a run by benchmark and cell, and what all activations of one place have in common."""

    def __init__(
        self, members: Iterable[Point], suite: Suite, looks: Mapping[str, Sequence[Sequence[int]]] | None = None
    ):
        """`looks` are the seeds that benchmarks had when they were judged before, as a header keeps them."""
        self.suite = suite
        self._looks = {name: tuple(map(frozenset, seeds)) for name, seeds in (looks or {}).items()}
        self.cells: dict[tuple[str, Cell], Point] = {}
        self.controls: dict[tuple[str, Cell], Point] = {}
        for point in members:
            (self.controls if point.control else self.cells)[point.benchmark, point.cell] = point
        self._benchmarks = {b.name: b for b in suite.benchmarks}
        self._places = by_place((*self.cells.values(), *self.controls.values()))
        self._named = {place: {p.cell.activation: p for p in members if not p.control}
                       for place, members in self._places.items()}  # fmt: skip
        self._ratios: dict[tuple[Point, Point, str], Launches] = {}
        self._excess: dict[tuple[Point, str], float | None] = {}
        self._noise: dict[tuple[Group, str], Estimate | None] = {}

    def benchmark(self, name: str) -> Benchmark | None:
        """As the suite has it; none of a benchmark that was added for tuning."""
        return self._benchmarks.get(name)

    def first_backend(self, benchmark: str) -> str | None:
        """The one that stands for all where only one is told."""
        known = self._benchmarks.get(benchmark)
        return known.backends[0] if known else None

    def margin(self, benchmark: str) -> float:
        """The least ratio that matters: the benchmark's own, else the suite's."""
        known = self._benchmarks.get(benchmark)
        return float(known.protocol.get("margin", self.suite.margin) if known else self.suite.margin)

    def loss_margin(self, benchmark: str, metric: Metric) -> float:
        """Within how many nats, a token or an image, losses are the same; 0, so never, of what is in another unit."""
        if not metric.in_nats:
            return 0.0
        known = self._benchmarks.get(benchmark)
        own = known.loss_margin if known else None
        return self.suite.loss_margin if own is None else own

    def looks(self, benchmark: str) -> Looks:
        return self._looks.get(benchmark, ())

    def twin(self, point: Point, activation: str) -> Point | None:
        """The same cell for another activation."""
        return self._named.get((point.benchmark, point.cell.place), {}).get(activation)

    def rivals(self, point: Point) -> int:
        """How many others it is compared with in its cell, one at least."""
        return max(1, len(self._places[point.benchmark, point.cell.place]) - 1)

    def differences(self, point: Point, against: str, metric: Metric) -> dict[int, float]:
        """value - other by seed, of every one that both activations finished; none without the other."""
        other = self.twin(point, against)
        return seed_differences(point, other, metric) if other else {}

    def ratios(self, point: Point, base: Point, metric: str) -> Launches:
        """Log-ratios block by block, worked out once."""
        key = point, base, metric
        if key not in self._ratios:
            self._ratios[key] = Launches(launch_ratios(point, base, metric))
        return self._ratios[key]

    def excess(self, base: Point, metric: str) -> float | None:
        """How much launches differ beyond their blocks, over all that was measured beside `base`."""
        key = base, metric
        if key not in self._excess:
            beside = [p for p in self._places[base.benchmark, base.cell.place] if p is not base]
            self._excess[key] = launch_excess([self.ratios(p, base, metric) for p in beside])
        return self._excess[key]

    def seconds(self, point: Point) -> float:
        """What a launch of its place took, on average."""
        return statistics.fmean(r.duration_s for r in point.records)

    def noise(self, point: Point, metric: str) -> Estimate | None:
        """Log-ratio of the reference's second copy to its first: what this machine calls equal there."""
        place = point.benchmark, point.cell.place
        key = place, metric
        if key not in self._noise:
            base = self._named.get(place, {}).get(self.suite.reference)
            control = self.controls.get((base.benchmark, base.cell)) if base else None
            launches = self.ratios(control, base, metric) if base and control else []
            few = sum(map(bool, launches)) < MANY_LAUNCHES  # of more the excess is not asked
            excess = self.excess(base, metric) if base and few else None
            self._noise[key] = of_launches(launches, excess=excess) if launches else None
        return self._noise[key]


def launch_ratios(point: Point, base: Point, metric: str) -> list[list[float]]:
    """Log-ratios block by block, a list a launch that measured both."""
    by_seed = {r.trial.seed: r for r in base.ok()}
    pairs = ((r, by_seed[r.trial.seed]) for r in point.ok() if r.trial.seed in by_seed)
    return [ratios for mine, theirs in pairs if (ratios := block_ratios(mine, theirs, metric))]


def seed_differences(point: Point, other: Point, metric: Metric) -> dict[int, float]:
    """value - other, or their log-ratio, by seed: of all that both finished on the same data, times on one machine.

    Beside a value of exactly 0 a log-ratio is infinite, unless both are 0 and so equal.
    """
    differences: dict[int, float] = {}
    for seed, mine, theirs in seed_pairs(point, other, metric):
        a, b = statistics.fmean(mine.values), statistics.fmean(theirs.values)
        if metric.effect == "ratio" and 0 < a < math.inf and 0 < b < math.inf:
            differences[seed] = math.log(a) - math.log(b)  # a / b may be out of range
        elif metric.effect == "ratio" and a != b and 0 in (a, b):
            differences[seed] = math.copysign(math.inf, a - b)
        elif a == b:  # of what has no end too
            differences[seed] = 0.0
        else:
            differences[seed] = a - b
    return differences


def seed_pairs(point: Point, other: Point, metric: Metric) -> Iterator[tuple[int, Measurement, Measurement]]:
    """Each seed with what both measured: of all that both finished on the same data, times on one machine."""
    by_seed = {r.trial.seed: r for r in other.ok()}
    for record in point.ok():
        twin = by_seed.get(record.trial.seed)
        mine, theirs = record.get(metric.name), twin.get(metric.name) if twin else None
        other_machine = metric.of_time and twin and len(machines([twin, record])) > 1
        if twin and mine and theirs and not other_machine and dict(twin.facts) == dict(record.facts):
            yield record.trial.seed, mine, theirs
