"""What is wrong with how a benchmark tunes its learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from polybench.kind import Kind
from polybench.plan.located import Route
from polybench.plan.suite import Suite, Tune
from polybench.plan.tuning import MOST_APART, OWN, SHARED, TUNING


def tuning_problems(item: dict[str, Any], kind: Kind, seeds: Any) -> Iterator[tuple[Route, str]]:
    """(place within the benchmark, what is wrong), for data that may be anything."""
    matrix = item.get("matrix", {})
    asked = [w for w in (OWN, SHARED) if w in _rates(matrix)]
    if str(item.get("name", "")).endswith(TUNING):
        yield ("name",), f"a name that ends with {TUNING} is kept for the tuning of another benchmark"
    if asked and not item.get("tune"):
        yield ("matrix", "lr"), f"lr {asked[0]} needs the benchmark's tune: with a grid, such as {{lr: [0.003, 0.006]}}"
    if item.get("tune") is None:
        return
    if not kind.objective:
        yield ("tune",), f"{kind.name} trains nothing, so it has no learning rate to tune"
        return
    if not asked:
        yield ("tune",), "nothing asks for it; say lr: tuned or lr: shared in the matrix"
    try:
        tune = Tune.model_validate(item["tune"])
    except ValidationError:
        return  # already said with the rest of the suite
    rates = sorted(tune.lr)
    for low, high in pairwise(rates):
        if low == high:
            yield ("tune", "lr"), f"{low:g} stands in this list twice"
        elif high / low > MOST_APART * (1 + 1e-9):
            between = (low * high) ** 0.5
            yield ("tune", "lr"), f"{low:g} and {high:g} are more than a factor of 2 apart; try {between:.2g} between"
    if twice := [s for s in tune.seeds if tune.seeds.count(s) > 1]:
        yield ("tune", "seeds"), f"seed {twice[0]} stands in this list twice"
    compared = item.get("seeds") or seeds or Suite.model_fields["seeds"].default
    if shared := sorted({s for s in tune.seeds if isinstance(compared, list) and s in compared}):
        yield (
            ("tune", "seeds"),
            f"seed {shared[0]} is among those of the comparison, which must be fresh; take others here",
        )


def _rates(matrix: dict[str, Any]) -> list[Any]:
    """Everything that a matrix says of the learning rate."""
    extra = matrix.get("include")
    included = [i.get("lr") for i in extra if isinstance(i, dict)] if isinstance(extra, list) else []
    said = matrix.get("lr")
    return [*(said if isinstance(said, list) else [said]), *included]
