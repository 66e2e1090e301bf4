"""Gives several processes their turns, so that only one of them measures at a time."""

from __future__ import annotations

import os
import random
import selectors
import shutil
import socket
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from polybench.message import ASK, GRANT

_LONGEST = 70  # characters of a folder, so that the path of a socket in it has room: macOS takes 103 bytes


class Turns:
    """Whose turn it is: everybody's once a round, in an order that is shuffled anew each round.

    What a process does before it first asks, and after it has left, is in no turn. So one is given only while all that
    are left wait for theirs.
    """

    def __init__(self, sides: Iterable[str], seed: str):
        self.left = set(sides)
        self._waiting: set[str] = set()
        self._round: list[str] = []
        self._shuffled = random.Random(seed)

    def ask(self, side: str) -> None:
        """It gives its turn back, if it has one, and waits for the next."""
        self._waiting.add(side)

    def leave(self, side: str) -> None:
        self.left.discard(side)
        self._waiting.discard(side)

    def next(self) -> str | None:
        """Who has its turn from now on; nobody while somebody is not waiting."""
        if not self.left or self._waiting != self.left:
            return None
        self._round = [side for side in self._round if side in self.left]
        if not self._round:
            self._round = sorted(self.left)
            self._shuffled.shuffle(self._round)
        side = self._round.pop()
        self._waiting.discard(side)
        return side


class Conductor:
    """Turns for the processes that connect to the `doors`, a Unix socket a side."""

    def __init__(self, sides: Iterable[str], seed: str):
        self._folder = Path(tempfile.mkdtemp(prefix="pb-", dir=_folder()))
        self._selector = selectors.DefaultSelector()
        self._lines: dict[str, socket.socket] = {}
        self.doors: dict[str, str] = {}
        for side in sides:
            self.doors[side] = str(self._folder / side)
            door = socket.socket(socket.AF_UNIX)
            self._selector.register(door, selectors.EVENT_READ, side)
            door.bind(self.doors[side])
            door.listen(1)
        self._heard, self._tell = socket.socketpair()
        self._selector.register(self._heard, selectors.EVENT_READ, "")
        self._turns = Turns(self.doors, seed)

    def ended(self, side: str) -> None:
        """The job of that side is over, whether it ever asked or not; may be called from any thread."""
        with suppress(OSError):  # closed already
            self._tell.sendall(side.encode() + b"\n")

    def conduct(self) -> None:
        """Give turns until nobody is left."""
        while self._turns.left:
            for key, _ in self._selector.select():
                assert isinstance(key.fileobj, socket.socket)
                self._hear(key.fileobj, key.data)
            while (side := self._turns.next()) and not self._granted(side):
                self._turns.leave(side)

    def close(self) -> None:
        """Whoever still waits for a turn is told that there is none."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._tell.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hear(self, source: socket.socket, side: str) -> None:
        if source is self._heard:
            for name in source.recv(1 << 10).decode().split():
                self._turns.leave(name)
        elif source is self._lines.get(side):
            with suppress(OSError):  # a process that was killed
                if source.recv(1) == ASK:
                    self._turns.ask(side)
                    return
            self._selector.unregister(source)
            source.close()
            self._turns.leave(side)
        else:
            self._lines[side], _ = source.accept()
            self._selector.register(self._lines[side], selectors.EVENT_READ, side)

    def _granted(self, side: str) -> bool:
        try:
            self._lines[side].sendall(GRANT)
        except OSError:
            return False
        return True


def _folder() -> str | None:
    """Where the sockets lie: wherever temporary files do, unless that path is too long for a socket."""
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST and os.path.isdir("/tmp") else None
