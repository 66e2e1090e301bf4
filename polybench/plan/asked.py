"""Claims that somebody asks about, each a line, held against the suite or run that is to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polybench.errors import UsageError, did_you_mean, in_short
from polybench.kind import kind_of
from polybench.metric import Metric
from polybench.plan.check import canonical_claim, load_suite
from polybench.plan.check_claims import CELL_FIELDS, claim_problems, lacking, textless
from polybench.plan.sentence import Sentence
from polybench.plan.suite import Claim, Suite

_EXAMPLE = "say one, such as --claim 'val_loss: polynorm < swiglu'"


def of_suite(path: Path, texts: Sequence[str], overrides: Sequence[str] = (), device: str | None = None) -> Suite:
    """The suite with these claims in place of its own; what they name need not be among its activations.

    Raises:
        UsageError: a text that is no claim, or of a metric that nothing measures; no claim at all.
        SuiteError: every other mistake, of the suite or of a claim.
    """
    suite = load_suite(path, overrides, device).suite
    if texts:
        kinds = [kind_of(b.kind) for b in suite.benchmarks]
        metrics = {m.name: m for kind in reversed(kinds) for m in kind.named.values()}
        suite = load_suite(path, overrides, device, {text: _said(text, metrics, str(path)) for text in texts}).suite
    if not suite.claims:
        raise UsageError(f"{path} has no claims: to judge; {_EXAMPLE}")
    return suite


def of_run(suite: Suite, name: str, metrics: Mapping[str, Metric], texts: Sequence[str]) -> list[Claim]:
    """The claims on a run of this suite, its own if nothing is asked.

    Raises:
        UsageError: whatever is wrong with one; no claim at all.
    """
    if not texts and not suite.claims:
        raise UsageError(f"{name} has no claims of its own to judge; {_EXAMPLE}")
    return [_claim(text, suite, name, metrics) for text in texts] or list(suite.claims)


def _claim(text: str, suite: Suite, name: str, metrics: Mapping[str, Metric]) -> Claim:
    data = _said(text, metrics, name)
    problems = [what for _, what in claim_problems(data, metrics, suite.every_activation, suite.reference)]
    problems += _nowhere(data, suite, metrics)
    try:
        claim = Claim.model_validate(data)
    except ValidationError as failure:
        problems += [error["msg"] for error in failure.errors()]
    if problems:
        raise UsageError(f"--claim {text}: {'; '.join(problems)}")
    return canonical_claim(claim, suite.reference)


def _nowhere(data: Mapping[str, Any], suite: Suite, metrics: Mapping[str, Metric]) -> list[str]:
    """What no cell of a run has: an axis that a claim names, or texts."""
    cells = [cell for b in suite.benchmarks for cell in (b.matrix, *b.matrix.get("include", ()))]
    varied = {axis for cell in cells for axis, value in cell.items() if value != ""}
    axes = {*varied, *CELL_FIELDS, *(a for b in suite.benchmarks for a in kind_of(b.kind).axes.model_fields)}
    strange = [axis for axis in data.get("where", {}) if axis not in axes]
    told = [f"no cell has {in_short(axis)}, {did_you_mean(axis, axes)}" for axis in strange]
    return [*told, *filter(None, [textless(metrics[data["metric"]], varied)])]


def _said(text: str, metrics: Mapping[str, Metric], where: str) -> dict[str, Any]:
    """A line as a suite says it. Raises UsageError on a metric that is not there, or is drawn and not compared."""
    said = Sentence.parse(text)
    metric = metrics.get(said.metric)
    known = [name for name, one in metrics.items() if one.claimable]
    if metric is None or not metric.claimable:
        raise UsageError(f"--claim {text}: {where} measures no {said.metric!r}, {lacking(said.metric, known)}")
    return said.to_claim(metric)
