"""What would end this program, and whose it is: the user's Ctrl-C, or something that somebody else's code raised."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from polybench.errors import as_error


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a request to end; any other KeyboardInterrupt was raised by a program."""


def listen() -> None:
    """From here on the user's interrupts are told from all others; who was started deaf to Ctrl-C stays so."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


class _Held:
    """Whether interrupts wait, and whether one does."""

    waits = came = False


def _interrupt(*_: object) -> None:
    if not _Held.waits:
        raise Interrupted
    _Held.came = True


@contextmanager
def held() -> Iterator[Callable[[], None]]:
    """Interrupts wait until what is yielded is called, or until the end: raised where a lock is just being taken or
    given back, one leaves it in disorder.

    Raises Interrupted, at either.
    """

    def due() -> None:
        if _Held.came:
            _Held.waits = _Held.came = False
            raise Interrupted

    _Held.waits = True
    try:
        yield due
        due()
    finally:
        _Held.waits = _Held.came = False


@contextmanager
def contained() -> Iterator[None]:
    """For somebody else's code: what would end this program from in there is raised as an error.

    Raises Interrupted as it is, and where nobody listens any KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as problem:
        if isinstance(problem, Interrupted) or signal.getsignal(signal.SIGTERM) is not _interrupt:
            raise
        raise as_error(problem) from problem
    except (SystemExit, GeneratorExit) as problem:
        raise as_error(problem) from problem
