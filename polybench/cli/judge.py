"""`polybench judge`: claims on a run, or on what is measured for them: keep, discard or unsure."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from polybench.cli.options import DeviceOption, Json, Overrides, Quiet, budget_s
from polybench.cli.verdicts import Write, conclude, finite
from polybench.errors import Stopped, UsageError
from polybench.saying import say

if TYPE_CHECKING:
    from polybench.compare.claims import Case, Judgement, Ruling
    from polybench.compare.comparisons import Comparisons
    from polybench.compare.verdict import Verdict
    from polybench.plan.suite import Claim
    from polybench.run.session import Session

BUDGET = "20m"
_ANSWERS: dict[Ruling, str] = {"supported": "keep", "refuted": "discard", "not resolved": "unsure"}


def judge(
    what: Annotated[
        str | None, typer.Argument(metavar="[SUITE|RUN]", help="a suite to measure, or a run; the latest if left out")
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option("--claim", metavar="TEXT", help="such as 'val_loss: polynorm < swiglu by 0.01'; may be repeated"),
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="go on measuring until it is answered or the budget is spent")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"with --until-decided: 90s, {BUDGET} or 2h; {BUDGET} if left out"),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="a new folder for what is measured")] = None,
    set_: Overrides = None,
    device: DeviceOption = None,
    quiet: Quiet = False,
    as_json: Json = False,
    write: Write = None,
) -> None:
    """Judge claims on a run or suite: keep, discard or unsure.

    Without --claim those of the suite are judged. Of a SUITE what the claims need is measured first, of a RUN what is
    there is judged. Ends with 0 where every claim is supported, 1 where one is refuted, 4 where one is not resolved,
    3 where trials failed, 5 where nothing fits.
    """
    seconds = budget_s(budget or BUDGET)
    if budget and not until_decided:
        raise UsageError("--budget needs --until-decided")
    if not seconds:
        raise UsageError(f"--budget {budget}: say how long, such as 90s, {BUDGET} or 2h")
    texts = list(dict.fromkeys(claim or ()))
    suite = Path(what) if what and what.endswith((".yaml", ".yml")) else None
    if suite is None:
        if set_ or device or out:
            raise UsageError("a run is judged as it was measured; --set, --device and --out need a suite")
        path, claims = _of_run(what, texts)
        why = _gone_on(path, claims, time.monotonic() + seconds, quiet) if until_decided else ""
    else:
        ends = time.monotonic() + seconds
        current = _begun(suite, texts, set_ or (), device, out, seconds if until_decided else None)
        claims, path = current.suite.claims, current.path
        _measured(current, quiet)
        why = _gone_on(path, claims, ends, quiet) if until_decided else ""
    _tell(path, claims, why, as_json, write)


def _of_run(name: str | None, texts: Sequence[str]) -> tuple[Path, list[Claim]]:
    """A run, and the claims on it."""
    from polybench.plan.asked import of_run
    from polybench.run import store

    path = store.find(name)
    comparisons = _compared(path)
    return path, of_run(comparisons.run.suite, str(path), comparisons.metrics(), texts)


def _compared(path: Path) -> Comparisons:
    from polybench.compare.comparisons import Comparisons
    from polybench.run import store

    return Comparisons.of(store.load(path))


def _begun(
    path: Path,
    texts: Sequence[str],
    overrides: Sequence[str],
    device: str | None,
    out: Path | None,
    budget_s: float | None,
) -> Session:
    """A new run of what the claims need."""
    from polybench.plan.asked import of_suite
    from polybench.plan.needed import needed
    from polybench.run import session

    whole = of_suite(path, texts, overrides, device)
    return session.begin(needed(whole, whole.claims, budget_s), out, None, str(path))


def _measured(current: Session, quiet: bool) -> None:
    from polybench.cli.run import measure

    with _alone(current.path) as release:
        measure(current, None, False, quiet, release)


@contextmanager
def _alone(path: Path) -> Iterator[Callable[[], None]]:
    """Nobody else measures into the run meanwhile, or until what is given is called. Raises Stopped on Ctrl-C."""
    from polybench.run.lock import locked

    try:
        with locked(path) as release:
            yield release
    except KeyboardInterrupt:
        raise Stopped(
            f"interrupted; what was measured is kept in {path}; "
            f"go on with: polybench judge {shlex.quote(str(path))} --until-decided"
        ) from None


def _gone_on(path: Path, claims: Sequence[Claim], ends: float, quiet: bool) -> str:
    """Measure what is left of a run, then further seeds, look by look, until nothing is of use; why it ended.

    What is left, and what is further, is read once the run is this process's alone.
    """
    from polybench.cli.run import measure
    from polybench.compare.claims import judgements
    from polybench.compare.onward import onward
    from polybench.machine.environment import cores
    from polybench.run import session

    with _alone(path) as release:
        current = session.resume(path, None, force=False)
        while True:
            if current.todo.jobs:
                measure(current, None, False, quiet, release)
            comparisons = _compared(path)
            slots = cores() if current.header["device"] == "cpu" else 1
            records = comparisons.stored.records
            step = onward(judgements(comparisons, claims), current.suite, records, ends - time.monotonic(), slots)
            if isinstance(step, str):
                return step
            current = session.resume(path, step, force=False)
            if not quiet:
                say(f"not resolved yet: {len(current.todo.trials)} further trials")


def _tell(path: Path, claims: Sequence[Claim], why: str, as_json: bool, write: Sequence[str] | None) -> NoReturn:
    from polybench.compare.claims import judgements, outcome
    from polybench.compare.judged import CLAIMS, Judged
    from polybench.report.claims import finding

    comparisons = _compared(path)
    found = judgements(comparisons, claims)
    code, reason = outcome(found)
    sentences = [finding(one, comparisons.reference).text for one in found]
    answers = [_ANSWERS[one.ruling] for one in found]
    whole = next((a for a in ("discard", "unsure") if a in answers), "keep")
    document = {
        "run": str(path),
        "answer": whole,
        "ended": why,
        "claims": [_json(one, text) for one, text in zip(found, sentences, strict=True)],
    }
    told = [f"{answer}: {text}" for answer, text in zip(answers, sentences, strict=True)]
    text = "\n".join([*told, *([f"ended: {why}"] if why else []), f"results: {path}"])
    verdicts = tuple(_verdict(one, case) for one in found for case in one.cases)
    source = str(comparisons.run.header.get("source", ""))
    conclude(
        Judged(CLAIMS, comparisons.run.suite.suite, verdicts, code, reason, source), as_json, write, text, document
    )


def _verdict(one: Judgement, case: Case) -> Verdict:
    """A case for the outlets: supported is a pass, refuted a failure."""
    from polybench.compare.verdict import Verdict
    from polybench.report.claims import grounds

    outcomes: dict[Ruling, Any] = {"supported": "pass", "refuted": "fail", "not resolved": "inconclusive"}
    outcome: Any = "broken" if case.broken else outcomes[case.ruling]
    reason = "; ".join(filter(None, [grounds(case), case.note, case.diverged]))
    beside = f"{case.label} beside {case.other.cell.activation}"
    return Verdict(one.text, beside, case.metric, outcome, case.against, case.value, case.change, reason, case.p)


def _json(one: Judgement, text: str) -> dict[str, Any]:
    """A claim for programs: its own answer, and the numbers of the case that decided it."""
    claim = one.claim
    told = {"claim": one.text, "answer": _ANSWERS[one.ruling], "ruling": one.ruling, "text": text}
    cases = [_case(case) for case in one.cases]
    numbers = cases[0] if cases else dict.fromkeys(("estimate", "interval", "p", "more"))
    return {**numbers, **told, "source": claim.source, "reported": claim.reported, "cases": cases}


def _case(case: Case) -> dict[str, Any]:
    change, more = case.change, case.more
    return {
        "label": case.label,
        "activation": case.point.cell.activation,
        "against": case.other.cell.activation,
        "metric": case.metric.name,
        "unit": case.metric.unit,
        "effect": case.metric.effect,
        "ruling": case.ruling,
        "estimate": finite(change.value) if change else None,
        "interval": [finite(change.low), finite(change.high)] if change else None,
        "confidence": case.evidence.confidence if case.evidence else None,
        "n": change.n if change else 0,
        "p": finite(case.p),
        "more": {"seeds": more.seeds, "launches": more.launches, "words": more.words} if more else None,
        "note": case.diverged or case.note,
    }
