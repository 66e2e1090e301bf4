"""Tables of a run's traces: where the time of a call goes, and its memory, operator by operator."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.document import ABSENT, Column, Entry, Table
from polybench.errors import ResultsError
from polybench.files import inside
from polybench.metric import Scale, scale_for, significant
from polybench.record import TRACE_ENDING
from polybench.report.section import Section
from polybench.report.wording import head_columns, head_entries, varying_axes
from polybench.run import traces
from polybench.run.traces import Operator, Profile
from polybench.trial import Cell

MOST, FEWEST = 6, 2  # operators shown of a trace
LINES = 60  # of a table, where fewer operators of each trace can keep it so short
_MICRO = Scale(1e-6, "µs")
_MEMORY = {
    "allocated": "bytes asked for",
    "freed": "bytes given back",
    "peak": "most bytes alive at once, above what was alive before",
}
_TIMES = (
    Column("calls", note="calls of the operator in one profiled forward and backward pass"),
    Column("self time", _MICRO.unit, "time in the operator itself, without the operators it calls"),
    Column("share", "%", "self time in all operators' self time"),
)
_Body = Callable[[Profile], Iterable[Sequence[Entry]]]
_Parts = tuple[str, Sequence[Column], _Body]  # a table's caption, columns, and lines of a trace
Profiles = Sequence[tuple[Cell, Profile]]


def section(comparisons: Comparisons) -> Section:
    """Tables of every benchmark that left traces, and a note on those that cannot be read."""
    run = comparisons.stored
    groups: dict[str, list[tuple[Cell, Profile]]] = defaultdict(list)
    lost: list[str] = []
    for record in run.records:
        for artifact in record.artifacts:
            if not artifact.name.endswith(TRACE_ENDING):
                continue
            try:
                profile = traces.read(inside(run.path, artifact.name))
                groups[record.trial.benchmark].append((record.trial.cell, profile))
            except ResultsError as problem:
                lost.append(str(problem))
    tables = tuple(table for name, profiles in groups.items() for table in _tables(name, profiles))
    what = "A trace has" if len(lost) == 1 else f"{len(lost)} traces have"
    notes = (f"{what} no table, since {lost[0]}; what was measured does not depend on it.",) if lost else ()
    return Section(tables=tables, notes=notes)


def _tables(name: str, profiles: Profiles) -> Iterator[Table]:
    yield _table_of("operators", "operators", name, profiles, *_operators(profiles))
    yield _table_of("call-memory", "memory of a call", name, profiles, *_memory(profiles))
    if any(p.kernels for _, p in profiles):
        yield _table_of("kernels", "kernels of the GPU", name, profiles, *_kernels(profiles))


def _table_of(
    key: str, title: str, name: str, profiles: Profiles, caption: str, columns: Sequence[Column], body: _Body
) -> Table:
    """What a table of traces begins with, and the lines that `body` makes of each."""
    varying, shared = varying_axes([cell for cell, _ in profiles])
    start = (
        f"{', '.join(shared).capitalize()}. A call is a forward and backward pass, the median of "
        f"{profiles[0][1].steps}; profiled after the timing, and slower than a timed one, since recording an operator "
        "takes time too."
    )
    rows = tuple((*head_entries(cell, varying), *entries) for cell, profile in profiles for entries in body(profile))
    return Table(f"{name}-{key}", f"{name}: {title}", f"{start} {caption}", (*head_columns(varying), *columns), rows)


def _operators(profiles: Profiles) -> _Parts:
    shown, size = _shown(profiles), _size(profiles)
    columns = (
        Column("operator", numeric=False),
        *_TIMES,
        Column("total time", _MICRO.unit, "time in the operator and those it calls"),
        Column("allocated", size.unit, "bytes asked for while the operator was the innermost"),
    )
    caption = (
        f"{_top(shown)} Total time includes the operators called inside; allocated are the bytes asked for while the "
        "operator was the innermost."
    )
    return caption, columns, lambda profile: _lines(profile.operators, profile.steps, shown, size)


def _memory(profiles: Profiles) -> _Parts:
    size = _size(profiles)
    columns = (
        Column("allocations", note="blocks of memory asked for"),
        *(Column(key, size.unit, note) for key, note in _MEMORY.items()),
    )

    def body(profile: Profile) -> Iterator[Sequence[Entry]]:
        yield (
            _number(profile.allocations / profile.steps),
            *(_in(size, v) for v in (profile.allocated / profile.steps, profile.freed / profile.steps)),
            _in(size, profile.peak),
        )

    return "Peak: most bytes alive at once, above what was alive before.", columns, body


def _kernels(profiles: Profiles) -> _Parts:
    shown, size = _shown(profiles), _size(profiles)
    columns = (Column("kernel", numeric=False), *_TIMES)

    def body(profile: Profile) -> Iterator[Sequence[Entry]]:
        return (line[:-2] for line in _lines(profile.kernels, profile.steps, shown, size))

    return f"{_top(shown)} Times are the device's own.", columns, body


def _shown(profiles: Profiles) -> int:
    """How many operators of each trace, so that all of them together stay readable."""
    return max(FEWEST, min(MOST, LINES // len(profiles) - 1))


def _size(profiles: Profiles) -> Scale:
    return scale_for("B", (p.allocated / p.steps for _, p in profiles))


def _top(shown: int) -> str:
    return f"The {shown} with the most self time of each."


def _lines(operators: Sequence[Operator], steps: int, shown: int, size: Scale) -> list[list[Entry]]:
    """The first operators, and one line for the rest, whose total times would count some time twice."""
    whole = sum(o.own for o in operators) or 1.0

    def line(name: str, some: Sequence[Operator], total: Entry) -> list[Entry]:
        own = sum(o.own for o in some)
        return [
            Entry(name),
            _number(sum(o.calls for o in some) / steps),
            _in(_MICRO, own),
            Entry(f"{100 * own / whole:.1f}", own / whole),
            total,
            _in(size, sum(o.allocated for o in some) / steps),
        ]

    lines = [line(o.name, [o], _in(_MICRO, statistics.median(o.total_s))) for o in operators[:shown]]
    rest = operators[shown:]
    return lines + ([line(f"{len(rest)} other{'s' * (len(rest) > 1)}", rest, Entry(ABSENT))] if rest else [])


def _number(value: float) -> Entry:
    return Entry(f"{value:,.0f}" if value == int(value) else significant(value, 3), value)


def _in(scale: Scale, value: float) -> Entry:
    return Entry(scale.show(value, 3) if value else "0", value)
