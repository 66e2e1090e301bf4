"""What loading data and keeping books cost of a training: `python training_overhead.py`, about a minute.

A loss_curve trial of the model that is timed against nanoGPT goes through the worker as in a run, in one thread, in
CPU time. Loading is the time inside of `training.batch`; books are all that passes between two steps beyond what the
steps themselves took, the messages to the session included.
"""

from __future__ import annotations

import os
import time

import torch

from polybench.kind import Progress, axes_of, kind_of
from polybench.measure.training import loop
from polybench.measure.worker import messages_of
from polybench.message import encode
from polybench.record import Measurement
from polybench.trial import Cell, Job, Trial

STEPS = 60


def main() -> None:
    torch.set_num_threads(1)
    kind = kind_of("loss_curve")
    axes = axes_of(kind, {"preset": "1M", "batch": 16, "steps": STEPS, "lr": 0.001})
    trial = Trial("overhead", Cell(kind.name, kind.version, "gelu", "eager", "cpu", "float32", axes), 0)
    loading = 0.0
    load = loop.batch

    def timed(*arguments):  # type: ignore[no-untyped-def]
        nonlocal loading
        start = time.thread_time()
        found = load(*arguments)
        loading += time.thread_time() - start
        return found

    loop.batch = timed
    moments: list[float] = []
    rates: list[float] = []
    with open(os.devnull, "w") as nowhere:
        for message in messages_of(Job((trial,), ())):
            nowhere.write(encode(message) + "\n")
            nowhere.flush()
            if isinstance(message.item, Progress):
                moments.append(time.thread_time())
                if len(moments) == 1:
                    loading = 0.0
            if isinstance(message.item, Measurement) and message.item.metric == "step_tokens_per_s":
                rates = list(message.item.values)
    elapsed = moments[-1] - moments[0]
    steps = sum(16 * 128 / rate for rate in rates[1:])
    print(f"{STEPS - 1} steps of {1000 * elapsed / (STEPS - 1):.1f} ms: loading {loading / elapsed:.2%}, "
          f"books {1 - steps / elapsed:.2%} of the time")  # fmt: skip


if __name__ == "__main__":
    main()
