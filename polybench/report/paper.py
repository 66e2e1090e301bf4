"""What arXiv:2411.03884 claims and shows: the rows of the ledger, and the gaps of its curves to SwiGLU."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from polybench.document import Series

PAPER = "arXiv:2411.03884"
_CURVES = Path(__file__).with_name("paper_curves.csv")  # points of its vector figures
REFERENCE = "swiglu"


@dataclass(frozen=True)
class Row:
    """One claim. `suites` ask it here; a claim of a suite belongs to it that names `source` as its own.

    `beware` says in what the question that is asked here is another than the paper's.
    """

    number: int
    says: str
    reported: str
    suites: tuple[str, ...]
    beware: str = ""

    @property
    def source(self) -> str:
        return f"{PAPER} claim {self.number}"

    @property
    def paths(self) -> tuple[str, ...]:
        """The suites as `polybench run` takes them, one at a time."""
        return tuple(f"suites/{suite}.yaml" for suite in self.suites)


ROWS = (
    Row(
        1,
        "training loss: PolyNorm < PolyReLU < SwiGLU < GELU < ReLU",
        "2.172, 2.179, 2.191, 2.210, 2.217 nat, read off its figure, one run each, 1.3 B parameters",
        ("paper/dense",),
    ),
    Row(
        2,
        "PolyNorm reaches SwiGLU's final loss with fewer tokens",
        "0.69 of them dense, 0.80 in a mixture, read off its figures",
        ("paper/dense", "paper/mixture"),
        "The paper's share is read along one schedule, where SwiGLU's noisy curve is first touched; ours lies between "
        "finished trainings.",
    ),
    Row(
        3,
        "in a mixture of experts the held-out loss is lower on every text",
        "lower on 11 of 11, mean 2.39 against 2.41",
        ("paper/mixture", "paper/mixture-texts"),
        "The paper trained on much of the web. Here paper/mixture trains on one text and asks three that are unlike "
        "it, where a guess has a loss of ln 1024, 6.93, and paper/mixture-texts asks four that were all trained on. "
        "Both ways of sharing coefficients have the same SwiGLU beside them.",
    ),
    Row(
        4,
        "order 3 is about order 4, both better than order 2",
        "directions only",
        ("paper/order",),
        "All at one rate; orders 3 are trainings of claim 1 once more.",
    ),
    Row(
        5,
        "PolyNorm is the best of the four compositions",
        "directions only",
        ("paper/compositions",),
        "All at one rate; PolyNorm, PolyReLU and ReLU are trainings of claim 1 once more.",
    ),
    Row(
        6,
        "the effective rank of feed-forward weights is highest for polynomial activations",
        "directions only",
        ("paper/dynamics",),
        "SwiGLU's matrices are narrower, here as in the paper, which lowers their rank before any training. So the "
        "others are held to activations of their own shape, and SwiGLU to what each kept of the rank it began with.",
    ),
    Row(
        7,
        "hidden states of neighbouring layers are less alike with PolyNorm",
        "lower in the dense model, unclear in the mixture",
        ("paper/dynamics",),
        "A mean over layers hides ways that differ. The first layer and the others were asked apart after it was seen.",
    ),
    Row(
        8,
        "the advantage holds over model sizes",
        "from 110 M to 1.3 B",
        ("paper/size",),
        "Models a thousandth of that size, at rates tuned with one seed. A speed-up is the loss once more, by the law.",
    ),
    Row(
        9,
        "the overhead is negligible",
        "no figure",
        ("paper/cost",),
        "How much is negligible is ours to say: 3 % of the time, 10 % of the bytes. Recomputed, the peak is paid for a "
        "block at a time, and the bytes that are kept for each.",
    ),
    Row(
        10,
        "PolyReLU networks hold ReLU networks, and approximate smooth functions at the best rate",
        "theorems",
        ("paper/theory",),
        "Constructions are counted; that no smaller ReLU network would do is the theorem's. No rate is claimed here.",
    ),
)


def gaps(model: str) -> list[Series]:
    """Training loss less SwiGLU's of one of its models, in nat a token, over the share of its tokens in per cent.

    Where SwiGLU has no point at the same tokens, its line between two points counts.
    """
    import numpy as np

    curves: dict[str, dict[float, float]] = defaultdict(dict)
    with _CURVES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["model"] == model:
                curves[row["activation"]][float(row["tokens_1e9"])] = float(row["train_loss"])
    at, losses = np.array(sorted(curves.pop(REFERENCE).items())).T
    end = max(at[-1], *(max(curve) for curve in curves.values()))
    found = []
    for name, curve in curves.items():
        x, y = np.array([point for point in sorted(curve.items()) if at[0] <= point[0] <= at[-1]]).T
        apart = y - np.interp(x, at, losses)
        found.append(Series(f"{name}, paper", tuple((100 * x / end).tolist()), tuple(apart.tolist())))
    return found
