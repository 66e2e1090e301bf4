"""Laws of the decoder and of training: causality, pairing, and repeatability to the bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from polybench.axes import LanguageAxes
from polybench.build import generator
from polybench.corpus import Tokens
from polybench.decoder import Decoder
from polybench.errors import Diverged, Unsupported
from polybench.registry import activations
from polybench.shape import Shape
from polybench.training import evaluate, groups, schedule, set_up, train

NAMES = activations.names()
AXES = LanguageAxes(d_model=16, layers=2, heads=2, seq_len=8, batch=4, steps=6, lr=0.01, eval_tokens=64)
V = 17


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
    return Decoder(V, Shape(2, 16, 2), 8, name).initialise(seed)


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
        model = set_up(text, AXES, name, "eager", "cpu", "float32", seed)
        return [step.loss for step in train(model, text, AXES, "float32", seed)]

    assert losses(3) == losses(3)
    assert losses(3) != losses(4)


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
    axes = AXES.model_copy(update={"steps": 60})
    model = set_up(text, axes, name, "eager", "cpu", "float32", 0)
    before, _ = evaluate(model, text, axes, "float32")
    list(train(model, text, axes, "float32", 0))
    after, _ = evaluate(model, text, axes, "float32")
    assert after < 0.5 * before


def test_bits_per_byte_follow_from_nats_and_lengths(text: Tokens) -> None:
    model = decoder("gelu")
    nats, bits = evaluate(model, text, AXES, "float32")
    assert bits == pytest.approx(nats / np.log(2))
    halves = Tokens(text.train_N, text.held_out_N, 2 * text.bytes_V, "twice")
    assert evaluate(model, halves, AXES, "float32")[1] == pytest.approx(bits / 2)


def test_a_loss_that_is_no_number_is_an_outcome(text: Tokens) -> None:
    model = set_up(text, AXES, "gelu", "eager", "cpu", "float32", 0)
    with torch.no_grad():
        model.embedding.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="step 1 of 6"):
        list(train(model, text, AXES, "float32", 0))


def test_too_little_text_and_float16_are_unsupported(text: Tokens) -> None:
    short = Tokens(text.train_N[:5], text.held_out_N, text.bytes_V, "short")
    with pytest.raises(Unsupported, match="fewer than one sequence"):
        set_up(short, AXES, "gelu", "eager", "cpu", "float32", 0)
    with pytest.raises(Unsupported, match="bfloat16"):
        set_up(text, AXES, "gelu", "eager", "cpu", "float16", 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_types_train_too(dtype: str, text: Tokens) -> None:
    model = set_up(text, AXES, "polynorm", "eager", "cpu", dtype, 0)
    assert len(list(train(model, text, AXES, dtype, 0))) == AXES.steps


def test_only_matrices_decay() -> None:
    decayed, spared = groups(decoder("polynorm"), 0.1)
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert all(p.ndim < 2 for p in spared["params"])
    assert spared["weight_decay"] == 0.0


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    rates = [schedule(i, 100) for i in range(100)]
    assert max(rates) == pytest.approx(1.0)
    peak = rates.index(max(rates))
    assert all(a <= b for a, b in pairwise(rates[: peak + 1]))
    assert all(a >= b for a, b in pairwise(rates[peak + 1 :]))
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
