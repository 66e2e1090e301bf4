"""Pictures of what goes on inside of the decoders: by layer after training, coefficients as training goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from polybench.compare.grid import Point, by_step, grouped, points
from polybench.document import Figure, Series
from polybench.measure import dynamics_metrics as metrics
from polybench.report.figures import FEW_SEEDS
from polybench.report.grouping import held_constant, key_of, mean_over, sentences, title_of, troubles
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_SEED, paired

_WIDTH = "Gated blocks are narrower at equal parameters, and already at random a narrower matrix has a lower rank"
# (metric, title, what the reader must know)
_BY_LAYER = (
    (metrics.W_IN_RANK, "Effective rank of w_in", _WIDTH),
    (metrics.W_OUT_RANK, "Effective rank of w_out", _WIDTH),
    (metrics.LAYER_COSINE, "Cosine of a layer's input and output", ""),
    (metrics.LAYER_RMS, "Root mean square of activations", ""),
    (metrics.LAYER_KURTOSIS, "Kurtosis of activations", ""),
    (metrics.LAYER_ZEROS, "Share of zeros in activations", ""),
)
_LEARNED = tuple((m, f"Learned coefficient a_{i}", "") for i, m in enumerate(metrics.COEFFICIENTS))


def dynamics_figures(run: Run) -> Iterator[Figure]:
    """A picture for each metric and group of cells that a run observed; a line an activation."""
    every = grouped(points(run))
    for metric, what, told in (*_BY_LAYER, *_LEARNED):
        observed = {g: [p for p in ps if any(any(v) for v in by_step(p, metric).values())] for g, ps in every.items()}
        groups = {g: ps for g, ps in observed.items() if ps}
        for group in groups:
            found = [p for p in every[group] if by_step(p, metric)]
            counts = [max(map(len, by_step(p, metric).values())) for p in found]
            few = min(counts) < FEW_SEEDS
            band = "the range of the seeds" if few else f"the {CONFIDENCE_SEED:.0%} t interval of the mean"
            lines = [line for p in found if (line := _line(p, by_step(p, metric), few)).x]
            yield Figure(
                key=key_of("dynamics", metric.name, group, groups),
                kind="curves",
                title=title_of(what, group, groups),
                caption=sentences(
                    metric.definition,
                    told,
                    mean_over(counts) + (f"; the band is {band}" if max(counts) > 1 else ""),
                    held_constant(run, group, found),
                    troubles(every[group]),
                ),
                x_label="Layer" if metric.along == "layer" else "Optimizer steps",
                y_label=what,
                series=tuple(lines),
            )


def _line(point: Point, values: dict[int, list[float]], few: bool) -> Series:
    """Mean and band where every seed has a finite value."""
    seeds = max(map(len, values.values()))
    rows = []
    for x, found in sorted(values.items()):
        if len(found) == seeds and all(map(math.isfinite, found)):
            middle = paired(found, CONFIDENCE_SEED)
            rows.append((float(x), middle.value, *((min(found), max(found)) if few else (middle.low, middle.high))))
    xs, ys, lows, highs = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Series(point.cell.activation, xs, ys, *((lows, highs) if seeds > 1 else ()))
