"""The exit code of a comparison of two sides, and the sentence that says why."""

from __future__ import annotations

from polybench.compare.judged import FAILED, UNDECIDED, Judged
from polybench.compare.side_by_side import verdicts
from polybench.compare.verdict import Verdict
from polybench.errors import NothingMeasured
from polybench.run.comparison_folder import Stored


def judged(stored: Stored, inconclusive: str = "report") -> Judged:
    """All of a comparison; precedence of codes is 5, 3, 1, 4, 0. Raises NothingMeasured where nothing is gated."""
    found = tuple(verdicts(stored))
    if not found:
        raise NothingMeasured("compare judged nothing: the rules of the suite match no cell of either side")
    code, reason = _code(found, inconclusive)
    name = str(stored.runs["head"].header["suite"]["suite"])
    return Judged("compare", name, found, code, f"{reason} ({stored.whats['head']} against {stored.whats['base']})",
                  stored.source)  # fmt: skip


def _code(found: tuple[Verdict, ...], inconclusive: str) -> tuple[int, str]:
    def those(*outcomes: str) -> list[Verdict]:
        return [v for v in found if v.outcome in outcomes]

    def told(bad: list[Verdict], what: str) -> str:
        return f"{len(bad)} of {total} gated cells {what}, first {bad[0].label} {bad[0].metric.name}: {bad[0].reason}"

    total = len(found)
    if len(fresh := those("new")) == total:
        return 5, f"compare judged nothing: none of {total} gated cells is in the base"
    if bad := those("broken"):
        return 3, f"compare broken: {told(bad, 'could not be measured')}"
    if bad := those(*FAILED):
        return 1, f"compare failed: {told(bad, 'are worse or missing')}"
    bad = those(*UNDECIDED)
    if bad and inconclusive == "report":
        return 4, f"compare inconclusive: {told(bad, 'cannot be judged')}"
    if bad and inconclusive == "fail":
        return 1, f"compare failed: {told(bad, 'cannot be judged')}"
    extra = {
        "better than the base": len(those("improved")),
        "slower at first only": sum(v.outcome == "pass" and bool(v.reason) for v in found),
        "new": len(fresh),
        "undecided": len(bad),
    }
    passed = len(those("pass", "improved"))
    return 0, ", ".join([f"compare passed: {passed} gated cells", *(f"{n} {what}" for what, n in extra.items() if n)])
