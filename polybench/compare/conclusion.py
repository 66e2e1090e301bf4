"""The exit code of a comparison of two sides, and the sentence that says why."""

from __future__ import annotations

from collections import Counter

from polybench.compare.judged import PASSED, UNDECIDED, Judged, trouble
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
    total, count = len(found), Counter(v.outcome for v in found)
    if count["new"] == total:
        return 5, f"compare judged nothing: none of {total} gated cells is in the base"
    if bad := trouble("compare", found, inconclusive):
        return bad
    extra = {
        "better than the base": count["improved"],
        "slower at first only": sum(v.outcome == "pass" and bool(v.reason) for v in found),
        "new": count["new"],
        "undecided": sum(count[outcome] for outcome in UNDECIDED),
    }
    passed = sum(count[outcome] for outcome in PASSED)
    return 0, ", ".join([f"compare passed: {passed} gated cells", *(f"{n} {what}" for what, n in extra.items() if n)])
