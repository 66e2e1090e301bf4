"""A part of a report: what one module of this folder makes of a run's comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from polybench.document import Figure, Finding, Reading, Table


@dataclass(frozen=True)
class Section:
    """What is put into a document together; empty where a run says nothing of the kind.

    `metrics` are those that need not be in the table of their benchmark, since they are told here.
    """

    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    metrics: frozenset[str] = frozenset()
    readings: tuple[Reading, ...] = ()
