"""Modes that see every operator that torch runs, and that load no compiler where nothing is compiled.

torch keeps its compiler from looking into the `__torch_dispatch__` that a mode's own class defines, and loads the
compiler to tell it so: 1.2 s of CPU time at the first operator that a process runs under a mode. A
`__torch_dispatch__` that is inherited stays as it is.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


def mode(body: Any, *arguments: Any) -> Any:
    """`body(*arguments)` as a TorchDispatchMode; the class defines `__torch_dispatch__`, calls `super().__init__()`."""
    return _kind(body, "torch._dynamo" in sys.modules)(*arguments)


@cache
def _kind(body: Any, compiles: bool) -> Any:
    own = {"__torch_dispatch__": body.__torch_dispatch__} if compiles else {}
    return type(body.__name__, (body, TorchDispatchMode), own)
