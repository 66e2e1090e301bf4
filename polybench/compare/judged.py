"""What a command that judges has to say: its verdicts, its exit code, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polybench.compare.decision import Ruling
from polybench.compare.verdict import Verdict
from polybench.metric import scale_for

# Worst first, which is the order in which they are read.
ORDER: tuple[Ruling, ...] = (
    "broken", "missing", "fail", "inconclusive", "ungateable", "not comparable", "improved", "new", "pass",
)  # fmt: skip
FAILED: tuple[Ruling, ...] = ("missing", "fail")
UNDECIDED: tuple[Ruling, ...] = ("inconclusive", "ungateable", "not comparable")
PASSED: tuple[Ruling, ...] = ("improved", "pass")
CLAIMS = "judge"  # the command whose verdicts are on claims
_OF_RULES: dict[Ruling, str] = {"improved": "pass, an unrecorded win"}
_OF_CLAIMS: dict[Ruling, str] = {
    "pass": "supported", "improved": "supported", "fail": "refuted", "inconclusive": "not resolved",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """The verdicts of one suite, the exit code that follows, and the sentence that says why.

    `command` is `gate`, `compare` or `judge`. `source` is the path of the suite file, if known: annotations point at
    the line of the rule there.
    """

    command: str
    suite: str
    verdicts: tuple[Verdict, ...]
    code: int
    reason: str
    source: str = ""

    @property
    def worst_first(self) -> list[Verdict]:
        return sorted(self.verdicts, key=lambda v: ORDER.index(v.outcome))

    @property
    def beyond(self) -> bool:
        """Whether the code is of more than what verdicts show: of trials that failed, or of what counts as failed."""
        outcomes = {v.outcome for v in self.verdicts}
        ranks = ((3, ("broken",)), (1, FAILED), (4, UNDECIDED))
        return self.code not in (0, next((code for code, bad in ranks if outcomes.intersection(bad)), 0))

    def word(self, verdict: Verdict) -> str:
        """What its outcome is called: of a claim supported, refuted or not resolved."""
        return (_OF_CLAIMS if self.command == CLAIMS else _OF_RULES).get(verdict.outcome, verdict.outcome)


def trouble(
    command: str, found: Sequence[Verdict], inconclusive: str = "report", failed: str = ""
) -> tuple[int, str] | None:
    """The code of what did not pass and the sentence that says why (precedence 3, 1, 4); None where nothing counts.

    `failed` tells of trials that are no gated cells, `inconclusive` what an undecided cell means.
    """

    def those(*outcomes: Ruling) -> list[Verdict]:
        return [v for v in found if v.outcome in outcomes]

    def told(bad: Sequence[Verdict], what: str) -> str:
        first = f"first {bad[0].label} {bad[0].metric.name}: {bad[0].reason}"
        return f"{len(bad)} of {len(found)} gated cells {what}, {first}"

    if bad := those("broken"):
        return 3, f"{command} broken: {told(bad, 'could not be measured')}"
    if failed:
        return 3, f"{command} broken: {failed}"
    if bad := those(*FAILED):
        return 1, f"{command} failed: {told(bad, 'are worse or missing')}"
    bad = those(*UNDECIDED) if inconclusive != "pass" else []
    if not bad:
        return None
    coarse = f" ({n} ungateable)" if (n := len(those("ungateable"))) else ""
    why = told(bad, f"cannot be judged{coarse}")
    return (1, f"{command} failed: {why}") if inconclusive == "fail" else (4, f"{command} inconclusive: {why}")


def shown_values(v: Verdict) -> str:
    """`baseline -> value` with their unit; nothing where one of them is not there."""
    if v.baseline is None or v.value is None:
        return ""
    scale = scale_for(v.metric.unit, [v.baseline, v.value]) if v.metric.varies_with != "nothing" else scale_for("1", [])
    unit = scale.unit or ("" if v.metric.unit == "1" else v.metric.unit)
    return f"{scale.show(v.baseline)} -> {scale.show(v.value)} {unit}".rstrip()
