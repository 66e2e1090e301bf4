"""memory: bytes kept for backward, the peak of forward and backward, and bytes moved. Exact, not timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.errors import TrialError
from polybench.kind import Item, Note, Protocol
from polybench.measure.axes import LevelAxes
from polybench.measure.ran_metrics import RAN
from polybench.measure.speed_metrics import LEAST_BYTES
from polybench.metric import Metric, Question
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

REPEATS = 3  # that must agree to the byte
_UNSEEN = "they are kept on ctx, or elsewhere past save_for_backward"

SAVED = Metric(
    "saved_bytes", "B", "lower", "nothing",
    "Bytes autograd keeps between forward and backward: each storage once, parameters left out.",
    asked=Question("In memory kept for backward", "the fewest bytes", rank=4), header="bytes kept for backward",
)  # fmt: skip
DECLARED = Metric(
    "declared_bytes", "B", "neither", "nothing",
    "What the activation says that eager autograd keeps of it, by its closed form; should be saved_bytes.",
)  # fmt: skip
PEAK = Metric(
    "peak_bytes", "B", "lower", "nothing",
    "Most bytes alive during forward and backward, above input, output gradient and parameters.",
)  # fmt: skip
MOVED = Metric(
    "moved_bytes", "B", "lower", "nothing",
    "Inputs and outputs of every operator of forward and backward, views left out; of compiled code unknown.",
)  # fmt: skip
RESIDENT = Metric(
    "resident_bytes", "B", "neither", "sample",
    "How far forward and backward raise the process's resident memory; advisory, for the heap keeps what it had.",
)  # fmt: skip
PARAMETERS = Metric("parameters", "1", "neither", "nothing", "Trained numbers of the activation, block or decoder.")


def _seconds(axes: LevelAxes, protocol: Protocol) -> float:
    """The mean over suites/memory.yaml on two EPYC cores, half of it in bfloat16, which takes ten times float32's."""
    layers = 8 * axes.layers if axes.level == "decoder" else 1
    return 0.6 + 2e-6 * axes.tokens * axes.d_model * layers


@kinds.register(
    "memory",
    axes=LevelAxes,
    protocol=Protocol,
    metrics=(SAVED, DECLARED, PEAK, MOVED, LEAST_BYTES, RESIDENT, PARAMETERS, *RAN),
    version=2,
    repeats="once",
    seconds=_seconds,
)
def memory(trials: Sequence[Trial], axes: LevelAxes, protocol: Protocol) -> Iterator[tuple[int, Item]]:
    """Bytes saved for backward, peak bytes and bytes moved of forward + backward, exact and repeated."""
    import torch

    from polybench.measure.instruments.allocation import kept, moved_bytes, peak_bytes, resident_bytes
    from polybench.measure.instruments.workshop import Workshop, declared
    from polybench.measure.model.build import chosen

    cell = trials[0].cell
    torch.manual_seed(0)
    activation, workshop = chosen(cell.activation, cell.backend), Workshop(axes, cell.dtype, cell.device)
    arm = workshop.arm(activation)
    arm.once()  # whatever is made on first use exists from here on
    ran = workshop.ran(arm, activation)
    parameters = tuple(arm.module.parameters())
    saved = [kept(arm.forward, parameters, cell.device) for _ in range(REPEATS)]
    repeats = {
        SAVED: [one.bytes for one in saved],
        PEAK: [peak_bytes(arm.once, cell.device) for _ in range(REPEATS)],
    }
    if cell.backend in ("eager", "checkpoint") and not axes.compile:
        repeats[MOVED] = [moved_bytes(arm.once) for _ in range(REPEATS)]
    for metric, values in repeats.items():
        if len(set(values)) > 1:
            yield 0, TrialError(f"{metric.name} differs between repeats: {', '.join(map(str, values))}")
        else:
            yield 0, Measurement(metric.name, (float(values[0]),))
    if saved[0].unseen:
        yield 0, Note(f"autograd's hooks do not see {saved[0].unseen:,} B of its saved_bytes: {_UNSEEN}")
    cost = declared(arm.activation.module)
    if cost and axes.level == "activation":
        width, size = arm.activation.width // cost.branches, arm.gradient.element_size()
        yield 0, Measurement(LEAST_BYTES.name, (float(arm.least_bytes),))
        if cell.backend == "eager":
            yield 0, Measurement(DECLARED.name, (float(cost.saved_bytes(axes.tokens, width, size)),))
    if cell.device == "cpu" and (resident := resident_bytes(arm.once)) is not None:
        yield 0, Measurement(RESIDENT.name, (float(resident),))
    yield 0, Measurement(PARAMETERS.name, (float(sum(p.numel() for p in parameters)),))
    for count in ran.measurements():
        yield 0, count
