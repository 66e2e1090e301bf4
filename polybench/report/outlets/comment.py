"""Verdicts as a comment on a pull request: one file, in which each suite has a part that is replaced."""

from __future__ import annotations

from polybench.compare.judged import Judged
from polybench.registry import outlets
from polybench.report.outlets.markdown import page


@outlets.register("comment", suffix=".md")
def comment(judged: Judged, before: str) -> str:
    """The page in place of the former one of this command and suite, or below what is there.

    Its first line is a mark that nobody sees, by which a script finds the comment that it shall replace.
    """
    mark, end = f"<!-- polybench: {judged.command} {judged.suite} -->\n", "<!-- polybench: end -->\n"
    part = f"{mark}{page(judged)}{end}"
    head, found, rest = before.partition(mark)
    if found:
        return f"{head}{part}{rest.partition(end)[2]}"
    return "\n".join(filter(None, (before, part)))
