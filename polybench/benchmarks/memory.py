"""memory: bytes kept for backward, and the peak of forward and backward. Exact, not timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.axes import LevelAxes
from polybench.cell import Trial
from polybench.errors import TrialError
from polybench.kind import Item, Protocol
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import benchmarks

REPEATS = 3  # that must agree to the byte

SAVED = Metric(
    "saved_bytes", "B", "lower", "nothing",
    "Bytes autograd keeps between forward and backward: each storage once, parameters left out.",
)  # fmt: skip
PEAK = Metric(
    "peak_bytes", "B", "lower", "nothing",
    "Most bytes alive during forward and backward, above input, output gradient and parameters.",
)  # fmt: skip
PARAMETERS = Metric("parameters", "1", "neither", "nothing", "Trained numbers of the activation or its block.")


@benchmarks.register(
    "memory",
    axes=LevelAxes,
    protocol=Protocol,
    metrics=(SAVED, PEAK, PARAMETERS),
    version=1,
    repeats="once",
    seconds=lambda axes, protocol: 0.2 + 2e-6 * axes.tokens * axes.d_model,
)
def memory(trials: Sequence[Trial], axes: LevelAxes, protocol: Protocol) -> Iterator[tuple[int, Item]]:
    """Bytes saved for backward and peak bytes of forward + backward, exact and repeated."""
    from polybench.allocation import peak_bytes, saved_bytes
    from polybench.workshop import Workshop

    cell = trials[0].cell
    arm = Workshop(axes, cell.dtype, cell.device).arm(cell.activation, cell.backend)
    arm.once()  # whatever is made on first use exists from here on
    parameters = tuple(arm.module.parameters())
    repeats = {
        SAVED: [saved_bytes(arm.forward, parameters) for _ in range(REPEATS)],
        PEAK: [peak_bytes(arm.once, cell.device) for _ in range(REPEATS)],
    }
    for metric, values in repeats.items():
        if len(set(values)) > 1:
            yield 0, TrialError(f"{metric.name} differs between repeats: {', '.join(map(str, values))}")
        else:
            yield 0, Measurement(metric.name, (float(values[0]),))
    yield 0, Measurement(PARAMETERS.name, (float(sum(p.numel() for p in parameters)),))
