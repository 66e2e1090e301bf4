"""`polybench plan`: what a suite would measure, a table a benchmark, without measuring it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.options import DeviceOption, Filter, Json, Overrides, ShardOption, SuiteArgument

if TYPE_CHECKING:
    from polybench.compare.expected import Expected
    from polybench.plan.jobs import Plan
    from polybench.plan.shard import Shard
    from polybench.plan.suite import Suite
    from polybench.plan.summary import Held, Named, Summary, Varied
    from polybench.spec import Scalar

_MOST_VALUES = 12  # of a list that is shown
_A_RUN = 5  # integers in a row from which on their ends are shown alone


def plan(
    suite: SuiteArgument,
    filter: Filter = None,
    set_: Overrides = None,
    device: DeviceOption = None,
    shard: ShardOption = None,
    trials: Annotated[bool, typer.Option("--trials", help="list the trials too, and every default")] = False,
    as_json: Json = False,
) -> None:
    """Show what a suite would measure, and about how long it takes."""
    from polybench.plan.check import load_suite
    from polybench.plan.shard import Shard

    part = Shard.parse(shard) if shard else None
    whole = load_suite(suite, set_ or (), device).suite
    show(*planned(whole, filter, part), whole, as_json, trials)


def planned(suite: Suite, pattern: str | None, part: Shard | None, remote: bool = False) -> tuple[Plan, str]:
    """The plan of a suite, or of one part of it, and the device it is for; `remote` when other machines have that."""
    from polybench.machine.environment import choose_device
    from polybench.plan.jobs import plan as make

    device = suite.device if remote else choose_device(suite.device)
    return make(suite, device, pattern).shard(part), device


def show(plan: Plan, device: str, suite: Suite, as_json: bool, trials: bool = False) -> None:
    """Print a plan: a table a benchmark, or JSON; how much it is in all goes to stderr."""
    from polybench.compare.expected import expected
    from polybench.machine.environment import cores
    from polybench.plan.summary import summaries

    slots = cores() if device == "cpu" else 1
    seconds, found = plan.seconds(slots), summaries(plan, suite, slots)
    tells = {one.benchmark: one for one in expected(plan.trials, suite)}
    if as_json:
        labels = [plan.labels.of_trial(t) for t in plan.trials]
        whole = {"trials": labels, "cells": plan.cells, "estimated_s": round(seconds, 1), "device": device}
        least = {name: {"metric": one.metric.name, "difference": one.difference} for name, one in tells.items()}
        benchmarks = [{**s.to_json(), "expected": least.get(s.benchmark)} for s in found]
        print(json.dumps({**whole, "slots": slots, "benchmarks": benchmarks}))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    print("\n".join(text(suite, found, width, trials, tells)))
    total = f"{plan.cells} cells, {len(plan.trials)} trials, about {_time(seconds)} on {device} with {slots} at a time"
    fewer = f"; up to {plan.joined} of them need no training of their own" if plan.joined else ""
    print(total + fewer, file=sys.stderr)


def text(
    suite: Suite, found: Sequence[Summary], width: int, trials: bool, tells: Mapping[str, Expected]
) -> Iterator[str]:
    """Lines no wider than `width` unless one word is."""
    from polybench.report.formats.fitting import wrapped

    about = " ".join(filter(None, [suite.description, f"Reference: {suite.reference}."]))
    yield from wrapped(f"{suite.suite}: {about}", width, "  ")
    for one in found:
        yield ""
        most = " at most" if one.joined else ""
        yield f"{one.benchmark}: kind {one.kind}, {len(one.trials)} trials, about {_time(one.estimated_s)}{most}"
        rows = [(", ".join(v.axes), _values(v)) for v in one.varied]
        defaults = _named(one.defaults) if trials else f"{len(one.defaults)} more, which --trials shows"
        told = {"constant": _named(one.named), "defaults": defaults if one.defaults else ""}
        told["tells apart"] = _tells(tells[one.benchmark], suite.reference) if one.benchmark in tells else ""
        rows += [(k, v) for k, v in {**told, "protocol": _named(one.protocol)}.items() if v]
        rows += [("then", one.then)] if one.then else []
        rows += [("gate", "; ".join(_rule(held, one.cells, trials) for held in one.gate))] if one.gate else []
        wide = max(len(name) for name, _ in rows)
        for name, values in rows:
            yield from wrapped(f"  {name:<{wide}}  {values}", width, " " * (wide + 4))
        yield from (f"    {label}" for label in (one.trials if trials else ()))


def _rule(held: Held, cells: int, each: bool) -> str:
    """A rule, and how many cells it holds, or which."""
    some = "all cells" if len(held.cells) == cells else f"{len(held.cells)} of {cells} cells"
    named = f": {', '.join(held.cells)}" if each and len(held.cells) < cells else ""
    return f"{held.name} within {held.tolerance:g}, {some} (gate[{held.rule}]){named}"


def _tells(one: Expected, reference: str) -> str:
    from polybench.metric import significant
    from polybench.stopping import POWER

    holm = f", Holm over {one.rivals}" if one.rivals > 1 else ""
    return (
        f"{one.metric.name} {significant(one.difference, 2)} {one.metric.unit} from {reference}'s, in {POWER:.0%} of "
        f"runs: paired over {one.seeds} seeds{holm}, by the spread in {one.source}"
    )


def _values(varied: Varied) -> str:
    if len(varied.axes) > 1:
        shown = [" ".join(map(_shown, values)) for values in varied.values]
        return "; ".join(shown[:_MOST_VALUES]) + _rest(len(shown))
    values = [value for (value,) in varied.values]
    ends = (values[0], values[-1])
    if len(values) >= _A_RUN and isinstance(ends[0], int) and values == list(range(ends[0], ends[0] + len(values))):
        return f"{ends[0]} to {ends[1]}"
    return ", ".join(map(_shown, values[:_MOST_VALUES])) + _rest(len(values))


def _rest(count: int) -> str:
    return f" and {count - _MOST_VALUES} more" if count > _MOST_VALUES else ""


def _named(pairs: Named) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in pairs)


def _shown(value: Scalar) -> str:
    from polybench.document import ABSENT

    return ABSENT if value == "" else str(value)


def _time(seconds: float) -> str:
    """In the unit that leaves a number one can picture."""
    told = ((7200, 3600, ".1f", "h"), (100, 60, ".1f", "min"), (0, 1, ".0f", "s"))
    return next(f"{seconds / of:{form}} {unit}" for least, of, form, unit in told if seconds >= least)
