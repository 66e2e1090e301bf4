"""The GPU's timer on a simulated device, whose seconds are known: a host that launches, a queue, an L2 cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from polybench.machine.gpu_clock import Reading
from polybench.measure.instruments.gpu_timer import FIRST_SPIN_S, GRAPH_BELOW_S, LONGEST_SPIN_S, GpuTimer
from polybench.measure.instruments.workshop import Arm
from polybench.measure.model.build import Executed

HERTZ, LAUNCH, FLUSH, L2 = 1.5e9, 8e-6, 3e-5, 4096  # a device, seconds to launch and to flush, bytes
COLD = 2  # times as long as from the cache


class Device:
    """torch.cuda as far as the timer uses it. Host and device have a clock each; launching moves the host's."""

    def __init__(self) -> None:
        self.host = self.free = 0.0  # now on the host; when the device's queue is empty
        self.cached = False
        self.capturing: Graph | None = None
        self.streams = ["default"]
        self.refuses = self.corrupts = False

    def launch(self, seconds: float) -> None:
        if self.capturing is not None:
            self.capturing.kernels.append(seconds)
            return
        self.host += LAUNCH
        self._run(seconds)

    def _run(self, seconds: float) -> None:
        self.free = max(self.host, self.free) + seconds * (1 if self.cached else COLD)
        self.cached |= seconds == 0.0

    def work(self, seconds: float, kernels: int) -> None:
        for _ in range(kernels):
            self.launch(seconds)

    def flush(self) -> None:
        self.host += LAUNCH
        self.free = max(self.host, self.free) + FLUSH
        self.cached = False

    def _sleep(self, cycles: int) -> None:
        self.host += LAUNCH
        self.free = max(self.host, self.free) + cycles / HERTZ

    def synchronize(self) -> None:
        self.host = max(self.host, self.free)

    def now(self) -> float:
        return self.host

    def current_device(self) -> int:
        return 0

    def get_device_properties(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(L2_cache_size=L2, uuid="0000")

    def Event(self, enable_timing: bool) -> Event:
        return Event(self)

    def CUDAGraph(self) -> Graph:
        return Graph(self)

    def Stream(self) -> SimpleNamespace:
        return SimpleNamespace(name="side", wait_stream=lambda other: None)

    def current_stream(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.streams[-1], wait_stream=lambda other: None)

    def set_stream(self, stream: Any) -> None:
        self.streams = [stream.name]

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.streams.append(stream.name)
        yield
        self.streams.pop()

    @contextmanager
    def graph(self, graph: Graph, pool: object = None) -> Iterator[None]:
        self.streams.append("capture")
        self.capturing = graph
        yield
        self.capturing = None
        if self.refuses:  # and the capture stream stays, as in torch
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        self.streams.pop()


class Event:
    def __init__(self, device: Device) -> None:
        self.device = device

    def record(self) -> None:
        self.device.host += 1e-6
        self.at = max(self.device.host, self.device.free)

    def query(self) -> bool:
        return self.at <= self.device.host

    def elapsed_time(self, end: Event) -> float:
        return 1e3 * (end.at - self.at)


class Graph:
    """Kernels that one launch runs."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.kernels: list[float] = []

    def pool(self) -> object:
        return self

    def replay(self) -> None:
        self.device.host += LAUNCH
        for seconds in self.kernels:
            self.device._run(seconds)


class Work(torch.autograd.Function):
    """Kernels of known length, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, forward: Callable[[], None], backward: Callable[[], None]) -> torch.Tensor:
        ctx.work = backward
        forward()
        return x.clone()

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        ctx.work()
        return dy, None, None


def arm(
    device: Device,
    forward: tuple[float, int],
    backward: tuple[float, int],
    waits: bool = False,
    update: tuple[float, int] | None = None,
) -> Arm:
    """The passes are (seconds, kernels); one that waits reads a result back in its forward pass."""
    x = torch.ones(2, requires_grad=True)

    def start() -> None:
        device.work(*forward)
        if waits:
            device.synchronize()

    def end() -> None:
        device.work(*backward)
        device.launch(0.0)  # the end of a call, from where on the cache holds what it touched

    def run() -> torch.Tensor:
        y: torch.Tensor = Work.apply(x, start, end)
        return y + float(device.corrupts and device.capturing is None)

    def take(gradients: Sequence[torch.Tensor]) -> None:
        assert update
        assert [tuple(g.shape) for g in gradients] == [(2,)]
        device.work(*update)

    module = torch.nn.Identity()
    took = take if update else None
    return Arm(run, (x,), torch.ones(2), module, Executed(module, run, 2), update=took)


@pytest.fixture
def device() -> Device:
    return Device()


def timer_of(device: Device, read: Callable[[], Reading | None] = lambda: None) -> GpuTimer:
    timer = GpuTimer(device, "cpu", device.now, read)
    assert timer._flush.numel() == L2
    timer._flush = SimpleNamespace(zero_=device.flush)  # type: ignore[assignment]
    return timer


@pytest.mark.parametrize("kernels", [1, 30])
def test_long_calls_cost_what_the_device_takes_and_no_launch_shows(device: Device, kernels: int) -> None:
    """A kernel of 5 us takes 8 us to launch, so events around a call that is not hidden would show 8."""
    timer, short = timer_of(device), 5e-6 if kernels > 1 else 50e-6
    it = arm(device, (short, kernels), (2 * short, kernels))
    sample = timer.sample(it)
    assert timer.how(it) == "events"
    assert sample.forward == pytest.approx(COLD * short * kernels, rel=1e-6)
    assert sample.backward == pytest.approx(COLD * 2 * short * kernels, rel=1e-6)
    assert sample.warm == pytest.approx(3 * short * kernels, rel=1e-6)
    assert sample.wall >= LAUNCH * 2 * kernels
    assert not sample.throttled


def test_short_calls_come_from_graphs(device: Device) -> None:
    timer, it = timer_of(device), arm(device, (2e-6, 2), (3e-6, 2))
    assert COLD * 2e-6 * 2 < GRAPH_BELOW_S
    sample = timer.sample(it)
    assert timer.how(it) == "CUDA graphs"
    assert sample.forward == pytest.approx(COLD * 4e-6, rel=1e-6)
    assert sample.backward == pytest.approx(COLD * 6e-6, rel=1e-6)
    assert sample.warm == pytest.approx(10e-6, rel=1e-6)
    assert device.streams == ["default"]
    kept = [t for thing in timer._way(it).alive for t in (thing if isinstance(thing, tuple) else (thing,))]
    assert [t.grad_fn for t in kept if isinstance(t, torch.Tensor)] == [None, None]  # else inputs are tied to a stream


@pytest.mark.parametrize(("kernel", "how"), [(50e-6, "events"), (2e-6, "CUDA graphs")])
def test_the_optimizer_is_timed_behind_the_passes_and_changes_nothing_of_them(
    device: Device, kernel: float, how: str
) -> None:
    timer, it = timer_of(device), arm(device, (kernel, 1), (kernel, 2), update=(7e-6, 3))
    sample = timer.sample(it)
    assert timer.how(it) == how
    assert sample.forward == pytest.approx(COLD * kernel, rel=1e-6)
    assert sample.backward == pytest.approx(COLD * 2 * kernel, rel=1e-6)
    assert sample.warm == pytest.approx(3 * kernel, rel=1e-6)
    assert sample.update == pytest.approx(7e-6 * 3, rel=1e-6)  # of gradients that are in the cache still
    assert timer.sample(arm(device, (kernel, 1), (kernel, 2))).update is None


def test_a_refused_capture_is_timed_by_events_and_says_why(device: Device) -> None:
    device.refuses = True
    timer, it = timer_of(device), arm(device, (2e-6, 1), (2e-6, 1))
    sample = timer.sample(it)
    assert timer.how(it) == (
        "events; no CUDA graph could be captured: operation not permitted when stream is capturing"
    )
    assert device.streams == ["default"]  # not the stream of the capture
    assert sample.forward == pytest.approx(COLD * 2e-6, rel=1e-6)


def test_a_graph_whose_output_differs_is_not_used(device: Device) -> None:
    device.corrupts = True
    timer, it = timer_of(device), arm(device, (2e-6, 1), (2e-6, 1))
    assert "output is another" in timer.how(it)


def test_a_call_that_waits_for_the_device_ends_and_is_named(device: Device) -> None:
    timer, it = timer_of(device), arm(device, (50e-6, 1), (50e-6, 1), waits=True)
    sample = timer.sample(it)
    assert "waits for the device" in timer.how(it)
    assert sample.forward >= COLD * 50e-6


def test_a_spin_that_a_hiccup_lengthened_is_cut_again(device: Device) -> None:
    timer, it = timer_of(device), arm(device, (50e-6, 1), (50e-6, 1))
    (lead := timer._way(it).cold).seconds = LONGEST_SPIN_S / 2
    timer.sample(it)
    assert FIRST_SPIN_S <= lead.seconds < 1e-3


def test_samples_beside_a_throttle_are_marked(device: Device) -> None:
    readings = iter([Reading(1980)] * 4 + [Reading(1980), Reading(1980, 0x20)] + [Reading(1500), Reading(1980)])
    timer, it = timer_of(device, lambda: next(readings)), arm(device, (50e-6, 1), (50e-6, 1))
    assert [timer.sample(it).throttled for _ in range(4)] == [False, False, True, True]


def test_what_takes_no_time_is_no_measurement(device: Device) -> None:
    with pytest.raises(ArithmeticError):
        timer_of(device).work(lambda: None)


def test_work_is_cold(device: Device) -> None:
    timer = timer_of(device)
    assert timer.work(lambda: device.launch(40e-6)) == pytest.approx(COLD * 40e-6, rel=1e-6)
