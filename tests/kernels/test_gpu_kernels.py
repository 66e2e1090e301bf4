"""What can be said of kernels for GPUs where neither a GPU nor Triton is; the rest is in test_triton.py."""

from __future__ import annotations

import sys

import pytest
import torch

from polybench.kernels import gpu
from polybench.kernels.gpu.shapes import power, sweeping, tiled


@pytest.fixture
def without_triton(monkeypatch: pytest.MonkeyPatch) -> object:
    for name in [n for n in sys.modules if n.partition(".")[0] == "triton" or n.startswith("polybench.kernels.gpu.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(gpu, "launch", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)  # an import of it fails
    gpu._launch.cache_clear()
    yield
    gpu._launch.cache_clear()


@pytest.mark.usefixtures("without_triton")
def test_without_triton_a_warning_says_so_once() -> None:
    with pytest.warns(RuntimeWarning, match="need Triton.*run in chunks") as told:
        assert gpu._launch() is None
        assert gpu._launch() is None
    assert len(told) == 1


@pytest.mark.usefixtures("without_triton")
def test_a_tensor_of_the_cpu_asks_for_no_triton() -> None:
    assert gpu.serving(torch.zeros(2)) is None


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
