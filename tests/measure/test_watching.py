"""What is called compiled is compiled: whatever leaves an operator to eager is told from it, and refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import items
from torch import Tensor, nn

from polybench.corpora.corpus import Tokens
from polybench.errors import Unsupported
from polybench.kind import axes_of, kind_of
from polybench.measure.instruments.allocation import moved_bytes
from polybench.measure.instruments.rounding import disturbed
from polybench.measure.instruments.watching import Ran, ran_alone, watch
from polybench.measure.kinds import speed
from polybench.measure.model import compiled
from polybench.measure.model.build import Executed, chosen
from polybench.measure.model.compiled import by_inductor
from polybench.measure.ran_metrics import RAN
from polybench.measure.training.alone import ran_of
from polybench.measure.training.loop import Training, set_up
from polybench.measure.training_axes import TrainingAxes
from polybench.measure.worker import explain, messages_of
from polybench.message import Ending
from polybench.ranks import Place
from polybench.record import Measurement, Status
from polybench.trial import Cell, Job, Trial

pytestmark = pytest.mark.filterwarnings("ignore")  # what the compiler warns about is not ours
HERE = Path(__file__).name


@pytest.fixture(autouse=True)
def settings_of_torch() -> Iterator[Any]:
    """As they were, and nothing that was compiled is left."""
    from torch._dynamo import config

    torch.set_num_threads(1)
    usual = {"disable": False, "suppress_errors": False, "recompile_limit": 8, "fail_on_recompile_limit_hit": False}
    with config.patch(usual):  # type: ignore[no-untyped-call]
        yield config
    torch._dynamo.reset()


class Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) * x


class Broken(nn.Module):
    """Breaks the graph and computes nothing there."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x)
        torch._dynamo.graph_break()
        return y * y


class Asks(nn.Module):
    """Leaves the graph to read a number."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum().item() > 0 else x * 3


class Disabled(nn.Module):
    @torch._dynamo.disable
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) * x


class Half(nn.Module):
    """Has one operator that is kept from the compiler."""

    @torch._dynamo.disable
    def sine(self, x: Tensor) -> Tensor:
        return x.sin()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.sine(x)) * x


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return 2 * ctx.saved_tensors[0] * dy


class OwnBackward(nn.Module):
    """Has a gradient of its own that cannot be traced."""

    def forward(self, x: Tensor) -> Tensor:
        return _Backward.apply(x)


class Counts(nn.Module):
    """Is compiled anew for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.relu(x) * self.calls


def ran(module: nn.Module, backend: str = "aot_eager") -> Ran:
    """Traced as ever, while its operators are not fused: that takes seconds."""
    return ran_alone(Executed(module, by_inductor(module, backend=backend), 8), (4,), torch.float32, "cpu")


def test_a_whole_graph_is_compiled_and_stays_so() -> None:
    from torch._dynamo.utils import counters

    found = ran(Whole())
    assert (found.frames, found.breaks, found.outside, found.lacking) == (1, 0, (), "")
    module, x = Whole(), torch.ones(4, 8, requires_grad=True)
    call = by_inductor(module, backend="aot_eager")
    call(x).sum().backward()
    graphs, threads = counters["stats"]["unique_graphs"], len(os.listdir("/proc/self/task"))
    for _ in range(2):
        watch(lambda: [call(x).sum()], torch.autograd.backward)
    assert counters["stats"]["unique_graphs"] == graphs
    assert len(os.listdir("/proc/self/task")) == threads  # or no launch could be a copy of this process
    grad = x.grad
    assert grad is not None and torch.equal(grad, torch.full_like(x, 6.0))


def test_an_operator_of_ones_own_is_inside_of_the_frame_that_calls_it() -> None:
    with torch.library._scoped_library("polybench_test", "FRAGMENT") as library:
        library.define("square(Tensor x) -> Tensor")
        library.impl("square", lambda x: x.detach().clone().square_(), "CPU")
        library.impl("square", torch.empty_like, "Meta")
        square = torch.ops.polybench_test.square.default
        torch.library.register_autograd(
            square, lambda ctx, dy: 2 * ctx.saved_tensors[0] * dy,
            setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs), lib=library,
        )  # fmt: skip

        class Own(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return square(x) + x

        found, module = ran(Own()), Own()
        assert (found.frames, found.breaks, found.lacking) == (1, 0, "")
        eager = ran_alone(Executed(module, module, 8), (4,), torch.float32, "cpu")
        assert eager.outside[0].startswith("polybench_test.square")
        assert (eager.operators, found.operators) == (5, 5)  # square, a sum; two products and a sum of gradients


def test_a_graph_break_without_an_operator_is_counted_and_allowed() -> None:
    found = ran(Broken())
    assert (found.frames, found.breaks, found.outside, found.lacking) == (2, 1, (), "")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Asks(), rf"1 operator outside of compiled code: aten._local_scalar_dense \({HERE}:\d+\)"),
        (Disabled(), rf"aten.relu \({HERE}:\d+\), aten.mul \({HERE}:\d+\).* and \d more"),
        (Half(), rf"aten.sin \({HERE}:\d+\), aten.cos \(the backward pass of SinBackward0\)"),
        (OwnBackward(), r"aten.mul \((test_watching.py:\d+|the backward pass of _BackwardBackward)\)"),
    ],
    ids=lambda it: type(it).__name__ if isinstance(it, nn.Module) else "",
)
def test_an_operator_outside_is_named_with_its_place(module: nn.Module, words: str) -> None:
    found = ran(module)
    with pytest.raises(Unsupported, match=words):
        found.held_to_be_compiled()


def test_eager_code_is_never_taken_for_compiled() -> None:
    module = Whole()
    found = ran_alone(Executed(module, module, 8), (4,), torch.float32, "cpu")
    assert (found.frames, found.generated) == (0, 0)
    assert found.operators == len(found.outside) >= 4
    assert "compiled nothing" in found.lacking


def test_watching_what_is_eager_loads_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would be more than a second of every process that measures."""
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    module = Whole()
    assert ran_alone(Executed(module, module, 8), (4,), torch.float32, "cpu").operators
    assert moved_bytes(lambda: torch.ones(2) + 1)
    with disturbed(torch.float32, "cpu", 8, 0):
        torch.ones(2) + 1
    assert "torch._dynamo" not in sys.modules


def test_what_keeps_torch_from_compiling_is_said(settings_of_torch: Any) -> None:
    torch.compiler.set_stance("force_eager")
    try:
        assert "its stance is force_eager" in ran(Whole()).lacking
    finally:
        torch.compiler.set_stance("default")
    settings_of_torch.disable = True
    assert "turned off, by TORCH_COMPILE_DISABLE" in ran(Whole()).lacking


def test_suppressed_errors_are_errors(settings_of_torch: Any) -> None:
    """Else what a broken compiler leaves runs eagerly without a word."""

    def broken(graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Any:
        raise RuntimeError("planted")

    settings_of_torch.suppress_errors = True
    with pytest.raises(Exception, match="planted") as problem:
        ran(Whole(), broken)  # type: ignore[arg-type]
    assert explain(problem.value).status is Status.UNSUPPORTED
    assert explain(problem.value).error.startswith("torch.compile failed: ")


def test_the_limit_of_versions_is_no_way_to_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_VERSIONS", 1)
    with pytest.raises(Exception, match="limit") as problem:
        ran(Counts())
    ending = explain(problem.value)
    assert ending.status is Status.UNSUPPORTED
    assert "again and again" in ending.error


SMALL = {"tokens": 4, "d_model": 8}
TINY = {"d_model": 16, "layers": 1, "heads": 2, "seq_len": 8, "batch": 4, "steps": 2}
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("speed", "compile", SMALL, {"launches": 1, "sample_s": 1e-5}),
    ("speed", "eager", {"level": "decoder", "layers": 1, "seq_len": 4, "compile": True, **SMALL}, {"launches": 1}),
    ("memory", "compile", SMALL, {}),
    ("memory", "max_autotune", {"level": "block", **SMALL}, {}),
    ("accuracy", "compile", {"width": 64}, {}),
    ("selfcheck", "compile", SMALL, {"launches": 1}),
    ("pretrain", "eager", {"compile": True, **TINY}, {}),
    ("loss_curve", "compile", TINY, {}),
    ("approximation", "compile", {"steps": 2}, {}),
    ("vision", "compile", {"epochs": 1}, {}),
]


@pytest.mark.parametrize(("kind", "backend", "axes", "protocol"), CASES, ids=lambda it: it if type(it) is str else "")
def test_no_kind_has_eager_numbers_where_compiling_is_turned_off(
    kind: str, backend: str, axes: dict[str, Any], protocol: dict[str, Any],
    settings_of_torch: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings_of_torch.disable = True
    monkeypatch.setattr(speed, "_known", speed._Known({}, {}))
    monkeypatch.setenv("CXX", "true")  # whatever the machine has, nothing comes to compile
    made = kind_of(kind)
    cell = Cell(kind, made.version, "relu", backend, "cpu", "float32", axes_of(made, axes))
    how = tuple(sorted(made.protocol(**protocol).model_dump().items()))
    try:
        said = [m.item for m in messages_of(Job((Trial("test", cell, 0),), how, 600.0))]
    finally:
        torch.set_deterministic_debug_mode("default")
    (ending,) = [item for item in said if isinstance(item, Ending)]
    assert ending.status is Status.UNSUPPORTED
    assert "turned off" in ending.error


@pytest.mark.parametrize("protocol", [{}, {"taking_turns": True}], ids=["yardsticks", "turns"])
def test_the_first_launch_and_the_bytes_tell_what_ran(
    protocol: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_known", speed._Known({}, {}))
    for kind, how in (("speed", {"launches": 1, "blocks": 1, "sample_s": 1e-5, **protocol}), ("memory", {})):
        made = kind_of(kind)
        for launch in (0, 1):
            trial = Trial(
                "test", Cell(kind, made.version, "swiglu", "eager", "cpu", "float32", axes_of(made, SMALL)), launch
            )
            found = {i.metric: i.values for i in items(trial, **how) if isinstance(i, Measurement)}
            told = launch == 0 or kind == "memory"
            assert [found.get(m.name) for m in RAN] == ([(0.0,), (0.0,), (6.0,), (0.0,)] if told else [None] * 4)


@pytest.fixture(scope="module")
def text() -> Tokens:
    stream = np.random.default_rng(0).integers(0, 17, 500).astype(np.uint16)
    return Tokens(stream[:400], stream[400:], np.ones(17, dtype=np.int64), "test")


def training(text: Tokens, monkeypatch: pytest.MonkeyPatch, place: Place | None = None, **axes: Any) -> Training:
    """Whole models, traced as ever, whose operators are not fused."""
    monkeypatch.setattr(compiled.torch, "compile", partial(torch.compile, backend="aot_eager"))
    filled = TrainingAxes(**{**TINY, "compile": True, **axes}).filled()
    model = set_up(text, filled, chosen("relu"), "cpu", "float32", 0)
    made = Training(model, text, filled, 0.01, "float32", 0, place)
    made.warm_up()
    return made


def test_a_training_is_compiled_as_a_whole(text: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    it = training(text, monkeypatch)
    before = [p.clone() for p in it.model.parameters()]
    found = it.ran()
    assert (found.frames, found.breaks, found.lacking) == (1, 0, "")
    assert all(p.grad is None and torch.equal(p, b) for p, b in zip(it.model.parameters(), before, strict=True))


def test_what_copies_of_a_model_exchange_is_no_operator_of_it(text: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        it = training(text, monkeypatch, Place(0, 2))  # as one of two, whose other is never heard of
        assert isinstance(it.wrapped, nn.parallel.DistributedDataParallel)
        assert it.ran().lacking == ""
        it.run = it.wrapped
        assert "compiled nothing" in it.ran().lacking
    finally:
        torch.distributed.destroy_process_group()


def test_the_activation_of_a_training_is_watched_alone() -> None:
    axes = TrainingAxes(**TINY).filled()
    for dtype in ("float32", "bfloat16"):
        assert ran_of(chosen("swiglu"), axes, "cpu", dtype).frames == 0
    assert ran_of(chosen("swiglu"), axes, "cpu", "float32").operators == 6  # silu and a product, and their gradients
