"""selfcheck: equal code and code slowed by a known factor, timed as speed times activations."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from polybench.errors import Unsupported
from polybench.kind import HeapProtocol, Item, Progress
from polybench.measure.axes import LevelAxes
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Cell, Trial

if TYPE_CHECKING:
    from torch import Tensor

    from polybench.measure.instruments.workshop import Arm

_TURNS = 20_000  # of a loop that is timed to find how long one takes: a third of a millisecond


class SelfcheckAxes(LevelAxes):
    """What is executed, by how much its slowed copy is slower, and which of several equal cells it is."""

    slowdown: Annotated[float, Field(ge=1.05, le=2)] = Field(1.10, description="most times as long that a copy takes")
    repeat: NonNegativeInt = Field(0, description="number of the cell among equal ones")


class SelfcheckProtocol(HeapProtocol):
    """Every launch is measured to its end; after how many there would be a verdict is found afterwards."""

    launches: PositiveInt = Field(22, description="fresh processes, each for this cell alone")
    blocks: PositiveInt = Field(10, description="rounds of the copies in a launch")
    warm_up: PositiveInt = Field(2, description="rounds that are not kept")
    sample_s: PositiveFloat = Field(0.003, description="seconds a sample, on the mean of the copies")
    seed: Annotated[int, Field(ge=0, le=1_000_000)] = Field(0, description="what data and orders are drawn from")

    how_often = frozenset({"launches", "blocks", "seed"})


def _metric(name: str, definition: str) -> Metric:
    return Metric(name, "s", "neither", "sample", definition, curve=True)


BASE = _metric("base_time", "Forward and backward, block by block.")
CONTROL = _metric("control_time", "The same of a second copy, by whose offset the margin is raised.")
EQUAL = _metric("equal_time", "The same of a third copy, whose every verdict of faster or slower is a false alarm.")
EXTRA = _metric("extra_time", "A loop beside the third copy, with which it is slower by the named factor.")
SLOWED = _metric("slowed_time", "On a GPU: forward and backward of a fourth copy, which has more rows by that factor.")


def _seconds(axes: SelfcheckAxes, protocol: SelfcheckProtocol) -> float:
    """A launch, fitted to `polybench selfcheck` on two EPYC cores: a start, and three copies in turns."""
    per_number = 4e-9 if axes.level == "activation" else 0.6e-9 * axes.d_model
    layers = 2 * axes.layers if axes.level == "decoder" else 1  # attention takes about what the block does
    work = max(protocol.sample_s, axes.tokens * axes.d_model * layers * per_number)
    return 0.5 + 3.5 * work * (protocol.blocks + protocol.warm_up)


def _prepare(trials: Sequence[Trial], axes: SelfcheckAxes, protocol: SelfcheckProtocol) -> None:
    """What every launch of the cell would do first: wake the compiler, make the code and call it once."""
    from polybench.measure.instruments import blocks as _  # noqa: F401  what launches import
    from polybench.measure.instruments.workshop import Workshop
    from polybench.measure.model.build import chosen

    cell = trials[0].cell
    _wake(cell)
    Workshop(axes, cell.dtype, cell.device).arm(chosen(cell.activation, cell.backend)).once()


def _wake(cell: Cell) -> None:
    """One thread, and behind us what a process does at its first call; again it costs nothing."""
    import torch

    from polybench.measure.instruments.timer import wake, wake_compiler
    from polybench.measure.model.build import compiles

    torch.set_num_threads(1)
    wake()
    if compiles(cell.backend):
        wake_compiler(cell.device)


@kinds.register(
    "selfcheck",
    axes=SelfcheckAxes,
    protocol=SelfcheckProtocol,
    metrics=(BASE, CONTROL, EQUAL, EXTRA, SLOWED),
    version=2,
    repeats="launches",
    seconds=_seconds,
    alone=True,
    prepare=_prepare,
)
def selfcheck(trials: Sequence[Trial], axes: SelfcheckAxes, protocol: SelfcheckProtocol) -> Iterator[tuple[int, Item]]:
    """Three copies of one piece of code in shuffled blocks; on a GPU a fourth one with more rows."""
    import torch

    from polybench.measure.instruments.blocks import Blocks, make_timer, without_gc
    from polybench.measure.instruments.timer import clock_of
    from polybench.measure.instruments.workshop import Workshop, scattered
    from polybench.measure.model.build import chosen

    cell, launch = trials[0].cell, trials[0].seed
    seed = (protocol.seed * 1_000_003 + axes.repeat) * 1_000_003 + launch
    _wake(cell)
    torch.manual_seed(seed)
    apart = scattered(seed) if cell.device == "cpu" else []
    workshop = Workshop(axes, cell.dtype, cell.device)
    activation = chosen(cell.activation, cell.backend)
    plain = partial(workshop.arm, activation)
    work, names = ExtraWork(clock_of("cpu", 1)), [BASE.name, CONTROL.name, EQUAL.name]
    makers: list[Callable[[], Arm]] = [plain] * len(names)
    on_cpu = cell.device == "cpu"
    if on_cpu:
        makers = [partial(work.before, i, plain) for i in range(len(names))]
    else:  # whose graphs would freeze a loop
        if axes.level == "decoder":
            raise Unsupported("on a GPU a copy is slowed by more rows, and a decoder has whole sequences")
        rows = round(axes.tokens * axes.slowdown)
        larger = Workshop(axes.model_copy(update={"tokens": rows}), cell.dtype, cell.device)
        names, makers = [*names, SLOWED.name], [*makers, partial(larger.arm, activation)]

    blocks = Blocks(make_timer(cell.device, 1), seed, protocol.sample_s)
    blocks.make(dict(enumerate(makers)), {})
    if not blocks.failed:
        workshop.ran(blocks.arms[0], activation)  # the copies are alike
    extra: list[list[float]] = []
    with without_gc():
        for _ in range(protocol.warm_up):
            blocks.measure()
        if on_cpu and not blocks.failed:
            work.take((axes.slowdown - 1) * statistics.median(s.total for of in blocks.samples.values() for s in of))
        blocks.forget()
        work.done()
        for done in range(protocol.blocks):
            blocks.measure()
            extra.append(work.done())
            yield 0, Progress((done + 1) / protocol.blocks)
    if blocks.failed:
        raise next(iter(blocks.failed.values()))
    del apart
    blocks.drop_throttled()
    times = {name: [s.total for s in blocks.samples[i]] for i, name in enumerate(names)}
    if on_cpu:
        beside = dict(zip(names, zip(*extra, strict=True), strict=True))
        # The clock is read once more than its own cost is taken off.
        times = {n: [t - e - blocks.timer.cost for t, e in zip(times[n], beside[n], strict=True)] for n in names}
        times[EXTRA.name] = list(beside[EQUAL.name])
    for name, values in times.items():
        yield 0, Measurement(name, tuple(values))


class ExtraWork:
    """A loop that does nothing, run and timed before each call: counted with it, the call is slower by a known time.

    It moves no memory. But while it runs others may use the caches, so every copy has it, whether it is counted or not.
    """

    def __init__(self, clock: Callable[[], float]):
        self.turns = 0
        self._clock = clock
        self._spent: dict[int, list[float]] = defaultdict(list)

    def take(self, seconds: float) -> None:
        """From now on it lasts about so long."""
        self.turns = _TURNS
        self.turns = max(1, round(_TURNS * seconds / statistics.median(self._run() for _ in range(5))))

    def before(self, copy: int, make: Callable[[], Arm]) -> Arm:
        """A copy that runs the loop before its call."""
        arm = make()

        def forward() -> Tensor:
            self._spent[copy].append(self._run())
            return arm.forward()

        return replace(arm, forward=forward)

    def done(self) -> list[float]:
        """Mean seconds of each copy's loop since this was last asked, in their order."""
        spent, self._spent = self._spent, defaultdict(list)
        return [statistics.fmean(spent[copy]) for copy in sorted(spent)]

    def _run(self) -> float:
        started = self._clock()
        for _ in range(self.turns):
            pass
        return self._clock() - started
