"""Every error polybench raises on purpose.

PolybenchError                 one sentence for the user; `exit_code` ends the program
├── SuiteError                 2  a suite that cannot run; carries every located mistake
├── UsageError                 2  an option or argument that makes no sense
├── ResultsError               2  a results folder that cannot be read or must not be written
├── RegistryError              2  an unknown, doubly named or broken extension
├── EvaluationFailed           3  a task of lm-evaluation-harness broke while a model was asked
├── NothingMeasured            5  nothing was measured, or nothing matched
├── NotComparable              4  two sides that cannot be held against each other
├── Lost                       3  a process that measured is gone; what was measured is kept
├── Stopped                  130  interrupted; what was measured is kept
└── TrialError                    raised inside a trial; becomes a record, never a crash
    ├── Unsupported               this backend, device or machine cannot serve the cell
    ├── Diverged                  the loss left the realm of numbers, or ended above its start
    ├── OverBudget                its seconds were spent before its last step
    └── Wrong                     a result is not what the formula gives, so its speed means nothing

Escape                            what others raised to end the program, as an error
Anything else that escapes is a defect in polybench, not a message for its user.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass


class PolybenchError(Exception):
    """Base of the tree; the message is one sentence a user can act on."""

    exit_code = 2


class UsageError(PolybenchError):
    """An option or argument that makes no sense."""


class ResultsError(PolybenchError):
    """A results folder that cannot be read, or must not be written."""


class RegistryError(PolybenchError):
    """An unknown, doubly named or broken extension."""


class EvaluationFailed(PolybenchError):
    """A task broke while a model was asked."""

    exit_code = 3


class NothingMeasured(PolybenchError):
    """Nothing was measured, or nothing matched the request."""

    exit_code = 5


class NotComparable(PolybenchError):
    """Two sides that cannot be held against each other, so nothing is judged."""

    exit_code = 4


class Lost(PolybenchError):
    """A process that measured is gone; what was measured is kept."""

    exit_code = 3


class Stopped(PolybenchError):
    """Interrupted by the user; what was measured is kept."""

    exit_code = 130


class TrialError(PolybenchError):
    """Something a trial could not do; it becomes the status of its record."""


class Unsupported(TrialError):
    """This backend, device or machine cannot serve the cell."""


_LASTING = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


def refusal(problem: OSError, words: str) -> TrialError:
    """What the system refuses: lasting where something is not there or not allowed, so that no trial is run again for
    it; else, as on a full disk, it may be otherwise the next time."""
    lasting = isinstance(problem, _LASTING) or problem.errno == errno.EROFS
    return (Unsupported if lasting else TrialError)(words)


class Diverged(TrialError):
    """Training left the realm of finite numbers, or ended above its start."""


class OverBudget(TrialError):
    """The seconds that the protocol gives a training were spent before its last step."""


class Wrong(TrialError):
    """An output or a gradient is not what the activation's formula gives, so its speed means nothing."""


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a suite: where it stands, what is wrong and what would be right."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class SuiteError(PolybenchError):
    """A suite that cannot run. `problems` holds every mistake, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class Escape(Exception):
    """Somebody else's code tried to end this program; what it raised is the cause."""


def as_error(problem: BaseException) -> Exception:
    """What was raised, as an error: nothing that others raise ends this program."""
    if isinstance(problem, Exception):
        return problem
    said = f" ({problem})" if str(problem) else ""
    return Escape(f"it raised {type(problem).__name__}{said}, which would end the program")


def first_line(problem: BaseException, otherwise: str = "") -> str:
    """The first line of what an exception says; where it says nothing, `otherwise` or what it is called."""
    lines = (line.strip() for line in str(problem).splitlines())
    return next(filter(None, lines), otherwise or type(problem).__name__)


def reason(problem: BaseException) -> str:
    """Why something of ours or others' broke, in a line for people."""
    line = first_line(problem)
    return line if isinstance(problem, Escape) else f"{type(problem).__name__}: {line}"


_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "unable to allocate",
    "memoryerror",
    "bad_alloc",
)


def tells_of_memory(words: str) -> bool:
    """Whether what a program says for its end is that it got no more memory."""
    lowered = words.lower()
    return any(sign in lowered for sign in _OF_MEMORY)


A_VALUE, A_LINE = 60, 200  # characters of what is refused that a sentence shows: of a value, of a path or an option


def in_short(value: object, most: int = A_VALUE) -> str:
    """A value as a sentence quotes it, cut where it is long."""
    return cut(repr(value[:most] if isinstance(value, str) else value), most)


def cut(text: str, most: int = A_VALUE) -> str:
    """The beginning of a text that is longer than so many characters, else all of it."""
    return text if len(text) <= most else text[: most - 3] + "..."


def instead(known: Iterable[str]) -> str:
    """The end of a sentence on a name that is right elsewhere: those that are right here, for none is a slip of it."""
    names = sorted(set(known))
    return f"which {'are' if len(names) > 1 else 'is'} {', '.join(names)}" if names else "of which there are none"


def among(option: str, value: object, *words: str) -> None:
    """Raises ValueError, with the words that an option may be, where it is none of them."""
    if value not in words:
        raise ValueError(f"{option} is {in_short(value)}; it may be {' or '.join(map(repr, words))}")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a sentence: the nearest known name, large letters or small, or all of them when none is near."""
    names = sorted(set(known))
    lowered = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(str(word).lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"
