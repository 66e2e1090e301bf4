"""The lines of `records.jsonl`: which are sound, which were left unfinished, and what is wrong with all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from polybench.errors import ResultsError, first_line
from polybench.files import inside
from polybench.run.faults import parsed, record_fault, sound_record


def sound(folder: Path, name: str, notes: list[str]) -> Iterator[dict[str, Any]]:
    """What every line says; one that is unfinished is left out, and added to the notes.

    Raises:
        ResultsError: the file cannot be read, or a line is no record; with its number and the field.
    """
    for number, line, last in _lines(folder, name):
        data = sound_record(line)
        if data is None:
            where, text = f"{folder / name}:{number}", line.decode("utf-8", errors="replace")
            data, fault = _looked_at(text)
            if fault and (last or _unfinished(text)):
                notes.append(f"{where}: an unfinished line was left out")
                continue
            if fault:
                raise ResultsError(f"{where}: this line is no record: {fault}; remove it to go on")
        yield data


def content(folder: Path, name: str) -> bytes:
    """What is in a file of a run. Raises OSError when there is none, or what is there is no file."""
    with _opened(folder, name) as file:
        return file.read()


def _opened(folder: Path, name: str) -> BinaryIO:
    file = inside(folder, name)
    if not file.is_file():  # what else could be opened, such as a pipe, may never end
        raise FileNotFoundError(name)
    return file.open("rb")


def _lines(folder: Path, name: str) -> Iterator[tuple[int, bytes, bool]]:
    """(number, bytes, whether it is an unterminated last line) of every record's line that is not empty."""
    try:
        with _opened(folder, name) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.removesuffix(b"\n"), not line.endswith(b"\n")
    except PermissionError as problem:
        raise ResultsError(f"{folder / name} cannot be read: {problem.strerror}; get access to it") from None
    except OSError:
        packed = folder / f"{name}.xz"
        if packed.exists():
            raise ResultsError(f"{folder / name} is packed; unpack it first with: xz -dk {packed}") from None
        raise ResultsError(f"{folder / name} cannot be read; the run has lost its records") from None


def _looked_at(line: str) -> tuple[Any, str]:
    """What a line says, and what is wrong with it."""
    try:
        data = parsed(line)
    except ValueError as problem:
        return None, f"it is not JSON: {first_line(problem)}"
    return data, record_fault(data)


def _unfinished(line: str) -> bool:
    """Whether a line began as a record of ours and was cut short, so that a brace stays open."""
    start = '{"duration_s":'
    structure = re.sub(r'"(\\.|[^"\\])*("|$)', "", line)
    ours = line.startswith(start) or start.startswith(line)
    return ours and structure.count("{") > structure.count("}")
