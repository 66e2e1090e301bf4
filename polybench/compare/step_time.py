"""Whole training steps that were timed in turns: tokens a second of them, and which trainings took such steps."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

from polybench.compare.grid import launch_ratios
from polybench.compare.points import Group, Point, by_place, machines
from polybench.measure.axes import LevelAxes
from polybench.measure.shape import Shape
from polybench.measure.speed_metrics import FLOPS, STEP, STEP_RATE
from polybench.measure.training_metrics import FLOPS as FLOPS_PER_TOKEN
from polybench.metric import Metric
from polybench.record import Measurement, Record, Status
from polybench.run.store import Run
from polybench.stats import of_launches
from polybench.trial import Cell

STEPPED = Metric(
    "stepped_time", "s", "lower", "seed",
    "Time of the training up to each look, were each of its steps as long as that of its decoder timed in turns.",
    curve=True,
)  # fmt: skip
OWN_CLOCK = "in each training, which may have shared the machine"
_ALIKE = ("seq_len", "compile")  # axes that a training has under the same name, beside those of its shape
_NEEDED = {"layers", "d_model", "heads", "batch", *_ALIKE}
_ONE_PASS = {"accumulate": 1, "recompute": False}  # of a training whose step is one forward and one backward pass
_TRAINING_THREADS = 1  # on a CPU, where several trainings share it


def tokens_a_step(cell: Cell) -> int:
    """Tokens of one optimizer step, 0 for a kind that has no batches of sequences."""
    batch, length = map(cell.get, ("batch", "seq_len"))
    return batch * length if isinstance(batch, int) and isinstance(length, int) else 0


def with_throughput(run: Run) -> Run:
    """The run with tokens a second beside every step time, block by block; beside none of 0, which no clock says."""
    records = tuple(map(_with_throughput, run.records))
    kinds = {r.trial.cell.kind for r in records if r.get(STEP_RATE.name)}
    if not kinds:
        return run
    return replace(run, records=records, derived={**run.derived, **dict.fromkeys(kinds, (STEP_RATE,))})


def _with_throughput(record: Record) -> Record:
    step, tokens = record.get(STEP.name), record.trial.cell.get("tokens")
    if step is None or not isinstance(tokens, int) or not all(seconds > 0 for seconds in step.values):
        return record
    rates = Measurement(STEP_RATE.name, tuple(tokens / seconds for seconds in step.values))
    return replace(record, measurements=(*record.measurements, rates))


@dataclass(frozen=True)
class Timed:
    """A place of `speed` where whole steps were timed, and tokens a second there by activation."""

    group: Group
    tokens_per_s: Mapping[str, float]

    def seconds(self, record: Record, tokens: Sequence[float]) -> tuple[float, ...]:
        """What a training takes for so many tokens."""
        return tuple(t / self.tokens_per_s[record.trial.cell.activation] for t in tokens)


class Clocks:
    """By which clocks the times of trainings are read, by kind, and in which benchmarks."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def note(self, group: Group, timed: Timed | None, unlike: str) -> None:
        """`unlike` says why steps that were timed in turns are not those of the trainings, if any were."""
        own = f"{OWN_CLOCK}{unlike and f', since {unlike}'}"
        clock = f"by the step_time of {timed.group[0]}, taken as exact" if timed else own
        self._of[group[1].kind][clock].add(group[0])

    def told(self, kind: str, metrics: Iterable[Metric]) -> tuple[Metric, ...]:
        """The metrics of a kind, whose definitions say it where they are of time."""
        of = self._of[kind]
        several = [f"{clock} ({', '.join(sorted(names))})" for clock, names in of.items()]
        sentence = f" Time is counted {'; '.join(several if len(of) > 1 else of)}."
        return tuple(replace(m, definition=m.definition + sentence) if "time" in m.name else m for m in metrics)


class StepTimes:
    """Every such place of a run `with_throughput`, to be found by a training that took the same steps."""

    def __init__(self, run: Run):
        self._reference, self._processes = run.suite.reference, run.suite.processes
        self._heaps = {b.name: b.protocol.get("heap", "warm") for b in run.suite.benchmarks}
        timed: dict[tuple[str, Cell], list[Record]] = defaultdict(list)
        for record in run.records:
            if record.status is Status.OK and record.get(STEP_RATE.name) and not record.trial.control:
                timed[record.trial.benchmark, record.trial.cell].append(record)
        places = by_place(Point(name, cell, tuple(records)) for (name, cell), records in timed.items())
        names = [b.name for b in run.suite.benchmarks]
        self._places = {group: found for name in names for group, found in places.items() if group[0] == name}
        self._rates = cache(self._rates_of)

    def beside(self, group: Group, members: Iterable[Record]) -> Timed | None:
        """The first place that fits the trainings of one place, with the rates of all their activations.

        It fits where model, batch, vocabulary, compiling, backend, dtype, device, threads and heap are the same, and
        every step is one pass of one process. None where there is none, or where an activation that ended well has
        no step time.
        """
        records = [r for r in members if r.status is Status.OK]
        for place in self._places:
            if not self._unlike(group, place, records):
                return Timed(place, self._rates(place))
        return None

    def unlike(self, group: Group, members: Iterable[Record]) -> str:
        """In what the steps differ that come nearest to these trainings; nothing where no such step was timed."""
        records = [r for r in members if r.status is Status.OK]
        if not dict(group[1].axes).keys() >= _NEEDED or not self._places:
            return ""
        found = {place: self._unlike(group, place, records) for place in self._places}
        place = min(found, key=lambda one: len(found[one]))
        return f"the steps of {place[0]} differ in {', '.join(found[place])}" if found[place] else ""

    def _unlike(self, group: Group, place: Group, records: Sequence[Record]) -> list[str]:
        """In what the steps of a place differ from those of trainings, by the name that a suite gives it."""
        timed, axes = self._places[place], dict(group[1].axes)
        if not axes.keys() >= _NEEDED:
            return ["kind"]
        said = [name for name, value in _ONE_PASS.items() if axes.get(name, value) != value]
        said += ["processes"] if self._processes > 1 else []
        said += ["heap"] if self._heaps.get(place[0]) != self._heaps.get(group[0]) else []
        said += _differing(group[1], place[1])
        said += ["machine"] if len(machines(r for p in timed for r in p.records)) > 1 else []
        said += [] if said or _same_operations(records, timed) else ["vocabulary"]
        lacking = not said and {r.trial.cell.activation for r in records} - set(self._rates(place))
        return ["activations"] if lacking else said

    def _rates_of(self, place: Group) -> dict[str, float]:
        """From ratios inside of blocks to the reference, or else to the first, so that what all share drops out."""
        timed = self._places[place]
        base = next((p for p in timed if p.cell.activation == self._reference), timed[0])
        rate = float(place[1].axis("tokens")) / statistics.median(base.values(STEP.name))
        rates = {base.cell.activation: rate}
        for point in timed:
            launches = launch_ratios(point, base, STEP.name)
            if point is not base and launches:
                rates[point.cell.activation] = rate / math.exp(of_launches(launches).value)
        return rates


def _differing(training: Cell, step: Cell) -> list[str]:
    axes, timed = dict(training.axes), LevelAxes.model_construct(None, **dict(step.axes))
    shape = Shape(**{f.name: axes[f.name] for f in fields(Shape) if f.name in axes})  # type: ignore[arg-type]
    pairs = {
        **{name: (getattr(training, name), getattr(step, name)) for name in ("backend", "device", "dtype")},
        **{f.name: (getattr(shape, f.name), getattr(timed.shape, f.name)) for f in fields(Shape)},
        **{name: (axes[name], getattr(timed, name)) for name in _ALIKE},
        "tokens": (tokens_a_step(training), timed.tokens),
        "threads": (_TRAINING_THREADS, step.get("threads")) if step.device == "cpu" else (1, 1),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def _same_operations(records: Sequence[Record], timed: Sequence[Point]) -> bool:
    """Whether a token costs as many in both, as far as that is known: so the vocabularies are as large."""
    tokens = float(timed[0].cell.axis("tokens"))
    known = {p.cell.activation: found[0] / tokens for p in timed if (found := p.values(FLOPS.name))}
    costs = [(r.trial.cell.activation, m.values[0]) for r in records if (m := r.get(FLOPS_PER_TOKEN.name))]
    return all(known.get(activation, cost) == cost for activation, cost in costs)
