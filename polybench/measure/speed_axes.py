"""What `speed` times and how often: its axes, its protocol, and a guess at what a launch takes. No torch in here."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt

from polybench.kind import MOST as UNLIMITED
from polybench.kind import HeapProtocol
from polybench.launches import BLOCKS, MOST, PILOT, Rules
from polybench.measure.axes import LevelAxes
from polybench.spec import Scalar


class SpeedAxes(LevelAxes):
    """What is executed, and on how many threads."""

    threads: PositiveInt = Field(1, description="CPU threads; with one, CPU time decides")


class SpeedProtocol(HeapProtocol):
    """How often, and with which heap."""

    launches: Annotated[int, Field(ge=1, le=1000)] = Field(MOST, description="the most, each in a process of its own")
    pilot: PositiveInt = Field(PILOT, description="launches before it is first asked which activations are settled")
    blocks: PositiveInt = Field(BLOCKS, description="rounds of all activations in a launch")
    budget_s: PositiveFloat = Field(60.0, description="seconds of a comparison, after which no launch is begun")
    half_width: Annotated[float, Field(gt=0)] | None = Field(
        None, description="half of the interval, as a part of the ratio, that is wanted of what is decided already"
    )
    warm_up: PositiveInt = Field(1, description="rounds that are not kept")
    sample_s: PositiveFloat = Field(0.003, description="seconds a sample, on the mean of the arms, which take turns")
    margin: Annotated[float, Field(ge=0)] = Field(0.03, description="the least ratio that matters; the suite's own")
    profile: bool = Field(False, description="a profiler's trace of each arm, after the timing of the first launch")
    taking_turns: bool = Field(
        False, description="others measure between the blocks: each begins with a call that is not kept, no yardsticks"
    )

    how_often = frozenset({"launches", "pilot", "blocks", "budget_s", "half_width", "margin", "profile"})

    @property
    def rules(self) -> Rules:
        """When launches go on."""
        return Rules(min(self.pilot, self.launches), self.launches, self.margin, self.half_width, self.budget_s)

    @property
    def own_process(self) -> bool:
        """No timing may follow a profiler."""
        return self.profile

    def in_turns(self) -> Self:
        """The budget is that of whoever gives the turns."""
        return self.model_copy(update={"taking_turns": True, "profile": False, "budget_s": float(UNLIMITED)})

    @classmethod
    def of_suite(cls, margin: float) -> dict[str, Scalar]:
        return {"margin": margin}

    @classmethod
    def with_profile(cls) -> dict[str, Scalar]:
        return {"profile": True}


def launch_seconds(axes: SpeedAxes, protocol: SpeedProtocol) -> float:
    """An arm of a launch, fitted to suites/quick.yaml and suites/speed.yaml on two EPYC cores."""
    per_number = 25e-9 + (0 if axes.level == "activation" else 0.7e-9 * axes.d_model)
    layers = 2 * axes.layers if axes.level == "decoder" else 1  # attention takes about what the block does
    work = axes.tokens * axes.d_model * layers * per_number
    blocks = protocol.blocks + protocol.warm_up
    return 0.03 + min(protocol.budget_s, 1.1 * max(work, protocol.sample_s) * blocks)
