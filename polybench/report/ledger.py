"""The ledger: what arXiv:2411.03884 claims, row by row, beside what runs here say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, pairwise

from polybench.compare.claims import Case, Judgement, decisive, judgements
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import PARAMETERS, of_seeds
from polybench.document import ABSENT, Column, Document, Entry, Figure, Finding, Table, together
from polybench.report import claims, provenance
from polybench.report.gaps import gaps
from polybench.report.paper import PAPER, REFERENCE, ROWS, Row
from polybench.report.paper import gaps as gaps_of_paper
from polybench.report.wording import sentences, title_of
from polybench.run.frame import values_of
from polybench.run.store import Run
from polybench.stats import ALPHA

LEDGER = "ledger"  # of the document, and of the folder beside those of suites
_COLUMNS = (
    Column("claim", note="Its number and what it says, in our words.", numeric=False),
    Column("theirs", note="What was reported, with its source's own certainty.", numeric=False),
    Column("asked here", note="The sentence that was judged, and in which run.", numeric=False),
    Column("parameters", note="Of the models that were trained here."),
    Column("ours", note="The change of the first activation beside the second, with its interval.", numeric=False),
    Column("verdict", numeric=False),
    Column("what would settle it", numeric=False),
)
_SHORT = (
    Column("claim", numeric=False),
    Column("the paper", numeric=False),
    Column("found here", note="What became of each sentence that was judged.", numeric=False),
    Column("of these, the one that decides", note="Its sentence and its change with its interval.", numeric=False),
    Column("parameters", note="Of the models that decide."),
    Column("asked by", note="The suites, which `polybench run` takes.", numeric=False),
)
_SAME = ""  # as in the row above
_PICTURES = (("dense-1b", "dense", 1, "1.3 B parameters, 250 B tokens"),
             ("moe-1b-7b", "a mixture of experts", 3, "7 B parameters of which 1 B a token, 200 B tokens"))  # fmt: skip


def document(runs: Sequence[Run]) -> Document:
    """Ten rows, a line for each claim that a run judged, and the paper's curves under those of the runs."""
    compared = [Comparisons.of(run) for run in runs]
    asked = [m for c in compared for m in _asked(c)]
    rows = [(row, [m for m in asked if m.one.claim.source == row.source]) for row in ROWS]
    return Document(
        title=LEDGER,
        description=f"What {PAPER} claims, and what was found here: {', '.join(r.name for r in runs)}.",
        findings=tuple(_finding(row, mine) for row, mine in rows),
        tables=(
            Table(
                key="ledger-in-short",
                title=f"{PAPER} in ten lines",
                caption="What is supported or refuted here is so at the size of model that was trained, which the next "
                "table has beside each; not resolved is what neither is. Of several sentences the one decides that was "
                "refuted, or else is not resolved.",
                columns=_SHORT,
                rows=tuple(_in_short(row, mine) for row, mine in rows),
            ),
            Table(
                key="ledger",
                title=f"The claims of {PAPER}",
                caption="Each verdict is that of its run, with what else its suite claims as one family: supported or "
                f"refuted at {ALPHA:.0%} after Holm, else not resolved. What holds at our size need not hold at "
                "another; the sizes stand beside each other.",
                columns=_COLUMNS,
                rows=tuple(line for row, mine in rows for line in _of_row(row, mine)),
                notes=(
                    *(f"Claim {row.number}: {row.beware}" for row, mine in rows if mine and row.beware),
                    *_notes(asked),
                ),
            ),
        ),
        figures=tuple(_figures(compared)),
        facts=tuple((c.stored.name, f"{c.stored.path}, {c.stored.header.get('started_at', '')}") for c in compared),
        notes=tuple(f"{c.stored.name}: {note}" for c in compared for note in provenance.section(c).notes),
        data={"values": together([values_of(r).of(r.name) for r in runs])},
    )


@dataclass(frozen=True)
class _Asked:
    """One sentence of a claim in a run: a pair of activations, with its cases, the one that decides first."""

    run: str
    one: Judgement
    reference: str
    cases: Sequence[Case]

    @property
    def first(self) -> Case | None:
        return self.cases[0] if self.cases else None

    @property
    def sentence(self) -> str:
        if self.first is None:
            return self.one.text
        pair = (self.first.point.cell.activation, self.first.other.cell.activation)
        return str(replace(claims.said_of(self.one.claim, self.first, self.reference), names=pair))

    @property
    def grounds(self) -> str:
        return (claims.grounds(self.first) or self.first.note) if self.first else ABSENT

    @property
    def verdict(self) -> str:
        """What its first case is, and in how many cells."""
        if self.first is None:
            return "not judged"
        words = [case.diverged or (case.ruling if case.evidence else "not judged") for case in self.cases]
        return f"{words[0]} in {words.count(words[0])} of {len(words)} cells" if len(words) > 1 else words[0]

    @property
    def place(self) -> str:
        """Its run, and of several cells which one decides."""
        several = self.first is not None and len(self.cases) > 1
        return f"{self.run}, of {len(self.cases)} cells {self.cases[0].label}" if several else self.run


def _asked(compared: Comparisons) -> Iterator[_Asked]:
    """Every sentence that a run was asked."""
    for one in judgements(compared):
        for cases in _pairs(one):
            yield _Asked(compared.stored.name, one, compared.reference, cases)


def _in_short(row: Row, mine: Sequence[_Asked]) -> tuple[Entry, ...]:
    """A line a row: what became of all that was asked, and the sentence on which that hangs."""
    first = min((m for m in mine if m.first), key=lambda m: decisive(m.cases[0]), default=None)
    decides = f"{first.sentence}: {first.grounds}" if first else ABSENT
    told = map(Entry, (f"{row.number}. {row.says}", row.reported, _told(mine), decides))
    return *told, _size(first.first if first else None), Entry(", ".join(row.paths))


def _told(mine: Sequence[_Asked]) -> str:
    """How many sentences of a row came to which verdict."""
    count = Counter(m.verdict for m in mine)
    alone = len(count) == 1
    told = (word if n == 1 and (alone or " in " in word) else f"{n} {word}" for word, n in count.most_common())
    return ", ".join(told) or "not run"


def _of_row(row: Row, mine: Sequence[_Asked]) -> Iterator[tuple[Entry, ...]]:
    """What a row says stands in its first line, and what was reported where that differs from the line above."""
    head = f"{row.number}. {row.says}"
    if not mine:
        yield tuple(map(Entry, (head, row.reported, "not run", ABSENT, ABSENT, "not run", "a run")))
    above: Judgement | None = None
    for m in mine:
        theirs = str(m.one.claim.reported) if m.one.claim.reported is not None else row.reported
        yield (
            Entry(head),
            Entry(theirs if m.one is not above else _SAME),
            Entry(f"{m.sentence} ({m.place})"),
            _size(m.first),
            Entry(m.grounds),
            Entry(m.verdict),
            Entry(m.first.more.words if m.first and m.first.more else ABSENT),
        )
        head, above = _SAME, m.one


def _pairs(one: Judgement) -> Sequence[Sequence[Case]]:
    """The cases of each pair of activations, the one that decides first; nothing once for a claim that has none."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in one.cases:
        found.setdefault((case.point.cell.activation, case.other.cell.activation), []).append(case)
    if one.claim.order is not None:
        found = {pair: found[pair] for pair in pairwise(one.claim.order) if pair in found}
    return (*found.values(),) or ((),)


def _size(case: Case | None) -> Entry:
    sizes = {int(v) for p in ((case.point, case.other) if case else ()) for v in of_seeds(p, PARAMETERS)}
    return Entry(f"{max(sizes):,}", max(sizes)) if sizes else Entry(ABSENT)


def _finding(row: Row, mine: Sequence[_Asked]) -> Finding:
    """A line a row: what became of it, and the command that asks it again."""
    judged = [m.one for m in mine if m.first]
    rulings = {one.ruling for one in judged}
    decided = "refuted" in rulings or rulings == {"supported"}
    text = f"{row.says}: {_told(mine)}. {'; '.join(f'polybench run {path}' for path in row.paths)}"
    return Finding(f"Claim {row.number}", text, decided)


def _notes(asked: Sequence[_Asked]) -> tuple[str, ...]:
    """Claims of the runs that are not of this paper."""
    known = {row.source for row in ROWS}
    others = [one for one, _ in groupby(m.one for m in asked) if one.claim.source not in known]
    return tuple(f"Of {one.claim.source or 'no source'}: {one.text}: {one.ruling}." for one in others)


def _figures(compared: Sequence[Comparisons]) -> Iterator[Figure]:
    """The paper's gaps to SwiGLU and ours, over the share of the budget."""
    for model, called, number, size in _PICTURES:
        row = ROWS[number - 1]
        theirs = [c for c in compared if any(claim.source == row.source for claim in c.run.suite.claims)]
        ours = [(c, group, lines) for c in theirs for group, lines in gaps(c, REFERENCE)]
        series = [
            replace(s, label=title_of(f"{s.label}, {c.stored.path.name}", group, [g for d, g, _ in ours if d is c]))
            for c, group, lines in ours for s in lines
        ]  # fmt: skip
        yield Figure(
            key=f"gap-{called.split()[-1]}",
            kind="curves",
            title=f"Training loss less SwiGLU's, {called}",
            caption=sentences(
                f"{PAPER}: {size}, one run each, points of its figure",
                "Ours: means over seeds, paired by seed, with their band; a point is a fortieth of the steps"
                if ours
                else "No run of ours is among these",
            ),
            x_label="Share of the training, per cent",
            y_label="Training loss less SwiGLU's, nat/token",
            series=tuple(chain(gaps_of_paper(model), series)),
            baseline=0.0,
        )
