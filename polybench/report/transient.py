"""A warning where trainings were read before they had settled, and how many steps would do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.transient import MOST_APART, MOST_LATE, Transient, places, transients
from polybench.document import Finding
from polybench.metric import significant


def findings(comparisons: Comparisons) -> Iterator[Finding]:
    """A sentence for each benchmark that has such trainings, told of the worst of its cells."""
    benchmarks: dict[str, list[Transient]] = defaultdict(list)
    for found in transients(comparisons):
        benchmarks[found.benchmark].append(found)
    cells = Counter(members[0].benchmark for members in places(comparisons))
    for name, early in benchmarks.items():
        yield Finding("Read in the transient", _sentence(name, early, cells[name]), True)


def _sentence(benchmark: str, early: Sequence[Transient], cells: int) -> str:
    worst = max(early, key=lambda t: (t.apart or 0.0, t.late))
    where = f"{benchmark}, {len(early)} of {cells} cells" if cells > 1 else benchmark
    if worst.apart is not None and worst.apart > MOST_APART:
        worth = f"{worst.share:.0%}" if worst.share is not None else "more than all"
        why = (
            f"equal trainings end {worst.spread:.2g} nat/token apart (sd over seeds), which is worth "
            f"{worth} of their {worst.steps:,} steps; once they have settled it is {2**MOST_APART - 1:.1%} at most"
        )
        basis = ", if seeds stay as many steps apart"
    else:
        why = (
            f"the second half of the {worst.steps:,} steps brought {worst.late:.0%} of all that the loss fell; once "
            f"trainings have settled it is {MOST_LATE:.0%} at most"
        )
        basis = ""
    steps = f"{'at least' if worst.at_least else 'about'} {int(float(significant(worst.needed, 2).replace(',', ''))):,}"
    return f"{where}: {why}. Differences say who left the plateau sooner. It takes {steps} steps{basis}."
