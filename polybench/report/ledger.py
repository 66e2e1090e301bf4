"""The ledger: what arXiv:2411.03884 claims, row by row, beside what runs here say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise

from polybench.compare.claims import Case, Judgement, decisive, judgements
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import PARAMETERS, of_seeds
from polybench.document import Column, Document, Entry, Figure, Finding, Table, together
from polybench.plan.sentence import Sentence
from polybench.report import claims, provenance
from polybench.report.gaps import gaps
from polybench.report.paper import PAPER, ROWS, Row
from polybench.report.paper import gaps as gaps_of_paper
from polybench.report.wording import ABSENT, sentences, title_of
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
    Column("asked by", note="The suite, which `polybench run` takes.", numeric=False),
)
_SAME = Entry("")  # as in the row above
_PICTURES = (("dense-1b", "dense", 1, "1.3 B parameters, 250 B tokens"),
             ("moe-1b-7b", "a mixture of experts", 3, "7 B parameters of which 1 B a token, 200 B tokens"))  # fmt: skip


def document(runs: Sequence[Run]) -> Document:
    """Ten rows, a line for each claim that a run judged, and the paper's curves under those of the runs."""
    compared = [Comparisons.of(run) for run in runs]
    judged = {c.stored.name: judgements(c) for c in compared}
    lines = [line for row in ROWS for line in _of_row(row, compared, judged)]
    return Document(
        title=LEDGER,
        description=f"What {PAPER} claims, and what was found here: {', '.join(r.name for r in runs)}.",
        findings=tuple(_finding(row, judged) for row in ROWS),
        tables=(
            Table(
                key="ledger-in-short",
                title=f"{PAPER} in ten lines",
                caption="What is supported or refuted here is so at the size of model that was trained, which the next "
                "table has beside each; not resolved is what neither is. Of several sentences the one decides that was "
                "refuted, or else is not resolved.",
                columns=_SHORT,
                rows=tuple(_in_short(row, judged, compared) for row in ROWS),
            ),
            Table(
                key="ledger",
                title=f"The claims of {PAPER}",
                caption="Each verdict is that of its run, with what else its suite claims as one family: supported or "
                f"refuted at {ALPHA:.0%} after Holm, else not resolved. What holds at our size need not hold at "
                "another; the sizes stand beside each other.",
                columns=_COLUMNS,
                rows=tuple(lines),
                notes=_notes(judged),
            ),
        ),
        figures=tuple(_figures(compared)),
        facts=tuple((c.stored.name, f"{c.stored.path}, {c.stored.header.get('started_at', '')}") for c in compared),
        notes=tuple(f"{c.stored.name}: {note}" for c in compared for note in provenance.section(c).notes),
        data={"values": together([values_of(r).of(r.name) for r in runs])},
    )


def _theirs(row: Row, judged: dict[str, list[Judgement]]) -> list[tuple[str, Judgement]]:
    """The judgements that belong to a row, with the name of their run."""
    return [(name, one) for name, found in judged.items() for one in found if one.claim.source == row.source]


def _in_short(row: Row, judged: dict[str, list[Judgement]], compared: Sequence[Comparisons]) -> tuple[Entry, ...]:
    """A line a row: what became of all that was asked, and the sentence on which that hangs."""
    reference = {c.stored.name: c.reference for c in compared}
    asked = [(n, one, cases) for n, one in _theirs(row, judged) for cases in _pairs(one) if cases]
    asked.sort(key=lambda found: decisive(found[2][0]))
    decides, size = ABSENT, Entry(ABSENT)
    if asked:
        name, one, cases = asked[0]
        decides = f"{_sentence(one, cases[0], reference[name])}: {claims.grounds(cases[0]) or cases[0].note}"
        size = _size(cases[0])
    told = map(Entry, (f"{row.number}. {row.says}", row.reported, _told(row, judged), decides))
    return *told, size, Entry(f"suites/{row.suite}.yaml")


def _told(row: Row, judged: dict[str, list[Judgement]]) -> str:
    """How many sentences of a row came to which verdict."""
    count = Counter(_verdict(cases) for _, one in _theirs(row, judged) for cases in _pairs(one))
    alone = len(count) == 1
    told = (word if n == 1 and (alone or " in " in word) else f"{n} {word}" for word, n in count.most_common())
    return ", ".join(told) or "not run"


def _of_row(
    row: Row, compared: Sequence[Comparisons], judged: dict[str, list[Judgement]]
) -> Iterator[tuple[Entry, ...]]:
    mine = _theirs(row, judged)
    reference = {c.stored.name: c.reference for c in compared}
    head = Entry(f"{row.number}. {row.says}")
    if not mine:
        yield (
            head,
            Entry(row.reported),
            Entry("not run"),
            Entry(ABSENT),
            Entry(ABSENT),
            Entry("not run"),
            Entry("a run"),
        )
    for name, one in mine:
        theirs = Entry(str(one.claim.reported) if one.claim.reported is not None else row.reported)
        for cases in _pairs(one):
            first = cases[0] if cases else None
            yield (
                head,
                theirs,
                Entry(f"{_sentence(one, first, reference[name])} ({name}{_least_sure(cases)})"),
                _size(first),
                Entry((claims.grounds(first) or first.note) if first else ABSENT),
                Entry(_verdict(cases)),
                Entry(first.more.words if first and first.more else ABSENT),
            )
            head = theirs = _SAME


def _pairs(one: Judgement) -> Sequence[Sequence[Case]]:
    """The cases of each pair of activations, the one that decides first; nothing once for a claim that has none."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in one.cases:
        found.setdefault((case.point.cell.activation, case.other.cell.activation), []).append(case)
    if one.claim.order is not None:
        found = {pair: found[pair] for pair in pairwise(one.claim.order) if pair in found}
    return (*found.values(),) or ((),)


def _sentence(one: Judgement, case: Case | None, reference: str) -> str:
    if case is None:
        return one.text
    pair = (case.point.cell.activation, case.other.cell.activation)
    return str(replace(Sentence.of(one.claim, case.metric, reference), names=pair, where=()))


def _least_sure(cases: Sequence[Case]) -> str:
    """Of several cells, which one decides."""
    return f", of {len(cases)} cells {cases[0].label}" if len(cases) > 1 else ""


def _size(case: Case | None) -> Entry:
    sizes = {int(v) for p in ((case.point, case.other) if case else ()) for v in of_seeds(p, PARAMETERS)}
    return Entry(f"{max(sizes):,}", max(sizes)) if sizes else Entry(ABSENT)


def _verdict(cases: Sequence[Case]) -> str:
    """Of a pair what its first case is, and in how many cells."""
    if not cases:
        return "not judged"
    words = [(bool(case.diverged), case.ruling if case.evidence else "not judged") for case in cases]
    word = cases[0].diverged or words[0][1]
    return f"{word} in {words.count(words[0])} of {len(cases)} cells" if len(cases) > 1 else word


def _finding(row: Row, judged: dict[str, list[Judgement]]) -> Finding:
    """A line a row: what became of it, and the command that asks it again."""
    mine = [one for _, one in _theirs(row, judged)]
    command = f"polybench run suites/{row.suite}.yaml"
    if not mine:
        return Finding(f"Claim {row.number}", f"{row.says}: not run. {command}", False)
    decided = all(claims.resolved(one) for one in mine if one.cases)
    return Finding(f"Claim {row.number}", f"{row.says}: {_told(row, judged)}. {command}", decided)


def _notes(judged: dict[str, list[Judgement]]) -> tuple[str, ...]:
    """Claims of the runs that are not of this paper."""
    known = {row.source for row in ROWS}
    others = [one for found in judged.values() for one in found if one.claim.source not in known]
    return tuple(f"Of {one.claim.source or 'no source'}: {one.text}: {one.ruling}." for one in others)


def _figures(compared: Sequence[Comparisons]) -> Iterator[Figure]:
    """The paper's gaps to SwiGLU and ours, over the share of the budget."""
    for model, called, number, size in _PICTURES:
        row = ROWS[number - 1]
        theirs = [c for c in compared if any(claim.source == row.source for claim in c.run.suite.claims)]
        ours = [(c, group, lines) for c in theirs for group, lines in gaps(c)]
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
