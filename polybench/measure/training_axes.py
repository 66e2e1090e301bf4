"""The axes of kinds that train a decoder: model, text and training, everything that decides the loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields, replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from polybench.corpora.tokenizer_name import Tokenizer
from polybench.errors import did_you_mean
from polybench.kind import Axes, HeapProtocol
from polybench.measure.annealing import warm_steps
from polybench.measure.axis_types import Corpora, Corpus, Shares, corpora_of, tokenized
from polybench.measure.presets import PRESETS, recipe, shape_of_depth
from polybench.measure.shape import Shape
from polybench.spec import Scalar

_OF_SHAPE = tuple(f.name for f in fields(Shape))
_OF_EXPERTS = ("top_k", "expert_coefficients")  # of a mixture only
_OFF = ("average", "zero_output", "eval_corpora", "finish_at")  # they play no part where they are nothing
_DIAL = ("preset", "depth")  # what they stand for is in the other axes
_TOY, _TOY_SEQ_LEN, _TOY_RECIPE = Shape(2, 64, 2), 64, (16, 3e-3)  # without preset or depth
_DEPTH_SEQ_LEN = 1024
_FLOPS_PER_CORE, _COMPILING_S = 7.5e10, 11.0  # of one core of a small machine, for guesses of time
MOST_EVALUATED = 1 << 18  # held-out tokens at the end, where the suite does not say how many
GLANCE = 1 << 14  # held-out tokens of a look on the way, at most


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}, {did_you_mean(name, PRESETS)}")
    return name


class TrainingAxes(Axes):
    """A decoder, its text and its training.

    `preset` or `depth` fill in whatever of the model, batch and rate is left out; without both it is a toy.
    """

    corpus: Corpus = Field(
        "sotu", description="sotu, stdlib, text:path/or/glob, another registered source, or texts joined by +"
    )
    tokenizer: Tokenizer | None = Field(
        None, description="bytes, bpe-N for a vocabulary of N, or file:tokenizer.json; the preset's size, else bytes"
    )
    eval_corpora: Corpora = Field("", description="further corpora to evaluate on, joined by +")
    preset: Annotated[str, AfterValidator(_known_preset)] | None = Field(None, description="a model by name")
    depth: PositiveInt | None = Field(None, description="one dial: width, heads, batch and rate follow from it")
    layers: PositiveInt | None = Field(None, description="number of layers")
    d_model: PositiveInt | None = Field(None, description="width of the residual stream")
    heads: PositiveInt | None = Field(None, description="attention heads; d_model / heads must be even")
    ffn_width: PositiveInt | None = Field(None, description="hidden width; equal parameters if left out")
    tied: bool | None = Field(None, description="whether the head is the embedding")
    qk_norm: bool | None = Field(None, description="whether queries and keys are normalised")
    experts: NonNegativeInt | None = Field(None, description="experts of a mixture; 0 is a dense model")
    top_k: PositiveInt | None = Field(None, description="experts a token goes to")
    expert_coefficients: Literal["shared", "own"] | None = Field(
        None, description="whether the experts of a layer share the activation's coefficients"
    )
    seq_len: PositiveInt | None = Field(None, description="tokens a sequence")
    batch: PositiveInt | None = Field(None, description="sequences a step, over all micro-batches and processes")
    accumulate: PositiveInt = Field(1, description="micro-batches a step")
    steps: PositiveInt = Field(200, description="optimizer steps")
    lr: PositiveFloat | Literal["tuned", "shared"] | None = Field(
        None, description="peak learning rate; tuned: each activation's own best, shared: the best on average"
    )
    schedule: Literal["cosine", "wsd"] = Field("cosine", description="of the rate; wsd: warm-up, stable, decay")
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    decay: float = Field(0.2, gt=0, le=1, description="share of the steps in which wsd lets the rate fall to nothing")
    finish_at: Shares = Field(
        "", description="with wsd: shares of the steps, joined by +, at which a branch of the training is finished too"
    )
    weight_decay: float = Field(0.1, ge=0, description="decay of matrices; vectors and coefficients have none")
    coefficient_lr: PositiveFloat = Field(1.0, description="rate of the activation's coefficients, times lr")
    clip: PositiveFloat = Field(1.0, description="largest norm of the gradient")
    average: float = Field(
        0.0, ge=0, le=1, description="share of the last steps whose mean weights the model ends with"
    )
    zero_output: bool = Field(False, description="whether what every layer adds to the stream begins as nothing")
    varies: Literal["both", "init", "data"] = Field("both", description="what the seed moves; the other has seed 0")
    recompute: bool = Field(False, description="activation checkpointing: every layer is computed again in backward")
    compile: bool = Field(False, description="torch.compile of the whole model")
    eval_tokens: PositiveInt | None = Field(
        None, description=f"held-out tokens that are evaluated at the end; all, up to {MOST_EVALUATED}, if left out"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> TrainingAxes:
        if self.preset and self.depth:
            raise ValueError("preset and depth both say the model's shape; leave one away")
        axes = self.filled()
        if axes.batch % axes.accumulate:
            raise ValueError(f"batch {axes.batch} cannot be divided into accumulate {axes.accumulate} micro-batches")
        if tokenized(self.corpus) and axes.tokenizer.startswith("bpe-"):
            raise ValueError(f"corpus {self.corpus} is tokenized already; leave tokenizer {axes.tokenizer} away")
        if self.warm_up + (self.decay if self.schedule == "wsd" else 0) > 1:
            raise ValueError(f"warm_up {self.warm_up} and decay {self.decay} are more than all of the steps")
        if self.finish_at:
            self._can_branch()
        return self

    def _can_branch(self) -> None:
        if self.schedule != "wsd":
            raise ValueError(f"finish_at {self.finish_at} needs a plateau to branch off from; take schedule: wsd")
        if self.average > self.decay:
            raise ValueError(f"average {self.average} reaches beyond the decay {self.decay} of a branch")
        first = self.budgets[0]
        if self.fork(first) < max(1, self.warm_steps):
            raise ValueError(
                f"finish_at {self.finish_at}: the branch that ends at step {first} begins at {self.fork(first)}, "
                f"within the warm-up of {self.warm_steps} steps"
            )

    def unequal(self, branches: Collection[int]) -> str:
        return self.filled().shape.unequal(branches)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Steps of every training that is finished, in order: those of the branches, and all."""
        shares = [float(share) for share in self.finish_at.split("+") if share]
        return (*sorted({max(1, round(share * self.steps)) for share in shares} - {self.steps}), self.steps)

    @property
    def warm_steps(self) -> int:
        return warm_steps(self.warm_up, self.steps)

    def fork(self, budget: int) -> int:
        """The step at which the rate leaves the plateau for a training of that many steps."""
        return budget - max(1, round(self.decay * budget))

    @property
    def steps_taken(self) -> int:
        """Those of the branches too."""
        return self.steps + sum(budget - self.fork(budget) for budget in self.budgets[:-1])

    def filled(self) -> FilledAxes:
        """With what preset or depth stand for written out."""
        given = {k: v for k, v in self.__dict__.items() if v is not None and k not in _DIAL}
        model, seq_len, tokenizer = _TOY, _TOY_SEQ_LEN, "bytes"
        if self.preset:
            preset = PRESETS[self.preset]
            model, seq_len, tokenizer = preset.shape, preset.seq_len, f"bpe-{preset.vocabulary}"
        elif self.depth:
            model, seq_len = shape_of_depth(self.depth), _DEPTH_SEQ_LEN
        shape = replace(model, **{k: v for k, v in given.items() if k in _OF_SHAPE})
        seq_len = given.get("seq_len", seq_len)
        batch, rate = recipe(shape, seq_len) if self.preset or self.depth else _TOY_RECIPE
        tokenizer = "bytes" if tokenized(self.corpus) else tokenizer
        rest = {"seq_len": seq_len, "tokenizer": tokenizer, "batch": batch, "lr": rate}
        return FilledAxes.model_construct(**{**asdict(shape), **rest, **given})

    def idle(self) -> Collection[str]:
        """Parts of a mixture where there is none, or of another schedule."""
        return (*(() if self.filled().experts else _OF_EXPERTS), *(() if self.schedule == "wsd" else ("decay",)))

    def deciding(self) -> dict[str, Scalar]:
        """The model written out."""
        values = {k: v for k, v in self.filled().__dict__.items() if v is not None and k not in _DIAL}
        absent = {*self.idle(), *(name for name in _OFF if not values[name])}
        absent |= {"tokenizer"} if tokenized(self.corpus) and values["tokenizer"] == "bytes" else set()
        return {k: v for k, v in values.items() if k not in absent}


class FilledAxes(TrainingAxes):
    """The same with nothing left open."""

    tokenizer: Tokenizer
    layers: PositiveInt
    d_model: PositiveInt
    heads: PositiveInt
    tied: bool
    qk_norm: bool
    experts: NonNegativeInt
    top_k: PositiveInt
    expert_coefficients: Literal["shared", "own"]
    seq_len: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat | Literal["tuned", "shared"]

    @property
    def evaluated(self) -> int:
        """Most held-out tokens that are evaluated at the end of a training."""
        return self.eval_tokens or MOST_EVALUATED

    @property
    def shape(self) -> Shape:
        return Shape(**{k: getattr(self, k) for k in _OF_SHAPE})

    @property
    def tokens(self) -> int:
        """Tokens that are trained on."""
        return self.steps * self.tokens_per_step

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.seq_len


class TrainingProtocol(HeapProtocol):
    """How often the held-out loss is looked at, with which heap, and what is kept of the training."""

    evaluations: PositiveInt = Field(8, description="looks at the held-out loss, evenly spaced, the last at the end")
    budget_s: PositiveFloat | None = Field(None, description="seconds of training after which it ends undecided")
    checkpoint_every: NonNegativeInt = Field(
        0, description="steps between checkpoints, from which a killed run goes on"
    )
    deterministic: bool | None = Field(None, description="the same to the bit every time; if left out, on the CPU")
    save: bool = Field(False, description="keep the trained model, for `polybench eval`")
    dynamics: bool = Field(False, description="effective ranks, cosines of layers, coefficients, activation statistics")
    parallel: Literal["ddp", "fsdp"] = Field("ddp", description="how several processes under torchrun share a model")

    how_often = frozenset({"budget_s"})

    @property
    def keeps_files(self) -> bool:
        return bool(self.checkpoint_every or self.save)

    def lean(self) -> Self:
        return self.model_copy(update={"save": False, "dynamics": False})

    def environment(self) -> dict[str, str]:
        """cuBLAS repeats itself only with a fixed workspace."""
        return super().environment() | ({"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if self.deterministic else {})


def training_seconds(declared: TrainingAxes, protocol: TrainingProtocol | None = None) -> float:
    """A guess from the multiplications of a training step; looks cost a third of one."""
    axes = declared.filled()
    words = axes.tokenizer.removeprefix("bpe-")
    vocabulary = int(words) if words.isdigit() else 256
    flops = axes.shape.flops_per_token(axes.seq_len, vocabulary)
    overhead = axes.steps_taken * axes.accumulate * axes.layers * 4e-3
    looked_at = 0.0
    if protocol:
        glances = min(GLANCE, axes.evaluated) * (protocol.evaluations + 1)
        whole = len(axes.budgets) + len(corpora_of(axes.eval_corpora))
        looked_at = (glances + axes.evaluated * whole) / 3
    trained = axes.steps_taken * axes.tokens_per_step
    compiling = _COMPILING_S if axes.compile else 0
    return 1 + compiling + overhead + flops * (trained + looked_at) / _FLOPS_PER_CORE
