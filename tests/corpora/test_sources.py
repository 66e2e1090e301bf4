"""Laws of files of documents: every packing gives the same text, and damage is told by its place."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polybench.corpora.corpus import documents, tokens
from polybench.corpora.source import CorpusName
from polybench.errors import Unsupported
from polybench.kind import kind_of

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
zstandard = pytest.importorskip("zstandard")

TEXTS = [f"document {i}: " + "naïve words \n" * (i + 3) for i in range(12)]
ENCODED = sorted(t.encode() for t in TEXTS)
LINES = "".join(json.dumps({"text": t, "id": i}) + "\n" for i, t in enumerate(TEXTS)).encode()
TABLE = pa.table({"text": [*TEXTS, None], "id": list(range(len(TEXTS) + 1))})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))


def frames(data: bytes) -> bytes:
    """Several Zstandard frames, one after another."""
    half = len(data) // 2
    return b"".join(zstandard.compress(part) for part in (data[:half], data[half:]))


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two gzip members": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]) + bytes(512),
    "zstd": zstandard.compress,
    "two zstd frames": frames,
}


def save_dataset(folder: Path, table: pa.Table, shards: int = 1) -> None:
    """As Dataset.save_to_disk of datasets 4 lays it out."""
    folder.mkdir(parents=True)
    rows = -(-len(table) // shards)
    names = [f"data-{i:05}-of-{shards:05}.arrow" for i in range(shards)]
    for i, name in enumerate(names):
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table.slice(i * rows, rows), max_chunksize=5)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": n} for n in names]}))


@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_lines_and_text_are_unpacked_whatever_they_are_called(tmp_path: Path, packing: str) -> None:
    (tmp_path / "any.name").write_bytes(PACKINGS[packing](LINES))
    assert sorted(documents(f"jsonl:{tmp_path}/any.name")) == ENCODED
    (tmp_path / "one").write_bytes(PACKINGS[packing](b"first\n\nsecond"))
    assert sorted(documents(f"text:{tmp_path}/one")) == [b"first", b"second"]


def test_parquet_and_dataset_folders_hold_the_same_text(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    assert sorted(documents(f"parquet:{tmp_path}")) == ENCODED
    save_dataset(tmp_path / "set", TABLE, shards=3)
    assert sorted(documents(f"dataset:{tmp_path}/set")) == ENCODED
    large = TABLE.set_column(0, "text", TABLE["text"].cast(pa.large_string()))
    save_dataset(tmp_path / "large", large)
    assert sorted(documents(f"dataset:{tmp_path}/large")) == ENCODED


def test_a_field_or_column_of_another_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.replace(b'"text"', b'"body"'))
    assert sorted(documents(f"jsonl:{tmp_path}#body")) == ENCODED
    pq.write_table(TABLE.rename_columns(["body", "id"]), tmp_path / "a.parquet")
    assert sorted(documents(f"parquet:{tmp_path}/a.parquet#body")) == ENCODED


def sides(corpus: str) -> tuple[bytes, bytes]:
    made = tokens(corpus, "bytes")
    return tuple(np.asarray(s)[np.asarray(s) < 256].astype(np.uint8).tobytes() for s in (made.train_N, made.held_out_N))  # type: ignore[return-value]


@pytest.mark.parametrize("held", ["validation", "val", "test"])
def test_a_validation_split_is_held_out_and_what_it_repeats_is_not_trained_on(tmp_path: Path, held: str) -> None:
    save_dataset(tmp_path / "set" / "train", TABLE)
    save_dataset(tmp_path / "set" / held, pa.table({"text": [TEXTS[3], "never trained on"]}))
    train, held_out = sides(f"dataset:{tmp_path}/set")
    assert b"never trained on" in held_out
    assert TEXTS[3].encode() in held_out
    assert TEXTS[3].encode() not in train
    assert len(train) + len(TEXTS[3].encode()) == sum(map(len, ENCODED))


def test_files_called_validation_are_held_out(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(LINES)
    (tmp_path / "validation.jsonl").write_bytes(b'{"text": "never trained on"}\n')
    train, held_out = sides(f"jsonl:{tmp_path}")
    assert held_out == b"never trained on"
    assert len(train) == sum(map(len, ENCODED))


BAD_LINES = [
    (b"{nope", "line 13 is no JSON"),
    (b"[1]", "line 13 is no JSON object but list"),
    (b'{"body": "x", "id": 1}', "line 13 has no field 'text'; there are body, id: name one as in jsonl:path#body"),
    (b'{"text": 7}', "line 13: its field 'text' is no text but int"),
    (b'{"text": "\xff"}', "line 13 is no JSON"),
    (b"[" * 100_000, "line 13 is no JSON"),
]


@pytest.mark.parametrize(("line", "told"), BAD_LINES)
def test_a_bad_line_is_told_by_its_number(tmp_path: Path, line: bytes, told: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES + line + b"\n")
    with pytest.raises(Unsupported, match=f"a.jsonl, {re.escape(told)}"):
        documents(f"jsonl:{tmp_path}/a.jsonl")


@pytest.mark.parametrize("packing", ["gzip", "zstd", "two zstd frames"])
def test_packed_data_that_are_cut_off_or_damaged_are_told(tmp_path: Path, packing: str) -> None:
    data, file = PACKINGS[packing](LINES), tmp_path / "a.jsonl.z"
    for length in (6, len(data) // 4, len(data) - 5, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(Unsupported, match=f"a.jsonl.z is cut off at byte {length}"):
            documents(f"jsonl:{file}")
    file.write_bytes(data[:20] + b"\xff" * 40 + data[60:])
    with pytest.raises(
        Unsupported, match=r"a.jsonl.z(, line 1 is no JSON| is damaged before byte| is cut off at byte)"
    ):
        documents(f"jsonl:{file}")


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    wrong = {
        f"text:{tmp_path}/a.parquet": "is no text: it begins as a file for the corpus parquet:",
        f"parquet:{tmp_path}/a.parquet#body": "no column 'body'; there are text, id: name one as in parquet:path#text",
        f"parquet:{tmp_path}/a.parquet#id": "its column 'id' is no text but int64",
        f"parquet:{tmp_path}/cut": "is no sound Parquet file",
        f"parquet:{tmp_path}/empty": "is no sound Parquet file",
        f"jsonl:{tmp_path}/empty": "empty is empty",
        f"text:{tmp_path}/empty": "empty is empty",
        f"jsonl:{tmp_path}/short": "has 1 document",
        f"dataset:{tmp_path}/set": "lists gone.arrow, which is not there",
        f"dataset:{tmp_path}/torn": "is no sound Arrow file",
        f"dataset:{tmp_path}/odd": "does not list the files of a dataset",
        f"dataset:{tmp_path}/nothing": "no file matches",
    }
    (tmp_path / "cut").write_bytes(whole[:-9])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(b'{"text": "one"}\n{"text": " "}\n\n')
    for name in ("set", "odd"):
        (tmp_path / name).mkdir()
    (tmp_path / "set" / "state.json").write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
    (tmp_path / "odd" / "state.json").write_text("{}")
    save_dataset(tmp_path / "torn", TABLE)
    arrow = tmp_path / "torn" / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:700])
    for corpus, told in wrong.items():
        with pytest.raises(Unsupported, match=re.escape(told)):
            tokens(corpus, "bytes")


@pytest.mark.parametrize(
    ("corpus", "told"),
    [
        ("sotu:x", "corpus 'sotu' takes no path"),
        ("jsonl", "corpus 'jsonl' is written jsonl: path/or/glob, or path#field"),
        ("jsonl:HERE/a.jsonl#", "which '' cannot be"),
        ("tokens:HERE/a.jsonl#many", "or path#vocabulary size, which 'many' cannot be"),
        ("jsonl:HERE/b.jsonl#text", "no file matches"),
        ("parquet:HERE", "no .parquet or .pq in"),
        ("jsnl:x", "unknown corpus 'jsnl', did you mean 'jsonl'?"),
    ],
)
def test_a_suite_is_told_what_a_corpus_is_written_as(tmp_path: Path, corpus: str, told: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    with pytest.raises(ValueError, match=re.escape(told)):
        kind_of("pretrain").axes(corpus=corpus.replace("HERE", str(tmp_path)))


def test_a_name_is_written_back_as_it_was_read(tmp_path: Path) -> None:
    for text in ("sotu", "text:a/b#c.txt", "jsonl:a/b", "jsonl:a/b#c", "tokens:x/*.bin#50304"):
        assert str(CorpusName.parse(text)) == text
    assert CorpusName.parse("text:a/b#c.txt").path == "a/b#c.txt"
    assert CorpusName.parse("jsonl: a#b#c ").path == "a#b"
