"""A process's half of turns: it does nothing that costs time while another process has its turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from polybench.kind import Item, Progress
from polybench.message import ASK, GRANT


def in_turn(items: Iterator[tuple[int, Item]], path: str) -> Iterator[tuple[int, Item]]:
    """What a kind yields, made in turns: a turn lasts until it tells of progress, as it does after each block.

    `path` is the Unix socket of whoever gives the turns; without one all is done at once. Raises OSError where nobody
    listens there, ConnectionError where nobody does any more.
    """
    if not path:
        yield from items
        return
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        _wait(line)
        for index, item in items:
            yield index, item
            if isinstance(item, Progress):
                _wait(line)


def _wait(line: socket.socket) -> None:
    """Give the turn back, if there is one, and wait for the next."""
    line.sendall(ASK)
    if line.recv(1) != GRANT:
        raise ConnectionError("whoever gives the turns is gone")
