"""A line on stderr, said at once; streams that nobody need read, and what a poor encoding can say of a sign."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

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


class _Unread(io.FileIO):
    """Where its reader is gone, as behind `| head`, this and all that follows goes nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def unread(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same stream, that nobody need read: a command goes on to its own end, and to its own exit code."""
    raw = _Unread(stream.fileno(), "w", closefd=False)
    buffer: Any = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer, stream.encoding, PLAIN, line_buffering=stream.line_buffering, write_through=stream.write_through
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
