"""Laws of the decoder and of training: causality, pairing, and repeatability to the bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from polybench.corpora.corpus import Tokens
from polybench.errors import Diverged, Unsupported
from polybench.measure.instruments.allocation import peak_bytes
from polybench.measure.model.build import chosen, generator
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.operators import linear_cross_entropy
from polybench.measure.model.optimizer import groups
from polybench.measure.shape import Shape
from polybench.measure.training.evaluation import held_out_loss
from polybench.measure.training.loop import Step, Training, repeatable, set_up
from polybench.measure.training.schedule import schedule
from polybench.measure.training_axes import FilledAxes, TrainingAxes
from polybench.registry import activations

NAMES = activations.names()
AXES = TrainingAxes(d_model=16, layers=2, heads=2, seq_len=8, batch=4, steps=6, lr=0.01, eval_tokens=64).filled()
V = 17


def changed(**axes: object) -> FilledAxes:
    return AXES.model_copy(update=axes)


def train(model: Decoder, text: Tokens, axes: FilledAxes, dtype: str, seed: int) -> Iterator[Step]:
    return Training(model, text, axes, 0.01, dtype, seed).steps()


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(scope="module")
def text() -> Tokens:
    stream = np.random.default_rng(0).integers(0, V, 2000).astype(np.uint16)
    return Tokens(stream[:1500], stream[1500:], np.ones(V, dtype=np.int64), "test")


def decoder(name: str, seed: int = 0) -> Decoder:
    return Decoder(V, Shape(layers=2, d_model=16, heads=2), 8, chosen(name)).initialise(seed)


@pytest.mark.parametrize("name", NAMES)
def test_no_position_sees_what_comes_after(name: str) -> None:
    model = decoder(name)
    tokens = torch.randint(0, V, (1, 8), generator=generator("tokens"))
    embedded = model.embedding(tokens).detach().requires_grad_()
    model.embedding.forward = lambda _: embedded  # type: ignore[method-assign]
    for position in range(8):
        (gradient,) = torch.autograd.grad(model(tokens)[0, position].square().sum(), embedded)
        reached = gradient[0].abs().sum(-1) > 0
        assert reached[: position + 1].all()
        assert not reached[position + 1 :].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_its_losses_to_the_bit(name: str, text: Tokens) -> None:
    def losses(seed: int) -> list[float]:
        model = set_up(text, AXES, chosen(name), "cpu", "float32", seed)
        return [step.loss for step in train(model, text, AXES, "float32", seed)]

    found = losses(3)
    assert losses(3) == found != losses(4)


@pytest.mark.parametrize("name", NAMES)
def test_paired_seeds_share_every_same_named_tensor_of_one_shape(name: str) -> None:
    mine, other = decoder(name, 5).state_dict(), decoder("relu", 5).state_dict()
    shared = [k for k in mine if k in other and mine[k].shape == other[k].shape]
    assert "embedding.weight" in shared
    assert "layers.1.attention.w_qkv.weight" in shared
    assert all(torch.equal(mine[k], other[k]) for k in shared)
    assert not torch.equal(mine["embedding.weight"], decoder(name, 6).state_dict()["embedding.weight"])


def test_initialisation_does_not_depend_on_what_was_drawn_before() -> None:
    first = decoder("gelu")
    torch.manual_seed(99)
    torch.randn(1000)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), decoder("gelu").parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_training_learns_a_repeating_stream(name: str) -> None:
    stream = np.tile(np.arange(V, dtype=np.uint16), 60)
    text = Tokens(stream, stream, np.ones(V, dtype=np.int64), "repeat")
    axes = changed(steps=60)
    model = set_up(text, axes, chosen(name), "cpu", "float32", 0)
    before = held_out_loss(model, text, axes, "float32").nats
    list(train(model, text, axes, "float32", 0))
    assert held_out_loss(model, text, axes, "float32").nats < 0.5 * before


def test_bits_per_byte_follow_from_nats_and_lengths(text: Tokens) -> None:
    model = decoder("gelu")
    score = held_out_loss(model, text, AXES, "float32")
    assert score.bits == pytest.approx(score.nats / np.log(2))
    halves = Tokens(text.train_N, text.held_out_N, 2 * text.bytes_V, "twice")
    assert held_out_loss(model, halves, AXES, "float32").bits == pytest.approx(score.bits / 2)
    unknown = Tokens(text.train_N, text.held_out_N, None, "shard")
    assert held_out_loss(model, unknown, AXES, "float32") == replace(score, bits=None)


def test_a_loss_that_is_no_number_is_an_outcome(text: Tokens) -> None:
    model = set_up(text, AXES, chosen("gelu"), "cpu", "float32", 0)
    with torch.no_grad():
        model.embedding.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="step 1 of 6"):
        list(train(model, text, AXES, "float32", 0))


def test_too_little_text_and_float16_are_unsupported(text: Tokens) -> None:
    short = Tokens(text.train_N[:5], text.held_out_N, text.bytes_V, "short")
    with pytest.raises(Unsupported, match="fewer than one sequence"):
        set_up(short, AXES, chosen("gelu"), "cpu", "float32", 0)
    with pytest.raises(Unsupported, match="bfloat16"):
        set_up(text, AXES, chosen("gelu"), "cpu", "float16", 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_types_train_too(dtype: str, text: Tokens) -> None:
    model = set_up(text, AXES, chosen("polynorm"), "cpu", dtype, 0)
    assert len(list(train(model, text, AXES, dtype, 0))) == AXES.steps


def test_only_matrices_decay_and_coefficients_have_a_rate_of_their_own() -> None:
    model = decoder("polynorm")
    found = groups(model, 0.1, 3.0)
    assert sum(len(g["params"]) for g in found) == len(list(model.parameters()))
    for group in found:
        matrices = all(p.ndim >= 2 for p in group["params"])
        assert group["weight_decay"] == (0.1 if matrices else 0.0)
    learned = {id(p) for layer in model.layers for p in layer.ffn.activation.parameters()}
    (apart,) = [g for g in found if g["scale"] == 3.0]
    assert {id(p) for p in apart["params"]} == learned
    assert {g["scale"] for g in groups(decoder("relu"), 0.1, 3.0)} == {1.0}


@pytest.mark.parametrize("warm_up", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_the_rate_rises_stays_or_falls_and_ends_low(kind: str, warm_up: float) -> None:
    rates = [schedule(i, changed(steps=100, schedule=kind, warm_up=warm_up)) for i in range(100)]
    assert max(rates) == pytest.approx(1.0)
    peak = round(100 * warm_up)
    assert all(a < b for a, b in pairwise(rates[:peak]))
    assert all(a >= b for a, b in pairwise(rates[peak:]))
    if kind == "cosine":
        assert rates[-1] == pytest.approx(0.1, abs=0.01)
    else:
        assert rates[-1] == pytest.approx(0.05) and rates[80] == 1.0


def trained(text: Tokens, axes: FilledAxes, seed: int = 0, name: str = "gelu") -> tuple[list[float], Training]:
    training = Training(set_up(text, axes, chosen(name), "cpu", "float64", seed), text, axes, 0.01, "float64", seed)
    return [step.loss for step in training.steps()], training


@pytest.mark.parametrize("count", [2, 4])
def test_micro_batches_change_nothing_but_rounding(count: int, text: Tokens) -> None:
    once, a = trained(text, AXES, name="polynorm")
    parts, b = trained(text, changed(accumulate=count), name="polynorm")
    assert parts == pytest.approx(once, rel=1e-9)
    assert torch.allclose(a.model.embedding.weight, b.model.embedding.weight, rtol=1e-6)


def test_computing_again_changes_nothing_but_memory(text: Tokens) -> None:
    again = changed(recompute=True)
    assert trained(text, again)[0] == trained(text, AXES)[0]
    peaks = []
    for axes in (again, AXES):
        model = set_up(text, axes, chosen("polynorm"), "cpu", "float32", 0)
        peaks.append(peak_bytes(Training(model, text, axes, 0.01, "float32", 0).micro_batch, "cpu"))
    assert peaks[0] < 0.9 * peaks[1]


def test_a_source_that_does_not_vary_is_that_of_seed_0(text: Tokens) -> None:
    same = changed(varies="init")
    assert np.array_equal(trained(text, same, 1)[1]._starts, trained(text, AXES, 0)[1]._starts)
    fixed = changed(varies="data")
    first, _ = trained(text, fixed, 1)
    assert first[0] != trained(text, AXES, 1)[0][0]
    weights = set_up(text, fixed, chosen("gelu"), "cpu", "float64", 1).state_dict()
    base = set_up(text, AXES, chosen("gelu"), "cpu", "float64", 0).state_dict()
    assert all(torch.equal(weights[k], base[k]) for k in base)
    assert len({tuple(trained(text, changed(varies=v), 1)[0]) for v in ("both", "init", "data")}) == 3


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_model_ends_with_the_mean_of_its_last_weights(share: float, text: Tokens) -> None:
    axes = changed(average=share)
    training = Training(set_up(text, AXES, chosen("polynorm"), "cpu", "float64", 0), text, axes, 0.01, "float64", 0)
    plain = Training(set_up(text, AXES, chosen("polynorm"), "cpu", "float64", 0), text, AXES, 0.01, "float64", 0)
    list(training.steps())
    after = [[p.detach().clone() for p in plain.model.parameters()] for _ in plain.steps()]
    last = after[-max(1, int(np.ceil(share * AXES.steps))) :]
    for i, p in enumerate(training.model.parameters()):
        assert torch.allclose(p, torch.stack([weights[i] for weights in last]).mean(0), rtol=1e-12, atol=1e-15)
        assert share or torch.equal(p, after[-1][i])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("experts", [0, 2])
def test_what_layers_add_can_begin_as_nothing(name: str, experts: int) -> None:
    shape = Shape(layers=2, d_model=16, heads=2, experts=experts)
    model = Decoder(V, shape, 8, chosen(name)).initialise(0, zero_output=True)
    tokens = torch.randint(0, V, (1, 8), generator=generator("tokens"))
    stream = model.norm(model.embedding(tokens))
    assert torch.equal(model(tokens), torch.nn.functional.linear(stream, model.embedding.weight))
    plain = Decoder(V, shape, 8, chosen(name)).initialise(0)
    for (key, mine), other in zip(model.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.equal(mine, other) != ("w_out" in key)


@pytest.mark.parametrize("average", [0.0, 0.25])
@pytest.mark.parametrize("name", ["gelu", "polynorm"])
def test_every_budget_ends_as_a_training_of_that_many_steps_would(name: str, average: float, text: Tokens) -> None:
    """A branch is the training whose schedule was made for its budget, and the plateau goes on as without it."""
    axes = changed(steps=20, schedule="wsd", warm_up=0.1, decay=0.25, average=average, finish_at="0.6+0.8")
    assert axes.budgets == (12, 16, 20) and axes.steps_taken == 20 + 3 + 4

    def ends(axes: FilledAxes) -> tuple[dict[int, Step], dict[int, dict[str, torch.Tensor]]]:
        model = set_up(text, axes, chosen(name), "cpu", "float64", 0)
        training = Training(model, text, axes, 0.01, "float64", 0)
        taken, kept = {}, {}
        for step in training.steps():
            taken |= {} if step.aside else {training.done: step}
            if step.ends:
                kept[training.done] = copy.deepcopy(model.state_dict())
        return taken, kept

    def what(steps: dict[int, Step]) -> list[tuple[float, ...]]:
        return [(s.loss, s.gradient_norm, s.rate) for s in steps.values()]

    taken, kept = ends(axes)
    assert list(taken) == list(range(1, 21)) and list(kept) == [12, 16, 20]
    assert what(taken) == what(ends(changed(**{**axes.__dict__, "finish_at": ""}))[0])
    starts = Training(set_up(text, axes, chosen(name), "cpu", "float64", 0), text, axes, 0.01, "float64", 0)._starts
    for budget, weights in kept.items():
        alone = changed(**{**axes.__dict__, "finish_at": "", "steps": budget, "warm_up": 2 / budget})
        model = set_up(text, alone, chosen(name), "cpu", "float64", 0)
        training = Training(model, text, alone, 0.01, "float64", 0)
        training._starts = starts[:budget]
        list(training.steps())
        assert all(torch.equal(w, weights[k]) for k, w in model.state_dict().items())


def test_a_short_gradient_is_left_alone_and_a_long_one_cut(text: Tokens) -> None:
    free, _ = trained(text, changed(clip=1e9))
    assert trained(text, changed(clip=1e8))[0] == free
    assert trained(text, changed(clip=1e-3))[0] != free


@pytest.mark.parametrize(
    "branching", [{}, {"schedule": "wsd", "decay": 0.4, "finish_at": "0.5+0.7"}], ids=["", "branches"]
)
def test_any_step_can_be_gone_on_from(branching: dict[str, object], text: Tokens) -> None:
    """The law behind resuming: what `state` holds is all that the next step depends on."""
    axes = changed(accumulate=2, steps=12, **branching, average=0.3)
    whole, ended = trained(text, axes, 3, "polynorm")
    begun = Training(set_up(text, axes, chosen("polynorm"), "cpu", "float64", 3), text, axes, 0.01, "float64", 3)
    steps, before = begun.steps(), list[float]()
    for _ in range(axes.steps_taken):
        other = Training(set_up(text, axes, chosen("polynorm"), "cpu", "float64", 9), text, axes, 0.01, "float64", 3)
        other.load(copy.deepcopy(begun.state()))
        assert before + [step.loss for step in other.steps()] == whole
        assert all(torch.equal(a, b) for a, b in zip(other.model.parameters(), ended.model.parameters(), strict=True))
        before.append(next(steps).loss)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", ["relu", "polynorm"])
def test_a_step_needs_no_more_than_a_micro_batch_and_the_gradients(name: str, count: int, text: Tokens) -> None:
    """Model and moments are there already; the peak counts what comes on top."""
    axes = changed(batch=16, accumulate=count)
    model = set_up(text, axes, chosen(name), "cpu", "float32", 0)
    training = Training(model, text, axes, 0.01, "float32", 0)
    steps = training.steps()
    next(steps)  # the optimizer's moments are made
    micro_batch = peak_bytes(training.micro_batch, "cpu")
    gradients = sum(4 * p.numel() for p in model.parameters()) if count > 1 else 0
    batch = 2 * 8 * axes.batch * (axes.seq_len + 1)
    assert peak_bytes(lambda: next(steps), "cpu") <= micro_batch + gradients + batch


def test_new_memory_is_not_filled_and_an_evaluation_makes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch fills it where operators are to repeat, and asks for the gradients of parameters whatever the mode."""
    repeatable(True)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    made: list[object] = []
    inner = torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda *a, **k: made.append(a) or inner(*a, **k))
    x_NxD, weight_VxD = torch.ones(4, 3), torch.nn.Parameter(torch.ones(V, 3))
    targets_N = torch.arange(4)
    learned = linear_cross_entropy(x_NxD, weight_VxD, targets_N)
    assert learned.requires_grad and len(made) == 1
    with torch.no_grad():
        assert torch.equal(linear_cross_entropy(x_NxD, weight_VxD, targets_N), learned.detach()) and len(made) == 1
