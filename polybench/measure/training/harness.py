"""A kept model as lm-evaluation-harness asks it: how likely is this text, and what comes next.

The interface, and what is asked of windows, cuts and stop strings, are those of `lm_eval.api.model` and
`lm_eval.models.huggingface` of lm-eval 0.4.13.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows
from torch import Tensor
from tqdm import tqdm

from polybench.corpora.tokenizer import of_json
from polybench.errors import TrialError, Unsupported, first_line
from polybench.measure.model.build import chosen
from polybench.measure.model.decoder import Decoder
from polybench.measure.training import checkpoint
from polybench.measure.training_axes import TrainingAxes
from polybench.trial import Trial

# Dimension key: B batch, T time, N tokens that are scored, V vocabulary.

Scored = tuple[float, bool]  # log-likelihood in nats, and whether every token was the likeliest


@dataclass(frozen=True)
class Wish:
    """A text to go on with: its ids, the strings that end it, and most new tokens."""

    ids: list[int]
    until: list[str]
    most: int


class KeptModel(TemplateLM):
    """The model of a checkpoint, on `device`, computed eagerly in the precision that it was trained in.

    As in its training one thread computes, unless OMP_NUM_THREADS says otherwise. Progress is shown on a terminal
    only. A context longer than the model's sequence loses its beginning; `cut` counts those.

    Raises:
        TrialError: the file is no checkpoint of a whole model, or carries no tokenizer.
        Unsupported: its tokenizer cannot be read, or its activation or its tokenizer's package is not here.
    """

    def __init__(self, path: Path, device: str = "cpu"):
        super().__init__()
        self.path, self.cut = path, 0
        kept = checkpoint.read(path)
        if "trial" not in kept:
            raise TrialError(f"{path} holds a training to go on with, no trained model; name a *.model.pt")
        if not kept.get("tokenizer"):
            raise TrialError(f"{path} says nothing of its tokenizer, so no text can be given to it; train it again")
        try:
            self.trial = Trial.from_json(kept["trial"])
            axes = TrainingAxes.model_construct(**kept["axes"]).filled()  # its files need not be there
            self.model = Decoder(kept["vocabulary"], axes.shape, axes.seq_len, chosen(self.trial.cell.activation))
            dtype = torch.float64 if self.trial.cell.dtype == "float64" else torch.float32
            self.model.load_state_dict(kept["model"])
            self.model.to(device=device, dtype=dtype).eval()
            self.coder = of_json(kept["tokenizer"], "the tokenizer in the checkpoint")
            self._end = int(self.coder.end)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as problem:
            why = f"{path} is damaged, or of another polybench: {first_line(problem)}"
            raise TrialError(f"{why}; train it again") from None
        self.max_length = int(axes.seq_len)
        self.batch_size = int(axes.batch // axes.accumulate)
        self._device = torch.device(device)
        if "OMP_NUM_THREADS" not in os.environ:  # else short questions make threads wait for each other
            torch.set_num_threads(1)

    @property
    def eot_token_id(self) -> int:
        return self._end

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        return self.coder.encode_text(string)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Scored]:
        """How likely each continuation is after its context, in nats; encoding shows no progress of its own."""
        found: list[Scored] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Nats of whole texts, each from the end of another document on."""
        pairs = [(r.args, [self._end], self.coder.encode_text(r.args[0])) for r in requests]
        return [nats for nats, _ in self._loglikelihood_tokens(pairs, disable_tqdm)]

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[object, list[int], list[int]]], disable_tqdm: bool = False, **_: object
    ) -> list[Scored]:
        """Of each (anything, context, continuation) how likely the continuation is."""
        windows = [(i, *pair) for i, r in enumerate(requests) for pair in self._windows(r[1], r[2])]
        windows.sort(key=lambda window: -len(window[1]))
        nats, greedy = [0.0] * len(requests), [True] * len(requests)
        for at in tqdm(range(0, len(windows), self.batch_size), desc="batches", disable=disable_tqdm or None):
            some = windows[at : at + self.batch_size]
            logits_BxTxV = self._logits([inputs for _, inputs, _ in some])
            for (i, inputs, targets), logits_TxV in zip(some, logits_BxTxV, strict=True):
                asked_NxV = logits_TxV[len(inputs) - len(targets) : len(inputs)]
                targets_N = torch.tensor(targets, device=self._device)
                log_p_NxV = _precise(asked_NxV).log_softmax(-1)
                nats[i] += float(log_p_NxV.gather(1, targets_N[:, None]).double().sum())
                greedy[i] &= bool((asked_NxV.argmax(-1) == targets_N).all())
        return list(zip(nats, greedy, strict=True))

    def _windows(self, context: list[int], continuation: list[int]) -> Iterator[tuple[list[int], list[int]]]:
        """(inputs, targets): the last logits of the inputs are of the targets.

        One window where the continuation fits into a sequence, with as much of the context as does;
        else windows side by side, of which the first sees the context's last token.
        """
        if not continuation:
            return
        context = context or [self._end]
        self.cut += len(context) > 1 and len(context) + len(continuation) - 1 > self.max_length
        if len(continuation) <= self.max_length:
            yield (context + continuation)[-self.max_length - 1 : -1], continuation
        else:
            yield from get_rolling_token_windows(continuation, context[-1], self.max_length, 1)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The likeliest token again and again, up to a stop string, a document's end or the most tokens.

        Raises:
            Unsupported: a task that wants samples or beams.
        """
        wishes = [self._wish(*r.args) for r in requests]
        order = sorted(range(len(wishes)), key=lambda i: -len(wishes[i].ids))
        texts = [""] * len(wishes)
        for at in tqdm(range(0, len(order), self.batch_size), desc="batches", disable=disable_tqdm or None):
            some = order[at : at + self.batch_size]
            for i, text in zip(some, self._continued([wishes[i] for i in some]), strict=True):
                texts[i] = text
        return texts

    def _wish(self, context: str, given: dict[str, Any]) -> Wish:
        asked: dict[str, Any] = dict(normalize_gen_kwargs(given))
        if asked.get("do_sample") or asked.get("num_beams", 1) != 1:
            raise Unsupported(
                f"the task asks for samples or beams (temperature {asked.get('temperature', 0)}), but polybench "
                "takes the likeliest token only; set do_sample: false in the task's generation_kwargs"
            )
        ids = self.coder.encode_text(context) or [self._end]
        self.cut += len(ids) > self.max_length
        return Wish(ids, [u for u in asked["until"] if u], asked["max_gen_toks"])

    def _continued(self, wishes: Sequence[Wish]) -> list[str]:
        texts, new = [""] * len(wishes), [list[int]() for _ in wishes]
        alive = [i for i, wish in enumerate(wishes) if wish.most > 0]
        while alive:
            rows = [(wishes[i].ids + new[i])[-self.max_length :] for i in alive]
            for i, row, logits_TxV in zip(tuple(alive), rows, self._logits(rows), strict=True):
                wish, best = wishes[i], int(logits_TxV[len(row) - 1].argmax())
                if best != self._end:
                    new[i].append(best)
                whole = self.coder.decode(new[i])
                texts[i] = postprocess_generated_text(whole, wish.until, None)
                if best == self._end or len(new[i]) >= wish.most or any(u in whole for u in wish.until):
                    alive.remove(i)
        return texts

    @torch.no_grad()
    def _logits(self, rows: Sequence[list[int]]) -> Tensor:
        """Logits (B, T, V) of rows of unequal length; what fills up the shorter ones comes after all that counts."""
        longest = max(map(len, rows))
        tokens_BxT = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.trial.cell.dtype == "bfloat16"):
            logits_BxTxV: Tensor = self.model(tokens_BxT)
        return logits_BxTxV


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
