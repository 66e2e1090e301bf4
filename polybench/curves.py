"""What a training shows step by step, whichever kind it belongs to; no torch in here."""

from __future__ import annotations

from polybench.metric import Metric

TRAIN_LOSS = Metric(
    "train_loss", "nat/token", "lower", "seed", "Training loss of every step, before its update.", curve=True
)
GRADIENT_NORM = Metric(
    "gradient_norm", "1", "neither", "seed", "Norm of the whole gradient of every step, before it is clipped.",
    curve=True,
)  # fmt: skip
RATE = Metric("rate", "1", "neither", "seed", "Learning rate of every step.", curve=True)
STEP_RATE = Metric(
    "step_tokens_per_s", "token/s", "higher", "seed", "Tokens of a step over its time, on one CPU thread CPU time.",
    curve=True,
)  # fmt: skip
LEARNING_RATE = Metric("learning_rate", "1", "neither", "nothing", "Peak learning rate, where it was found by tuning.")
CLIPPED = Metric(
    "clipped_share", "1", "neither", "seed", "Share of the steps whose gradient was longer than allowed and was cut."
)
FLOPS = Metric(
    "flops_per_token", "1", "neither", "nothing",
    "Operations of training a token: 6 a weight that it meets, and attention's.",
)  # fmt: skip
COMPILE = Metric(
    "compile_time", "s", "neither", "seed", "Wall time of a first forward and backward pass, before any step is timed."
)
PRODUCT_RATE = Metric(
    "product_rate", "1", "neither", "seed",
    "Operations a second of a product of the block's own size, measured before the training.",
)  # fmt: skip
UTILISATION = Metric(
    "utilisation", "1", "neither", "seed",
    "Model FLOPs utilisation: flops_per_token times tokens_per_s, over product_rate.",
)  # fmt: skip
PER_STEP = (TRAIN_LOSS, GRADIENT_NORM, RATE, STEP_RATE)
