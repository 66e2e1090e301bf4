"""Blocks that are compared have equal parameters within one per cent, or are refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from polybench.measure.axes import LevelAxes
from polybench.measure.model.build import chosen
from polybench.measure.model.feed_forward import FeedForward, Mixture
from polybench.measure.shape import EQUAL, Shape, hidden_width, unequal, unequal_block
from polybench.measure.training_axes import TrainingAxes

BRANCHES = range(1, 5)
LAWS = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def apart(sizes: list[int]) -> float:
    """How far the most distant is from the first."""
    return max(abs(size / sizes[0] - 1) for size in sizes)


@LAWS
@given(some.integers(8, 4096), some.integers(1, 16), some.none() | some.integers(1, 9000), some.sets(
    some.sampled_from(BRANCHES), min_size=2))  # fmt: skip
def test_every_shape_holds_the_law_or_is_refused_with_one_that_holds_it(
    d_model: int, top_k: int, ffn_width: int | None, branches: set[int]
) -> None:
    shape = Shape(1, 2 * d_model, 1, ffn_width, experts=16, top_k=top_k)
    why = shape.unequal(branches)
    assert bool(why) == (apart([(G + 1) * shape.width(G) for G in (1, *branches)]) > EQUAL + 1e-9)
    if why:
        better = Shape(1, 2 * d_model, 1, int(why.rpartition("take ffn_width ")[2]), experts=16, top_k=top_k)
        assert not better.unequal(branches)


@pytest.mark.parametrize("top_k", range(1, 9))
def test_only_narrow_blocks_are_refused(top_k: int) -> None:
    """Between plain and gated, where no whole number is near enough."""
    refused = [D for D in range(8, 1024, 2) if Shape(1, D, 1, experts=8, top_k=top_k).unequal({1, 2})]
    assert max(refused, default=0) < 12.5 * top_k
    for D in refused:
        F = Shape(1, D, 1, experts=8, top_k=top_k).width(1)
        assert all(apart([2 * F, 3 * width]) > EQUAL for width in range(1, F))
    assert [D for D in range(8, 513) if unequal_block(D, {1, 2})] == [8, 10, 11]


CASES = [  # what is fewer or more by how much, and what would hold
    (LevelAxes(level="block", d_model=8), "d_model 8: .* the nearest, 21, has 1.56% fewer; take d_model 9$"),
    (LevelAxes(level="activation", d_model=10), "d_model 10: .*, 27, has 1.25% more; take d_model 9$"),
    (LevelAxes(level="decoder", d_model=8), "d_model 8: .*, 21, has 1.56% fewer; take ffn_width 33$"),
    (TrainingAxes(d_model=64, experts=8, top_k=8), "d_model 64 and top_k 8: .* 1.56% fewer; take ffn_width 33$"),
    (TrainingAxes(ffn_width=16), "ffn_width 16: .*, 11, has 3.12% more; take ffn_width 15$"),
]


@pytest.mark.parametrize(("axes", "words"), CASES)
def test_what_cannot_be_equal_is_said_with_its_percentage(axes: LevelAxes | TrainingAxes, words: str) -> None:
    assert re.match(words, axes.unequal({1, 2}))
    assert not axes.unequal({2}) and not axes.unequal({1}) and not axes.unequal(())


def test_what_is_counted_is_what_is_built() -> None:
    for d_model in range(8, 40):
        sizes = [sum(p.numel() for p in FeedForward(d_model, chosen(n)).parameters()) for n in ("relu", "swiglu")]
        assert bool(unequal_block(d_model, {1, 2})) == (apart(sizes) > EQUAL)
    for top_k in range(1, 9):
        shape = Shape(1, 64, 1, experts=8, top_k=top_k)
        sizes = [
            m.w_in[0].numel() + m.w_out[0].numel() for m in (Mixture(shape, chosen(n)) for n in ("relu", "swiglu"))
        ]
        assert bool(shape.unequal({1, 2})) == (apart(sizes) > EQUAL)


def test_two_of_one_kind_are_always_equal() -> None:
    assert not unequal({3}, lambda G: hidden_width(8, G)) and not unequal((), lambda G: 1)
