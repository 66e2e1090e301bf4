"""Every metric of a time, and of what is timed beside it; no torch in here, so that reports may read it."""

from __future__ import annotations

from polybench.metric import Metric, Question

TIMED_BY, THROTTLED = "timed_by", "throttled_blocks"  # facts: by which clock, and how many blocks were dropped

FORWARD = Metric("forward_time", "s", "lower", "sample", "Forward pass, with what backward needs being recorded.")
BACKWARD = Metric("backward_time", "s", "lower", "sample", "Backward pass to inputs and parameters.")
TOTAL = Metric(
    "total_time", "s", "lower", "sample", "Forward and backward pass; on a GPU with a cold cache.",
    asked=Question("In time of forward and backward", "the shortest time", rank=5), header="time of a block",
)  # fmt: skip
UPDATE = Metric(
    "update_time", "s", "neither", "sample",
    "What a training does with the gradients of a decoder: clipping, and AdamW's step.",
)  # fmt: skip
STEP = Metric(
    "step_time", "s", "lower", "sample",
    "A whole training step of a decoder but for loading its batch: forward, backward and the optimizer.",
)  # fmt: skip
STEP_RATE = Metric(
    "step_throughput", "token/s", "higher", "sample",
    "Tokens of a training step over its step_time, the steps of all activations being taken in turns.",
    asked=Question("In whole training steps", "the most tokens a second", rank=3), header="training tokens/s",
)  # fmt: skip
WARM = Metric("warm_time", "s", "lower", "sample", "Forward and backward pass on a GPU whose cache is warm.")
WALL = Metric("wall_time", "s", "neither", "sample", "Forward and backward pass by the wall clock, as a check.")
COMPILE = Metric(
    "compile_time", "s", "neither", "sample",
    "Wall time of the first forward and backward: first touch of memory, and compiling and autotuning as far as the "
    "compiler's cache on disk does not hold the answer from an earlier launch.",
)  # fmt: skip
FAULTS = Metric(
    "page_faults", "1", "neither", "sample", "Pages the kernel had to give during a forward and backward pass."
)
LAUNCH = Metric(
    "launch_time", "s", "neither", "sample",
    "Forward and backward of the same operators over one token, where overhead is all there is; "
    "every compiled activation is taken for a compiled GELU.", hidden=True,
)  # fmt: skip
# Hidden is what the table of limits shows, or what is only of use between runs.
COPY = Metric(
    "copy_time", "s", "neither", "sample", "A copy of the hidden tensor, timed in the same blocks.", hidden=True
)
PRODUCT = Metric(
    "product_time", "s", "neither", "sample", "The block's first product, timed in the same blocks.", hidden=True
)
COPY_BYTES = Metric("copy_bytes", "B", "neither", "nothing", "Bytes that the copy reads and writes.", hidden=True)
PRODUCT_FLOPS = Metric("product_flops", "1", "neither", "nothing", "Operations of the product.", hidden=True)
LEAST_BYTES = Metric(
    "least_bytes", "B", "neither", "nothing",
    "The least that forward and backward of the activation move: each input read once, each output written once.",
    hidden=True,
)  # fmt: skip
FLOPS = Metric(
    "flops", "1", "neither", "nothing",
    "Operations of forward and backward: all that the activation declares, or the products of a block or decoder.",
    hidden=True,
)  # fmt: skip
