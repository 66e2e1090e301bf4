"""Every value for spreadsheets, and the report for programs."""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

from polybench.document import Document, Values
from polybench.registry import formats

_QUICK = 1  # of zlib's levels: the ninth takes seven times as long on such rows, for a seventh less of a file


@formats.register("csv.gz", suffix=".csv.gz")
def packed_csv(document: Document) -> bytes:
    """Every measured value, one row each, packed: the same bytes for the same values."""
    packer = zlib.compressobj(_QUICK, wbits=16 + zlib.MAX_WBITS)  # as gzip, which then says no time
    packed = [packer.compress(piece.encode()) for piece in _rows(document)]
    return b"".join([*packed, packer.flush()])


@formats.register("csv", suffix=".csv", on_request=True)
def csv(document: Document) -> str:
    """Every measured value, one row each, with every axis; written on request alone, for it is large."""
    text = ""
    for piece in _rows(document):
        text += piece  # which grows in place; joining would hold all of it twice
    return text


def _rows(document: Document) -> Iterator[str]:
    """The header, then row after row; of a run those of one measurement together."""
    values = document.data["values"]
    if isinstance(values, Values):
        yield from _measured(values)
        return
    yield _line(document.data["columns"])
    yield from (_line([row[name] for name in document.data["columns"]]) for row in values)


def _measured(values: Values) -> Iterator[str]:
    """The header, then the rows of one measurement after the other.

    What they share is written once and put around each value, since a run may hold millions.
    """
    axes = sorted({key for shared, _, _ in values.alike() for key in shared} - set(values.columns))
    yield _line([*values.columns, *axes])
    at = values.columns.index("step")
    assert values.columns[at:] == ("step", "value"), "what differs stands at the end of the columns, before the axes"
    for shared, steps, numbers in values.alike():
        head = _line([shared.get(name) for name in values.columns[:at]])[:-1]
        tail = _line([None, *(shared.get(name) for name in axes)]) if axes else "\n"
        yield "".join([
            f"{head},{'' if step is None else step},{'' if number is None else repr(number)}{tail}"
            for step, number in zip(steps, numbers, strict=True)
        ])  # fmt: skip


def _line(fields: Sequence[Any]) -> str:
    out = io.StringIO()
    csv_module.writer(out, lineterminator="\n").writerow(fields)
    return out.getvalue()


@formats.register("json", suffix=".json")
def json(document: Document) -> str:
    """Findings, tables with raw values and intervals, figures and environment, for programs."""
    data = {
        "schema_version": 1,
        "title": document.title,
        "description": document.description,
        "findings": document.findings,
        "tables": document.tables,
        "figures": document.figures,
        "environment": dict(document.facts),
        "notes": list(document.notes),
    }
    return json_module.dumps(plain(data), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """What JSON knows: dataclasses become objects. It has no infinity and no NaN, so they become null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if is_dataclass(value):
        value = vars(value)
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value
