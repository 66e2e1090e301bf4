"""Laws of the decoder: its closed forms, its losses, and its equality with Hugging Face's LLaMA."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from polybench.measure.model import operators
from polybench.measure.model.build import activation, chosen, generator
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.operators import linear_cross_entropy, rms_norm
from polybench.measure.presets import PRESETS, recipe, shape_of_depth
from polybench.measure.shape import Shape
from polybench.registry import activations

NAMES = activations.names()
V, T = 40, 16
SHAPES = [
    Shape(2, 32, 2),
    Shape(1, 32, 4, ffn_width=72, tied=False, qk_norm=True),
    Shape(2, 32, 2, experts=3, top_k=2),
    Shape(2, 32, 2, ffn_width=24, experts=4, top_k=1, expert_coefficients="own"),
]


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def text(rows: int = 2) -> torch.Tensor:
    return torch.randint(0, V, (rows, T + 1), generator=generator("text"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parameters_in_closed_form_are_those_of_the_built_decoder(shape: Shape, name: str) -> None:
    model, G, coefficients = Decoder(V, shape, T, chosen(name)), chosen(name).branches, count(activation(name))
    assert shape.parameters(V, G, coefficients) == count(model)
    idle = shape.experts - shape.top_k if shape.experts else 0
    weights = idle * sum(layer.ffn.w_in[0].numel() + layer.ffn.w_out[0].numel() for layer in model.layers if idle)
    sets = idle * shape.layers if shape.expert_coefficients == "own" else 0
    assert shape.active_parameters(V, G, coefficients) == count(model) - weights - sets * coefficients
    matrices = sum(p.numel() for p in model.parameters() if p.ndim > 1) - weights
    look_up = 0 if shape.tied else V * shape.d_model  # an untied embedding multiplies nothing
    assert shape.flops_per_token(T, V, G) == 6 * (matrices - look_up) + 12 * shape.layers * shape.d_model * T


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("spec", ["polynorm", "swiglu"])
def test_presets_have_as_many_parameters_as_their_closed_form(name: str, spec: str) -> None:
    """Built where tensors have no memory."""
    preset = PRESETS[name]
    with torch.device("meta"):
        model = Decoder(preset.vocabulary, preset.shape, 2, chosen(spec))
    assert preset.shape.parameters(preset.vocabulary, chosen(spec).branches, count(activation(spec))) == count(model)


def test_the_papers_sizes() -> None:
    dense, sparse = PRESETS["1.3B"], PRESETS["olmoe"]
    assert (dense.shape.width(1), dense.shape.width(2)) == (8256, 5504)
    assert {(g + 1) * 2048 * dense.shape.width(g) for g in (1, 2)} == {33_816_576}
    assert dense.shape.parameters(dense.vocabulary, 2) == 1_345_423_360
    assert (sparse.shape.width(1), sparse.shape.width(2)) == (1536, 1024)
    assert sparse.shape.parameters(sparse.vocabulary, 2) == pytest.approx(6.9e9, rel=0.01)  # "1B-7B"
    assert sparse.shape.active_parameters(sparse.vocabulary, 2) == pytest.approx(1.3e9, rel=0.02)
    small = PRESETS["124M"]
    assert small.shape.parameters(small.vocabulary) == pytest.approx(124e6, rel=0.01)


def test_one_dial_grows_the_model_and_the_batch_and_lowers_the_rate() -> None:
    shapes = [shape_of_depth(depth) for depth in range(1, 41)]
    dials = [(shape, *recipe(shape, 1024)) for shape in shapes]
    for (small, batch, rate), (large, larger, lower) in pairwise(dials):
        assert small.parameters(V) < large.parameters(V)
        assert batch <= larger
        assert rate > lower
    assert {shape.d_model // shape.heads for shape in shapes} == {32, 64, 128}
    assert shape_of_depth(12) == Shape(12, 768, 12)
    with pytest.raises(ValueError, match="1 or more"):
        shape_of_depth(0)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"heads": 3}, "multiple of 6"), ({"layers": 0}, "1 or more"), ({"ffn_width": 0}, "ffn_width"),
        ({"experts": 2, "top_k": 3}, "cannot be chosen"), ({"experts": -1}, "0 or more"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Shape(**{"layers": 2, "d_model": 32, "heads": 2} | wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_with_targets_the_loss_is_the_cross_entropy_of_the_logits(shape: Shape) -> None:
    model = Decoder(V, shape, T, chosen("gelu")).initialise(0)
    x_BxT, y_BxT = text()[:, :-1], text()[:, 1:]
    loss, auxiliary = model(x_BxT, y_BxT)
    torch.testing.assert_close(loss, functional.cross_entropy(model(x_BxT).flatten(0, 1), y_BxT.flatten()))
    assert loss.dtype == auxiliary.dtype == torch.float32
    assert (auxiliary > 0) == (shape.experts > 0)
    assert model.double()(x_BxT, y_BxT)[0].dtype == torch.float64


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_compiled_computes_the_same(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torch.compile the decoder turns halves and takes torch's own norm."""
    model = Decoder(V, shape, T, chosen("swiglu")).initialise(0).double()
    results = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        loss, _ = model(text()[:, :-1], text()[:, 1:])
        results.append((loss, *torch.autograd.grad(loss, list(model.parameters()))))
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


def test_the_norm_is_torchs_and_has_right_gradients() -> None:
    x_NxD = torch.randn(6, 5, generator=generator("x"), dtype=torch.float64).requires_grad_()
    scale_D = torch.rand(5, generator=generator("scale"), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(rms_norm, (x_NxD, scale_D, 1e-6))
    torch.testing.assert_close(rms_norm(x_NxD, scale_D, 1e-6), functional.rms_norm(x_NxD, (5,), scale_D, 1e-6))


@pytest.mark.parametrize("rows", [1, 4, 6, 100])
def test_the_loss_is_that_of_all_logits_however_many_rows_are_taken_at_a_time(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "_LEAST_ROWS", rows)
    monkeypatch.setattr(operators, "_LOGITS", 1)
    monkeypatch.setattr(operators, "_MOST_PARTS", 6)
    x_NxD = torch.randn(6, 5, generator=generator("x"), dtype=torch.float64).requires_grad_()
    weight_VxD = torch.randn(7, 5, generator=generator("weight"), dtype=torch.float64).requires_grad_()
    targets_N = torch.arange(6) % 3

    def loss(scale: float = 1.0) -> torch.Tensor:
        return linear_cross_entropy(scale * x_NxD, weight_VxD, targets_N)

    assert torch.autograd.gradcheck(lambda x, w: linear_cross_entropy(x, w, targets_N) ** 2, (x_NxD, weight_VxD))
    for scale in (1.0, 1e3):  # where the target has no share that a float can hold
        theirs = functional.cross_entropy(scale * x_NxD @ weight_VxD.T, targets_N)
        torch.testing.assert_close(loss(scale), theirs)
    with torch.no_grad():
        assert not loss().requires_grad


@pytest.mark.parametrize("tied", [True, False])
def test_logits_equal_hugging_faces_llama(tied: bool) -> None:
    """The same weights, names apart: q, k, v stand in one matrix here, gate and value too."""
    transformers = pytest.importorskip("transformers")
    shape = Shape(3, 64, 4, tied=tied)
    mine = Decoder(V, shape, T, chosen("swiglu")).initialise(1).eval()
    config = transformers.LlamaConfig(
        vocab_size=V, hidden_size=64, intermediate_size=shape.width(2), num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=T, rms_norm_eps=mine.norm.eps, tie_word_embeddings=tied, hidden_act="silu",
        attention_bias=False, mlp_bias=False, attn_implementation="eager",
    )  # fmt: skip
    other = transformers.LlamaForCausalLM(config).eval()
    theirs = {"model.embed_tokens.weight": mine.embedding.weight, "model.norm.weight": mine.norm.scale}
    theirs["lm_head.weight"] = mine.embedding.weight if mine.head is None else mine.head.weight
    for i, layer in enumerate(mine.layers):
        q, k, v = layer.attention.w_qkv.weight.chunk(3)
        gate, up = layer.ffn.w_in.weight.chunk(2)
        named = {
            "input_layernorm": layer.attention_norm.scale, "post_attention_layernorm": layer.ffn_norm.scale,
            "self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v,
            "self_attn.o_proj": layer.attention.w_out.weight,
            "mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": layer.ffn.w_out.weight,
        }  # fmt: skip
        theirs |= {f"model.layers.{i}.{name}.weight": weight for name, weight in named.items()}
    with torch.no_grad():  # weights are shared until they are loaded, which copies
        for name, parameter in mine.named_parameters():
            if name.endswith("scale"):
                parameter.normal_(1.0, 0.1, generator=generator(name))
        other.load_state_dict(theirs)
        difference = mine(text()[:, :-1]) - other(text()[:, :-1]).logits
    assert difference.abs().max() <= 1e-5
