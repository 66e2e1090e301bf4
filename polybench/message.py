"""What a worker says on its pipe: a line of JSON each, encoded there and decoded by whoever started it."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any

from polybench.kind import Fact, Measured, Note, Progress
from polybench.record import Artifact, Measurement, Status


@dataclass(frozen=True)
class Ending:
    """How a trial or a whole job ended: by itself when `status` is ok, else why not."""

    status: Status = Status.OK
    error: str = ""


@dataclass(frozen=True)
class Done:
    """Nothing more comes of this job; `code` is that of the process that did it, as `Popen.returncode` has it."""

    code: int = 0


# At the socket of whoever gives turns to several processes: may I, and yes. Who closes it asks no more.
ASK, GRANT = b"?", b"!"
Said = Measurement | Fact | Artifact | Measured | Progress | Note | Ending | Done
_WORDS: dict[str, type[Said]] = {
    "measurement": Measurement,
    "fact": Fact,
    "artifact": Artifact,
    "measured": Measured,
    "progress": Progress,
    "note": Note,
    "ending": Ending,
    "done": Done,
}


@dataclass(frozen=True)
class Message:
    """Something about a trial of the job, by its index; what concerns the whole job has index 0."""

    trial: int
    item: Said


def encode(message: Message) -> str:
    """One line, without its end. Raises TypeError or ValueError on what JSON does not know."""
    word = next(word for word, kind in _WORDS.items() if isinstance(message.item, kind))
    return json.dumps({"trial": message.trial, word: _plain(message.item)})


def decode(line: str | bytes) -> Message | None:
    """The message of a line; None where it holds none, such as what a library printed."""
    try:
        data = json.loads(line)
        (word,) = data.keys() - {"trial"}
        return Message(data["trial"], _item(_WORDS[word], data[word]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _plain(item: Said) -> dict[str, Any]:
    if isinstance(item, Measurement):
        return item.to_json()
    if isinstance(item, Artifact):
        return {"name": item.name, "data": base64.b64encode(item.data).decode()}
    return asdict(item)


def _item(kind: type[Said], data: dict[str, Any]) -> Said:
    if kind is Measurement:
        return Measurement.from_json(data)
    if kind is Artifact:
        return Artifact(data["name"], base64.b64decode(data["data"]))
    if kind is Ending:
        return Ending(Status(data["status"]), data["error"])
    return kind(**data)
