"""What goes on inside of a decoder: ranks of matrices, likeness of layers, what activations learn and do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polybench.measure import training_metrics as metrics
from polybench.measure.model.decoder import Decoder
from polybench.measure.range_metrics import RANGES
from polybench.measure.training.listening import Heard, Ranges, heard
from polybench.measure.training.loop import whole
from polybench.metric import Metric
from polybench.record import Measurement

Told = TypeVar("Told")

# Dimension key: B batch, T time, D model width, F hidden width, G branches of the activation, E experts (1 if dense),
# N matrices of M rows and I columns, R singular values, V values of a tensor, S states of the residual stream.


class Observer:
    """Looks at a decoder while it is trained and after, and leaves it as it was.

    `tokens_BxT` is the batch that hidden states and activations are measured on, by a forward pass in the
    `dtype` of the training. `looks` is what earlier looks of the same training found; plain numbers, for
    a checkpoint to hold. Where a model is sharded over processes, all of them must measure.
    """

    def __init__(
        self, model: Decoder, tokens_BxT: Tensor, dtype: str = "float32", looks: dict[str, list[float]] | None = None
    ):
        self.model, self.tokens_BxT, self.dtype = model, tokens_BxT, dtype
        self.looks: dict[str, list[float]] = {} if looks is None else looks

    def look(self, step: int) -> None:
        """Keep the learned numbers of the activations after so many steps and the ranges of the values around them.

        Of the ranks, those that the first look sees.
        """
        found = [of_layer(layer) for layer in self.model.layers]
        means = {metrics.COEFFICIENTS[i].name: fmean(f[i] for f in found) for i in found[0]}
        around = self._heard(Heard.magnitudes)
        ranges = {r.by_step.name: r.over_layers([m[r.side][r.what] for m in around]) for r in RANGES}
        for name, value in {"step": float(step), **means, **ranges}.items():
            self.looks.setdefault(name, []).append(value)
        if "first_ranks" not in self.looks:
            self.looks["first_ranks"] = [rank for both in self._ranks() for ranks in both for rank in ranks]

    def measurements(self) -> Iterator[Measurement]:
        """What the looks found, and everything that is measured on the model as it is now."""
        steps = tuple(map(int, self.looks.get("step", ())))
        for metric in (*metrics.COEFFICIENTS, *(r.by_step for r in RANGES)):
            if len(self.looks.get(metric.name, ())) == len(steps) > 0:
                yield Measurement(metric.name, tuple(self.looks[metric.name]), steps)
        learned = [of_layer(layer) for layer in self.model.layers]
        for i in learned[0]:
            yield _by_layer(metrics.LAYER_COEFFICIENTS[i], [found[i] for found in learned])

        by_layer = self._ranks()
        yield _by_layer(metrics.W_IN_RANK, [fmean(w_in) for w_in, _ in by_layer])
        yield _by_layer(metrics.W_OUT_RANK, [fmean(w_out) for _, w_out in by_layer])
        ranks = [rank for both in by_layer for ranks in both for rank in ranks]
        full = min(matrices(self.model.layers[0])[1].shape[-2:])
        yield Measurement(metrics.EFFECTIVE_RANK.name, (fmean(ranks) / full,))
        if "first_ranks" in self.looks:
            kept = [now / first for now, first in zip(ranks, self.looks["first_ranks"], strict=True) if first]
            yield Measurement(metrics.RANK_KEPT.name, (fmean(kept) if kept else math.nan,))

        layers = self._heard(lambda layer: (State.of(layer), layer.before_BxTxD, layer.after_BxTxD))
        states = [state for state, _, _ in layers]
        likeness = pair_cosines([layers[0][1], *(after_BxTxD for _, _, after_BxTxD in layers)])
        yield Measurement(metrics.PAIR_COSINE.name, tuple(likeness.values()), tuple(range(1, len(likeness) + 1)))
        if distant := [cosine for (i, k), cosine in likeness.items() if k - i > 1]:
            yield Measurement(metrics.DISTANT_COSINE.name, (fmean(distant),))
        for layered, scalar, values in (
            (metrics.LAYER_COSINE, metrics.NEIGHBOUR_COSINE, [likeness[i, i + 1] for i in range(len(states))]),
            (metrics.LAYER_RMS, metrics.RMS, [s.rms for s in states]),
            (metrics.LAYER_KURTOSIS, metrics.KURTOSIS, [s.kurtosis for s in states]),
        ):
            yield _by_layer(layered, values)
            yield Measurement(scalar.name, (fmean(values),))
        for ranged in RANGES:
            values = [s.ranges[ranged.side][ranged.what] for s in states]
            yield _by_layer(ranged.by_layer, values)
            yield Measurement(ranged.scalar.name, (ranged.over_layers(values),))

    def _heard(self, told: Callable[[Heard], Told]) -> list[Told]:
        return heard(self.model, self.tokens_BxT, self.dtype, told)

    def _ranks(self) -> list[tuple[list[float], list[float]]]:
        """Effective ranks of every w_in and every w_out of each layer."""
        both = [matrices(layer) for layer in self.model.layers]
        return [(effective_rank(w_in).tolist(), effective_rank(w_out).tolist()) for w_in, w_out in both]


@dataclass(frozen=True)
class State:
    """Of one layer: rms and kurtosis of its activation's output, and the ranges."""

    rms: float
    kurtosis: float
    ranges: Ranges

    @classmethod
    def of(cls, layer: Heard) -> State:
        return cls(*statistics(layer.output_V), layer.magnitudes())


def pair_cosines(states_BxTxD: Sequence[Tensor]) -> dict[tuple[int, int], float]:
    """Mean over tokens of the cosine of each pair of states, in the order of `pairs_of`.

    Computed in float64, a sequence at a time, so that wide copies of a batch are never held. A state of
    zeros has cosine 0 with any other.
    """
    S, tokens = len(states_BxTxD), states_BxTxD[0].shape[:2].numel()
    sum_SxS = states_BxTxD[0].new_zeros((S, S), dtype=torch.float64)
    for sequence in zip(*states_BxTxD, strict=True):
        unit_SxTD = functional.normalize(torch.stack(sequence).double(), dim=-1).flatten(1)
        sum_SxS += unit_SxTD @ unit_SxTD.mT
    mean_SxS = (sum_SxS / tokens).tolist()
    return {(i, k): mean_SxS[i][k] for i, k in metrics.pairs_of(S)}


def effective_rank(w_NxMxI: Tensor) -> Tensor:
    """exp(H) of each matrix, H the entropy in nats of its singular values over their sum (Roy and Vetterli 2007).

    It is 1 for a matrix of rank one and the full rank where all singular values are equal; 0 for a matrix
    of zeros, and NaN for what is not finite. Computed in float64.
    """
    wide_NxMxI = w_NxMxI.detach().double()
    if not wide_NxMxI.isfinite().all():
        return wide_NxMxI.new_full(wide_NxMxI.shape[:1], torch.nan)
    sigma_NxR = torch.linalg.svdvals(wide_NxMxI)
    sum_N = sigma_NxR.sum(-1)
    p_NxR = sigma_NxR / sum_N.where(sum_N > 0, 1).unsqueeze(-1)
    rank_N: Tensor = torch.special.entr(p_NxR).sum(-1).exp() * (sum_N > 0)
    return rank_N


def statistics(y_V: Tensor) -> tuple[float, float]:
    """Root mean square and kurtosis of all values.

    Kurtosis is Pearson's, E[(y - mean)^4] / E[(y - mean)^2]^2 over all values, 3 for a normal
    distribution; NaN where all values are equal.
    """
    wide_V = y_V.double()
    square_V = (wide_V - wide_V.mean()).square()
    kurtosis = square_V.square().mean() / square_V.mean().square()
    return float(wide_V.square().mean().sqrt()), float(kurtosis)


def coefficients(activation: nn.Module) -> dict[int, float]:
    """The learned numbers of an activation: a_i by i, for activations that are polynomials.

    `bias`, wherever it sits, is number 0. All others count from the last, which is 1, up to `HIGHEST`:
    the checkpoints of arXiv:2411.03884 hold a_r first. A longer parameter, of one number a channel,
    counts as its mean.
    """
    parts = {name: whole(p).detach().double().flatten() for name, p in activation.named_parameters()}
    biases = [parts.pop(name).mean().item() for name in list(parts) if name.split(".")[-1] == "bias"]
    others = [n for p in parts.values() for n in (p.tolist() if len(p) <= metrics.HIGHEST else [p.mean().item()])]
    found = {0: fmean(biases)} if biases else {}
    return found | dict(enumerate(others[: -metrics.HIGHEST - 1 : -1], 1))


def of_layer(layer: Any) -> dict[int, float]:
    """The coefficients of a layer's activation, mean over experts that have one each."""
    each = layer.ffn.activation
    found = [coefficients(a) for a in (each if isinstance(each, nn.ModuleList) else [each])]
    return {i: fmean(f[i] for f in found) for i in found[0]}


def matrices(layer: Any) -> tuple[Tensor, Tensor]:
    """w_in (E*G, F, D), each branch of each expert apart, and w_out (E, D, F) of a layer's feed-forward part."""
    w_in, w_out = (w if isinstance(w, Tensor) else w.weight for w in (layer.ffn.w_in, layer.ffn.w_out))
    D, F = w_out.shape[-2:]
    return whole(w_in).reshape(-1, F, D), whole(w_out).reshape(-1, D, F)


def _by_layer(metric: Metric, values: list[float]) -> Measurement:
    return Measurement(metric.name, tuple(values), tuple(range(1, len(values) + 1)))
