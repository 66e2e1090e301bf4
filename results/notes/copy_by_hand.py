"""A plain copy timed by hand, beside the copy that the table of limits shows: see limits.md."""

import statistics
import time

import numpy as np

scratch = np.zeros(1 << 28, np.uint8)  # 256 MiB: what is written here leaves nothing else in any cache

for rows, width in ((128, 512), (2048, 1024)):
    x, y = np.ones((rows, width), np.float32), np.empty((rows, width), np.float32)
    for cold in (False, True):
        times = []
        for _ in range(60):
            if cold:
                scratch += 1
            start = time.thread_time_ns()
            np.copyto(y, x)
            times.append(time.thread_time_ns() - start)
        rates = ", ".join(f"{2 * x.nbytes / t:.1f}" for t in reversed(statistics.quantiles(times, n=4)))
        print(f"{rows} x {width} float32, {'cold' if cold else 'warm'}: {rates} GB/s (quartiles of 60 copies)")
