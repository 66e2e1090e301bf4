"""Pictures of one run that belong together: cells that differ in the activation alone, and how they are captioned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from polybench.compare.grid import PARAMETERS, Group, Point, of_seeds
from polybench.plan.rates import WORDS
from polybench.run.store import Run


def key_of(picture: str, what: str, group: Group, groups: Iterable[Group]) -> str:
    text = f"{picture} {what} {group[0]} {apart(group, groups)}"
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def title_of(text: str, group: Group, groups: Iterable[Group]) -> str:
    name = group[0] if any(benchmark != group[0] for benchmark, _ in groups) else ""
    where = ", ".join(filter(None, [name, apart(group, groups)]))
    return f"{text} ({where})" if where else text


def apart(group: Group, groups: Iterable[Group]) -> str:
    """What sets a group apart from the others of its benchmark: `block, d_model 128`."""
    own, *others = (
        {**dict(cell.axes), "backend": cell.backend, "dtype": cell.dtype, "device": cell.device}
        for benchmark, cell in (group, *groups)
        if benchmark == group[0]
    )
    differing = {k: v for k, v in own.items() if any(o.get(k) != v for o in others)}
    return ", ".join(WORDS.get(v, v) if isinstance(v, str) else f"{k} {v}" for k, v in differing.items())


def held_constant(run: Run, group: Group, found: Iterable[Point]) -> str:
    """What all of a picture share: the axes that the suite names, how it ran, and the parameters where counted."""
    benchmark, cell = group
    chosen = next((b["matrix"] for b in run.suite["benchmarks"] if b["name"] == benchmark), dict(cell.axes))
    axes = [f"{k} {v}" for k, v in cell.axes if k in chosen]
    sizes = {int(v) for p in found for v in of_seeds(p, PARAMETERS)}
    if sizes:
        axes.append(f"{' to '.join(f'{n:,}' for n in sorted({min(sizes), max(sizes)}))} parameters")
    return f"Held constant: {', '.join([*axes, cell.backend, cell.dtype, cell.device])}"


def mean_over(counts: Sequence[int]) -> str:
    some = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f"Means over {some} seeds" if max(counts) > 1 else "One seed, so there is no interval"


def troubles(found: Iterable[Point]) -> str:
    """Which activations miss trials, and why: a mean over the survivors must be read as one."""
    told = [f"{p.cell.activation} ({p.trouble().splitlines()[0].rstrip('.')})" for p in found if p.trouble()]
    return f"Without the trials that failed: {', '.join(told)}" if told else ""


def sentences(*parts: str) -> str:
    return " ".join(f"{p.rstrip('.')}." for p in parts if p)
