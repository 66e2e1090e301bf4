"""A run becomes a document: sections in the order in which they are read, and the facts they rest on."""

from __future__ import annotations

from itertools import chain
from types import ModuleType
from typing import Any

from polybench.compare.comparisons import Comparisons
from polybench.document import Document
from polybench.errors import reason
from polybench.report import (
    accuracy,
    answer,
    claims,
    constructions,
    cost_picture,
    dynamics,
    figures,
    fits,
    invariance,
    likeness,
    limits,
    losses,
    overview,
    profiles,
    provenance,
    ran,
    rates,
    readings,
    scaling,
    scores,
    selfcheck,
    speed_up,
    spread,
    tables,
    texts,
    way,
)
from polybench.report.section import Section
from polybench.run.frame import values_of
from polybench.run.store import Run

SECTIONS = (
    provenance, claims, answer, overview, figures, cost_picture, accuracy, constructions, fits, texts, losses,
    invariance, way, scores, scaling, speed_up, rates, spread, tables, dynamics, likeness, limits, selfcheck, ran,
    profiles, readings,
)  # fmt: skip


def compose(run: Run) -> Document:
    """The report of a run; the same for every format. A part that cannot be made is a note, and the rest stands."""
    comparisons = Comparisons.of(run)
    made = {part: _made(part, comparisons) for part in SECTIONS if part is not tables}
    told = frozenset(chain.from_iterable(section.metrics for section in made.values()))
    made[tables] = _made(tables, comparisons, told)  # what no other section tells
    sections = [made[part] for part in SECTIONS]
    pictures = tuple(chain.from_iterable(s.figures for s in sections))
    return Document(
        title=run.name,
        description=run.suite.description,
        findings=tuple(chain.from_iterable(s.findings for s in sections)),
        tables=tuple(chain.from_iterable(s.tables for s in sections)),
        figures=pictures,
        facts=provenance.facts(run),
        notes=tuple(chain.from_iterable(s.notes for s in sections)),
        data={"run": run.header, "values": values_of(run)},
        picture=cost_picture.beside_answer(pictures),
        readings=tuple(chain.from_iterable(s.readings for s in sections)),
    )


def _made(part: ModuleType, *arguments: Any) -> Section:
    try:
        made: Section = part.section(*arguments)
    except Exception as problem:
        name = part.__name__.rpartition(".")[2].replace("_", " ")
        return Section(
            notes=(f"The part of this report on {name} could not be made ({reason(problem)}); the rest stands.",)
        )
    return made
