"""Exact counts of what a forward and backward pass ran; no torch in here, so that reports may read it."""

from __future__ import annotations

from polybench.metric import Metric

_PASS = "in a forward and backward pass"


def _count(name: str, definition: str) -> Metric:
    return Metric(name, "1", "neither", "nothing", definition, hidden=True)


FRAMES = _count("compiled_frames", f"Python functions entered as code that torch.compile made of them, {_PASS}.")
BREAKS = _count("graph_breaks", f"Times that such a function was left and gone on with as another, {_PASS}.")
OPERATORS = _count("operators", f"Operators called {_PASS}, from compiled code or not; views and allocations left out.")
GENERATED = _count("generated_kernels", f"Calls of kernels that the compiler generated, {_PASS}.")
RAN = (FRAMES, BREAKS, OPERATORS, GENERATED)
