"""What a training shows step by step, whichever kind it belongs to; no torch in here."""

from __future__ import annotations

from polybench.metric import Metric

EQUAL_TIME = Metric(
    "equal_time_loss", "nat/token", "lower", "seed",
    "Held-out loss at the time the fastest of the activations had finished, on the line between two looks.",
)  # fmt: skip
EQUAL_FLOPS = Metric(
    "equal_flops_loss", "nat/token", "lower", "seed",
    "Held-out loss at the training FLOPs that the cheapest of the activations had spent when it had finished, on the "
    "line between two looks.",
)  # fmt: skip
TOKENS_TO = Metric(
    "tokens_to_reference", "token", "lower", "seed",
    "Tokens until the held-out loss reaches the reference's final one of the same seed; inf if it never does.",
)  # fmt: skip
STEPS_TO = Metric(
    "steps_to_reference", "1", "lower", "seed",
    "Optimizer steps until the held-out loss reaches the reference's final one; inf if it never does.",
)  # fmt: skip
TIME_TO = Metric(
    "time_to_reference", "s", "lower", "seed",
    "Training time until the held-out loss reaches the reference's final one of the same seed; inf if never.",
)  # fmt: skip
DERIVED = (EQUAL_TIME, EQUAL_FLOPS, STEPS_TO, TOKENS_TO, TIME_TO)

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
