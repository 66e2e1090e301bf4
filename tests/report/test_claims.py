"""Claims: one family, corrected once, and a verdict that follows from the p beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from builders import LAWS, losses, record, run, section, suite, times
from hypothesis import given
from hypothesis import strategies as st

from polybench import corrections, stats
from polybench.document import Finding
from polybench.looks import FIRST
from polybench.record import Record, Status
from polybench.report import claims, texts

BASE = [3.0, 3.4, 3.2, 3.1, 3.3]
NAMES = ("relu", "gelu", "polynorm")
SHIFTS = st.lists(st.floats(-0.05, 0.05), min_size=5, max_size=5)


def claim(subject: str, other: str = "swiglu", metric: str = "val_loss", **said: Any) -> dict[str, Any]:
    return {"metric": metric, "subject": subject, "better_than": other, **said}


def judged(values: dict[str, list[float]], *asked: dict[str, Any]) -> list[Finding]:
    activations = [*dict.fromkeys([*values, "swiglu", "polynorm"])]
    one = run(losses(values), suite(activations=activations, claims=list(asked)))
    return [f for f in section(claims, one).findings if f.question == "Claim"]


@LAWS
@given(st.lists(SHIFTS, min_size=3, max_size=3), st.floats(-0.08, 0.08))
def test_a_verdict_follows_from_the_p_that_is_printed(noise: list[list[float]], shift: float) -> None:
    apart = {name: [shift + d for d in own] for name, own in zip(NAMES, noise, strict=True)}
    values = {name: [b + d for b, d in zip(BASE, own, strict=True)] for name, own in apart.items()}
    found = judged({**values, "swiglu": BASE}, *map(claim, NAMES))
    differences = [[v - b for v, b in zip(values[name], BASE, strict=True)] for name in NAMES]
    tested = [d for d in differences if any(d)]  # what is equal with every seed is so exactly
    ps = iter(corrections.holm([min(1.0, stats.t_test(d) / FIRST) for d in tested]))
    for finding, own in zip(found, differences, strict=True):
        if own not in tested:
            assert "than swiglu: refuted (" in finding.text and "Holm" not in finding.text
            continue
        p = next(ps)
        told = "supported" if sum(own) < 0 else "refuted"
        verdict = told if p <= stats.ALPHA else "not resolved"
        assert f"than swiglu: {verdict} (" in finding.text
        assert f"Holm p {p:.2g}" in finding.text


def test_a_claim_is_not_corrected_for_what_nobody_claimed() -> None:
    """One p of 0.04 among the claims, beside three activations that no claim is about."""
    mine = [b - d for b, d in zip(BASE, [0.12, 0.3, 0.1, 0.32, 0.07], strict=True)]
    others = {name: [b + d for b, d in zip(BASE, [0.3, -0.2, 0.1, -0.3, 0.05], strict=True)] for name in NAMES[1:]}
    (found,) = judged({"relu": mine, **others, "swiglu": BASE}, claim("relu"))
    assert "supported" in found.text and found.resolved
    assert float(re.findall(r"Holm p ([\d.]+)", found.text)[0]) <= stats.ALPHA


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"reported": -0.019, "source": "a paper"}, " Reported: −0.019 (a paper)."),
        ({"reported": 0.69}, " Reported: 0.69."),
        ({"reported": "2.17, 2.19", "source": "a paper"}, " Reported: 2.17, 2.19 (a paper)."),
        ({"source": "a paper"}, " Claimed in a paper."),
    ],
)
def test_what_was_published_stands_beside_ours_with_its_own_digits(said: dict[str, Any], told: str) -> None:
    (found,) = judged({"relu": [b - 0.1 - 1e-3 * i for i, b in enumerate(BASE)], "swiglu": BASE}, claim("relu", **said))
    assert found.text.startswith("relu has a better val_loss than swiglu: supported (") and found.text.endswith(told)


def test_of_several_cells_the_one_that_decides_is_told() -> None:
    far, near = ([b - d for b in BASE] for d in (0.5, 0.0))
    wobbling = [v + w for v, w in zip(near, [0.01, -0.02, 0.015, -0.01, 0.005], strict=True)]
    records = [
        *losses({"relu": [v + 1e-3 * i for i, v in enumerate(far)], "swiglu": BASE}),
        *losses({"relu": wobbling, "swiglu": BASE}, d_model=128),
    ]
    (found,) = [
        f for f in section(claims, run(records, suite(claims=[claim("relu")]))).findings if f.question == "Claim"
    ]
    assert "not resolved" in found.text and "supported in 1 of 2 cells" in found.text and not found.resolved
    assert float(re.findall(r"Holm p ([\d.]+)", found.text)[0]) > stats.ALPHA


def test_a_claim_of_times_whose_interval_holds_the_margin_says_so() -> None:
    one = run(times({"relu": 0.8, "swiglu": 1.0}), suite(claims=[claim("relu", metric="total_time")]))
    (found,) = [f for f in section(claims, one).findings if f.question == "Claim"]
    assert "supported" in found.text


def on_texts(*shifts: float) -> list[Record]:
    """Losses of relu less swiglu's on as many texts, each a little uneven over seeds."""
    wobble = [2e-3, -1e-3, 1e-3, -2e-3, 0.0]
    corpora = "+".join(("stdlib", "manual", "sotu")[: len(shifts)])
    values = {"swiglu": [[b + k for k in range(len(shifts))] for b in BASE]}
    values["relu"] = [
        [v + s + w * (k + 1) for k, (v, s) in enumerate(zip(own, shifts, strict=True))]
        for own, w in zip(values["swiglu"], wobble, strict=True)
    ]
    return [
        record("pretrain", name, {"other_losses": own, "val_loss": [own[0]]}, seed=seed, eval_corpora=corpora)
        for name, every in values.items()
        for seed, own in enumerate(every)
    ]


@pytest.mark.parametrize(
    ("shifts", "verdict", "decides", "count"),
    [
        ((-0.2, -0.1, -0.3), "supported", "loss on manual", 3),
        ((-0.2, 0.0, -0.3), "not resolved", "loss on manual", 2),
        ((-0.2, -0.1, 0.3), "refuted", "loss on sotu", 2),
        ((-0.2,), "supported", "loss on stdlib", 0),
    ],
)
def test_a_claim_on_several_texts_holds_where_it_holds_on_each(
    shifts: tuple[float, ...], verdict: str, decides: str, count: int
) -> None:
    one = run(on_texts(*shifts), suite(claims=[claim("relu", metric="other_losses")]))
    (found,) = section(claims, one).findings
    assert found.text.startswith(f"relu has a better other_losses than swiglu: {verdict} ({decides} ")
    assert (f"supported in {count} of {len(shifts)} cells" in found.text) == (len(shifts) > 1)
    assert float(re.findall(r"Holm p ([\d.e-]+)", found.text)[0]) <= stats.ALPHA or verdict == "not resolved"


def test_a_claim_on_several_texts_of_which_some_seeds_have_none_is_not_supported() -> None:
    first, *others = on_texts(-0.2, -0.1)
    lost = record("pretrain", first.trial.cell.activation, status=Status.DIVERGED, eval_corpora="stdlib+manual")
    one = run([lost, *others], suite(claims=[claim("relu", metric="other_losses")]))
    (found,) = section(claims, one).findings
    assert "1 of 5 diverged" in found.text and not found.resolved


def test_losses_on_every_text_stand_side_by_side_each_with_its_own_verdict() -> None:
    (table,) = section(texts, run(on_texts(-0.2, 0.0, 0.3), suite())).tables
    assert [c.name for c in table.columns] == ["activation", "sotu, held out", "stdlib", "manual", "sotu"]
    rows = {row[0].text: row[1:] for row in table.rows}
    assert [e.outcome for e in rows["relu"]] == ["better", "better", "same", "worse"]
    assert [e.text for e in rows["swiglu"]] == ["3.2000", "3.2000", "4.2000", "5.2000"]
    assert not section(texts, run(losses({"relu": BASE, "swiglu": BASE}), suite())).tables
