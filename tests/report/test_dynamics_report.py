"""What was observed inside of decoders reaches the report: tables and pictures of their own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import changed, items, losses, record, run, suite

from polybench.document import Document, Figure
from polybench.kind import Progress
from polybench.measure.range_metrics import RANGES
from polybench.measure.training_metrics import BY_LAYER, DYNAMICS, PAIR_COSINE, SCALARS, pairs_of
from polybench.metric import Metric
from polybench.plan.jobs import plan
from polybench.record import Measurement, Record
from polybench.report.compose import compose
from polybench.report.formats.draw import svg
from polybench.trial import CHECKPOINTS

RANK = {"relu": 0.9, "swiglu": 0.8, "polynorm": 0.95}


def observed(name: str, seed: int) -> Record:
    """Numbers that differ by a little from seed to seed, and coefficients of polynorm alone."""
    shift = 0.01 * seed
    values = {m.name: [RANK[name] + shift] for m in SCALARS}
    values |= {m.name: [RANK[name] + shift, 0.5 + shift, 0.4 + shift] for m in BY_LAYER}
    for r in RANGES:  # of shares only the zeros of relu's output are above 0
        some = r.scalar.unit == "1" or (name == "relu" and r.scalar.name == "activation_zeros")
        values[r.scalar.name] = [RANK[name] + shift if some else 0.0]
        values |= {m.name: 3 * values[r.scalar.name] for m in (r.by_layer, r.by_step)}
    values[PAIR_COSINE.name] = [RANK[name] + shift**2, 0.5 + shift, 0.4]  # of (0, 1), (0, 2), (1, 2)
    if name == "polynorm":
        values |= {"coefficient_3": [1 / 3, 0.2, 0.1 + shift], "layer_coefficient_3": [0.0, 0.1 + shift, 0.2 + shift]}
    return record("pretrain", name, {"val_loss": [3 + shift], **values}, seed=seed, steps=[1, 2, 3])


RECORDS = [observed(name, seed) for name in RANK for seed in range(3)]
DOCUMENT = compose(run(RECORDS))


def picture(document: Document, metric: str) -> Figure:
    (found,) = [f for f in document.figures if f"dynamics-{metric.replace('_', '-')}-pretrain" in f.key]
    return found


def maps(document: Document) -> dict[str, Figure]:
    """The pictures of likeness by what stands in brackets at the end of their titles."""
    return {f.title.partition(" (")[2].rstrip(")"): f for f in document.figures if f.kind == "matrix"}


def test_a_metric_of_an_older_run_runs_along_its_steps() -> None:
    for metric in DYNAMICS:
        assert Metric(**metric.to_json()) == metric
    old = {k: v for k, v in Metric("m", "1", "lower", "seed", "", curve=True).to_json().items() if k != "along"}
    assert Metric(**old).along == "step"


def test_the_scalars_have_a_table_of_their_own_with_paired_intervals() -> None:
    names = {m.name for m in SCALARS}
    (table,) = [t for t in DOCUMENT.tables if names & {c.name for c in t.columns}]
    assert table.key == "pretrain-dynamics"
    at = {c.name: i for i, c in enumerate(table.columns)}
    rows = {row[0].text: row for row in table.rows}
    assert list(rows) == list(RANK)
    share = rows["relu"][at["effective_rank over swiglu's"]]
    ratios = [(0.9 + 0.01 * s) / (0.8 + 0.01 * s) for s in range(3)]
    assert share.value == pytest.approx(math.prod(ratios) ** (1 / 3))
    assert share.low and share.high and share.low < share.value < share.high
    assert rows["swiglu"][at["neighbour_cosine less swiglu's"]].text == "0"


def test_ranges_have_a_table_without_the_shares_that_are_0_everywhere() -> None:
    (table,) = [t for t in DOCUMENT.tables if t.key == "pretrain-ranges"]
    at = {c.name: i for i, c in enumerate(table.columns)}
    names = {r.scalar.name for r in RANGES}
    shown = {r.scalar.name for r in RANGES if r.scalar.unit == "1"} | {"activation_zeros"}
    assert names & set(at) == shown
    assert all(name in table.caption for name in names)
    rows = {row[0].text: row for row in table.rows}
    zeros = rows["relu"][at["activation_zeros less swiglu's"]]
    assert zeros.value == pytest.approx(0.91) and zeros.outcome == ""
    assert rows["polynorm"][at["activation_zeros less swiglu's"]].value == 0
    crest = rows["relu"][at["preactivation_crest over swiglu's"]]
    assert crest.low and crest.high and 1 < crest.low < crest.high


def test_a_run_from_before_the_ranges_has_the_rest() -> None:
    before = {m.name for m in (*SCALARS, *BY_LAYER)} | {"activation_zeros", "layer_zeros", "val_loss"}
    before -= {"distant_cosine"}
    old = run([replace(r, measurements=tuple(m for m in r.measurements if m.metric in before)) for r in RECORDS])
    known = {kind: [m for m in some if m["name"] in before] for kind, some in old.header["metrics"].items()}
    document = compose(replace(old, header={**old.header, "metrics": known}))
    assert not [n for n in document.notes if "could not be made" in n]
    keys = {t.key: [c.name for c in t.columns] for t in document.tables}
    assert "neighbour_cosine" in keys["pretrain-dynamics"] and "distant_cosine" not in keys["pretrain-dynamics"]
    assert not maps(document)
    assert "activation_zeros" in keys["pretrain-ranges"] and "activation_crest" not in keys["pretrain-ranges"]


def test_ranges_are_drawn_where_there_is_something_to_see() -> None:
    keys = [f.key for f in DOCUMENT.figures if f.key.startswith("dynamics")]
    for name in ("layer-largest", "layer-preactivation-largest", "activation-largest-curve", "layer-zeros"):
        assert any(name in key for key in keys), name
    assert not [key for key in keys if "beyond" in key or "crest" in key]
    assert not [f for f in DOCUMENT.figures if f.key.startswith("curve") and "activation" in f.key]


def test_likeness_has_a_map_an_activation_and_its_difference_by_seed() -> None:
    pictures = maps(DOCUMENT)
    assert list(pictures) == list(RANK) and len({f.key for f in pictures.values()}) == len(RANK)
    assert len(pictures["swiglu"].maps) == 1
    own, less = pictures["relu"].maps
    assert (own.label, less.label) == ("relu", "relu less swiglu")
    for square, same in ((own.rows, 1), (less.rows, 0), (less.low, 0), (less.high, 0)):
        assert [square[i][i] for i in range(3)] == [same] * 3
        assert all(square[i][k] == square[k][i] for i, k in pairs_of(3))
    mean = 0.9 + 5e-4 / 3
    assert own.rows[1][0] == pytest.approx(mean) and own.rows[2] == (pytest.approx(0.51), pytest.approx(0.4), 1)
    assert less.rows[1][0] == pytest.approx(0.1) and less.low[1][0] == pytest.approx(0.1)  # paired, shifts drop out
    assert less.rows[2][0] == less.low[2][0] == less.high[2][0] == 0
    assert {m.scale for f in pictures.values() for m in f.maps[:1]} == {(0.0, 1.0)}
    widest = max(abs(v) for f in pictures.values() for m in f.maps[1:] for row in m.rows for v in row)
    assert {m.scale for f in pictures.values() for m in f.maps[1:]} == {(-widest, widest)}
    assert "of 6 such intervals chance alone would frame 0.3" in pictures["relu"].caption


def test_maps_are_drawn_with_their_numbers_and_frames() -> None:
    own, less = maps(DOCUMENT)["relu"].maps
    for size, numbers in ((3, True), (12, False)):
        grown = [replace(m, rows=((0.25,) * size,) * size, low=(), high=()) for m in (own, less)]
        plain = svg(replace(maps(DOCUMENT)["relu"], maps=tuple(grown)))
        assert plain.count(">.25<") == numbers * size**2 and plain.count(">+.25<") == numbers * size**2
        low = ((0.1, -0.1, *[math.nan] * (size - 2)), *((-0.1,) * size,) * (size - 1))
        framed = replace(grown[1], low=low, high=((0.4,) * size,) * size)
        marked = svg(replace(maps(DOCUMENT)["relu"], maps=(grown[0], framed)))
        assert marked.count("<path") == plain.count("<path") + 1
    assert 'aria-label="Cosine of the residual stream between layers (relu): relu, relu less swiglu"' in plain
    assert svg(maps(DOCUMENT)["swiglu"])


def test_likeness_of_one_seed_has_no_frame_and_of_a_broken_one_a_gap() -> None:
    alone = maps(compose(run([observed(name, 0) for name in RANK])))["relu"]
    assert alone.maps[1].low == () and "Framed" not in alone.caption and "one seed" in alone.caption
    bad = record("pretrain", "relu", {PAIR_COSINE.name: [math.nan, -0.5, 1.0]}, seed=0, steps=[1, 2, 3])
    broken = maps(compose(run([bad, *RECORDS[1:]])))["relu"]
    assert math.isnan(broken.maps[0].rows[0][1]) and broken.maps[0].rows[1][2] == pytest.approx(0.6)
    assert broken.maps[0].scale[0] == 0 and svg(broken)
    below = maps(compose(changed(run([bad]))))["relu"]
    assert below.maps[0].scale == (-0.5, 1.0) and len(below.maps) == 1 and svg(below)
    assert not below.maps[0].signed and alone.maps[1].signed


def test_coefficients_are_told_of_those_that_learn_some() -> None:
    (table,) = [t for t in DOCUMENT.tables if t.key == "pretrain-coefficients"]
    assert [c.name for c in table.columns] == ["activation", "a_3"]
    ((name, entry),) = table.rows
    assert (name.text, entry.text) == ("polynorm", "0.107 (0 to 0.210)")


def test_every_metric_by_layer_has_a_picture_across_layers() -> None:
    for metric in BY_LAYER:
        figure = picture(DOCUMENT, metric.name)
        assert figure.x_label == "Layer"
        assert [s.label for s in figure.series] == list(RANK)
        assert all(s.x == (1, 2, 3) and len(s.low) == len(s.high) == 3 for s in figure.series)
        assert svg(figure)
    relu = picture(DOCUMENT, "w_in_rank").series[0]
    assert (relu.y[0], relu.low[0], relu.high[0]) == pytest.approx((0.91, 0.90, 0.92))
    assert not [f for f in DOCUMENT.figures if f.key.startswith("curve") and f.x_label != "Optimizer steps"]
    assert not [f for f in DOCUMENT.figures if f.key.startswith("curve-layer")]


def test_coefficients_are_drawn_over_steps_from_the_start() -> None:
    figure = picture(DOCUMENT, "coefficient_3")
    assert figure.x_label == "Optimizer steps" and figure.title == "Learned coefficient a_3"
    ((label, x, y),) = [(s.label, s.x, s.y) for s in figure.series]
    assert (label, x, y) == ("polynorm", (1, 2, 3), pytest.approx((1 / 3, 0.2, 0.11)))


def test_a_run_that_was_not_observed_has_none_of_it() -> None:
    document = compose(run(losses({"relu": [3.0, 3.1], "swiglu": [3.0, 3.2]})))
    assert not [t for t in document.tables if t.key.endswith(("dynamics", "coefficients"))]
    assert not [f for f in document.figures if f.key.startswith("dynamics")]


def test_a_value_that_is_not_finite_is_left_out_of_the_picture() -> None:
    broken = record("pretrain", "relu", {"layer_rms": [1.0, math.nan, 3.0]}, seed=0, steps=[1, 2, 3])
    figure = picture(compose(changed(run([broken]))), "layer_rms")
    assert figure.series[0].x == (1, 3) and figure.series[0].low == ()
    assert svg(figure)


def test_observing_through_the_kind_changes_no_loss_and_survives_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "kept"))
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"words of document {i} " * 40, encoding="utf-8")
    matrix = {"corpus": f"text:{tmp_path}/*.txt", "d_model": 8, "heads": 1, "layers": 2, "seq_len": 8, "batch": 2,
              "steps": 10, "eval_tokens": 64}  # fmt: skip
    asked = suite(activations=["polynorm", "swiglu"], benchmarks=[{"name": "p", "kind": "pretrain", "matrix": matrix}])
    trial = plan(asked, "cpu").trials[0]
    torch.set_num_threads(1)

    def measured(**protocol: object) -> dict[str, Measurement]:
        found = list(items(trial, evaluations=5, **protocol))
        assert not [i for i in found if isinstance(i, Exception)]
        return {i.metric: i for i in found if isinstance(i, Measurement)}

    plain, watched = measured(), measured(dynamics=True)
    assert set(watched) - set(plain) <= {m.name for m in DYNAMICS} and not set(plain) - set(watched)
    assert watched["coefficient_1"].steps == plain["val_curve"].steps == (0, 2, 4, 6, 8, 10)
    assert watched["coefficient_1"].values[0] == pytest.approx(1 / 3)
    for name in ("val_curve", "train_loss", "gradient_norm"):
        assert watched[name] == plain[name]
    steps = (i for i in items(trial, evaluations=5, dynamics=True, checkpoint_every=3) if isinstance(i, Progress))
    for _ in range(7):
        next(steps)
    steps.close()
    resumed = measured(dynamics=True, checkpoint_every=3)
    for name in {m.name for m in DYNAMICS} & set(watched):
        assert resumed[name] == watched[name], name
