"""Documents that are a field of records: JSON lines, Parquet, and folders of the datasets package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from polybench.corpora.finding import Parts, matching, sided
from polybench.corpora.reading import INSTALL, check_known, head, lines, not_empty, readable
from polybench.corpora.source import Documents
from polybench.errors import Unsupported
from polybench.registry import corpora

_ROWS = 1024  # of a Parquet file, at a time
_REPEATED = 64 << 20  # bytes that they may take where they repeat one long value


@corpora.register(
    "jsonl", source="your own files", takes_path=True, option=("field", r".+"),
    endings=(".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst"),
)  # fmt: skip
def jsonl(path: str, field: str = "text") -> Documents:
    """JSON lines, plain, gzip or zstd: a document is the field `text`, or another as in jsonl:path#field."""
    parts = sided(path, matching(path, corpora.entry("jsonl").facts["endings"]))
    return Documents.of(parts, partial(_of_lines, field=field))


@corpora.register(
    "parquet", source="your own files", takes_path=True, option=("column", r".+"), endings=(".parquet", ".pq")
)
def parquet(path: str, column: str = "text") -> Documents:
    """Parquet files: a document is a row of the column `text`, or of another as in parquet:path#column."""
    parts = sided(path, matching(path, corpora.entry("parquet").facts["endings"]))
    return Documents.of(parts, partial(_of_parquet, column=column))


@corpora.register(
    "dataset", source="Dataset.save_to_disk of Hugging Face's datasets 4", takes_path=True,
    option=("column", r".+"), endings=("state.json",),
)  # fmt: skip
def dataset(path: str, column: str = "text") -> Documents:
    """A folder that datasets' save_to_disk wrote; its own validation split is held out if there is one."""
    states = sided(path, matching(path, corpora.entry("dataset").facts["endings"]))
    train, held_out = ([f for state in side for f in _arrow_files(state)] for side in (states.train, states.held_out))
    return Documents.of(Parts(tuple(train), tuple(held_out), states.told), partial(_of_arrow, column=column))


def _of_lines(files: Sequence[Path], field: str) -> Iterator[bytes]:
    for file in not_empty(files):
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
            text = row[field]
            if text is None:
                continue
            if not isinstance(text, str):
                raise Unsupported(f"{where}: its field {field!r} is no text but {type(text).__name__}")
            yield text.encode("utf-8", "replace")  # JSON can write halves of surrogate pairs


def _of_parquet(files: Sequence[Path], column: str) -> Iterator[bytes]:
    _pyarrow()
    import pyarrow.parquet as pq

    for file in not_empty(files):
        with _sound(file, "Parquet", "parquet"):
            _check(pq.read_schema(file, memory_map=True), column, file, "parquet")
            with (
                pq.ParquetFile(file, memory_map=True) as opened,
                pq.ParquetFile(file, memory_map=True, read_dictionary=[column]) as as_dictionary,
            ):
                for group in range(opened.num_row_groups):
                    first = next(as_dictionary.iter_batches(1, row_groups=[group], columns=[column]), None)
                    for batch in opened.iter_batches(_rows(first), row_groups=[group], columns=[column]):
                        yield from _values(batch.column(0))


def _rows(first: Any) -> int:
    """How many rows are read at a time: few where one of the dictionary is long, which all of them may repeat."""
    import pyarrow.compute as pc

    longest = pc.max(pc.binary_length(_as_bytes(first.column(0).dictionary))).as_py() if first else 0
    return min(_ROWS, max(1, _REPEATED // (longest or 1)))


def _of_arrow(files: Sequence[Path], column: str) -> Iterator[bytes]:
    pa = _pyarrow()
    for file in not_empty(files):
        with (
            _sound(file, "Arrow", "dataset"),
            pa.memory_map(str(file)) as mapped,
            pa.ipc.open_stream(mapped) as batches,
        ):
            _check(batches.schema, column, file, "dataset")
            for batch in batches:
                yield from _values(batch.column(batch.schema.get_field_index(column)))


@contextmanager
def _sound(file: Path, format: str, corpus: str) -> Iterator[None]:
    """What pyarrow makes of damage, and of sizes that no memory holds, becomes one sentence."""
    pa = _pyarrow()
    check_known(file, head(file), f"{format} file", corpus)
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as problem:
        raise Unsupported(f"{file} ({file.stat().st_size} bytes) is no sound {format} file: {problem}") from None


def _arrow_files(state: Path) -> list[Path]:
    """The files of one split, as its state.json lists them."""
    try:
        with readable(state):
            told = state.read_bytes()
        files = [state.with_name(part["filename"]) for part in json.loads(told)["_data_files"]]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
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
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    if not any(getattr(pa.types, f"is_{one}")(kind) for one in text):
        raise Unsupported(f"{file}: its column {column!r} is no text but {kind}")


def _values(column: Any) -> Iterator[bytes]:
    """A column's rows as bytes; missing ones do not count."""
    pa = _pyarrow()
    if pa.types.is_dictionary(column.type):
        known = _as_bytes(column.dictionary)
        values = (None if place is None else known[place].as_py() for place in column.indices.to_pylist())
    else:
        values = iter(_as_bytes(column).to_pylist())
    return (value for value in values if value is not None)


def _as_bytes(column: Any) -> Any:
    pa = _pyarrow()
    short = pa.types.is_string(column.type) or pa.types.is_binary(column.type)
    return column.cast(pa.binary() if short else pa.large_binary())


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
