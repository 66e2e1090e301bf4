"""Why compiled ReLU with gradients is slow on the CPU: measures what results/notes/inductor-relu.md says.

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 .venv/bin/python results/notes/inductor_relu.py

Arms are interleaved in shuffled order; figures are the median of 25 rounds in thread CPU time.
The last part needs a processor with AVX-512.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch._inductor.codecache import CppPythonBindingsCodeCache

ROUNDS, WARM_UP = 25, 3
N, F = 2048, 4096
STORE = "mask.store(le + i, 16);"
LOAD = "auto mask = at::vec::VecMask<float,1>::from(le + i, 16);"
# The two kernels as torch 2.13 generates them (TORCH_LOGS=output_code), names shortened.
FORWARD = """#include <torch/csrc/inductor/cpp_prefix.h>
extern "C" void kernel(const float* x, float* y, bool* le) {
    for (int64_t i = 0; i < %d; i += 16) {
        auto relu = at::vec::clamp_min(at::vec::Vectorized<float>::loadu(x + i, 16), at::vec::Vectorized<float>(0));
        auto mask = at::vec::VecMask<float,1>(relu <= at::vec::Vectorized<float>(0.0f));
        relu.store(y + i);
        %s
    }
}"""
BACKWARD = """#include <torch/csrc/inductor/cpp_prefix.h>
extern "C" void kernel(const bool* le, const float* dy, float* dx) {
    for (int64_t i = 0; i < %d; i += 16) {
        %s
        auto gradient = at::vec::Vectorized<float>::loadu(dy + i, 16), zero = at::vec::Vectorized<float>(0.0f);
        decltype(zero)::blendv(gradient, zero, mask.template cast<float,1>()).store(dx + i);
    }
}"""
STORES = {
    "as generated": STORE,
    "without the store": "",
    "one by one": "for (int k = 0; k < 16; ++k) le[i + k] = y[i + k] <= 0.0f;",
    "AVX-512": "auto bits = _mm512_movepi32_mask(_mm512_castps_si512(at::vec::Vectorized<float>(mask)));"
    "_mm_storeu_si128((__m128i*)(le + i), _mm_maskz_set1_epi8(bits, 1));",
}
LOADS = {
    "as generated": LOAD,
    "AVX-512": "auto bits = _mm_test_epi8_mask(_mm_loadu_si128((const __m128i*)(le + i)), _mm_set1_epi8(1));"
    "auto mask = at::vec::VecMask<float,1>(at::vec::Vectorized<float>(_mm512_castsi512_ps(_mm512_movm_epi32(bits))));",
}


class SavesBytes(torch.autograd.Function):
    """ReLU that keeps its mask as uint8 in place of bool."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward((x > 0).to(torch.uint8))
        return torch.relu(x)

    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.saved_tensors[0]


def polyrelu(x):
    y = torch.relu(x)
    return ((y / 3 + 1 / 3) * y + 1 / 3) * y


FORMULAS = {
    "relu": torch.relu,
    "relu, mask kept as uint8": SavesBytes.apply,
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "where(x > 0, x, 0)": lambda x: torch.where(x > 0, x, 0.0),
    "x * (x > 0)": lambda x: x * (x > 0),
    "relu2": lambda x: torch.relu(x).square(),
    "polyrelu": polyrelu,
}


def medians(arms: Mapping[str, Callable[[], tuple[float, ...]]]) -> dict[str, list[float]]:
    """Median milliseconds of each number an arm returns."""
    rows, order = {name: [] for name in arms}, list(arms)
    for number in range(WARM_UP + ROUNDS):
        random.shuffle(order)
        for name in order:
            row = arms[name]()
            if number >= WARM_UP:
                rows[name].append(row)
    return {name: [1e3 * statistics.median(column) for column in zip(*row, strict=True)] for name, row in rows.items()}


def passes(call, x, dy):
    """An arm: seconds of forward without gradients, forward with them, backward."""
    now = time.thread_time

    def measure():
        with torch.no_grad():
            times = [now()]
            call(x)
            times.append(now())
        start = now()
        y = call(x)
        middle = now()
        torch.autograd.grad(y, x, dy)
        return times[1] - times[0], middle - start, now() - middle

    return measure


def kernel(types, source, tensors, expected):
    """An arm: seconds of one compiled kernel, whose last tensor is checked first."""
    run = CppPythonBindingsCodeCache.load_pybinding(types, source)
    run(*tensors)
    assert torch.equal(tensors[-1], expected)

    def measure():
        start = time.thread_time()
        run(*tensors)
        return (time.thread_time() - start,)

    return measure


def main():
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # every formula has a wrapper's code in common
    x, dy = torch.randn(N, F, requires_grad=True), torch.randn(N, F)
    arms = {}
    for name, call in FORMULAS.items():
        arms[f"{name}, eager"] = passes(call, x, dy)
        arms[f"{name}, compiled"] = passes(torch.compile(call, dynamic=False), x, dy)
    print(f"torch {torch.__version__}, {N} x {F} float32, ms")
    print(f"{'':36s} {'no grad':>8s} {'forward':>8s} {'backward':>8s}")
    for name, row in medians(arms).items():
        print(f"{name:36s}", " ".join(f"{value:8.2f}" for value in row))

    x, y, dx = x.detach(), torch.empty(N, F), torch.empty(N, F)
    kernels = {}
    for name, line in STORES.items():
        le = (x <= 0) if not line else torch.zeros(N, F, dtype=torch.bool)
        kernels[f"forward kernel, mask stored {name}"] = kernel(
            ["const float*", "float*", "bool*"], FORWARD % (N * F, line), (x, y, le), x <= 0
        )
    for name, line in LOADS.items():
        kernels[f"backward kernel, mask read {name}"] = kernel(
            ["const bool*", "const float*", "float*"], BACKWARD % (N * F, line), (x <= 0, dy, dx), dy * (x > 0)
        )
    for name, row in medians(kernels).items():
        print(f"{name:48s} {row[0]:8.2f}")


if __name__ == "__main__":
    main()
