"""What the doctor says: a level, a sentence, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "unfit"]
LEVELS: tuple[Level, ...] = ("ok", "note", "unfit")


@dataclass(frozen=True)
class Symptom:
    """One thing about the machine. `unfit`: times taken now would mislead; `note`: know it when reading them."""

    topic: str
    level: Level
    sentence: str
    remedy: str = ""


def worst(topic: str, found: Iterable[tuple[bool, Level, str, str]], otherwise: str) -> Symptom:
    """The gravest of those (condition, level, sentence, remedy) that hold, the first among equals; else ok."""
    held = [Symptom(topic, level, sentence, remedy) for holds, level, sentence, remedy in found if holds]
    return max(held, key=lambda f: LEVELS.index(f.level), default=Symptom(topic, "ok", otherwise))


def conclusion(findings: Sequence[Symptom]) -> tuple[int, str]:
    """Exit code and the last line: 4 and every reason when anything is unfit, else 0."""
    unfit = [f for f in findings if f.level == "unfit"]
    if unfit:
        return 4, "not fit for timing: " + "; ".join(f"{f.topic}: {f.sentence}" for f in unfit)
    notes = [f.topic for f in findings if f.level == "note"]
    return 0, "fit for timing" + (f"; worth a look: {', '.join(notes)}" if notes else "")
