"""What can be said of kernels for GPUs where neither a GPU nor Triton is; the rest is in test_triton.py."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from polybench.errors import Unsupported
from polybench.kernels import gpu
from polybench.kernels.gpu.shapes import power, sweeping, tiled
from polybench.measure.model.build import activation, chosen


@pytest.fixture
def without_triton(monkeypatch: pytest.MonkeyPatch) -> object:
    for name in [n for n in sys.modules if n.partition(".")[0] == "triton" or n.startswith("polybench.kernels.gpu.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(gpu, "launch", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)  # an import of it fails
    for cached in (gpu._launch, gpu.attempt):
        cached.cache_clear()
    yield
    for cached in (gpu._launch, gpu.attempt):
        cached.cache_clear()


@pytest.mark.usefixtures("without_triton")
def test_without_triton_a_warning_says_so_once() -> None:
    with pytest.warns(RuntimeWarning, match="need Triton.*run in chunks") as told:
        assert gpu._launch() is None
        assert gpu._launch() is None
    assert len(told) == 1


@pytest.mark.usefixtures("without_triton")
def test_a_tensor_of_the_cpu_asks_for_no_triton() -> None:
    assert gpu.serving(torch.zeros(2)) is None


def on(device: str) -> Tensor:
    """What a kernel asks first of an input; there need not be such a device."""
    return cast(Tensor, SimpleNamespace(is_cuda=device == "cuda"))


@pytest.mark.usefixtures("without_triton")
def test_a_gpus_chunks_are_not_timed_as_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    call = chosen("relu2", "fused").executed(activation("relu2"))
    with pytest.raises(Unsupported, match=r"the fused kernels are not compiled: they need Triton, which torch's"):
        call(on("cuda"))


def test_triton_without_a_compiler_is_not_timed_as_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ready() -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "polybench.kernels.gpu.launch", launch := ModuleType("launch"))
    monkeypatch.setattr(launch, "ready", ready, raising=False)
    monkeypatch.setattr(gpu, "launch", launch, raising=False)
    monkeypatch.setattr(gpu, "attempt", gpu.attempt.__wrapped__)
    call = chosen("relu2", "fused").executed(activation("relu2"))
    with pytest.raises(Unsupported, match="C compiler, which CC names: RuntimeError: Failed to find C compiler"):
        call(on("cuda"))


def test_beside_a_gpu_the_cpus_library_is_asked_for_by_an_input_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "attempt", lambda: gpu)
    monkeypatch.setattr("polybench.measure.backends.fused.attempt", lambda: "there is no C++ compiler")
    call = chosen("relu2", "fused").executed(activation("relu2"))
    with pytest.raises(Unsupported, match=r"not compiled: there is no C\+\+ compiler"):
        call(on("cpu"))


@pytest.mark.parametrize("width", [1, 31, 64, 4096, 4097, 5464, 8192, 16384, 65536, 10**6])
@pytest.mark.parametrize("order", [1, 3, 5])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_no_width_is_beyond_a_kernel(width: int, order: int, gated: bool, backward: bool) -> None:
    for itemsize in (2, 4):
        shape = sweeping(width, itemsize, order, gated, backward)
        assert shape.block == power(shape.block)
        assert shape.block >= width or not shape.whole
        assert shape.block <= 8192 and 1 <= shape.warps <= 16 and shape.resident >= 1
        assert shape.registers >= 64
        tile = tiled(width, itemsize)
        assert tile.block * tile.rows == tile.warps * 32 * 16 // itemsize
