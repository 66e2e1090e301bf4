"""lm-evaluation-harness asks a kept model what a plain loop over its logits answers; all of it offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from builders import suite
from commands import call

from polybench.cli import main
from polybench.corpora.corpus import tokens
from polybench.kind import kind_of
from polybench.measure.model.build import chosen
from polybench.measure.model.decoder import Decoder
from polybench.measure.training import checkpoint
from polybench.measure.training_axes import TrainingAxes
from polybench.plan.jobs import plan
from polybench.plan.task_names import scores as known
from polybench.run.scores import read
from polybench.tasks import squares as questions
from polybench.trial import CHECKPOINTS, Trial

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: the extra lm-eval brings it")

T = 12
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True, scope="module")
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Before `datasets` is imported, which reads them once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        patch.setenv(name, "1")
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))


def trial_of(**axes: Any) -> Trial:
    matrix = {"corpus": "stdlib", "d_model": 8, "heads": 1, "layers": 1, "seq_len": T, "batch": 3, **axes}
    bench = {"name": "p", "kind": "pretrain", "matrix": matrix}
    return plan(suite(benchmarks=[bench]), "cpu").trials[0]


def keep(path: Path, trial: Trial, model: Decoder | None = None, tokenizer: str = "bytes", size: int = 257) -> Path:
    """A checkpoint of a model as it was initialised, or as given."""
    axes = TrainingAxes(**dict(trial.cell.axes)).filled()
    made = model or Decoder(size, axes.shape, T, chosen(trial.cell.activation)).initialise(trial.seed)
    content = {"trial": trial.to_json(), "axes": dict(trial.cell.axes), "vocabulary": size, "corpus": "c"}
    checkpoint.write(path, {**content, "tokenizer": tokenizer, "model": made.state_dict()})
    return path


def successor() -> Decoder:
    """Says the byte after the last one: the feed-forward block turns e_t into ten times e_{t+1}."""
    trial = trial_of(d_model=258)
    model = Decoder(257, TrainingAxes(**dict(trial.cell.axes)).filled().shape, T, chosen("relu")).initialise(0)
    state = {name: torch.zeros_like(value) if value.ndim > 1 else value for name, value in model.state_dict().items()}
    state["embedding.weight"][:, :257] = torch.eye(257)
    state["layers.0.ffn.w_in.weight"][:257, :257] = torch.eye(257)
    state["layers.0.ffn.w_out.weight"][:257, :257] = 10 * torch.eye(257).roll(1, dims=0)
    model.load_state_dict(state)
    return model


def ask(*arguments: str) -> list[Any]:
    return [SimpleNamespace(args=arguments)]


def log_p(model: Decoder, ids: list[int]) -> torch.Tensor:
    """Log-probability of each id after the first, by one plain call."""
    with torch.no_grad():
        rows_TxV = model(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
    return rows_TxV.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def task(folder: Path, name: str = "own", **config: Any) -> Path:
    """A task file with four documents beside it."""
    documents = [{"q": f"{c}abc", "choices": ["d", "x", "cd"], "answer": i % 3} for i, c in enumerate("pqrs")]
    (folder / "data.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents), encoding="utf-8")
    default = {
        "task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "data.jsonl")}},
        "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{q}}", "target_delimiter": "",
        "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}", "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(json.dumps({**default, **config}), encoding="utf-8")  # JSON is YAML
    return folder


GENERATES = {
    "output_type": "generate_until", "doc_to_choice": None, "doc_to_target": "d",
    "metric_list": [{"metric": "exact_match"}], "generation_kwargs": {"until": ["e"], "max_gen_toks": 5},
}  # fmt: skip


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe-300"])
def test_a_trained_model_is_kept_with_the_tokenizer_that_made_its_text(
    tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polybench.measure.training.harness import KeptModel

    texts = [f"Grüße number {i}, and many words more. " * 9 for i in range(4)]
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "kept"))
    trial = trial_of(corpus=f"text:{tmp_path}/*.txt", tokenizer=tokenizer, steps=3, eval_tokens=24)
    kind = kind_of("pretrain")
    items = [i for _, i in kind.run([trial], kind.axes(**dict(trial.cell.axes)), kind.protocol(save=True))]
    assert not [i for i in items if isinstance(i, Exception)]
    torch.set_deterministic_debug_mode("default")
    (path,) = (tmp_path / "kept").glob("*.model.pt")
    kept, stream = KeptModel(path), tokens(f"text:{tmp_path}/*.txt", tokenizer).held_out_N.tolist()
    (text,) = [t for t in texts if kept.coder.encode_text(t) == stream[:-1]]
    assert stream[-1] == kept.coder.end and kept.coder.decode(stream) == text
    assert kept.loglikelihood_rolling(ask("ab"))[0] == pytest.approx(
        float(log_p(kept.model, [kept.coder.end, *kept.coder.encode_text("ab")]).sum()), abs=1e-4
    )


def test_likelihoods_are_sums_of_log_softmax(tmp_path: Path) -> None:
    """In one batch with others of other lengths, with and without context, cut from the left where it is long."""
    from polybench.measure.training.harness import KeptModel

    kept = KeptModel(keep(tmp_path / "a.model.pt", trial_of()))
    pairs = [("ab", "cd"), ("", "xyz"), ("a", ""), ("ü and", " ö"), ("longer than a sequence", " of ids"), ("a ", "b")]
    found = kept.loglikelihood([a for pair in pairs[:2] + pairs[3:] for a in ask(*pair)])
    for (context, more), (nats, greedy) in zip(pairs[:2] + pairs[3:], found, strict=True):
        ids = [*(context.encode() or [256]), *more.encode()][-T - 1 :]
        asked = len(more.encode()) + (context[-1:] == " ")  # lm-eval counts a space before to what follows
        assert nats == pytest.approx(float(log_p(kept.model, ids)[-asked:].sum()), abs=1e-4)
        with torch.no_grad():
            best = kept.model(torch.tensor([ids[:-1]]))[0].argmax(-1).tolist()
        assert greedy == (best[-asked:] == ids[-asked:])
    assert kept.cut == 1


def test_a_rolling_likelihood_asks_every_token_once(tmp_path: Path) -> None:
    """Side by side from the end of another document on; the last window sees as much as it can."""
    from polybench.measure.training.harness import KeptModel

    kept, text = KeptModel(keep(tmp_path / "a.model.pt", trial_of())), "a text that is longer than two sequences"
    ids = [256, *text.encode()]
    parts = [log_p(kept.model, ids[at : at + T + 1]).sum() for at in range(0, len(text) - T, T)]
    rest = len(text) % T
    wanted = float(sum(parts) + log_p(kept.model, ids[-T - 1 :])[-rest:].sum())
    assert len(text) // T == 3 and kept.loglikelihood_rolling(ask(text)) == [pytest.approx(wanted, abs=1e-4)]
    assert kept.loglikelihood_rolling(ask("") + ask("a"))[0] == 0 and kept.cut == 0


def test_generation_takes_the_likeliest_until_it_is_told_to_end(tmp_path: Path) -> None:
    from polybench.measure.training.harness import KeptModel

    kept = KeptModel(keep(tmp_path / "a.model.pt", trial_of(d_model=258), successor()))
    wishes = [
        ("abc", {"until": ["g"]}), ("abcdefghijklmnopqrstuv", {"until": [], "max_gen_toks": 3}), ("x", {"until": "{"}),
        ("", {"max_gen_toks": 2}), ("a", {"max_gen_toks": 0}), ("ab", {"until": ["e"], "temperature": 0.0}),
    ]  # fmt: skip
    found = kept.generate_until([r for w in wishes for r in ask(*w)])  # type: ignore[arg-type]
    assert found == ["def", "wxy", "yz", "\x00\x01", "", "cd"]
    assert kept.generate_until(ask("þ", {"max_gen_toks": 999})) == [kept.coder.decode(list(range(0xBF, 256)))]  # type: ignore[arg-type]


def test_the_command_gives_the_accuracy_counted_by_hand(tmp_path: Path, capsys: Capture) -> None:
    path = keep(tmp_path / "a.model.pt", trial_of())
    model = Decoder(257, TrainingAxes(**dict(trial_of().cell.axes)).filled().shape, T, chosen("relu")).initialise(0)
    hits = []
    for i, c in enumerate("pqrs"):
        sums = [float(log_p(model, list(f"{c}abc{choice}".encode()))[3:].sum()) for choice in ("d", "x", "cd")]
        hits.append(sums.index(max(sums)) == i % 3)
    arguments = (str(path), "--tasks", "own", "--include-path", str(task(tmp_path)))
    assert call("eval", *arguments, "--json") == 0
    (score,) = json.loads(capsys.readouterr().out)["models"][0]["scores"]
    assert (score["value"], score["n"], score["better"]) == (sum(hits) / 4, 4, "higher")
    assert call("eval", *arguments, "--limit", "2", "--num-fewshot", "2") == 0
    shown = capsys.readouterr().out
    row = next(line.split() for line in shown.splitlines() if line.startswith("own"))
    assert row[:2] == ["own", "acc"] and row[4:6] == ["–", "2"] and "Examples before the question: 2." in shown
    assert "were longer than 12 tokens: cut on the left" in shown
    ((kept,),) = read(tmp_path).values()
    assert (kept.task, kept.limit, kept.shots, kept.n, kept.chance) == ("own", 2, 2, 2, None)


def test_a_model_that_knows_the_next_byte_is_always_right(tmp_path: Path, capsys: Capture) -> None:
    path = keep(tmp_path / "a.model.pt", trial_of(d_model=258), successor())
    task(tmp_path, doc_to_target="0")
    task(tmp_path, "said", **GENERATES)
    for names in ("own", "said"):  # kept beside each other
        assert call("eval", path, "--tasks", names, "--include-path", tmp_path, "--out", tmp_path / "out") == 0
    assert "1.0000" in capsys.readouterr().out
    (scores,) = read(tmp_path / "out").values()
    assert [(s.task, s.value) for s in scores] == [("own", 1.0), ("said", 1.0)]
    assert scores[0].data == scores[1].data != "" and not (tmp_path / "scores.jsonl").exists()


def test_what_polybench_brings_is_asked_where_no_task_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, word in enumerate(("small", "large", "new", "old", "good")):
        line = (
            f"The {word} law passed both Houses of Congress in this year of ours. It was signed by the {word} man here."
        )
        (tmp_path / f"{i}.txt").write_text(line, encoding="utf-8")
    monkeypatch.setattr(questions, "_held_out", lambda: [p.read_text() for p in sorted(tmp_path.glob("*.txt"))])
    questions.squares.cache_clear()
    try:
        path = keep(tmp_path / "a.model.pt", trial_of())
        assert call("eval", path, "--limit", "4", "--json") == 0
    finally:
        questions.squares.cache_clear()
    scores = json.loads(capsys.readouterr().out)["models"][0]["scores"]
    names = {f"polybench_{name}" for name in (*questions.frames(), "cloze")}
    assert {s["task"] for s in scores} == {"polybench", *names}
    assert {f"{s['task']} {s['metric']}" for s in scores} == known()
    assert all(s["chance"] == 0.5 and s["data"] and s["better"] == "higher" for s in scores)
    values = {s["task"]: s["value"] for s in scores}
    assert values.pop("polybench") == pytest.approx(sum(values.values()) / len(values))
