"""speed: seconds of forward and backward, of an activation alone or in its block, or of a decoder's training step."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from polybench.errors import TrialError
from polybench.kind import Fact, Item, Progress
from polybench.measure.ran_metrics import RAN
from polybench.measure.speed_axes import SpeedAxes, SpeedProtocol, launch_seconds
from polybench.measure.speed_metrics import (
    BACKWARD,
    COMPILE,
    COPY,
    COPY_BYTES,
    FAULTS,
    FLOPS,
    FORWARD,
    LAUNCH,
    LEAST_BYTES,
    PRODUCT,
    PRODUCT_FLOPS,
    STEP,
    STEP_RATE,
    THROTTLED,
    TIMED_BY,
    TOTAL,
    UPDATE,
    WALL,
    WARM,
)
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Cell, Trial

if TYPE_CHECKING:
    from polybench.measure.instruments.blocks import Blocks
    from polybench.measure.instruments.watching import Ran
    from polybench.measure.instruments.workshop import Arm, Workshop
    from polybench.measure.model.build import Chosen

_FIRST_SHARE = 0.05  # of the progress bar, for making and compiling


@dataclass(frozen=True)
class _Known:
    """What is known of cells before any launch: seconds of the first call, what was wrong with it, and what it ran."""

    first_s: Mapping[Cell, float]
    wrong: Mapping[Cell, Exception]
    ran: Mapping[Cell, Ran] = field(default_factory=dict)


_known = _Known({}, {})  # of this process; every copy of it knows the same


def _prepare(trials: Sequence[Trial], axes: SpeedAxes, protocol: SpeedProtocol) -> None:
    """Compile what is compiled, call everything once, and hold it to its formula."""
    import time

    from polybench.measure.instruments import blocks as _  # noqa: F401  what launches import
    from polybench.measure.instruments.correct import verify
    from polybench.measure.instruments.workshop import Workshop
    from polybench.measure.model.build import chosen

    global _known
    _wake(trials, axes)
    first_s: dict[Cell, float] = {}
    wrong: dict[Cell, Exception] = {}
    ran: dict[Cell, Ran] = {}
    for cell in dict.fromkeys(t.cell for t in trials):
        workshop = Workshop(axes, cell.dtype, cell.device)
        try:
            started = time.perf_counter()
            activation = chosen(cell.activation, cell.backend)
            arm = workshop.arm(activation)
            gradients = arm.backward(arm.forward())
            first_s[cell] = time.perf_counter() - started
            if arm.update:
                arm.update(gradients)  # an optimizer imports for seconds when it is first made
            ran[cell] = workshop.ran(arm, activation)
            verify(arm.activation, axes.tokens, workshop.weights, cell.device, 2 * trials[0].seed)
        except Exception as problem:
            wrong[cell] = problem
    _known = _Known(first_s, wrong, ran)


def _wake(trials: Sequence[Trial], axes: SpeedAxes) -> None:
    import torch

    from polybench.measure.instruments.timer import wake, wake_compiler
    from polybench.measure.model.build import compiles

    torch.set_num_threads(axes.threads)
    wake()
    if axes.compile or any(map(compiles, {t.cell.backend for t in trials})):
        wake_compiler(trials[0].cell.device)


@kinds.register(
    "speed",
    axes=SpeedAxes,
    protocol=SpeedProtocol,
    metrics=(
        *(FORWARD, BACKWARD, TOTAL, UPDATE, STEP, WARM, WALL, COMPILE, FAULTS, LAUNCH),
        *(COPY, PRODUCT, COPY_BYTES, PRODUCT_FLOPS, LEAST_BYTES, FLOPS),
        *RAN,
    ),
    version=2,
    repeats="launches",
    seconds=launch_seconds,
    interleaved=True,
    alone=True,
    derived=(STEP_RATE,),
    prepare=_prepare,
    decides=TOTAL.name,
)
def speed(trials: Sequence[Trial], axes: SpeedAxes, protocol: SpeedProtocol) -> Iterator[tuple[int, Item]]:
    """Seconds of forward and backward, and of a decoder's training step, in shuffled rounds.

    Whatever computes something else than its formula is a failed trial and has no time. It is looked at before, by
    `_prepare` or here, and after; where launches are copies of one process, after the first of them. What was to be
    compiled and is not has no time either, and is looked at before.
    """
    import time

    import torch

    from polybench.measure.instruments.blocks import Blocks, make_timer, without_gc
    from polybench.measure.instruments.correct import verify
    from polybench.measure.instruments.workshop import Workshop, scattered
    from polybench.measure.model.build import chosen

    cell, seed = trials[0].cell, trials[0].seed
    prepared = {t.cell for t in trials} <= {*_known.first_s, *_known.wrong}
    if not prepared:
        _wake(trials, axes)
    torch.manual_seed(seed)
    apart = scattered(seed) if cell.device == "cpu" else []
    workshop = Workshop(axes, cell.dtype, cell.device)
    copy, product = workshop.copy(), workshop.product()
    blocks = Blocks(make_timer(cell.device, axes.threads), seed, protocol.sample_s)
    activations: dict[int, Chosen] = {}
    ran = {i: _known.ran[t.cell] for i, t in enumerate(trials) if t.cell in _known.ran}

    def make(i: int) -> Arm:
        if problem := _known.wrong.get(trials[i].cell):
            raise problem
        activations[i] = chosen(trials[i].cell.activation, trials[i].cell.backend)
        return workshop.arm(activations[i])

    yardsticks = {} if protocol.taking_turns else {COPY.name: copy, PRODUCT.name: product}
    blocks.make({i: partial(make, i) for i in range(len(trials))}, yardsticks)

    def sound(check: int, i: int, arm: Arm) -> None:
        if i not in ran:
            ran[i] = workshop.ran(arm, activations[i])
        verify(arm.activation, axes.tokens, workshop.weights, cell.device, 2 * seed + check)

    if not prepared:
        blocks.check(partial(sound, 0))
    yield from blocks.failed.items()
    if not blocks.arms:
        return
    overhead = {} if seed or axes.compile or protocol.taking_turns else _overhead(blocks, workshop, trials, activations)
    yield 0, Progress(_FIRST_SHARE)

    failed = set(blocks.failed)
    with without_gc():
        for _ in range(protocol.warm_up):
            blocks.measure()
        blocks.forget()
        started = time.monotonic()
        for done in range(1, protocol.blocks + 1):
            if protocol.taking_turns:
                blocks.refresh()
            blocks.measure()
            spent = (time.monotonic() - started) / protocol.budget_s
            if spent >= 1:
                break
            yield 0, Progress(min(0.99, max(spent, done / protocol.blocks, _FIRST_SHARE)))
    if not prepared or seed == 0:
        blocks.check(partial(sound, 1))  # on other data: what is wrong after many calls was timed wrong
    yield from ((i, problem) for i, problem in blocks.failed.items() if i not in failed)
    del apart
    dropped = blocks.drop_throttled()
    if dropped and not any(blocks.samples.values()):
        raise TrialError(f"all {dropped} blocks were taken at a throttled clock; see polybench doctor")

    for i, arm in blocks.arms.items():
        samples = blocks.samples[i]
        yield i, Fact(TIMED_BY, blocks.timer.how(arm))
        if dropped:
            yield i, Fact(THROTTLED, str(dropped))
        yield i, Measurement(FORWARD.name, tuple(s.forward for s in samples))
        yield i, Measurement(BACKWARD.name, tuple(s.backward for s in samples))
        yield i, Measurement(TOTAL.name, tuple(s.total for s in samples))
        if updates := tuple(s.update for s in samples if s.update is not None):
            yield i, Measurement(UPDATE.name, updates)
            yield i, Measurement(STEP.name, tuple(s.step for s in samples))
        if warm := tuple(s.warm for s in samples if s.warm is not None):
            yield i, Measurement(WARM.name, warm)
        yield i, Measurement(WALL.name, tuple(s.wall for s in samples))
        yield i, Measurement(FAULTS.name, (statistics.fmean(s.faults for s in samples),))
        if seed == 0 and not trials[i].control:  # the second copy is compiled already
            yield i, Measurement(COMPILE.name, (_known.first_s.get(trials[i].cell, blocks.first_s[i]),))
            for count in ran[i].measurements():
                yield i, count
        if i in overhead:
            yield i, Measurement(LAUNCH.name, (overhead[i],))
        for name, values in blocks.yards.items():
            yield i, Measurement(name, tuple(values))
        yield i, Measurement(COPY_BYTES.name, (float(copy.amount),))
        yield i, Measurement(PRODUCT_FLOPS.name, (float(product.amount),))
        if arm.least_bytes:
            yield i, Measurement(LEAST_BYTES.name, (float(arm.least_bytes),))
        if arm.flops:
            yield i, Measurement(FLOPS.name, (float(arm.flops),))
    if protocol.profile and seed == 0:
        from polybench.measure.instruments.profiling import traces

        yield from traces(trials, blocks.arms, cell.device)


def _overhead(
    blocks: Blocks, workshop: Workshop, trials: Sequence[Trial], activations: Mapping[int, Chosen]
) -> dict[int, float]:
    """Seconds of the same operators over one token, by trial; all compiled activations share one, a call of GELU."""
    from polybench.measure.model.build import chosen

    samples = 101 if blocks.timer.most_rounds > 1 else 21  # where one sample is of several calls already
    known: dict[tuple[str, str], float] = {}
    seconds = {}
    for i in blocks.arms:
        name, backend = trials[i].cell.activation, trials[i].cell.backend
        as_it_is = backend in ("eager", "checkpoint")
        key = name if as_it_is else "gelu", backend
        if key not in known:
            with suppress(BaseException):  # an activation or a backend may serve no size as small as this
                arm = workshop.tiny(activations[i] if as_it_is else chosen(*key))
                arm.once()
                known[key] = statistics.median(blocks.timer.sample(arm).total for _ in range(samples))
        if key in known:
            seconds[i] = known[key]
    return seconds
