"""What an activation sits in: a feed-forward block, and a mixture of such experts."""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

from polybench.measure.model.build import Chosen, Executed, normal_
from polybench.measure.shape import Shape, hidden_width

BALANCE, Z = 0.01, 0.001  # weights of the auxiliary losses: arXiv:2409.02060

# Dimension key: B batch, T time, N = B*T tokens, E experts, C chosen experts of a token, M = N*C rows sorted by expert,
# D model width, F hidden width of the block or of one expert, G branches of the activation.


class FeedForward(nn.Module):
    """w_out(activation(w_in(x))) without biases: D -> G*F -> F -> D; F gives equal parameters unless it is given."""

    def __init__(self, d_model: int, activation: Chosen, width: int | None = None):
        super().__init__()
        G = activation.branches
        width = width or hidden_width(d_model, G)
        self.w_in = nn.Linear(d_model, G * width, bias=False)
        self.activation = activation.module()
        self.w_out = nn.Linear(width, d_model, bias=False)
        # Kept out of the module's attributes that torch walks: it wraps the activation itself.
        self.__dict__["_run"] = activation.executed(self.activation)

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        out_BxTxD: Tensor = self.w_out(self.__dict__["_run"](self.w_in(x_BxTxD)))
        return out_BxTxD

    @property
    def executed(self) -> Executed:
        """The activation as it is executed in here."""
        return Executed(self.activation, self.__dict__["_run"], self.w_in.out_features)

    @torch.no_grad()
    def initialise(self, seed: int, prefix: str = "ffn", layers: int = 1) -> FeedForward:
        """Normal weights of std sqrt(2 / (5 D)), the output over sqrt(2 L) (arXiv:2411.03884's code)."""
        std = math.sqrt(2 / (5 * self.w_in.in_features))
        normal_(self.w_in.weight, std, seed, f"{prefix}.w_in")
        normal_(self.w_out.weight, std / math.sqrt(2 * layers), seed, f"{prefix}.w_out")
        return self


class Mixture(nn.Module):
    """sum over the C most likely experts of p_e w_out_e(activation(w_in_e(x))), p = softmax(router(x)).

    As in OLMoE (arXiv:2409.02060) the p of the chosen are not scaled up to 1. The router computes in
    float32 at least (arXiv:2101.03961, section 2.4).
    """

    def __init__(self, shape: Shape, activation: Chosen):
        super().__init__()
        G, E, D = activation.branches, shape.experts, shape.d_model
        F = shape.width(G)
        self.top_k, self.own = shape.top_k, shape.expert_coefficients == "own"
        self.router = nn.Linear(D, E, bias=False)
        self.w_in = nn.Parameter(torch.empty(E, G * F, D))
        self.w_out = nn.Parameter(torch.empty(E, D, F))
        each = [activation.module() for _ in range(E if self.own else 1)]
        self.activation = nn.ModuleList(each) if self.own else each[0]
        # Kept out of the module's attributes that torch walks: they wrap the activations themselves.
        self.__dict__["_runs"] = [activation.executed(one) for one in each]

    def forward(self, x_BxTxD: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over experts, and 0.01 of the load-balance loss with 0.001 of the z-loss, a scalar."""
        x_NxD = x_BxTxD.flatten(0, -2)
        logits_NxE = self._logits(x_NxD)
        p_NxC, expert_NxC = logits_NxE.softmax(-1).topk(self.top_k)
        expert_M = expert_NxC.flatten()
        order_M = expert_M.argsort(stable=True)
        rows_E = torch.bincount(expert_M, minlength=len(self.w_in))
        rows = rows_E.tolist()
        hidden_MxGF = _products(x_NxD[order_M // self.top_k], self.w_in, rows)
        sorted_MxD = _products(self._activate(hidden_MxGF, rows), self.w_out, rows)
        each_NxCxD = sorted_MxD[order_M.argsort()].unflatten(0, (-1, self.top_k))
        out_NxD = (p_NxC.to(each_NxCxD.dtype).unsqueeze(-1) * each_NxCxD).sum(1)
        return out_NxD.view_as(x_BxTxD), auxiliary(logits_NxE, rows_E)

    @torch.no_grad()
    def initialise(self, seed: int, prefix: str = "ffn", layers: int = 1) -> Mixture:
        """As the dense block: std sqrt(2 / (5 D)), the output over sqrt(2 L) (arXiv:2411.03884's code)."""
        std = math.sqrt(2 / (5 * self.router.in_features))
        normal_(self.router.weight, std, seed, f"{prefix}.router")
        normal_(self.w_in, std, seed, f"{prefix}.experts.w_in")
        normal_(self.w_out, std / math.sqrt(2 * layers), seed, f"{prefix}.experts.w_out")
        return self

    def _logits(self, x_NxD: Tensor) -> Tensor:
        wide = torch.promote_types(x_NxD.dtype, torch.float32)
        with torch.autocast(x_NxD.device.type, enabled=False):
            return functional.linear(x_NxD.to(wide), self.router.weight.to(wide))

    def _activate(self, hidden_MxGF: Tensor, rows: list[int]) -> Tensor:
        runs = self.__dict__["_runs"]
        if not self.own:
            shared_MxF: Tensor = runs[0](hidden_MxGF)
            return shared_MxF
        return torch.cat([run(_any_rows(h)) for run, h in zip(runs, hidden_MxGF.split(rows), strict=True)])


def auxiliary(logits_NxE: Tensor, rows_E: Tensor) -> Tensor:
    """0.01 E sum f_e P_e + 0.001 mean(logsumexp^2): even load and small logits.

    f_e is the share of the chosen that fell on expert e, P_e its mean probability (arXiv:2101.03961,
    equation 4; over top-k choices as in databricks/megablocks); the z-loss is arXiv:2202.08906's.
    """
    f_E = rows_E / rows_E.sum()
    balance = len(rows_E) * (f_E * logits_NxE.softmax(-1).mean(0)).sum()
    return BALANCE * balance + Z * logits_NxE.logsumexp(-1).square().mean()


def _products(x_MxI: Tensor, w_ExOxI: Tensor, rows: list[int]) -> Tensor:
    """Every expert's weight times its own rows; a pass over the experts, each a single product."""
    return torch.cat([functional.linear(x, w) for x, w in zip(x_MxI.split(rows), w_ExOxI, strict=True)])


def _any_rows(x_MxGF: Tensor) -> Tensor:
    """Tells torch.compile, where it is in use, that the number of rows changes: else it compiles for each number."""
    if "torch._dynamo" in sys.modules and not torch.compiler.is_compiling():
        torch._dynamo.maybe_mark_dynamic(x_MxGF, 0)
    return x_MxGF
