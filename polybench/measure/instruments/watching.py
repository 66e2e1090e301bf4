"""What a call really runs: frames that were compiled, graph breaks, kernels, and whatever ran outside of compiled code.

Counted while compiled code runs as compiled code: a dispatch mode that torch.compile is told to ignore sees each
operator that is dispatched, and Python's profiling hook each function that is entered. Neither starts a thread, so a
process that is watched can still be copied.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from polybench.errors import Unsupported
from polybench.measure.instruments.allocation import makes_nothing
from polybench.measure.instruments.dispatching import mode
from polybench.measure.model.build import Chosen, Executed
from polybench.measure.ran_metrics import BREAKS, FRAMES, GENERATED, OPERATORS
from polybench.record import Measurement

_TORCH = os.path.dirname(torch.__file__) + os.sep
_COMPILED = (_TORCH + "_functorch" + os.sep, _TORCH + "_inductor" + os.sep)  # who calls what was compiled
_EXCHANGE = (_TORCH + "distributed" + os.sep, os.path.join(_TORCH, "nn", "parallel") + os.sep)
_RESUMED = "torch_dynamo_resume_in"  # how torch._dynamo calls what comes after a graph break
_LAUNCHER = os.path.join("_inductor", "runtime", "triton_heuristics.py")  # whose `run` launches a Triton kernel
_TOLD = 3  # operators that a refusal names


@dataclass(frozen=True)
class Ran:
    """Of one forward and backward pass, as the metrics of `ran_metrics` define it.

    `outside` names each operator that ran in no compiled code, and who called it; the exchange between the processes
    of a training, and adding a gradient to its parameter's, are not among them.
    """

    frames: int
    breaks: int
    operators: int
    generated: int
    outside: tuple[str, ...]

    def measurements(self) -> Iterator[Measurement]:
        for metric, count in (
            (FRAMES, self.frames), (BREAKS, self.breaks), (OPERATORS, self.operators), (GENERATED, self.generated),
        ):  # fmt: skip
            yield Measurement(metric.name, (float(count),))

    @property
    def lacking(self) -> str:
        """Why this is no compiled code, in a sentence; empty where a frame was compiled and all ran within it."""
        if not self.frames:
            return f"torch.compile compiled nothing here: {_why()}"
        if not self.outside:
            return ""
        count, named = len(self.outside), list(dict.fromkeys(self.outside))
        more = f" and {len(named) - _TOLD} more" if len(named) > _TOLD else ""
        what = f"{count} operator{'s' * (count > 1)} outside of compiled code: {', '.join(named[:_TOLD])}{more}"
        return f"torch.compile left {what}; TORCH_LOGS=graph_breaks says why"

    def held_to_be_compiled(self) -> None:
        """Raises Unsupported with what is `lacking`."""
        if lacking := self.lacking:
            raise Unsupported(lacking)


def watch(forward: Callable[[], Sequence[Tensor]], backward: Callable[[Sequence[Tensor]], object]) -> Ran:
    """What `forward` and then `backward` of its results run, on whichever threads.

    Both are to have been called before, or compiling would be watched too. What was compiled stays compiled.
    """
    operators, hook, before = mode(_Operators), _Functions(), sys.getprofile()
    with torch.autograd.set_multithreading_enabled(False), operators:  # the hook sees its own thread alone
        sys.setprofile(hook)
        try:
            results = forward()
            operators.backward = True
            backward(results)
        finally:
            sys.setprofile(before)
    return Ran(hook.frames, hook.breaks, operators.count, hook.generated, tuple(operators.outside))


def ran_alone(activation: Executed, rows: Sequence[int], dtype: torch.dtype, device: str) -> Ran:
    """What the `call` of an activation runs for an input (*rows, width), contiguous and with a gradient."""
    x_RxGF = torch.ones(*rows, activation.width, dtype=dtype, device=device, requires_grad=True)
    inputs = (x_RxGF, *(p for p in activation.module.parameters() if p.requires_grad))
    y_RxF = activation.call(x_RxGF)
    dy_RxF = torch.ones_like(y_RxF, requires_grad=False)

    def backward(results: Sequence[Tensor]) -> object:
        return torch.autograd.grad(results, inputs, [dy_RxF], allow_unused=True)

    backward([y_RxF])
    return watch(lambda: [activation.call(x_RxGF)], backward)


def hold_compiled(activation: Chosen, rows: Sequence[int], width: int, dtype: torch.dtype, device: str) -> None:
    """Raises Unsupported where an activation is to be compiled and is not, for an input (*rows, width)."""
    if activation.compiles:
        module = activation.module().to(device, dtype)
        ran_alone(Executed(module, activation.executed(module), width), rows, dtype, device).held_to_be_compiled()


class _Operators:
    """Counts the operators that compute, and tells those that no compiled code called."""

    def __init__(self) -> None:
        super().__init__()
        self.backward, self.count = False, 0
        self.outside: list[str] = []

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Without this a compiled function would run eagerly under the mode, and ever after."""
        return True

    @classmethod
    def is_infra_mode(cls) -> bool:
        """The same, as torch before 2.8 asks it."""
        return True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not (func.is_view or makes_nothing(func) or func.namespace == "profiler"):
            self.count += 1
            if caller := self._caller():
                self.outside.append(f"{func.overloadpacket} ({caller})")
        return func(*args, **(kwargs or {}))

    def _caller(self) -> str:
        """Who called an operator from outside of compiled code; empty where it is compiled, or not the model's."""
        caller, exchange, frame = "", False, sys._getframe(2)
        at: FrameType | None = frame
        while at:
            path = at.f_code.co_filename
            if path.startswith(_COMPILED):
                return ""
            if not caller:
                exchange = exchange or path.startswith(_EXCHANGE)
                if not path.startswith((_TORCH, "<")):
                    caller = "called by torch" if path == __file__ else f"{PurePath(path).name}:{at.f_lineno}"
            at = at.f_back
        if exchange:
            return ""
        if self.backward:
            node = torch._C._current_autograd_node()
            # None is a callback at the end of backward, in which copies of a model exchange gradients.
            name = node.name() if node else "AccumulateGrad"
            return "" if name.endswith("AccumulateGrad") else f"the backward pass of {name}"
        return caller


@dataclass
class _Functions:
    """As a hook of `sys.setprofile`: counts what is entered of compiled code, and the kernels that it calls."""

    frames: int = 0
    breaks: int = 0
    generated: int = 0
    _compiled: Any = field(default_factory=lambda: _compiled_codes())

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "c_call":
            # A C++ kernel is the function `kernel` of a module of its own.
            self.generated += getattr(argument, "__name__", "") == "kernel"
        elif event == "call":
            self.frames += code in self._compiled
            self.breaks += code.co_name.startswith(_RESUMED)
            self.generated += code.co_name == "run" and code.co_filename.endswith(_LAUNCHER)


def _compiled_codes() -> Any:
    """The code objects that torch.compile has made; none where it was not even loaded."""
    if "torch._dynamo.convert_frame" not in sys.modules:
        return frozenset[CodeType]()
    return sys.modules["torch._dynamo.convert_frame"].output_codes


def _why() -> str:
    """Why nothing was compiled, as far as torch's own settings tell."""
    from torch._dynamo import config, eval_frame

    if config.disable or os.environ.get("TORCHDYNAMO_DISABLE") == "1":
        return "it is turned off, by TORCH_COMPILE_DISABLE or torch._dynamo.config.disable"
    stance = getattr(getattr(eval_frame, "_stance", None), "stance", "default")
    if stance != "default":
        return f"its stance is {stance}, set by torch.compiler.set_stance"
    return "it is disabled for this code, or found no operator in it; TORCH_LOGS=dynamo says more"
