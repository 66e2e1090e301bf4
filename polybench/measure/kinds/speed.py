"""speed: seconds of forward and backward, of an activation alone or in its block, or of a decoder's training step."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from polybench.errors import TrialError
from polybench.kind import Fact, HeapProtocol, Item, Progress
from polybench.measure.axes import LevelAxes
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
from polybench.spec import Scalar
from polybench.trial import Trial

if TYPE_CHECKING:
    from polybench.measure.instruments.blocks import Blocks
    from polybench.measure.instruments.workshop import Arm, Workshop
    from polybench.measure.model.build import Chosen

_FIRST_SHARE = 0.05  # of the progress bar, for making and compiling


class SpeedAxes(LevelAxes):
    """What is executed, and on how many threads."""

    threads: PositiveInt = Field(1, description="CPU threads; with one, CPU time decides")


class SpeedProtocol(HeapProtocol):
    """How often, and with which heap."""

    launches: PositiveInt = Field(3, description="fresh processes")
    blocks: PositiveInt = Field(
        20, description="rounds of all activations before a launch first asks whether it is decided"
    )
    most_blocks: PositiveInt | None = Field(
        None, description="asks again each time the rounds have doubled, up to this many; 8 times blocks if left out"
    )
    budget_s: PositiveFloat = Field(60.0, description="seconds of rounds after which a launch ends undecided")
    warm_up: PositiveInt = Field(2, description="rounds that are not kept")
    sample_s: PositiveFloat = Field(0.003, description="seconds a sample, on the mean of the arms, which take turns")
    margin: Annotated[float, Field(ge=0)] = Field(0.03, description="the least ratio that matters; the suite's own")
    profile: bool = Field(False, description="a profiler's trace of each arm, after the timing of the first launch")

    @model_validator(mode="after")
    def _most_is_more(self) -> SpeedProtocol:
        if self.most_blocks is not None and self.most_blocks < self.blocks:
            raise ValueError(f"most_blocks {self.most_blocks} is fewer than blocks {self.blocks}")
        return self

    how_often = frozenset({"launches", "blocks", "most_blocks", "budget_s", "margin", "profile"})

    @property
    def own_process(self) -> bool:
        """No timing may follow a profiler."""
        return self.profile

    @classmethod
    def of_suite(cls, margin: float) -> dict[str, Scalar]:
        return {"margin": margin}

    @classmethod
    def with_profile(cls) -> dict[str, Scalar]:
        return {"profile": True}

    def checkpoints(self) -> list[int]:
        """Numbers of blocks at which a launch may stop; fixed beforehand, for looking more often finds more."""
        last = self.most_blocks or 8 * self.blocks
        found = [self.blocks]
        while found[-1] < last:
            found.append(min(last, 2 * found[-1]))
        return found


def _seconds(axes: SpeedAxes, protocol: SpeedProtocol) -> float:
    """An arm of a launch, fitted to suites/quick.yaml and suites/speed.yaml on two EPYC cores.

    Launches of seven activations are hardly ever decided before their last block.
    """
    per_number = 25e-9 + (0 if axes.level == "activation" else 0.7e-9 * axes.d_model)
    layers = 2 * axes.layers if axes.level == "decoder" else 1  # attention takes about what the block does
    work = axes.tokens * axes.d_model * layers * per_number
    blocks = protocol.checkpoints()[-1] + protocol.warm_up
    return 0.5 + min(protocol.budget_s, 1.1 * max(work, protocol.sample_s) * blocks)


@kinds.register(
    "speed",
    axes=SpeedAxes,
    protocol=SpeedProtocol,
    metrics=(
        *(FORWARD, BACKWARD, TOTAL, UPDATE, STEP, WARM, WALL, COMPILE, FAULTS, LAUNCH),
        *(COPY, PRODUCT, COPY_BYTES, PRODUCT_FLOPS, LEAST_BYTES, FLOPS),
    ),
    version=2,
    repeats="launches",
    seconds=_seconds,
    interleaved=True,
    alone=True,
    derived=(STEP_RATE,),
)
def speed(trials: Sequence[Trial], axes: SpeedAxes, protocol: SpeedProtocol) -> Iterator[tuple[int, Item]]:
    """Forward and backward time, interleaved in shuffled blocks until the launch is decided or its time is up.

    Whatever computes something else than its formula, before or after, is a failed trial and has no time.
    """
    import time

    import torch

    from polybench.measure.instruments.blocks import Blocks, make_timer, without_gc
    from polybench.measure.instruments.correct import verify
    from polybench.measure.instruments.timer import wake, wake_compiler
    from polybench.measure.instruments.workshop import Workshop
    from polybench.measure.model.build import chosen

    cell, seed = trials[0].cell, trials[0].seed
    torch.set_num_threads(axes.threads)
    torch.manual_seed(seed)
    wake()
    if axes.compile or {t.cell.backend for t in trials} & {"compile", "max_autotune"}:
        wake_compiler(cell.device)
    workshop = Workshop(axes, cell.dtype, cell.device)
    copy, product = workshop.copy(), workshop.product()
    blocks = Blocks(make_timer(cell.device, axes.threads), seed, protocol.sample_s)
    activations: dict[int, Chosen] = {}

    def make(i: int) -> Arm:
        activations[i] = chosen(trials[i].cell.activation, trials[i].cell.backend)
        return workshop.arm(activations[i])

    blocks.make({i: partial(make, i) for i in range(len(trials))}, {COPY.name: copy, PRODUCT.name: product})

    def sound(check: int, arm: Arm) -> None:
        verify(arm.activation, axes.tokens, workshop.weights, cell.device, 2 * seed + check)

    blocks.check(partial(sound, 0))
    yield from blocks.failed.items()
    if not blocks.arms:
        return
    overhead = {} if axes.compile else _overhead(blocks, workshop, trials, activations)
    yield 0, Progress(_FIRST_SHARE)

    references = _references(trials)
    known, checkpoints = set(blocks.failed), protocol.checkpoints()
    with without_gc():
        for _ in range(protocol.warm_up):
            blocks.measure()
        blocks.forget()
        started = time.monotonic()
        for done in range(1, checkpoints[-1] + 1):
            blocks.measure()
            spent = (time.monotonic() - started) / protocol.budget_s
            if spent >= 1 or (done in checkpoints and blocks.decided(references, protocol.margin)):
                break
            yield 0, Progress(min(0.99, max(spent, done / checkpoints[-1], _FIRST_SHARE)))
    blocks.check(partial(sound, 1))  # on other data: what is wrong after thousands of calls was timed wrong
    yield from ((i, problem) for i, problem in blocks.failed.items() if i not in known)
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
        if not trials[i].control:  # the second copy is compiled already
            yield i, Measurement(COMPILE.name, (blocks.first_s[i],))
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


def _references(trials: Sequence[Trial]) -> dict[int, int]:
    """For each trial the one it is compared with: that of its backend which has a second copy."""
    copied = {t.cell for t in trials if t.control}
    first = {t.cell.backend: i for i, t in enumerate(trials) if not t.control and t.cell in copied}
    return {i: first[t.cell.backend] for i, t in enumerate(trials) if t.cell.backend in first}


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
            with suppress(Exception):  # an activation or a backend may serve no size as small as this
                arm = workshop.tiny(activations[i] if as_it_is else chosen(*key))
                arm.once()
                known[key] = statistics.median(blocks.timer.sample(arm).total for _ in range(samples))
        if key in known:
            seconds[i] = known[key]
    return seconds
