"""Laws of what published checkpoints learned: the layouts of each family, and files that are none of theirs."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Capture, call
from torch import Tensor

import polybench
from polybench.errors import PolybenchError, RegistryError, UsageError
from polybench.measure.model.build import generator
from polybench.measure.model.official import LAYOUTS, Learned
from polybench.measure.model.official import learned as found_in

State = dict[str, Tensor]
E, D, F = 4, 4, 6  # experts, model width, hidden width


def random(*shape: int, scale: float = 1.0) -> Tensor:
    """Numbers that bfloat16 holds, as the published ones are of that type."""
    return (scale * torch.randn(shape, generator=generator("official", *shape))).to(torch.bfloat16)


def dense(prefix: str, name: str, *others: str) -> State:
    told = {f"{prefix}.{name}.weight": random(3), f"{prefix}.{name}.bias": random(1)}
    return told | {f"{prefix}.{other}.weight": random(F, D) for other in others}


def polycom() -> State:
    """Megatron's names."""
    layers = "language_model.encoder.layers"
    return {k: v for i in (0, 1, 10) for k, v in dense(f"{layers}.{i}.mlp", "activation_func", "dense_h_to_4h").items()}


def polycom_mixture() -> State:
    """OLMoE's names: one activation for all experts."""
    states = [dense(f"transformer.blocks.{i}", "act", "ffn.experts.mlp.w1", "ffn.router.layer") for i in (0, 1)]
    return states[0] | states[1]


def motif_2() -> State:
    state: State = {}
    for i in (0, 1):
        state |= dense(f"model.layers.{i}.mlp", "act_fn", "gate_proj", "up_proj", "down_proj")
        state |= {
            f"model.layers.{i}.self_attn.lambda_q1": random(D),
            f"model.layers.{i}.self_attn.subln.weight": random(D),
        }
    return state


def motif_3() -> State:
    """A dense layer, one of experts, and the head that predicts a further token."""
    state = dense("model.layers.0.mlp", "act_fn", "gate_proj") | dense("model.mtp_layers.0.mlp", "act_fn", "gate_proj")
    state |= dense("model.layers.1.moe.shared_experts", "act_fn", "gate_proj")
    state |= {"model.layers.1.moe.experts.act_fn.weight": random(E, 3), "model.layers.1.moe.expert_bias": random(E)}
    state |= {"model.layers.1.moe.experts.act_fn.bias": random(E, 1, scale=3.0)}  # some beyond the clamp
    state |= {"model.layers.1.moe.experts.gate_up_proj": random(E, 2 * F, D)}
    return state | {f"model.layers.{i}.self_attn.wq_a.weight": random(D, D) for i in (0, 1)}


FAMILIES: dict[Callable[[], State], tuple[str, list[tuple[int, str]]]] = {
    polycom: ("PolyCom", [(0, "mlp"), (1, "mlp"), (10, "mlp")]),
    polycom_mixture: ("PolyCom", [(0, "mlp"), (1, "mlp")]),
    motif_2: ("Motif-2", [(0, "mlp"), (1, "mlp")]),
    motif_3: ("Motif-3", [(0, "mlp"), (1, "experts"), (1, "shared_experts"), (0, "mtp")]),
}
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)


def polynomial(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """w_0 N(x^3) + w_1 N(x^2) + w_2 N(x) + b, as all of their sources have it."""
    normal = [p / (p.square().mean(-1, keepdim=True) + 1e-6).sqrt() for p in (x**3, x**2, x)]
    return sum(w * n for w, n in zip(weight, normal, strict=True)) + bias  # type: ignore[return-value]


def same(one: list[Learned], other: list[Learned]) -> bool:
    told = [[(p.layer, p.place, p.activation) for p in learned] for learned in (one, other)]
    equal = [
        torch.equal(a.weight_ExR, b.weight_ExR) and torch.equal(a.bias_Ex1, b.bias_Ex1)
        for a, b in zip(one, other, strict=True)
    ]
    return told[0] == told[1] and all(equal)


@families
def test_every_layout_is_told_by_its_names(family: Callable[[], State]) -> None:
    layout, learned = found_in(family())
    assert (layout, [(p.layer, p.place) for p in learned]) == FAMILIES[family]


def test_every_layout_is_tried_and_says_where_it_was_read() -> None:
    assert {layout.name for layout in LAYOUTS} == {layout for layout, _ in FAMILIES.values()}
    assert all("@" in layout.source for layout in LAYOUTS)


@families
def test_a_module_has_learned_what_its_source_computes(family: Callable[[], State]) -> None:
    state = family()
    for one in polybench.learned(state):
        (prefix,) = {n.rpartition(".")[0] for n in state if n.endswith(("act_fn.weight", "func.weight", "act.weight"))
                     and f".{one.layer}." in n and ("mtp" in n) == (one.place == "mtp")
                     and (one.place in ("mlp", "mtp") or f".{one.place}." in n)}  # fmt: skip
        for expert in range(one.experts):
            weight, bias = (
                state[f"{prefix}.{what}"].double().reshape(one.experts, -1)[expert] for what in ("weight", "bias")
            )
            module = one.module(expert).double()
            x = 3 * torch.randn(2, F * (1 if family in (polycom, polycom_mixture) else 2), dtype=torch.float64,
                                generator=generator(expert))  # fmt: skip
            gate, value = x[:, :F], x[:, F:]
            if family is motif_3:
                held = bias.clamp(-0.5, 0.5) if one.place == "experts" else bias
                truth = 0.5 * polynomial(gate, weight.sigmoid(), held) * value
            elif family is motif_2:
                truth = polynomial(gate, weight, bias) * value
            else:
                truth = polynomial(x, weight, bias)
            torch.testing.assert_close(module(x), truth)
    assert max(p.bias_Ex1.abs().max() for p in polybench.learned(motif_3())) > 0.5  # so that a clamp is seen


@families
def test_files_folders_and_dictionaries_hold_the_same(family: Callable[[], State], tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = family()
    whole = polybench.learned(state)
    names = sorted(state)
    halves = [{n: state[n] for n in names[i::2]} for i in (0, 1)]
    for i, half in enumerate(halves):
        folder = tmp_path / "shards"
        folder.mkdir(exist_ok=True)
        safetensors.save_file(half, folder / f"model-{i}.safetensors")
        (folder / "config.json").write_text("{}")
    safetensors.save_file(state, tmp_path / "by-another.name")
    nested: dict[str, Any] = {"iteration": 3, "model": {}}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        nested["model"].setdefault(first, {})[rest] = value
    torch.save(nested, tmp_path / "nested.pt")
    torch.save(state, tmp_path / "former.bin", _use_new_zipfile_serialization=False)
    for path in ("shards", "by-another.name", "nested.pt", "former.bin"):
        assert same(polybench.learned(tmp_path / path), whole), path
    assert same(polybench.learned(str(tmp_path / "nested.pt")), whole)


def test_what_names_do_not_tell_is_said() -> None:
    state = dense("model.layers.0.mlp", "act_fn")
    with pytest.raises(UsageError, match="name the activation"):
        polybench.learned(state)
    for name in ("polynorm", "polyrelu", "polyrelunorm", "gated_polynorm(weight=sigmoid)", "polynorm(order=3)"):
        (one,) = polybench.learned(state, name)
        assert one.activation == name.replace("(order=3)", "")
        assert torch.equal(
            torch.cat([p.flatten() for p in one.module().parameters()]), torch.cat([*state.values()]).float()
        )
    (one, *_) = polybench.learned(polycom(), "polyrelu")
    assert one.activation == "polyrelu"
    short = {k: v[-2:] for k, v in polycom().items()}
    assert {p.activation for p in polybench.learned(short)} == {"polynorm(order=2)"}


@pytest.mark.parametrize(
    "name", ["relu", "polynorm(order=2)", "polyprelu", "gated_polynorm(preset=motif)", "polynrm", "("]
)
def test_an_activation_that_does_not_fit_is_one_sentence(name: str) -> None:
    with pytest.raises((UsageError, RegistryError)) as said:
        polybench.learned(polycom(), name)
    assert "\n" not in str(said.value)


def without(name: str) -> State:
    return {k: v for k, v in polycom().items() if name not in k}


A = "language_model.encoder.layers.1.mlp.activation_func"
NOT_THEIRS: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({}, "no coefficients"),
    "another": ({"model.layers.0.mlp.up_proj.weight": random(F, D)}, "no coefficients"),
    "a number": ({f"{A}.weight": 3, f"{A}.bias": 0}, "no coefficients"),
    "half": (without("1.mlp.activation_func.bias"), "without its bias"),
    "wide": ({**polycom(), f"{A}.weight": random(F)}, "no polynomial"),
    "none": ({**polycom(), f"{A}.weight": random(0)}, "no polynomial"),
    "deep": ({**polycom(), f"{A}.weight": random(1, 1, 3)}, "no polynomial"),
    "uneven": ({**polycom(), f"{A}.weight": random(E, 3), f"{A}.bias": random(E - 1, 1)}, "no polynomial"),
    "whole": ({**polycom(), f"{A}.bias": torch.ones(1, dtype=torch.int64)}, "plain numbers"),
    "sparse": ({**polycom(), f"{A}.weight": torch.ones(3).to_sparse()}, "plain numbers"),
    "nowhere": ({**polycom(), f"{A}.weight": torch.empty(3, device="meta")}, "plain numbers"),
    "vast": (
        {**polycom(), **{f"{A}.{k}": torch.ones(1).expand(1 << 40, n) for k, n in (("weight", 3), ("bias", 1))}},
        "plain numbers",
    ),
    "twice": ({**polycom(), f"ema.{A}.weight": random(3)}, "holds both"),
    "mixed": ({**polycom(), "model.layers.0.self_attn.lambda_q1": random(D)}, "several"),
    "escape": ({**without("1.mlp.activation_func.bias"), "\x1b]0;x\x07.layers.1.mlp.act_fn.weight": random(3)}, "both"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_THEIRS)
def test_what_is_no_such_checkpoint_is_one_sentence(case: str, tmp_path: Path, capsys: Capture) -> None:
    content, told = NOT_THEIRS[case]
    torch.save(content, tmp_path / "state.pt")
    assert call("learned", tmp_path / "state.pt") == 2
    out, said = capsys.readouterr()
    assert not out and told in said and "\x1b" not in said
    assert said.count("\n") == 1


class Running:
    """What runs code when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    torch.save({**polycom(), "x": Running(ran)}, tmp_path / "zipped.pt")
    for protocol in (2, 4):  # the last is one that torch does not read at all
        (tmp_path / f"pickled-{protocol}.bin").write_bytes(pickle.dumps({"x": Running(ran)}, protocol))
    torch.save({"args": argparse.Namespace(a=1), "model": polycom()}, tmp_path / "megatron.pt")
    for name, told in (("zipped.pt", "mkdir"), ("pickled-2.bin", "mkdir"), ("megatron.pt", "argparse.Namespace")):
        with pytest.raises(UsageError, match=told) as said:
            polybench.learned(tmp_path / name)
        assert "could run code" in str(said.value) and "\n" not in str(said.value)
    with pytest.raises(UsageError):
        polybench.learned(tmp_path / "pickled-4.bin")
    assert not ran.exists()


def test_damaged_files_and_other_places_are_one_sentence(tmp_path: Path) -> None:
    torch.save(polycom(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.bin").write_text("cat and dog\nno checkpoint, whatever its name says\n")
    (tmp_path / "cut.safetensors").write_bytes((10**6).to_bytes(8, "little") + b'{"a":')
    (tmp_path / "bare").mkdir()
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a.pt", "b.pt"):
        torch.save(polycom(), both / name)
    within: dict[str, Any] = {}
    within["within"] = within
    torch.save(within, tmp_path / "circle.pt")
    for name in ("cut.pt", "empty.pt", "text.bin", "cut.safetensors", "bare", "both", "nowhere", "circle.pt"):
        with pytest.raises(PolybenchError) as said:
            polybench.learned(tmp_path / name)
        assert "\n" not in str(said.value) and "weights_only" not in str(said.value), name


def test_the_command_shows_a_table_and_every_number(tmp_path: Path, capsys: Capture) -> None:
    state = motif_3()
    torch.save(state, tmp_path / "state.pt")
    assert call("learned", tmp_path / "state.pt") == 0
    shown = capsys.readouterr().out
    assert "Motif-3" in shown and "gated_polynorm(preset=motif-3)" in shown and "shared_experts" in shown
    assert call("learned", tmp_path / "state.pt", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["layout"] == "Motif-3"
    experts = told["learned"][1]
    assert experts["weight"] == state["model.layers.1.moe.experts.act_fn.weight"].float().tolist()
    torch.save(polycom(), tmp_path / "state.pt")
    assert call("learned", tmp_path / "state.pt", "--activation", "polyrelu") == 0
    assert "polyrelu" in capsys.readouterr().out
