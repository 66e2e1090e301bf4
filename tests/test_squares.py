"""The tasks that polybench brings: a right answer is right by a rule, and none can be told without its beginning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from polybench.corpora.corpus import documents
from polybench.tasks import squares as tasks
from polybench.tasks.squares import MOST, Square, cloze, frames, of_frames, spread

FOLDER = Path(tasks.__file__).parent
FRAMES = sorted(frames())
PREPOSITIONS = {
    "upon": "depend rely insist", "of": "consist dispose deprived relieved possessed capable aware worthy",
    "with": "comply interfere deal agree satisfied charged provided",
    "to": "belong adhere refer submit subjected extended confined restored entitled opposed devoted",
    "from": "derived withheld separated removed",
}  # fmt: skip
SECOND = {"both": "and", "either": "or", "neither": "nor"}
BEHIND = {"of", "made", "must", "could", "should", "would", "might", "will", "may"}  # the subject of a sentence
MANY = {"were", "have", "have been", "are", "themselves"}
PARTICIPLES = {"seen", "taken", "given", "begun", "chosen", "made", "kept", "found", "held"}


def agrees(head: str, answer: str) -> bool:
    words = head.split()
    subject = words[next((i for i, word in enumerate(words) if word in BEHIND), len(words)) - 1]
    return (subject == "men" or subject.endswith("s")) == (answer in MANY)


def has(head: str, *words: str) -> bool:
    return not {*words}.isdisjoint(head.split())


# Whether an answer is right after a beginning, told by another way than the frames tell it.
RULES: dict[str, Callable[[str, str], bool]] = {
    "agreement": agrees,
    "attraction": agrees,
    "reflexive": agrees,
    "determiner": lambda head, answer: (
        has(head, "these", "those", "several", "many", "two", "all") == answer.endswith("s")
    ),
    "verb_form": lambda head, answer: (
        has(head, "has", "have", "had") == (answer.endswith("ed") or answer in PARTICIPLES)
    ),
    "polarity": lambda head, answer: has(head, "never", "not", "without") == (answer == "any"),
    "correlative": lambda head, answer: next(SECOND[w] for w in head.split() if w in SECOND) == answer,
    "preposition": lambda head, answer: head.split()[-1] in PREPOSITIONS[answer].split(),
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_right_answer_is_right_by_a_rule_and_the_wrong_one_is_not(name: str) -> None:
    for square in of_frames(frames()[name]):
        told = [[RULES[name](head, answer) for answer in square.answers] for head in square.heads]
        assert told == [[True, False], [False, True]], square


@pytest.mark.parametrize("name", FRAMES)
def test_both_sides_of_a_pair_have_the_same_number_of_words_and_no_question_comes_twice(name: str) -> None:
    every = list(of_frames(frames()[name]))
    assert len(set(every)) == len(every)
    for square in every:
        for sides in (square.heads, square.answers):
            assert len({len(side.split()) for side in sides}) == 1 and len(set(sides)) == 2
        for sentence in (f"{head} {answer} {square.tail}" for head in square.heads for answer in square.answers):
            assert sentence == " ".join(sentence.split()) and sentence[0].isupper() and sentence.count(".") == 1
            assert "{" not in sentence and sentence.endswith(".")
    asked = [json.dumps(q) for square in tasks.squares(name) for q in square.questions()]
    assert len(set(asked)) == len(asked) >= 140


@pytest.mark.parametrize("name", FRAMES)
def test_who_does_not_see_the_beginning_is_right_in_half(name: str) -> None:
    """By any preference, and by none: of equal choices the first is taken."""
    preferences: list[Callable[[str], Any]] = [len, hash, lambda choice: 0]
    for square, prefer in ((s, p) for s in tasks.squares(name) for p in preferences):
        questions = list(square.questions())
        picked = [max(range(2), key=lambda i: prefer(q["choices"][i])) for q in questions]
        assert sum(q["answer"] == i for q, i in zip(questions, picked, strict=True)) == 1


def test_other_questions_are_another_version() -> None:
    """Scores of two versions are not compared, so raise `version` in square.yaml with the digest."""
    asked = [[name, [list(s.questions()) for s in tasks.squares(name)]] for name in FRAMES]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    (line,) = [line for line in (FOLDER / "square.yaml").read_text().splitlines() if line.startswith("metadata")]
    assert (digest, line) == ("4e592ffd6fd920e3", "metadata: {version: 1.0, chance: 0.5}")


def sentences(topic: str, count: int) -> str:
    head = "In the matter of {0} number {1} there is much that must be said to you here today."
    after = "The case of {0} number {1} was settled and nothing more is asked."
    return " ".join(chain.from_iterable((head.format(topic, i), after.format(topic, i)) for i in range(count))) + "\n"


def test_the_cloze_pairs_neighbours_of_two_texts_and_takes_each_once() -> None:
    texts = [sentences("trade", 5), sentences("war", 4), "Too short. To ask.\n", sentences("trade", 1)]
    found = list(cloze(texts))
    assert found and list(cloze(texts)) == found
    for square in found:
        topics = [{w for w in ("trade", "war") if w in text} for text in (*square.heads, *square.answers)]
        assert topics[0] == topics[2] != topics[1] == topics[3]
        assert len({len(answer.split()) for answer in square.answers}) == 1
        for head, answer in zip(square.heads, square.answers, strict=True):
            assert any(f"{head} {answer}" in text for text in texts)
    said = [text for square in found for text in (*square.heads, *square.answers)]
    assert len(set(said)) == len(said)


def test_the_cloze_asks_about_text_that_no_training_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(" ".join(f"word{number * 1000 + i}" for i in range(100)) + ".")
    corpus = f"text:{tmp_path}/*.txt"
    monkeypatch.setattr(tasks, "CORPUS", corpus)
    held = tasks._held_out()
    every = [text.decode() for text in documents(corpus)]
    assert held and {*held} < {*every}


def test_of_too_many_squares_the_same_are_taken_in_whatever_order_they_come() -> None:
    many = [Square((f"a{i}", f"b{i}"), ("x", "y")) for i in range(2 * MOST)]
    assert spread(many) == spread(many[::-1] + many) and len(spread(many)) == MOST
    again = Square(("a0", "c"), ("x", "y"))
    assert len(spread([many[0], again])) == 1 and len(spread([many[0], Square(("c", "a0"), ("y", "x"))])) == 2


def test_every_file_is_a_task_of_the_group_and_each_has_its_questions() -> None:
    class Loader(yaml.SafeLoader):
        """Knows lm-evaluation-harness's reference to a function."""

    Loader.add_constructor("!function", lambda loader, node: node.value)
    files = {p.stem: yaml.load(p.read_text(), Loader) for p in FOLDER.glob("*.yaml")}
    group, shared = files.pop("polybench"), files.pop("square")
    assert [one["task"] for _, one in sorted(files.items())] == sorted(group["task"])
    assert group["group"] == "polybench" and group["metadata"] == shared["metadata"]
    assert {name: one["dataset_kwargs"] for name, one in files.items()} == {
        name: {"name": name} for name in (*FRAMES, "cloze")
    }
    assert all(one["task"] == f"polybench_{name}" and one["include"] == "square.yaml" for name, one in files.items())
    assert shared["custom_dataset"] == f"{tasks.__name__}.{tasks.documents.__name__}"
