"""What activations learned in published checkpoints: state dicts in, our modules out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polybench.errors import A_LINE, UsageError, in_short
from polybench.measure.model.build import activation
from polybench.measure.model.stored import stored, tensors
from polybench.measure.training_metrics import HIGHEST
from polybench.registry import activations
from polybench.spec import Spec, canonical

# Dimension key: E experts that have coefficients of their own (1 if not), r the order.


@dataclass(frozen=True)
class Layout:
    """Where a family of models keeps what its activations learned.

    `marks` is what a name has in it that no other layout has; `activations` is what stands at each place of a
    layer: `mlp`, routed `experts`, `shared_experts`, and `mtp`, the head that predicts a further token.
    """

    name: str
    marks: str
    activations: Mapping[str, str]
    source: str


LAYOUTS = (
    # Dense models are of Megatron, the mixture of OLMoE, whose experts share the module. PolyReLU has the same names.
    Layout(
        "PolyCom",
        r"\bmlp\.activation_func\.|\bblocks\.\d+\.act\.",
        {"mlp": "polynorm"},
        "BryceZhuo/PolyCom@0ed8ad4, megatron_patch/model/llama2/transformer.py and olmo/model.py",
    ),
    # Motif-2-12.7B is named alike.
    Layout(
        "Motif-2",
        r"\bself_attn\.(?:lambda_[qk][12]$|subln\.)",
        {"mlp": "gated_polynorm"},
        "MotifTechnologies/vllm@477e4d7, vllm/model_executor/models/motif.py",
    ),
    # The bias is clamped of routed experts alone, gate and value outside of a mixture not either.
    Layout(
        "Motif-3",
        r"\bself_attn\.(?:wq_a|lambda_proj)\.|\bmoe\.(?:shared_)?experts\.|\bmtp_layers\.",
        {
            "mlp": "gated_polynorm(preset=motif-3, bias_clamp=0, hidden_clamp=0)",
            "experts": "gated_polynorm(preset=motif-3)",
            "shared_experts": "gated_polynorm(preset=motif-3, bias_clamp=0)",
            "mtp": "gated_polynorm(preset=motif-3, bias_clamp=0, hidden_clamp=0)",
        },
        "MotifTechnologies/vllm@4cd9eb4, vllm/model_executor/models/motif.py and motif_docs.md; names and shapes of "
        "the checkpoint's own headers: Baekpica/motif-3-mixed-ds4@32275bc, converter/src/build_inventory.py",
    ),
)
_NAME = re.compile(
    r"(?:.*\.)?(?P<stack>layers|mtp_layers|blocks)\.(?P<layer>\d{1,6})"
    r"\.(?:(?P<where>mlp|moe\.experts|moe\.shared_experts)\.(?:act_fn|activation_func)|act)\.(?P<what>weight|bias)"
)


@dataclass(frozen=True, eq=False)
class Learned:
    """What the activation at one place of one layer learned.

    `layer` counts from 0, as checkpoints do. `weight_ExR` holds a_r first and a_1 last, `bias_Ex1` a_0, both in
    float32 and as they are stored, before any sigmoid or clamp of the `activation`.
    """

    layer: int
    place: str
    activation: str
    weight_ExR: Tensor
    bias_Ex1: Tensor

    @property
    def experts(self) -> int:
        return len(self.weight_ExR)

    def module(self, expert: int = 0) -> nn.Module:
        """A new module of this activation that has learned just this. Raises UsageError where it learns other things.

        The module takes inputs (..., G*F) as every one of ours does; it is in float32 and can be trained on.
        """
        module = activation(self.activation)
        values = {"weight": self.weight_ExR[expert], "bias": self.bias_Ex1[expert]}
        own = {name.rpartition(".")[2]: p for name, p in module.named_parameters()}
        if {name: p.shape for name, p in own.items()} != {name: v.shape for name, v in values.items()}:
            raise UsageError(f"{self.activation} does not learn {self.weight_ExR.shape[1]} coefficients and a bias")
        with torch.no_grad():
            for name, value in values.items():
                own[name].copy_(value)
        return module


def learned(checkpoint: Path | Mapping[str, Any], activation: str | None = None) -> tuple[str, list[Learned]]:
    """The name of the layout, and what the activations of a checkpoint learned, in the order of their layers.

    A checkpoint is a file, a folder of files, or a state dict. `activation` says what they are where names do not:
    PolyReLU is stored as PolyNorm is, which is what is taken, and a gated one as one that is not.

    Raises:
        UsageError: no such checkpoint; none of these layouts; parameters that are not those of a polynomial; or an
            activation that learns other things.
        RegistryError: `activation` is none.
    """
    state = dict(tensors(checkpoint)) if isinstance(checkpoint, Mapping) else stored(checkpoint)
    where = "the state dict" if isinstance(checkpoint, Mapping) else str(checkpoint)
    places: dict[tuple[bool, int, str], dict[str, str]] = {}
    for name in state:
        if match := _NAME.fullmatch(name):
            mtp = match["stack"] == "mtp_layers"
            place = "mtp" if mtp else (match["where"] or "mlp").rpartition(".")[2]
            names = places.setdefault((mtp, int(match["layer"]), place), {})
            if other := names.get(match["what"]):
                raise UsageError(f"{where} holds both {_quoted(other)} and {_quoted(name)}; give one model alone")
            names[match["what"]] = name
    if not places:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise UsageError(f"{where} holds no coefficients of activations where {known} keep theirs")
    layout, specs = _layout(state, where, activation)
    found = []
    for (_, layer, place), names in sorted(places.items()):
        if place not in specs:
            raise UsageError(f"{where} is of the layout {layout}, which has no {place} in layer {layer}")
        weight_ExR, bias_Ex1 = _values(state, names, where)
        found.append(Learned(layer, place, _of_order(specs[place], weight_ExR.shape[1]), weight_ExR, bias_Ex1))
        found[-1].module()  # one that cannot be made is known before any of them is used
    return layout, found


def _layout(state: Mapping[str, Tensor], where: str, given: str | None) -> tuple[str, Mapping[str, str]]:
    """The name of the layout that the names have the marks of, and what stands at each place."""
    found = [layout for layout in LAYOUTS if any(re.search(layout.marks, name) for name in state)]
    if given is not None:
        spec = str(canonical(given))
        name = found[0].name if len(found) == 1 else "unknown"
        return name, dict.fromkeys(("mlp", "experts", "shared_experts", "mtp"), spec)
    if len(found) != 1:
        told = "are those of several" if found else "tell none"
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise UsageError(
            f"of the layouts {known} the names in {where} {told}, and they keep the same numbers for other formulas; "
            "name the activation, such as gated_polynorm(preset=motif-3)"
        )
    return found[0].name, found[0].activations


def _values(state: Mapping[str, Tensor], names: Mapping[str, str], where: str) -> tuple[Tensor, Tensor]:
    """Weight (E, r) and bias (E, 1) in float32, looked at before they are read."""
    if len(names) != 2:
        (name,) = names.values()
        other = {"weight": "bias", "bias": "weight"}[name.rpartition(".")[2]]
        raise UsageError(
            f"{where} holds {_quoted(name)} without its {other}, which may lie in another file; name their folder"
        )
    weight, bias = (state[names[what]] for what in ("weight", "bias"))
    for tensor in (weight, bias):
        if not _plain(tensor):
            raise UsageError(f"{where} holds {_quoted(names['weight'])} or its bias as other things than plain numbers")
    of_polynomial = weight.dim() in (1, 2) and 0 < weight.shape[-1] <= HIGHEST and weight.numel()
    if not of_polynomial or bias.shape != (*weight.shape[:-1], 1):
        shapes = f"{tuple(weight.shape)} and {tuple(bias.shape)}"
        raise UsageError(
            f"{where} holds {_quoted(names['weight'])} and its bias of shapes {shapes}, which no polynomial of order 1 "
            f"to {HIGHEST} has"
        )
    return weight.detach().float().reshape(-1, weight.shape[-1]), bias.detach().float().reshape(-1, 1)


def _plain(tensor: Tensor) -> bool:
    """Whether it is of floating point, and as large as it says: a view may say more than its file holds."""
    here = tensor.layout == torch.strided and tensor.device.type == "cpu" and tensor.is_floating_point()
    return here and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _of_order(text: str, order: int) -> str:
    """The activation with as many coefficients as are stored. Raises UsageError where it cannot have them."""
    spec = canonical(text)
    if "order" not in activations.entry(spec.name).options or dict(spec.options).get("order", order) != order:
        raise UsageError(f"{text} does not learn the {order} coefficients and the bias that are stored")
    return str(canonical(str(Spec.of(spec.name, {**dict(spec.options), "order": order}))))


def _quoted(name: str) -> str:
    return in_short(name, A_LINE)
