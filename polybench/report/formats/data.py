"""Every value for spreadsheets, and the report for programs."""

from __future__ import annotations

import csv as csv_module
import gzip
import io
import json as json_module
from dataclasses import asdict
from typing import Any

from polybench.document import Document
from polybench.registry import formats


@formats.register("csv.gz", suffix=".csv.gz")
def packed_csv(document: Document) -> bytes:
    """Every measured value, one row each, packed: the same bytes for the same values."""
    return gzip.compress(csv(document).encode(), mtime=0)


@formats.register("csv", suffix=".csv", on_request=True)
def csv(document: Document) -> str:
    """Every measured value, one row each, with every axis; written on request alone, for it is large."""
    values: list[dict[str, Any]] = document.data["values"]
    columns: tuple[str, ...] = document.data["columns"]
    axes = sorted({key for row in values for key in row} - set(columns))
    out = io.StringIO()
    writer = csv_module.DictWriter(out, [*columns, *axes], lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return out.getvalue()


@formats.register("json", suffix=".json")
def json(document: Document) -> str:
    """Findings, tables with raw values and intervals, figures and environment, for programs."""
    data = {
        "schema_version": 1,
        "title": document.title,
        "description": document.description,
        "findings": [asdict(f) for f in document.findings],
        "tables": [asdict(t) for t in document.tables],
        "figures": [asdict(f) for f in document.figures],
        "environment": dict(document.facts),
        "notes": list(document.notes),
    }
    return json_module.dumps(_finite(data), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
