"""Axes whose value is more than one word: a corpus, several of them, shares of the steps."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from polybench.corpora.source import CorpusName, corpora_of
from polybench.errors import in_short

__all__ = ["Corpora", "Corpus", "Shares", "corpora_of", "tokenized"]


def _known_corpus(text: str) -> str:
    name = CorpusName.parse(text)
    name.check_files()
    return str(name)


def _known_corpora(text: str) -> str:
    names: list[str] = []
    for part in corpora_of(text):
        try:
            names.append(_known_corpus(part))
        except ValueError as problem:
            hint = "several are joined by +, as in stdlib+manual; " if re.search(r"[+,\s]", part) else ""
            raise ValueError(f"{hint}{problem}") from None
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"{in_short(twice)} stands in it twice")
    return "+".join(names)


def _known_text(text: str) -> str:
    """What is trained on: one corpus, or several of text as one."""
    known = _known_corpora(text)
    if not known:
        raise ValueError("corpus is empty; name what is trained on, such as sotu")
    if len(corpora_of(known)) > 1 and (given := next(filter(tokenized, corpora_of(known)), "")):
        raise ValueError(f"{in_short(given)} is tokenized already, and only texts can be joined")
    return known


def _known_shares(said: Any) -> str:
    """Shares in order, each once, joined by +; a single one may be a number."""
    try:
        shares = sorted({float(part) for part in str(said).split("+") if part.strip()})
    except ValueError:
        raise ValueError(f"finish_at {said!r} is no list of shares of the steps, such as 0.5+0.7") from None
    if shares and not 0 < shares[0] <= shares[-1] < 1:
        raise ValueError(f"finish_at {said} has shares of the steps, so they lie between 0 and 1")
    return "+".join(f"{share:g}" for share in shares)


Shares = Annotated[str, BeforeValidator(_known_shares)]
Corpus = Annotated[str, AfterValidator(_known_text)]  # one, or several texts joined by +
Corpora = Annotated[str, AfterValidator(_known_corpora)]  # several, joined by +


def tokenized(corpus: str) -> bool:
    """Whether others have tokenized it, so that `bytes` says nothing."""
    return corpus.startswith("tokens:")
