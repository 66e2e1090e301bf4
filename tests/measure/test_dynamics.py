"""Laws of what is measured inside of a decoder: ranks, cosines, activations; and that looking changes nothing."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
import torch
from torch import nn

from polybench.corpora.corpus import Tokens
from polybench.measure.model.build import activation, chosen, generator
from polybench.measure.model.decoder import Decoder
from polybench.measure.range_metrics import FORMATS, RANGES
from polybench.measure.training.dynamics import (
    Observer,
    coefficients,
    effective_rank,
    matrices,
    pair_cosines,
    statistics,
)
from polybench.measure.training.evaluation import sample
from polybench.measure.training.listening import overheard
from polybench.measure.training.loop import Training, set_up
from polybench.measure.training.magnitudes import magnitudes
from polybench.measure.training_axes import TrainingAxes
from polybench.measure.training_metrics import BY_LAYER, DYNAMICS, HIGHEST, PAIR_COSINE, SCALARS, pairs_of
from polybench.record import Measurement
from polybench.registry import activations

NAMES = activations.names()
LEARNED = ("polynorm", "polyrelu", "gated_polynorm")
AXES = TrainingAxes(d_model=16, layers=3, heads=2, seq_len=8, batch=4, steps=4, lr=0.01, eval_tokens=64).filled()
V, LAYERS = 17, 3


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def text() -> Tokens:
    stream = np.random.default_rng(0).integers(0, V, 2000).astype(np.uint16)
    return Tokens(stream[:1500], stream[1500:], np.ones(V, dtype=np.int64), "test")


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator("dynamics", *shape), dtype=torch.float64)


def observed(
    text: Tokens, name: str, backend: str = "eager", dtype: str = "float32", **changes: object
) -> tuple[Decoder, Observer]:
    model = set_up(text, AXES.model_copy(update=changes), chosen(name, backend), "cpu", dtype, 0)
    return model, Observer(model, sample(text.held_out_N, AXES, torch.device("cpu")), dtype)


def found(observer: Observer) -> dict[str, Measurement]:
    return {m.metric: m for m in observer.measurements()}


@pytest.mark.parametrize("width", [1, 5, 24])
def test_the_rank_of_orthogonal_matrices_is_their_width_and_of_an_outer_product_one(width: int) -> None:
    q, _ = torch.linalg.qr(normal(2 * width, width))
    assert effective_rank(q[None]).item() == pytest.approx(width)
    assert effective_rank(torch.outer(normal(7), normal(width))[None]).item() == pytest.approx(1)


def test_the_rank_is_known_for_given_singular_values() -> None:
    halves = torch.diag(torch.tensor([2.0, 1.0, 1.0, 0.0]))[None]  # entropy of 1/2, 1/4, 1/4
    assert effective_rank(halves).item() == pytest.approx(math.exp(1.5 * math.log(2)))


def test_the_rank_ignores_scale_rotation_and_transposition() -> None:
    w = normal(2, 9, 6)
    left, _ = torch.linalg.qr(normal(9, 9))
    right, _ = torch.linalg.qr(normal(6, 6))
    for same in (1e-6 * w, -3e4 * w, left @ w @ right, w.mT):
        torch.testing.assert_close(effective_rank(same), effective_rank(w))
    assert ((effective_rank(w) > 1) & (effective_rank(w) < 6)).all()


def test_matrices_of_zeros_have_rank_0_and_broken_ones_none() -> None:
    assert effective_rank(torch.zeros(1, 3, 4)).tolist() == [0.0]
    assert effective_rank(torch.full((2, 3, 4), math.inf)).isnan().all()


def test_statistics_of_known_values() -> None:
    assert statistics(torch.tensor([0.0, 0.0, 2.0, -2.0])) == (pytest.approx(math.sqrt(2)), pytest.approx(2))
    assert statistics(3 * normal(200_000)) == (pytest.approx(3, rel=0.01), pytest.approx(3, rel=0.02))
    assert math.isnan(statistics(torch.ones(5))[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_magnitudes_of_known_values(dtype: torch.dtype) -> None:
    small = magnitudes(torch.tensor([0.0, -0.0, 3.0, -4.0], dtype=dtype))
    assert small == {"largest": 4.0, "crest": pytest.approx(1.6), "zeros": 0.5} | {f"beyond_{n}": 0 for n in FORMATS}
    assert math.isnan(magnitudes(torch.zeros(3, dtype=dtype))["crest"])
    gone = magnitudes(torch.tensor([1.0, math.inf, -math.inf, 2.0], dtype=dtype))
    assert gone["largest"] == math.inf and all(gone[f"beyond_{n}"] == 0.5 for n in FORMATS)
    assert math.isnan(magnitudes(torch.tensor([1.0, math.nan], dtype=dtype))["largest"])


@pytest.mark.parametrize(
    ("name", "held"), list(zip(FORMATS, (torch.float16, torch.float8_e4m3fn, torch.float8_e5m2), strict=True))
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_beyond_a_format_is_what_is_larger_than_its_largest_number(
    name: str, held: torch.dtype, dtype: torch.dtype
) -> None:
    most = torch.tensor(torch.finfo(held).max, dtype=torch.float64)
    rounded = most.to(dtype)  # of float16's in bfloat16 that is larger
    above = rounded if rounded > most else torch.nextafter(rounded, torch.tensor(math.inf, dtype=dtype))
    assert above > most
    x = torch.stack([above, -above, rounded * 0.5, -rounded * 0.25])
    assert magnitudes(x)[f"beyond_{name}"] == 0.5
    assert magnitudes(most.reshape(1))[f"beyond_{name}"] == 0  # the largest number itself is held


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_has_every_measurement_once(name: str, text: Tokens) -> None:
    model, observer = observed(text, name)
    observer.look(0)
    values = list(observer.measurements())
    names = [m.metric for m in values]
    learned = sum(p.numel() for p in activation(name).parameters())
    assert len(set(names)) == len(names) == len(SCALARS) + len(BY_LAYER) + 2 * learned + 3 * len(RANGES) + 1
    assert set(names) <= {m.name for m in DYNAMICS}
    for m in values:
        assert all(map(math.isfinite, m.values)), m
        if m.metric in {b.name for b in BY_LAYER} or m.metric.startswith("layer_"):
            assert m.steps == (1, 2, 3)
        if m.metric.endswith("_curve"):
            assert m.steps == (0,)
    by_name = {m.metric: m.values for m in values}
    ranks = [r for layer in model.layers for w in matrices(layer) for r in effective_rank(w).tolist()]
    assert by_name["effective_rank"][0] == pytest.approx(fmean(ranks) / 16)
    assert by_name["effective_rank_kept"][0] == pytest.approx(1)
    cosines = by_name[PAIR_COSINE.name]
    assert by_name["distant_cosine"][0] == pytest.approx(fmean(cosines[i] for i in (1, 3, 4)))  # (0, 2), (0, 3), (1, 3)
    for scalar, layered in (("neighbour_cosine", "layer_cosine"), ("activation_kurtosis", "layer_kurtosis")):
        assert by_name[scalar][0] == pytest.approx(fmean(by_name[layered]))
    for r in RANGES:  # nothing was trained since the look
        over = max if r.highest else fmean
        assert by_name[r.scalar.name] == by_name[r.by_step.name] == (over(by_name[r.by_layer.name]),)


def test_cosines_of_states_made_by_hand() -> None:
    x, y = torch.eye(6, dtype=torch.float64).mul(3).unflatten(0, (2, 3)).expand(2, 3, 6), normal(2, 3, 6)
    turned = x.roll(1, -1)  # at every token orthogonal to x
    assert pair_cosines([x, 2 * x, -x, turned]) == {(0, 1): 1, (0, 2): -1, (1, 2): -1, (0, 3): 0, (1, 3): 0, (2, 3): 0}
    half = torch.stack([x[0], turned[0]])  # of which one sequence of two is like x
    assert pair_cosines([x, half]) == {(0, 1): 0.5}
    assert pair_cosines([x, torch.zeros_like(x)]) == {(0, 1): 0}
    assert pair_cosines([x, y])[0, 1] == pytest.approx(pair_cosines([y, x])[0, 1])
    assert pair_cosines([y.float(), y])[0, 1] == pytest.approx(1, abs=1e-12)
    assert pair_cosines([x]) == {}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cosines_are_those_of_the_residual_stream_at_every_pair_of_depths(dtype: str, text: Tokens) -> None:
    model, observer = observed(text, "polynorm", dtype=dtype)
    values = found(observer)
    stream: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda m, x, y: stream.extend([x[0], y[0]])) for layer in model.layers]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        model.eval()(observer.tokens_BxT)
    for hook in hooks:
        hook.remove()
    states = [stream[0], *stream[1::2]]
    wanted = [
        nn.functional.cosine_similarity(states[i].double(), states[k].double(), dim=-1).mean().item()
        for i, k in pairs_of(LAYERS + 1)
    ]
    pairs = values[PAIR_COSINE.name]
    assert pairs.values == pytest.approx(wanted, abs=1e-12)
    assert pairs.steps == (1, 2, 3, 4, 5, 6)
    neighbours = [n for n, (i, k) in enumerate(pairs_of(LAYERS + 1)) if k == i + 1]
    assert values["layer_cosine"].values == tuple(pairs.values[n] for n in neighbours)


def test_one_layer_has_no_distant_states(text: Tokens) -> None:
    values = found(observed(text, "relu", layers=1)[1])
    assert "distant_cosine" not in values and len(values[PAIR_COSINE.name].values) == 1


@pytest.mark.parametrize("name", NAMES)
def test_looking_changes_no_bit_of_the_training(name: str, text: Tokens) -> None:
    def losses(watch: bool) -> tuple[list[float], dict[str, torch.Tensor]]:
        model, observer = observed(text, name)
        training, got = Training(model, text, AXES, 0.01, "float32", 0), []
        for step in training.steps():
            got.append(step.loss)
            if watch:
                observer.look(training.done)
                list(observer.measurements())
        return got, model.state_dict()

    (plain, one), (watched, other) = losses(False), losses(True)
    assert plain == watched
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_hooks_modes_gradients_and_generators_are_as_before(text: Tokens) -> None:
    model, observer = observed(text, "polynorm")
    model.layers[1].eval()
    model(observer.tokens_BxT).sum().backward()
    modes = [m.training for m in model.modules()]
    gradients = [p.grad.clone() for p in model.parameters()]
    state, runs = torch.get_rng_state(), [layer.ffn.executed for layer in model.layers]
    list(observer.measurements())
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert [layer.ffn.executed for layer in model.layers] == runs
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_layers_that_add_nothing_have_cosine_1(text: Tokens) -> None:
    model, observer = observed(text, "gelu")
    with torch.no_grad():
        for layer in model.layers:
            layer.attention.w_out.weight.zero_()
            layer.ffn.w_out.weight.zero_()
    values = found(observer)
    assert values["pair_cosine"].values == pytest.approx([1.0] * 6)
    assert values["w_out_rank"].values == (0.0,) * LAYERS


@pytest.mark.parametrize(("name", "share"), [("relu", 0.5), ("relu2", 0.5), ("gelu", 0), ("swiglu", 0)])
@pytest.mark.parametrize("backend", ["eager", "checkpoint"])
def test_half_of_the_outputs_of_relu_are_zero_at_the_start(name: str, share: float, backend: str, text: Tokens) -> None:
    _, observer = observed(text, name, backend)
    assert found(observer)["layer_zeros"].values == pytest.approx([share] * LAYERS, abs=0.05)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_types_are_observed_too(dtype: str, text: Tokens) -> None:
    values = [{k: m.values for k, m in found(observed(text, "relu", dtype=d)[1]).items()} for d in ("float32", dtype)]
    assert values[1]["layer_rms"] == pytest.approx(values[0]["layer_rms"], rel=0.02)


@pytest.mark.parametrize("name", LEARNED)
def test_coefficients_start_at_a_third_and_move(name: str, text: Tokens) -> None:
    model, observer = observed(text, name)
    observer.look(0)
    for i in range(1, 4):
        assert found(observer)[f"layer_coefficient_{i}"].values == pytest.approx([1 / 3] * LAYERS)
    weight, bias = model.layers[2].ffn.activation.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor([3.0, 2.0, 1.0]))  # a_3, a_2, a_1
        bias.fill_(0.6)
    resumed = Observer(model, observer.tokens_BxT, looks=dict(observer.looks))
    resumed.look(7)
    values = found(resumed)
    assert values["layer_coefficient_3"].values == pytest.approx([1 / 3, 1 / 3, 3])
    assert values["layer_coefficient_0"].values == pytest.approx([0, 0, 0.6])
    assert values["coefficient_2"] == Measurement("coefficient_2", pytest.approx((1 / 3, 8 / 9)), (0, 7))


def test_coefficients_beyond_the_highest_are_left_out_and_long_parameters_count_once() -> None:
    module = nn.Module()
    module.many = nn.Parameter(torch.arange(HIGHEST + 3.0))
    module.single = nn.ParameterList(torch.tensor([float(i)]) for i in range(HIGHEST))
    assert coefficients(module) == {i: float(HIGHEST - i) for i in range(1, HIGHEST + 1)}
    assert coefficients(nn.PReLU(40)) == {1: 0.25}
    assert coefficients(nn.ReLU()) == {}


@pytest.mark.parametrize(("name", "branches"), [("relu", 1), ("swiglu", 2)])
def test_branches_and_experts_are_matrices_of_their_own(name: str, branches: int, text: Tokens) -> None:
    dense, _ = observed(text, name)
    mixed, _ = observed(text, name, experts=3)
    w_in, w_out = matrices(dense.layers[0])
    assert (len(w_in), len(w_out)) == (branches, 1)
    assert torch.equal(torch.cat(list(w_in)), dense.layers[0].ffn.w_in.weight)
    w_in, w_out = matrices(mixed.layers[0])
    assert (len(w_in), len(w_out)) == (3 * branches, 3)
    assert torch.equal(torch.cat(list(w_in[branches : 2 * branches])), mixed.layers[0].ffn.w_in[1])


@pytest.mark.parametrize("owned", ["shared", "own"])
def test_all_experts_are_heard_and_their_coefficients_averaged(owned: str, text: Tokens) -> None:
    model, observer = observed(text, "relu", experts=4, top_k=2, expert_coefficients=owned)
    assert found(observer)["layer_zeros"].values == pytest.approx([0.5] * LAYERS, abs=0.06)
    model, observer = observed(text, "polynorm", experts=4, top_k=2, expert_coefficients=owned)
    each = list(model.layers[0].ffn.activation.modules())[-1]  # the last expert's, or that of all
    with torch.no_grad():
        each.bias.fill_(1.0)
    assert found(observer)["layer_coefficient_0"].values == pytest.approx([0.25 if owned == "own" else 1, 0, 0])
    rows = observer.tokens_BxT.numel() * 2
    heard: list[int] = []
    with overheard(model.layers[1].ffn, lambda x, y: heard.append(len(y))):
        model(observer.tokens_BxT)
    assert sum(heard) == rows and len(heard) == (4 if owned == "own" else 1)
