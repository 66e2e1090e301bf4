"""selfcheck: equal code and code slowed by a known factor, timed as speed times activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from polybench.kind import Axes, Item, Progress
from polybench.measure.axes import LevelAxes
from polybench.measure.kinds.speed import SpeedProtocol
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from polybench.measure.instruments.workshop import Arm

_MOST_EVERY = 40  # calls in which the extra ones of a slowdown come round


class SelfcheckAxes(Axes):
    """A small piece of work, and the factor by which one of its copies is slowed."""

    level: Literal["activation", "block"] = Field("activation", description="alone, or in its feed-forward block")
    tokens: PositiveInt = Field(32, description="rows")
    d_model: PositiveInt = Field(32, ge=8, description="width of the residual stream")
    slowdown: Annotated[float, Field(gt=1, le=2)] = Field(1.05, description="factor of work that one copy does")
    repeat: NonNegativeInt = Field(0, description="number of the cell among equal ones")

    @field_validator("slowdown")
    @classmethod
    def _by_whole_calls(cls, value: float) -> float:
        share = Fraction(value - 1).limit_denominator(_MOST_EVERY)
        if abs(float(share) - (value - 1)) > 0.001:
            raise ValueError(f"slowdown {value} is no share of {_MOST_EVERY} calls or fewer; 1.03 and 1.05 are")
        return value


class SelfcheckProtocol(SpeedProtocol):
    """Every block is kept; how many a launch would have needed is found afterwards."""

    blocks: PositiveInt = Field(60, description="rounds of the four copies in a launch")
    sample_s: PositiveFloat = Field(0.0015, description="seconds a sample; half of speed's, so that many cells fit")


def _metric(name: str, definition: str) -> Metric:
    return Metric(name, "s", "neither", "sample", definition, curve=True)


BASE = _metric("base_time", "Forward and backward, block by block.")
CONTROL = _metric("control_time", "The same of a second copy, which raises the margin.")
EQUAL = _metric("equal_time", "The same of a third copy, whose every verdict of faster or slower is a false alarm.")
SLOWED = _metric("slowed_time", "The same of a copy that does the named factor of work.")
ARMS = (BASE, CONTROL, EQUAL, SLOWED)


@kinds.register(
    "selfcheck",
    axes=SelfcheckAxes,
    protocol=SelfcheckProtocol,
    metrics=ARMS,
    version=1,
    repeats="launches",
    seconds=lambda axes, protocol: 0.35 + 4 * protocol.sample_s * (protocol.blocks + protocol.warm_up),
    alone=True,
)
def selfcheck(trials: Sequence[Trial], axes: SelfcheckAxes, protocol: SelfcheckProtocol) -> Iterator[tuple[int, Item]]:
    """Four copies of one activation in shuffled blocks, one slowed by calling it more often, on a GPU by more rows."""
    import torch

    from polybench.measure.instruments.blocks import Blocks, make_timer, without_gc
    from polybench.measure.instruments.timer import wake
    from polybench.measure.instruments.workshop import Workshop
    from polybench.measure.model.build import chosen

    cell = trials[0].cell
    torch.set_num_threads(1)
    torch.manual_seed(trials[0].seed)
    wake()
    shape = LevelAxes.model_validate(axes.model_dump(include={"level", "tokens", "d_model"}))
    workshop = Workshop(shape, cell.dtype, cell.device)
    activation = chosen(cell.activation, cell.backend)
    plain = partial(workshop.arm, activation)
    extra = Fraction(axes.slowdown - 1).limit_denominator(_MOST_EVERY)

    def slowed() -> Arm:
        if cell.device == "cpu":
            return _slowed(plain(), extra)
        # A GPU's graphs would freeze extra calls, so there the copy has more rows.
        rows = round(axes.tokens * axes.slowdown)
        larger = Workshop(shape.model_copy(update={"tokens": rows}), cell.dtype, cell.device)
        return larger.arm(activation)

    makers = dict.fromkeys(range(3), plain) | {3: slowed}
    blocks = Blocks(make_timer(cell.device, 1), trials[0].seed * 1_000_003 + axes.repeat, protocol.sample_s)
    blocks.make(makers, {})
    if blocks.failed:
        raise next(iter(blocks.failed.values()))
    if cell.device == "cpu":
        blocks.rounds = -(-blocks.rounds // extra.denominator) * extra.denominator  # whole turns of the extra calls
    with without_gc():
        for _ in range(protocol.warm_up):
            blocks.measure()
        blocks.forget()
        for done in range(protocol.blocks):
            blocks.measure()
            yield 0, Progress((done + 1) / protocol.blocks)
    if blocks.failed:
        raise next(iter(blocks.failed.values()))
    blocks.drop_throttled()
    for i, metric in enumerate(ARMS):
        yield 0, Measurement(metric.name, tuple(s.total for s in blocks.samples[i]))


def _slowed(arm: Arm, extra: Fraction) -> Arm:
    """The arm with a whole extra call in that share of its calls, evenly spread and inside what is timed."""
    turns = cycle([(k + 1) * extra % 1 < extra for k in range(extra.denominator)])

    def forward() -> Tensor:
        if next(turns):
            arm.once()
        return arm.forward()

    return replace(arm, forward=forward)
