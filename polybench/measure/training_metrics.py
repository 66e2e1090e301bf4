"""Every metric of a training: what it shows step by step, what follows when it is compared, and its dynamics.

No torch in here, so that suites and reports may read it.
"""

from __future__ import annotations

from polybench.measure.range_metrics import RANGES
from polybench.metric import Metric, Question

# Facts of the text: the share of held-out shingles that is in training text too, and which files are on which side.
SHARED, SIDES = "held-out shingles in training text", "sides of the text"
DIVIDED = "divided here"  # where no file's name says its side

EQUAL_TIME = Metric(
    "equal_time_loss", "nat/token", "lower", "seed",
    "Held-out loss at the time the fastest of the activations had finished: on the line between finished trainings, "
    "straight over the logarithm of time; without them (finish_at) between two looks along one schedule, over time.",
    asked=Question("At equal time", "the lowest held-out loss"), title="held-out loss at equal training time",
    by_seed=True,
)  # fmt: skip
EQUAL_FLOPS = Metric(
    "equal_flops_loss", "nat/token", "lower", "seed",
    "Held-out loss at the training FLOPs that the cheapest of the activations had spent when it had finished: on the "
    "line between finished trainings, straight over the logarithm of FLOPs; without them (finish_at) between two looks "
    "along one schedule, over FLOPs.",
    asked=Question("At equal FLOPs", "the lowest held-out loss"), title="held-out loss at equal training FLOPs",
    by_seed=True,
)  # fmt: skip
TOKENS_TO = Metric(
    "tokens_to_reference", "token", "lower", "seed",
    "Tokens until the held-out loss reaches the reference's final one of the same seed, on the same line as "
    "equal_time_loss, whose first point is the least; inf if it never does.",
)  # fmt: skip
STEPS_TO = Metric(
    "steps_to_reference", "1", "lower", "seed",
    "Optimizer steps until the held-out loss reaches the reference's final one, on the same line as equal_time_loss, "
    "whose first point is the least; inf if it never does.",
)  # fmt: skip
TIME_TO = Metric(
    "time_to_reference", "s", "lower", "seed",
    "Training time until the held-out loss reaches the reference's final one of the same seed, on the same line as "
    "equal_time_loss, whose first point is the least; inf if it never does.",
)  # fmt: skip
DERIVED = (EQUAL_TIME, EQUAL_FLOPS, STEPS_TO, TOKENS_TO, TIME_TO)  # of the curves of one training
SIZE_AXES = ("d_model", "layers", "heads", "ffn_width", "depth")  # which make the size of a model
SPEED_UP = Metric(
    "effective_speed_up", "1", "higher", "seed",
    "FLOPs at which the reference's law over model sizes, of the same seed, reaches the held-out loss, over those that "
    "the training spent, and beside the reference over its own reading there; inf if the law never reaches it.",
    over=SIZE_AXES,
)  # fmt: skip

TRAIN_LOSS = Metric(
    "train_loss", "nat/token", "lower", "seed", "Training loss of every step, before its update.", curve=True,
    title="training loss",
)  # fmt: skip
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
    "Operations a second of a product of the block's own size, measured before the training.", hidden=True,
)  # fmt: skip
UTILISATION = Metric(
    "utilisation", "1", "neither", "seed",
    "Model FLOPs utilisation: flops_per_token times tokens_per_s, over product_rate.",
)  # fmt: skip
PER_STEP = (TRAIN_LOSS, GRADIENT_NORM, RATE, STEP_RATE)

HIGHEST = 5  # number of the last coefficient that is recorded: the highest order of the polynomial activations
_RANK = "Effective rank exp(entropy of the singular values over their sum)"
_RANK_SOURCE = "Roy and Vetterli, EUSIPCO 2007"
_KURTOSIS = "fourth central moment over the squared variance, 3 for a normal distribution"
_COSINE = "Cosine of the residual stream before and after a layer, mean over tokens of one held-out batch"
_AT_TWO = "Cosine of the residual stream at two depths"
_ACTIVATED = "the activation's output on one held-out batch"


def _scalar(name: str, unit: str, definition: str, source: str = "") -> Metric:
    return Metric(name, unit, "neither", "seed", definition, source)


def _by_layer(name: str, unit: str, definition: str, source: str = "") -> Metric:
    return Metric(name, unit, "neither", "seed", definition, source, curve=True, along="layer")


EFFECTIVE_RANK = _scalar(
    "effective_rank", "1", f"{_RANK} over full rank, mean over the FFN matrices after training.", _RANK_SOURCE
)
RANK_KEPT = _scalar(
    "effective_rank_kept", "1", "Effective rank after training over that at the first look, mean over the FFN matrices."
)
NEIGHBOUR_COSINE = _scalar("neighbour_cosine", "cosine", f"{_COSINE} and over layers.")
FIRST_COSINE = _scalar("first_layer_cosine", "cosine", f"{_COSINE}, of the first layer, whose input is the embedding.")
LATER_COSINE = _scalar("later_layers_cosine", "cosine", f"{_COSINE} and over all layers but the first.")
DISTANT_COSINE = _scalar(
    "distant_cosine", "cosine",
    f"{_AT_TWO}, mean over tokens of one held-out batch and over all pairs that are two layers apart or more.",
)  # fmt: skip
RMS = _scalar("activation_rms", "1", f"Root mean square of {_ACTIVATED}, mean over layers.")
KURTOSIS = _scalar("activation_kurtosis", "1", f"Kurtosis of {_ACTIVATED} ({_KURTOSIS}), mean over layers.")

W_IN_RANK = _by_layer(
    "w_in_rank", "1", f"{_RANK} of w_in after training, of each branch of a gated activation apart, their mean.",
    _RANK_SOURCE,
)  # fmt: skip
W_OUT_RANK = _by_layer("w_out_rank", "1", f"{_RANK} of w_out after training.", _RANK_SOURCE)
LAYER_COSINE = _by_layer("layer_cosine", "cosine", f"{_COSINE}.")
PAIR_COSINE = Metric(
    "pair_cosine", "cosine", "neither", "seed",
    f"{_AT_TWO}, mean over tokens of one held-out batch. State 0 is before the first layer, state k after layer k; "
    "pairs are numbered by the later and then by the earlier state: (0, 1), (0, 2), (1, 2), (0, 3) and so on.",
    curve=True, along="pair",
)  # fmt: skip
LAYER_RMS = _by_layer("layer_rms", "1", f"Root mean square of {_ACTIVATED}.")
LAYER_KURTOSIS = _by_layer("layer_kurtosis", "1", f"Kurtosis of {_ACTIVATED}: {_KURTOSIS}.")


def pairs_of(states: int) -> list[tuple[int, int]]:
    """Earlier and later state of each value of `pair_cosine`, in its order, which is that of any depth."""
    return [(i, k) for k in range(states) for i in range(k)]


def _learned(number: int) -> str:
    what = "the bias" if number == 0 else f"a_{number}, counted from the last parameter"
    return f"Learned number {number} of the activation ({what})"


# One a number, as the names of a kind's metrics are known before it runs.
COEFFICIENTS = tuple(
    Metric(f"coefficient_{i}", "1", "neither", "seed", f"{_learned(i)}, mean over layers.", curve=True)
    for i in range(HIGHEST + 1)
)
LAYER_COEFFICIENTS = tuple(
    _by_layer(f"layer_coefficient_{i}", "1", f"{_learned(i)}, after training.") for i in range(HIGHEST + 1)
)

SCALARS = (EFFECTIVE_RANK, RANK_KEPT, NEIGHBOUR_COSINE, DISTANT_COSINE, RMS, KURTOSIS)
BY_LAYER = (W_IN_RANK, W_OUT_RANK, LAYER_COSINE, LAYER_RMS, LAYER_KURTOSIS)
DYNAMICS = (
    *SCALARS, *BY_LAYER, PAIR_COSINE, *COEFFICIENTS, *LAYER_COEFFICIENTS,
    *(metric for r in RANGES for metric in (r.scalar, r.by_layer, r.by_step)),
)  # fmt: skip
