"""Every backend gives what eager gives, for every activation, forward and backward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polybench.errors import Unsupported
from polybench.measure.backends.fused import FUSED
from polybench.measure.backends.liger import LIGERS
from polybench.measure.instruments.allocation import peak_bytes, saved_bytes
from polybench.measure.model.build import Executed, activation, chosen, compiles
from polybench.registry import activations, backends

# Dimension key: N rows, F hidden width.

N, F = 16, 64


def executed(spec: str, backend: str) -> Executed:
    module, it = activation(spec), chosen(spec, backend)
    return Executed(module, it.executed(module), it.branches * F)


def gradients(it: Executed) -> list[torch.Tensor]:
    """Output and gradients to input and parameters."""
    torch.manual_seed(0)
    x = torch.randn(N, it.width, requires_grad=True)
    dy = torch.randn(N, F)
    y = it.call(x)
    return [y.detach(), *torch.autograd.grad(y, (x, *it.module.parameters()), dy)]


@pytest.mark.parametrize("backend", [b for b in backends.names() if b != "eager" and not compiles(b)])
@pytest.mark.parametrize("spec", activations.names())
def test_backends_agree_with_eager(backend: str, spec: str) -> None:
    """Those that compile are held to float64 in tests/measure/test_correct.py: each costs seconds of a compiler."""
    try:
        it = executed(spec, backend)
        found = gradients(it)
    except Unsupported as reason:
        assert str(reason)  # a machine that cannot says why, and the rest of the suite goes on
        return
    for ours, eager in zip(found, gradients(executed(spec, "eager")), strict=True):
        torch.testing.assert_close(ours, eager, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("backend", ["fused", "liger"])
@pytest.mark.parametrize("spec", activations.names())
def test_a_module_that_extends_another_is_not_executed_as_that(backend: str, spec: str) -> None:
    it = chosen(spec, backend)
    module = it.module()
    parent = type(module).__name__
    module.__class__ = type("Mine", (type(module),), {})
    with pytest.raises(Unsupported, match="for Mine") as refused:
        it.executed(module)
    if type(module).__bases__[0] in {"fused": FUSED, "liger": LIGERS}[backend]:
        assert f"Mine, which extends {parent} and may compute something else" in str(refused.value)


@pytest.mark.parametrize("spec", activations.names())
def test_recompute_keeps_the_input_and_nothing_else(spec: str) -> None:
    x = torch.randn(N, chosen(spec).branches * F, requires_grad=True)
    module = activation(spec)
    kept = saved_bytes(lambda: chosen(spec, "checkpoint").executed(module)(x), module.parameters())
    assert kept == x.untyped_storage().nbytes()


@pytest.mark.parametrize("spec", activations.names())
def test_bytes_repeat_exactly_and_peak_covers_what_is_saved(spec: str) -> None:
    x = torch.randn(N, chosen(spec).branches * F, requires_grad=True)
    module, dy = activation(spec), torch.randn(N, F)

    def both() -> None:
        torch.autograd.grad(module(x), (x, *module.parameters()), dy)

    both()
    saved = {saved_bytes(lambda: module(x), module.parameters()) for _ in range(3)}
    peaks = {peak_bytes(both, "cpu") for _ in range(3)}
    assert len(saved) == len(peaks) == 1
    assert peaks.pop() >= N * F * 4 * 2  # output and input gradient at least


def test_saved_bytes_count_a_storage_once_and_no_parameter() -> None:
    weight = torch.randn(8, 8, requires_grad=True)
    x = torch.randn(4, 8, requires_grad=True)
    size = x.untyped_storage().nbytes()
    assert saved_bytes(lambda: (x @ weight).sum(), [weight]) == size
    assert saved_bytes(lambda: (x * x.view(4, 8)).sum(), []) == size


def test_peak_bytes_are_those_alive_at_once() -> None:
    def work() -> None:
        for _ in range(3):
            a = torch.empty(1000)
            b = torch.empty(500)
            del a, b

    assert peak_bytes(work, "cpu") == pytest.approx(6000, abs=256)  # the allocator may round up


def test_peak_bytes_of_a_gpu_are_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not those of the blocks handed out, which depend on what was freed before."""
    asked = {"current": 100, "peak": 100}

    def work() -> None:
        assert not torch.autograd.is_multithreading_enabled()  # or gradients are freed late
        asked["peak"] = 700

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda: {f"requested_bytes.all.{k}": v for k, v in asked.items()})
    assert peak_bytes(work, "cuda") == 600


@pytest.mark.parametrize("backend", ["compile", "max_autotune"])
def test_a_missing_compiler_is_said_and_cxx_names_another(
    backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU Triton compiles")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"C\+\+ compiler"):
        chosen("relu", backend).executed(activation("relu"))
    compiler = tmp_path / "my-c++"
    compiler.write_text("#!/bin/sh\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert callable(chosen("relu", backend).executed(activation("relu")))  # nothing is compiled before it is called
