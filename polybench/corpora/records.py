"""Documents that are a field of records: JSON lines, Parquet, and folders of the datasets package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from polybench.corpora.reading import INSTALL, is_held_out, lines, matching
from polybench.corpora.source import Documents
from polybench.errors import Unsupported
from polybench.registry import corpora

_VALIDATION = ("validation", "valid", "val", "dev", "test")  # splits that are held out, the first that is there
_ROWS = 1024  # of a Parquet file, at a time


@corpora.register(
    "jsonl", source="your own files", takes_path=True, option=("field", r".+"),
    endings=(".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst"),
)  # fmt: skip
def jsonl(path: str, field: str = "text") -> Documents:
    """JSON lines, plain, gzip or zstd: a document is the field `text`, or another as in jsonl:path#field."""
    return _sided(matching(path, corpora.entry("jsonl").facts["endings"]), partial(_of_lines, field=field))


@corpora.register(
    "parquet", source="your own files", takes_path=True, option=("column", r".+"), endings=(".parquet", ".pq")
)
def parquet(path: str, column: str = "text") -> Documents:
    """Parquet files: a document is a row of the column `text`, or of another as in parquet:path#column."""
    return _sided(matching(path, corpora.entry("parquet").facts["endings"]), partial(_of_parquet, column=column))


@corpora.register(
    "dataset", source="Dataset.save_to_disk of Hugging Face's datasets 4", takes_path=True,
    option=("column", r".+"), endings=("state.json",),
)  # fmt: skip
def dataset(path: str, column: str = "text") -> Documents:
    """A folder that datasets' save_to_disk wrote; its own validation split is held out if there is one."""
    splits: dict[str, list[Path]] = {}
    for state in matching(path, ("state.json",)):
        splits.setdefault(state.parent.name, []).extend(_arrow_files(state))
    read = partial(_of_arrow, column=column)
    held = next((name for name in _VALIDATION if name in splits), "") if len(splits) > 1 else ""
    train = splits.get("train") or [f for name in splits if name != held for f in splits[name]]
    files = [*train, *splits.get(held, [])]
    return Documents(files, lambda: read(train), (lambda: read(splits[held])) if held else None)


def _sided(files: list[Path], read: Callable[[list[Path]], Iterator[bytes]]) -> Documents:
    """Files that are called validation are held out, if there are others."""
    held = [f for f in files if is_held_out(f)]
    train = [f for f in files if f not in held]
    if not held or not train:
        return Documents(files, lambda: read(files))
    return Documents(files, lambda: read(train), lambda: read(held))


def _of_lines(files: list[Path], field: str) -> Iterator[bytes]:
    for file in files:
        for number, line in enumerate(lines(file), 1):
            if not line.strip():
                continue
            where = f"{file}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise Unsupported(f"{where} is no JSON: {problem}") from None
            if not isinstance(row, dict):
                raise Unsupported(f"{where} is no JSON object but {type(row).__name__}")
            if field not in row:
                raise Unsupported(f"{where} has no field {field!r}; {_there('jsonl', row)}")
            if not isinstance(row[field], str):
                raise Unsupported(f"{where}: its field {field!r} is no text but {type(row[field]).__name__}")
            yield row[field].encode("utf-8", "replace")  # JSON can write halves of surrogate pairs


def _of_parquet(files: list[Path], column: str) -> Iterator[bytes]:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    for file in files:
        try:
            with pq.ParquetFile(file, memory_map=True) as opened:
                _check(opened.schema_arrow, column, file, "parquet")
                for batch in opened.iter_batches(_ROWS, columns=[column]):
                    yield from _values(batch.column(0))
        except (pa.ArrowException, OSError) as problem:
            raise Unsupported(f"{file} ({file.stat().st_size} bytes) is no sound Parquet file: {problem}") from None


def _of_arrow(files: list[Path], column: str) -> Iterator[bytes]:
    pa = _pyarrow()
    for file in files:
        try:
            with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as batches:
                _check(batches.schema, column, file, "dataset")
                for batch in batches:
                    yield from _values(batch.column(batch.schema.get_field_index(column)))
        except (pa.ArrowException, OSError) as problem:
            raise Unsupported(f"{file} ({file.stat().st_size} bytes) is no sound Arrow file: {problem}") from None


def _arrow_files(state: Path) -> list[Path]:
    """The files of one split, as its state.json lists them."""
    try:
        files = [state.with_name(part["filename"]) for part in json.loads(state.read_bytes())["_data_files"]]
    except (ValueError, KeyError, TypeError) as problem:
        raise Unsupported(f"{state} does not list the files of a dataset: {problem!r}") from None
    missing = [f for f in files if not f.is_file()]
    if missing or not files:
        raise Unsupported(f"{state} lists {missing[0].name if missing else 'no file'}, which is not there")
    return files


def _check(schema: Any, column: str, file: Path, corpus: str) -> None:
    pa = _pyarrow()
    if column not in schema.names:
        raise Unsupported(f"{file} has no column {column!r}; {_there(corpus, schema.names)}")
    kind = schema.field(column).type
    if not any(is_(kind) for is_ in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)):
        raise Unsupported(f"{file}: its column {column!r} is no text but {kind}")


def _values(column: Any) -> list[bytes]:
    """A column's rows as bytes; missing ones do not count."""
    return [value for value in column.cast(_pyarrow().binary()).to_pylist() if value is not None]


def _there(corpus: str, names: Any) -> str:
    known = list(names)
    return (
        f"there are {', '.join(map(str, known))}: name one as in {corpus}:path#{known[0]}" if known else "it is empty"
    )


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise Unsupported(f"Parquet and Arrow files need the pyarrow package: {INSTALL}") from None
    return pyarrow
