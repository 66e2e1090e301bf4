"""Verdicts as Markdown: what is not a plain pass, or has something to say, worst first, and a line a rule."""

from __future__ import annotations

import re

from polybench.compare.decision import Ruling
from polybench.compare.judged import CLAIMS, PASSED, UNDECIDED, Judged, shown_values
from polybench.compare.verdict import Verdict
from polybench.registry import outlets

MOST_ROWS = 60  # of a comment, which GitHub takes up to 65,536 characters long
MOST_LETTERS = 300  # of a field
# What Markdown, its mathematics or a page would read as more than a character; and a mention, of which the page behind
# Markdown makes a link even where the character was written as an entity.
_SPECIAL = re.compile(r"[&<>|`*\[\]~\\$!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[@#](?=\w)")


@outlets.register("markdown", suffix=".md")
def markdown(judged: Judged, before: str) -> str:
    """A page for people, anew each time."""
    return page(judged)


def page(judged: Judged) -> str:
    """The verdicts under a heading that says how it ended."""
    parts = [f"### polybench {judged.command} {text(judged.suite)}: {ending(judged)}", "", text(judged.reason), ""]
    told = [v for v in judged.worst_first if v.outcome != "pass" or v.reason or judged.command == CLAIMS]
    if told:
        parts += ["| verdict | cell | metric | baseline → value | why |", "|---|---|---|---|---|"]
        parts += [_row(judged, v) for v in told[:MOST_ROWS]]
        parts += ["", f"And {len(told) - MOST_ROWS} more."] if len(told) > MOST_ROWS else []
        parts.append("")
    for rule in dict.fromkeys(v.rule for v in judged.verdicts if judged.command != CLAIMS):
        mine = [v for v in judged.verdicts if v.rule == rule]
        passed = sum(v.outcome in PASSED for v in mine)
        parts.append(f"- {_code(rule)}: {passed} of {len(mine)} cells pass")
    return "\n".join(parts).rstrip() + "\n"


def ending(judged: Judged) -> str:
    """The exit code in a word."""
    return {0: "passed", 1: "failed", 3: "broken", 4: "undecided"}.get(judged.code, f"ended with {judged.code}")


def sign(outcome: Ruling) -> str:
    """What the eye finds before it reads."""
    return "✅" if outcome in PASSED else "⚠️" if outcome in UNDECIDED else "🆕" if outcome == "new" else "❌"


def text(words: str) -> str:
    """Text that stays text: no markup, no link, nobody who is called; a run may come from anybody."""
    short = words if len(words) <= MOST_LETTERS else f"{words[: MOST_LETTERS - 1]}…"
    return _SPECIAL.sub(_inert, " ".join(short.split()))


def _inert(found: re.Match[str]) -> str:
    return f"{found[0]}<!-- -->" if found[0] in "@#" else f"&#{ord(found[0])};"


def _row(judged: Judged, v: Verdict) -> str:
    fields = (_code(v.label), _code(v.metric.name), text(shown_values(v).replace("->", "→")), text(v.reason))
    return f"| {sign(v.outcome)} {judged.word(v)} | {' | '.join(fields)} |"


def _code(words: str) -> str:
    return f"<code>{text(words)}</code>"
