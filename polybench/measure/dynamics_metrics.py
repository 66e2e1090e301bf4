"""What goes on inside of a decoder, as metrics: ranks, likeness of layers, activations; no torch in here."""

from __future__ import annotations

from polybench.metric import Metric

HIGHEST = 5  # number of the last coefficient that is recorded: the highest order of the polynomial activations
_RANK = "Effective rank exp(entropy of the singular values over their sum)"
_RANK_SOURCE = "Roy and Vetterli, EUSIPCO 2007"
_KURTOSIS = "fourth central moment over the squared variance, 3 for a normal distribution"
_COSINE = "Cosine of the residual stream before and after a layer, mean over tokens of one held-out batch"
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
RMS = _scalar("activation_rms", "1", f"Root mean square of {_ACTIVATED}, mean over layers.")
KURTOSIS = _scalar("activation_kurtosis", "1", f"Kurtosis of {_ACTIVATED} ({_KURTOSIS}), mean over layers.")
ZEROS = _scalar("activation_zeros", "share", f"Share of exact zeros in {_ACTIVATED}, mean over layers.")

W_IN_RANK = _by_layer(
    "w_in_rank", "1", f"{_RANK} of w_in after training, of each branch of a gated activation apart, their mean.",
    _RANK_SOURCE,
)  # fmt: skip
W_OUT_RANK = _by_layer("w_out_rank", "1", f"{_RANK} of w_out after training.", _RANK_SOURCE)
LAYER_COSINE = _by_layer("layer_cosine", "cosine", f"{_COSINE}.")
LAYER_RMS = _by_layer("layer_rms", "1", f"Root mean square of {_ACTIVATED}.")
LAYER_KURTOSIS = _by_layer("layer_kurtosis", "1", f"Kurtosis of {_ACTIVATED}: {_KURTOSIS}.")
LAYER_ZEROS = _by_layer("layer_zeros", "share", f"Share of exact zeros in {_ACTIVATED}.")


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

SCALARS = (EFFECTIVE_RANK, RANK_KEPT, NEIGHBOUR_COSINE, RMS, KURTOSIS, ZEROS)
BY_LAYER = (W_IN_RANK, W_OUT_RANK, LAYER_COSINE, LAYER_RMS, LAYER_KURTOSIS, LAYER_ZEROS)
DYNAMICS = (*SCALARS, *BY_LAYER, *COEFFICIENTS, *LAYER_COEFFICIENTS)
