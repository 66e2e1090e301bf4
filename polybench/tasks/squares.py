"""What the tasks ask: squares of two beginnings and two words, of which each beginning wants another one.

`The laws ... were` and `The law ... was` are right, `The laws ... was` and `The law ... were` are wrong: each half of a
square is a question with two choices. A model that does not look at the beginning prefers one word in both, so it is
right in exactly half, however common the word is; one that gives both words the very same likelihood too, since of
equal choices lm-evaluation-harness takes the first. Minimal pairs are after arXiv:1912.00582; words and frames are ours
(squares.toml).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

MOST = 150  # squares a task, which are 300 questions: a standard error of 0.03 of one model's accuracy
CORPUS = "sotu"  # whose held-out side the cloze asks about
_FRAMES = Path(__file__).with_name("squares.toml")
_SENTENCE = re.compile(r"[A-Z][^.!?\n]*[.!?](?=\s)")
_HEAD_WORDS, _NEXT_WORDS = range(12, 31), range(8, 17)  # that one sequence of 128 tokens holds both


@dataclass(frozen=True)
class Square:
    """Two beginnings, what each is to be gone on with, and what ends both sentences."""

    heads: tuple[str, str]
    answers: tuple[str, str]
    tail: str = ""

    def questions(self) -> Iterator[dict[str, Any]]:
        """Both halves; the choices keep their order, so that the right one is first once."""
        choices = [f"{answer} {self.tail}".strip() for answer in self.answers]
        for index, head in enumerate(self.heads):
            yield {"head": head, "choices": choices, "answer": index}


def documents(name: str, **_: object) -> dict[str, Any]:
    """The questions of a task, as lm-evaluation-harness takes them: a data set of one split, `test`.

    Raises Unsupported where the corpus of the cloze is not installed.
    """
    from datasets import Dataset

    return {"test": Dataset.from_list([q for square in squares(name) for q in square.questions()])}


@cache
def squares(name: str) -> tuple[Square, ...]:
    """At most `MOST` squares of a task, the same everywhere."""
    return spread(cloze(_held_out()) if name == "cloze" else of_frames(frames()[name]))


def frames() -> dict[str, list[dict[str, Any]]]:
    """The frames of each task but the cloze."""
    return tomllib.loads(_FRAMES.read_text(encoding="utf-8"))


def of_frames(asked: Iterable[Mapping[str, Any]]) -> Iterator[Square]:
    """Every square of the frames of a task: each beginning with each pair of keys, of answers, and each end.

    A beginning has its `{key}`, which decides; in place of `{other}` stands a word of the other number, which must not.
    """
    for frame in asked:
        others = frame.get("others", [["", ""]])
        for head, key, other, answer, tail in product(
            frame["heads"], frame["keys"], others, frame["answers"], frame["tails"]
        ):
            first, second = (head.format(key=k, other=o) for k, o in zip(key, reversed(other), strict=True))
            yield Square((first, second), (answer[0], answer[1]), tail)


def cloze(texts: Sequence[str]) -> Iterator[Square]:
    """Pairs of neighbouring sentences of two texts, where both second ones have as many words; none is used twice."""
    waiting: dict[int, tuple[int, str, str]] = {}
    for number, head, after in sorted(_neighbours(texts), key=lambda found: _digest("\n".join(found[1:]))):
        words = len(after.split())
        other = waiting.get(words)
        if other is None:
            waiting[words] = number, head, after
        elif other[0] != number and len({head, after, *other[1:]}) == 4:
            yield Square((other[1], head), (other[2], after))
            del waiting[words]


def _neighbours(texts: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """(which text, a sentence, the next one), where both are of a length to be asked; each sentence once."""
    for number, text in enumerate(texts):
        for paragraph in text.splitlines():
            found = _SENTENCE.findall(paragraph + " ")
            for head, after in zip(found[::2], found[1::2], strict=False):
                if len(head.split()) in _HEAD_WORDS and len(after.split()) in _NEXT_WORDS:
                    yield number, head, after


def spread(found: Iterable[Square]) -> tuple[Square, ...]:
    """So many of them in the order of their hashes, without those that ask again what another one asks."""
    asked: set[tuple[str, ...]] = set()
    taken: list[Square] = []
    for square in sorted(found, key=lambda square: _digest(repr(square))):
        questions = {(head, *square.answers, square.tail) for head in square.heads}
        if asked.isdisjoint(questions) and len(taken) < MOST:
            asked |= questions
            taken.append(square)
    return tuple(taken)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _held_out() -> list[str]:
    """The documents that no training on the corpus sees, by whatever tokenizer."""
    from polybench.corpora.corpus import tokens
    from polybench.corpora.tokenizer import Bytes

    ids, coder = tokens(CORPUS, "bytes").held_out_N[:].tolist(), Bytes()
    ends = [i for i, one in enumerate(ids) if one == coder.end]
    return [coder.decode(ids[start:end]) for start, end in zip([0, *(e + 1 for e in ends)], ends, strict=False)]
