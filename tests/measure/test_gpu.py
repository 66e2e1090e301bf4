"""What only a GPU can show. `.ci/gpu` runs it; elsewhere it is skipped."""

from __future__ import annotations

import pytest
import torch

from polybench.errors import Unsupported
from polybench.machine.gpu_clock import Reading, reader
from polybench.measure.axes import LevelAxes
from polybench.measure.instruments.allocation import kept, peak_bytes
from polybench.measure.instruments.gpu_timer import GpuTimer
from polybench.measure.instruments.workshop import Workshop
from polybench.measure.model.build import activation, chosen
from polybench.registry import activations, backends

# Dimension key: N rows, F hidden width.

if not torch.cuda.is_available():
    pytest.skip("no GPU is visible to torch", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the compiler warns about is not ours
N, F = 64, 256
VARIANTS = [*activations.names(), "geglu(approximate=tanh)"]
LONG, SHORT = LevelAxes(tokens=16384, d_model=2048), LevelAxes(tokens=64, d_model=128)


def gradients(spec: str, backend: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Output and gradients to input and parameters."""
    torch.manual_seed(0)
    module = activation(spec).to("cuda", dtype)
    x = torch.randn(N, chosen(spec).branches * F, device="cuda").to(dtype).requires_grad_()
    dy = torch.randn(N, F, device="cuda").to(dtype)
    kept = x.detach().clone(), dy.clone()
    y = chosen(spec, backend).executed(module)(x)
    found = [y.detach(), *torch.autograd.grad(y, (x, *module.parameters()), dy)]
    assert torch.equal(x, kept[0])
    assert torch.equal(dy, kept[1])
    return found


@pytest.mark.parametrize("backend", [b for b in backends.names() if b != "eager"])
@pytest.mark.parametrize("spec", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_backends_agree_with_eager(spec: str, backend: str, dtype: torch.dtype) -> None:
    try:
        found = gradients(spec, backend, dtype)
    except Unsupported as reason:
        pytest.skip(str(reason))
    size = 2e-5 if dtype == torch.float32 else 2e-2
    for ours, eager in zip(found, gradients(spec, "eager", dtype), strict=True):
        error = (ours.double() - eager.double()).norm() / eager.double().norm().clamp(min=1e-30)
        assert error <= size


@pytest.mark.parametrize("backend", [b for b in backends.names() if b != "max_autotune"])
@pytest.mark.parametrize("spec", VARIANTS)
def test_short_calls_are_captured_in_graphs(spec: str, backend: str) -> None:
    timer = GpuTimer()
    try:
        arm = Workshop(SHORT, "bfloat16", "cuda").arm(chosen(spec, backend))
        sample = timer.sample(arm)
    except Unsupported as reason:
        pytest.skip(str(reason))
    assert "could be captured" not in timer.how(arm)
    assert 0 < sample.forward < 1e-3
    assert 0 < sample.backward < 1e-3


def test_one_kernel_of_a_few_microseconds_comes_from_a_graph() -> None:
    timer, arm = GpuTimer(), Workshop(SHORT, "bfloat16", "cuda").arm(chosen("relu"))
    assert timer.how(arm) == "CUDA graphs"


def test_long_calls_hide_their_launches() -> None:
    timer, arm = GpuTimer(), Workshop(LONG, "bfloat16", "cuda").arm(chosen("polynorm"))
    sample = timer.sample(arm)
    assert timer.how(arm) == "events"
    assert sample.forward + sample.backward <= sample.wall * 1.1


def test_what_fits_the_l2_cache_is_faster_warm() -> None:
    """4 MiB in and 4 MiB out stay in the cache of every data-centre GPU."""
    timer, arm = GpuTimer(), Workshop(LevelAxes(tokens=1024, d_model=512), "bfloat16", "cuda").arm(chosen("relu"))
    sample = timer.sample(arm)
    assert sample.warm is not None
    assert sample.warm < sample.forward + sample.backward


def test_the_flush_is_as_large_as_the_cache() -> None:
    assert GpuTimer()._flush.numel() == torch.cuda.get_device_properties(0).L2_cache_size > 0


def test_the_clock_can_be_read() -> None:
    reading = reader(str(torch.cuda.get_device_properties(0).uuid))()
    assert isinstance(reading, Reading)
    assert reading.sm_mhz > 0


def test_at_the_power_limit_samples_are_kept_whatever_their_clock() -> None:
    timer, block = GpuTimer(), LevelAxes(level="block", tokens=16384, d_model=2048)
    arm = Workshop(block, "bfloat16", "cuda").arm(chosen("swiglu"))
    assert sum(timer.sample(arm).throttled for _ in range(40)) <= 20


@pytest.mark.parametrize("autocast", [False, True])
def test_a_training_step_of_a_decoder_is_timed_by_events(autocast: bool) -> None:
    axes = LevelAxes(level="decoder", tokens=4096, d_model=256, seq_len=256, autocast=autocast)
    timer, arm = GpuTimer(), Workshop(axes, "bfloat16" if autocast else "float32", "cuda").arm(chosen("polynorm"))
    began = [p.detach().clone() for p in arm.inputs]
    samples = [timer.sample(arm) for _ in range(10)]
    assert timer.how(arm) == "events"  # which says too that no launch shows
    for sample in samples:
        assert sample.update is not None
        assert 0 < sample.update < sample.forward + sample.backward
    assert all(p.grad is None for p in arm.inputs)
    moved = max(float((p.detach() - b).abs().max()) for p, b in zip(arm.inputs, began, strict=True))
    assert 0 < moved < 1e-6


def test_a_step_compiled_as_a_whole_has_the_loss_of_an_eager_one() -> None:
    axes = LevelAxes(level="decoder", tokens=2048, d_model=128, seq_len=128, compile=True)
    eager = axes.model_copy(update={"compile": False})
    whole, plain = (Workshop(a, "float32", "cuda").arm(chosen("polynorm")) for a in (axes, eager))
    assert torch.allclose(whole.forward(), plain.forward(), rtol=1e-3)
    assert GpuTimer().sample(whole).update is not None


@pytest.mark.parametrize("backend", ["eager", "compile", "liger"])
def test_peaks_of_a_decoder_repeat(backend: str) -> None:
    arm = Workshop(LevelAxes(level="decoder", d_model=128), "bfloat16", "cuda").arm(chosen("swiglu", backend))
    arm.once()
    assert len({peak_bytes(arm.once, "cuda") for _ in range(5)}) == 1


@pytest.mark.parametrize("spec", VARIANTS)
def test_bytes_repeat_and_saved_bytes_are_those_of_the_cpu(spec: str) -> None:
    saved, peaks = {}, set()
    for device in ("cpu", "cuda"):
        module = activation(spec).to(device)
        x = torch.randn(N, chosen(spec).branches * F, device=device, requires_grad=True)
        dy = torch.randn(N, F, device=device)

        def both(module=module, x=x, dy=dy) -> None:  # type: ignore[no-untyped-def]
            torch.autograd.grad(module(x), (x, *module.parameters()), dy)

        both()
        saved[device] = kept(lambda module=module, x=x: module(x), module.parameters(), device)  # type: ignore[misc]
        if device == "cuda":
            peaks = {peak_bytes(both, device) for _ in range(3)}
    assert saved["cpu"] == saved["cuda"] and not saved["cuda"].unseen
    assert len(peaks) == 1
