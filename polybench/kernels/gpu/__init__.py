"""Kernels in Triton for NVIDIA's GPUs; loaded when a tensor of one comes."""

from __future__ import annotations

import warnings
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from polybench.errors import reason

if TYPE_CHECKING:
    from torch import Tensor


def serving(x_GF: Tensor) -> ModuleType | None:
    """`polybench.kernels.gpu.launch` if it can take this input, else None: a CPU's, float64, or without Triton."""
    if not x_GF.is_cuda or x_GF.element_size() > 4:
        return None
    return _launch()


@lru_cache
def _launch() -> ModuleType | None:
    """Says once why there is none."""
    found = attempt()
    if isinstance(found, str):
        warnings.warn(
            f"the fused kernels for GPUs cannot run: {found}. Until it is there they run in chunks by torch's own "
            "operators, which is many times slower.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return found


@lru_cache
def attempt() -> ModuleType | str:
    """`polybench.kernels.gpu.launch`, or why there is none: Triton is needed, and what it builds its driver with."""
    try:
        from polybench.kernels.gpu import launch
    except ImportError as problem:
        return f"they need Triton, which torch's CUDA wheels bring: {problem}"
    try:
        launch.ready()
    except Exception as problem:  # of somebody else's compiler, linker or driver
        return f"they need Triton with a driver and a C compiler, which CC names: {reason(problem)}"
    return launch
