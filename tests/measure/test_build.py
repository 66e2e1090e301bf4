"""An activation's name is read once a trial, however many layers and experts are made of it."""

from __future__ import annotations

import pytest
from builders import suite
from pictures import idx_folder
from torch import nn

from polybench.errors import RegistryError, Wrong
from polybench.kind import kind_of
from polybench.measure.model import build
from polybench.measure.model.build import Chosen, chosen
from polybench.measure.worker import messages_of
from polybench.message import Ending
from polybench.plan.jobs import plan
from polybench.registry import activations, kinds
from polybench.spec import Spec, canonical

TRAINING = {"corpus": "text:TEXT", "d_model": 8, "heads": 1, "layers": 3, "experts": 2, "expert_coefficients": "own",
            "seq_len": 8, "batch": 2, "steps": 2, "eval_tokens": 16}  # fmt: skip
SMALL = {
    "speed": {"level": "decoder", "tokens": 4, "d_model": 8, "layers": 3, "seq_len": 2, "vocabulary": 16},
    "memory": {"level": "decoder", "tokens": 4, "d_model": 8, "layers": 3, "seq_len": 2, "vocabulary": 16},
    "selfcheck": {"level": "block", "tokens": 4, "d_model": 8},
    "accuracy": {"width": 2**17},
    "loss_curve": TRAINING,
    "pretrain": TRAINING,
    "approximation": {"experiment": "scale", "width": 8},
    "vision": {"images": "idx:FOLDER", "width": 4, "batch": 8, "epochs": 1},
}
BRIEF = {"launches": 1, "blocks": 1, "warm_up": 1, "sample_s": 1e-9}


@pytest.mark.parametrize("kind", kinds.names())
def test_a_trial_of_any_kind_reads_the_name_once(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(kind)
    for i in range(3):
        (folder / f"{i}.txt").write_text(f"words of document {i} " * 40, encoding="utf-8")
    monkeypatch.setenv("POLYBENCH_CACHE", str(folder / "cache"))
    files = {"corpus": f"text:{folder}/*.txt", "images": f"idx:{idx_folder(folder / 'images')}"}
    matrix = {key: files.get(key, value) for key, value in SMALL[kind].items()}
    protocol = BRIEF if kind_of(kind).repeats == "launches" else {}
    dtypes = ["float64" if kind == "approximation" else "float32"]
    only = {"name": "b", "kind": kind, "matrix": matrix, "protocol": protocol, "dtypes": dtypes}
    (job,) = plan(suite(activations=["polynorm(order=2)"], reference="polynorm(order=2)", seeds=[0], benchmarks=[only]),
                  "cpu").jobs  # fmt: skip
    read: list[str] = []

    def counted(text: str) -> Spec:
        read.append(text)
        return canonical(text)

    monkeypatch.setattr(build, "canonical", counted)
    said = [message.item for message in messages_of(job)]
    assert not [item for item in said if isinstance(item, Ending)]
    assert read == [trial.cell.activation for trial in job.trials]


@pytest.mark.parametrize("name", activations.names())
def test_every_module_of_a_choice_is_new_and_equal(name: str) -> None:
    made = chosen(name)
    one, other = made.module(), made.module()
    assert one is not other and type(one) is type(other) is made.make
    assert not {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}
    assert [p.tolist() for p in one.parameters()] == [p.tolist() for p in other.parameters()]
    assert made.executed(one) is one  # eager


def test_what_is_not_there_is_told_before_anything_is_made() -> None:
    for wrong in ("rellu", "polynorm(ordr=2)", "polynorm(order=-1)", "polynorm(order", ""):
        with pytest.raises(RegistryError):
            chosen(wrong)
        with pytest.raises(RegistryError):
            build.activation(wrong)
    with pytest.raises(RegistryError, match="backend"):
        chosen("relu", "eagre")


@pytest.mark.parametrize("width", [2, 8])
def test_another_shape_than_the_registered_is_said_at_once(width: int) -> None:
    def made() -> nn.Module:
        return nn.Linear(4, width)

    with pytest.raises(Wrong, match=rf"'odd' makes \(1, {width}\) of \(1, 4\), where \(1, 4\) is wanted"):
        Chosen(Spec.of("odd", {}), 1, made, lambda call: call).module()
