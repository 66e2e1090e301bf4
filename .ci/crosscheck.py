"""Our GPU timer beside triton.testing.do_bench and torch.utils.benchmark: `.ci/gpu crosscheck`; FEW=1 takes few cases.

Cold figures are held against do_bench, which writes 256 MB before each call and hides no launch; warm
ones against torch.utils.benchmark, which runs calls back to back by the wall clock. Where a call takes
well longer than the CPU takes to launch it, all should agree: outside of TOLERANCE the exit code is 1.
Shorter calls are printed, to be read: there the others see launches, and ours does not.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

TOLERANCE = 0.10
LONG = 1.5  # times as long as launching takes
ROUNDS = 14
WALL_S = 0.1  # of calls in a row, after which alone the device is waited for
CASES = [
    (spec, backend, tokens, d_model)
    for tokens, d_model in ((256, 512), (4096, 1024), (16384, 2048))
    for spec in ("relu", "gelu", "swiglu", "polynorm")
    for backend in ("eager", "compile", "liger")
]


def launch(call: Callable[[], object]) -> float:
    """Seconds until the CPU may go on, with nothing waiting on the device before."""
    import torch

    torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(path: Path) -> int:
    import torch
    from torch.utils.benchmark import Timer
    from triton.testing import do_bench

    from polybench.errors import Unsupported
    from polybench.measure.axes import LevelAxes
    from polybench.measure.instruments.gpu_timer import GpuTimer
    from polybench.measure.instruments.workshop import Workshop
    from polybench.measure.model.build import chosen

    timer, rows, outside = GpuTimer(), [], 0
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; us of forward and backward")
    print(f"{'case':40s} {'cold':>9s} {'do_bench':>9s} {'ratio':>6s} {'warm':>9s} {'Timer':>9s} {'ratio':>6s}  how")
    for spec, backend, tokens, d_model in CASES[:: 10 if os.environ.get("FEW") else 1]:
        try:
            arm = Workshop(LevelAxes(tokens=tokens, d_model=d_model), "bfloat16", "cuda").arm(chosen(spec, backend))
            arm.once()
        except Unsupported as reason:
            print(f"{spec} {backend}: {reason}")
            continue
        samples = [timer.sample(arm) for _ in range(ROUNDS)]
        cold = statistics.median(s.forward + s.backward for s in samples)
        warm = statistics.median(s.warm for s in samples if s.warm is not None)
        theirs = 1e-3 * do_bench(arm.once, return_mode="median")
        wall = Timer("once()", globals={"once": arm.once}).timeit(max(10, round(WALL_S / warm))).median
        launching = statistics.median(launch(arm.once) for _ in range(ROUNDS))
        agree = warm < LONG * launching or (abs(cold / theirs - 1) <= TOLERANCE and abs(warm / wall - 1) <= TOLERANCE)
        outside += not agree
        name = f"{spec} {backend} {tokens}x{4 * d_model if spec != 'swiglu' else round(8 / 3 * d_model)}"
        print(
            f"{name:40s} {1e6 * cold:9.1f} {1e6 * theirs:9.1f} {cold / theirs:6.2f} "
            f"{1e6 * warm:9.1f} {1e6 * wall:9.1f} {warm / wall:6.2f}  {timer.how(arm)}{'' if agree else '  OUTSIDE'}"
        )
        rows.append(
            {
                "spec": spec,
                "backend": backend,
                "tokens": tokens,
                "d_model": d_model,
                "how": timer.how(arm),
                "cold_s": cold,
            }
            | {"do_bench_s": theirs, "warm_s": warm, "timer_s": wall, "launch_s": launching, "agree": agree}
            | {"throttled": sum(s.throttled for s in samples)}
        )
        kept = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}
        path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print(f"{outside} of {len(rows)} outside of {TOLERANCE:.0%}")
    return 1 if outside or not rows else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
