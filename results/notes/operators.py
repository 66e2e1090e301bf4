"""The decoder's own norm and head beside torch's, on one CPU thread: `python operators.py`, half a minute.

Forward and backward, in turns, in CPU time of the thread: the norm of 2048 rows of 128 numbers, and the head with its
cross entropy over 1024 tokens of 128 numbers and a vocabulary of 2048, with the products alone that no head can spare.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from polybench.measure.model.operators import linear_cross_entropy, rms_norm

ROUNDS, WARM_UP, EPS = 60, 5, 1e-6


def both(forward: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], object]:
    """Forward, and backward to every input from a fixed gradient of the output."""
    dy = torch.randn_like(forward(*inputs))
    return lambda: torch.autograd.grad(forward(*inputs), inputs, dy)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x_NxD, scale_D = torch.randn(2048, 128, requires_grad=True), torch.ones(128, requires_grad=True)
    h_NxD, w_VxD = torch.randn(1024, 128, requires_grad=True), torch.randn(2048, 128, requires_grad=True)
    targets_N = torch.randint(2048, (1024,))
    arms = {
        "norm": both(lambda x, s: rms_norm(x, s, EPS), x_NxD, scale_D),
        "norm of torch": both(lambda x, s: functional.rms_norm(x, s.shape, s, EPS), x_NxD, scale_D),
        "head": both(lambda x, w: linear_cross_entropy(x, w, targets_N), h_NxD, w_VxD),
        "head of torch": both(lambda x, w: functional.cross_entropy(functional.linear(x, w), targets_N), h_NxD, w_VxD),
        "products of the head": both(functional.linear, h_NxD, w_VxD),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(WARM_UP + ROUNDS):
        for name, call in arms.items():
            start = time.thread_time()
            call()
            if number >= WARM_UP:
                seconds[name].append(time.thread_time() - start)
    for name, values in seconds.items():
        low, mid, high = (1e3 * v for v in statistics.quantiles(values, n=4))
        mean = 1e3 * statistics.fmean(values)
        print(f"{name:22} {mean:6.2f} ms in the mean, quartiles {low:.2f}, {mid:.2f}, {high:.2f}")


if __name__ == "__main__":
    main()
