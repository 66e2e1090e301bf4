"""A line on stderr, said at once, that nobody need read; and what a poor encoding can say of a sign."""

from __future__ import annotations

import codecs
import os
import sys

PLAIN = "polybench.plain"  # the name of the handler of errors, as a stream takes it
_SIGNS = {"−": "-", "–": "-", "µ": "u", "μ": "u", "×": "x", "±": "+-", "→": "->", "∞": "inf",
          "≤": "<=", "≥": ">=", "…": "..."}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))


def _plain(problem: UnicodeError) -> tuple[str | bytes, int]:
    """A sign as one would type it; any other character as its number."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    problem.end = problem.start + 1  # the others of a row have signs of their own
    before, sign = problem.object[: problem.start][-1:], problem.object[problem.start]
    if sign in _SIGNS:
        return _SIGNS[sign], problem.end
    if sign in _RAISED:
        return _RAISED[sign] if before in _RAISED else f"^{_RAISED[sign]}", problem.end
    return codecs.backslashreplace_errors(problem)


codecs.register_error(PLAIN, _plain)


def say(line: str) -> None:
    """Print to stderr. Where its reader is gone, as behind `2>&1 | head`, this and all that follows goes nowhere."""
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)
