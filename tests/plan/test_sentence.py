"""A claim in a line: what is written is read, and what cannot be read says why."""

from __future__ import annotations

from typing import Any

import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench.errors import UsageError
from polybench.metric import Metric
from polybench.plan.sentence import Sentence
from polybench.plan.suite import Claim

LOSS = Metric("val_loss", "nat/token", "lower", "seed", "")
RATE = Metric("tokens_per_s", "token/s", "higher", "seed", "")
RANK = Metric("effective_rank", "1", "neither", "seed", "")
NAMES = st.sampled_from(["relu", "swiglu", "polynorm", "polynorm(order=2)", "gelu(approximate=none)", "my.own-one"])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from(["block", "text:a,b", "a|b", "=", "", "3", "true", 'say "so"', "a: b < c", "\\", "é\n"]),
    st.text(max_size=6),
)
WHERE = st.dictionaries(st.sampled_from(["level", "d_model", "corpus"]), st.lists(SCALARS, min_size=1, max_size=3))
BY = st.sampled_from(["", "0.01", "5%", "1e-3", "2.5%"])


@LAWS
@given(st.lists(NAMES, min_size=2, max_size=4), st.sampled_from("<>"), BY, WHERE)
def test_what_is_written_is_read(names: list[str], sign: Any, by: str, where: dict[str, list[Any]]) -> None:
    told = tuple((key, tuple(values)) for key, values in where.items())
    one = Sentence("loss on text:more/*.txt", tuple(names), sign, by, told)
    assert Sentence.parse(str(one)) == one
    same = Sentence("val_loss", tuple(names[:2]), "=", by, told)
    assert Sentence.parse(f"  {same}\n") == same


@LAWS
@given(st.lists(NAMES, min_size=2, max_size=4, unique=True), st.sampled_from("<>="), BY, st.sampled_from([LOSS, RATE]))
def test_a_line_is_a_claim_and_a_claim_is_that_line(names: list[str], sign: Any, by: str, metric: Metric) -> None:
    kept = tuple(names[:2] if sign == "=" else names)
    if metric is LOSS and by.endswith("%"):
        by = ""
    one = Sentence(metric.name, kept, sign, by)
    again = Sentence.of(Claim.model_validate(one.to_claim(metric)), metric, "relu")
    share = {"": None}.get(by, float(by.rstrip("%") or 0) / (100 if by.endswith("%") else 1))
    assert (again.metric, again.by and _number(again.by)) == (one.metric, "" if share is None else share)
    if len(kept) == 2:
        assert (again.names, again.sign) == (one.names, one.sign)
    else:  # an order is said with its best first
        assert again.names in (one.names, one.names[::-1]) and (again.sign == one.sign) == (again.names == one.names)


def _number(by: str) -> float:
    return float(by[:-1]) / 100 if by.endswith("%") else float(by)


@pytest.mark.parametrize(
    ("metric", "sign", "relation"),
    [(LOSS, "<", "better_than"), (LOSS, ">", "worse_than"), (RATE, "<", "worse_than"), (RATE, ">", "better_than"),
     (RATE, "=", "same_as"), (RANK, "<", "less_than"), (RANK, ">", "more_than")],
)  # fmt: skip
def test_signs_compare_numbers(metric: Metric, sign: str, relation: str) -> None:
    assert Sentence.parse(f"x: relu {sign} gelu").to_claim(metric) == {
        "metric": "x", "subject": "relu", relation: "gelu"
    }  # fmt: skip


def test_a_chain_is_an_order_with_the_best_first() -> None:
    line = Sentence.parse("x where level=block|decoder, d_model=64: relu < gelu < swiglu by 5%")
    where = {"level": ["block", "decoder"], "d_model": 64}
    assert line.to_claim(LOSS) == {"metric": "x", "by": "5%", "where": where, "order": ["relu", "gelu", "swiglu"]}
    assert line.to_claim(RATE)["order"] == ["swiglu", "gelu", "relu"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read; write METRIC"),
        ("val_loss polynorm < swiglu", "cannot be read"),
        ("val_loss: polynorm", "cannot be read"),
        ("val_loss: polynorm <= swiglu", "cannot be read"),
        ("val_loss: polynorm < swiglu by", "cannot be read"),
        ("val_loss: a < b > c", "mixes signs"),
        ("val_loss: a = b = c", "mixes signs"),
        ("val_loss: a < b by much", "'much' is no number"),
        ("val_loss: a < b by -1", "'-1' is no number"),
        ("val_loss where block: a < b", "'block' is not AXIS=VALUE"),
        ("val_loss where level=block, level=decoder: a < b", "'level=decoder' is not AXIS=VALUE, once an axis"),
        ('val_loss where level="\\x": a < b', "is no JSON string"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why.replace("=", ".").replace("'", ".")):
        Sentence.parse(text)
