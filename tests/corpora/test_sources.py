"""Laws of files of documents: every packing gives the same text, and damage is told by its place."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from polybench.cache import locked
from polybench.corpora import corpus, reading
from polybench.corpora.corpus import documents, tokens
from polybench.corpora.reading import readable
from polybench.corpora.source import CorpusName
from polybench.errors import TrialError, Unsupported
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


def sides(name: str) -> tuple[bytes, bytes]:
    made = tokens(name, "bytes")
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
        f"parquet:{tmp_path}/empty": "empty is empty",
        f"tokens:{tmp_path}/empty": "empty is empty",
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
    for name, told in wrong.items():
        with pytest.raises(Unsupported, match=re.escape(told)):
            tokens(name, "bytes")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("sotu:x", "corpus 'sotu' takes no path"),
        ("jsonl", "corpus 'jsonl' is written jsonl: path/or/glob, or path#field"),
        ("jsonl:HERE/a.jsonl#", "which '' cannot be"),
        ("tokens:HERE/a.jsonl#many", "or path#type,vocabulary size, which 'many' cannot be"),
        ("jsonl:HERE/b.jsonl#text", "no file matches"),
        ("parquet:HERE", "no .parquet or .pq in"),
        ("jsnl:x", "unknown corpus 'jsnl', did you mean 'jsonl'?"),
    ],
)
def test_a_suite_is_told_what_a_corpus_is_written_as(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    with pytest.raises(ValueError, match=re.escape(told)):
        kind_of("pretrain").axes(corpus=written.replace("HERE", str(tmp_path)))


def test_a_name_is_written_back_as_it_was_read(tmp_path: Path) -> None:
    for text in ("sotu", "text:a/b#c.txt", "jsonl:a/b", "jsonl:a/b#c", "tokens:x/*.bin#50304"):
        assert str(CorpusName.parse(text)) == text
    assert CorpusName.parse("text:a/b#c.txt").path == "a/b#c.txt"
    assert CorpusName.parse("jsonl: a#b#c ").path == "a#b"


KINDS = ["string", "large_string", "string_view", "binary", "large_binary", "binary_view"]


@pytest.mark.parametrize("source", ["parquet", "dataset"])
@pytest.mark.parametrize("kind", [*KINDS, "dictionary"])
def test_every_type_of_text_is_read(tmp_path: Path, source: str, kind: str) -> None:
    wanted = pa.dictionary(pa.int32(), pa.string()) if kind == "dictionary" else getattr(pa, kind)()
    table = pa.table({"text": TABLE["text"].cast(wanted)})
    if source == "parquet":
        pq.write_table(table, tmp_path / "a.parquet")
        assert str(pq.read_schema(tmp_path / "a.parquet").field("text").type) == str(wanted)
    else:
        save_dataset(tmp_path / "set", table)
    assert sorted(documents(f"{source}:{tmp_path}")) == ENCODED


def write_empty(file: Path, source: str) -> None:
    """A part of a corpus without a row, a line or a byte."""
    nothing = TABLE.slice(0, 0)
    if source == "parquet":
        pq.write_table(nothing, file)
    elif source == "dataset":
        save_dataset(file.with_name("set2"), nothing)
    else:
        file.write_bytes(b"\n \n" if file.stem.endswith("blank") else b"")


@pytest.mark.parametrize("source", ["text", "jsonl", "parquet", "dataset", "tokens"])
def test_an_empty_part_and_a_missing_text_are_no_documents(tmp_path: Path, source: str) -> None:
    ids = np.arange(100, dtype=np.uint16)
    if source == "tokens":
        np.save(tmp_path / "a.npy", ids)
        (tmp_path / "b.npy").write_bytes(b"")
        made = tokens(f"tokens:{tmp_path}", "bytes")
        assert np.array_equal(np.concatenate([made.train_N[:], made.held_out_N[:]]), ids)
        return
    if source == "text":
        for i, text in enumerate(TEXTS):
            (tmp_path / f"{i}.txt").write_text(text)
    elif source == "jsonl":
        (tmp_path / "a.jsonl").write_bytes(b'{"text": null}\n' + LINES + b'{"text": ""}\n{"text": null}')
    elif source == "parquet":
        pq.write_table(TABLE, tmp_path / "a.parquet")
    else:
        save_dataset(tmp_path / "set", TABLE)
    ending = {"text": ".txt", "jsonl": ".jsonl", "parquet": ".parquet", "dataset": ""}[source]
    write_empty(tmp_path / f"empty{ending}", source)
    if source in ("text", "jsonl"):
        write_empty(tmp_path / f"blank{ending}", source)
        (tmp_path / f"zero{ending}").write_bytes(b"")
    assert sorted(documents(f"{source}:{tmp_path}")) == ENCODED


def test_a_frame_that_looks_two_gibibytes_back_is_read(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=31, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "a.jsonl.zst").write_bytes(packer.compress(LINES) + packer.flush())
    assert sorted(documents(f"jsonl:{tmp_path}")) == ENCODED


def test_a_line_that_comes_in_many_pieces_is_one(tmp_path: Path) -> None:
    long = "x" * (5 << 20)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": long}) + "\n" + json.dumps({"text": "short"}))
    assert sorted(documents(f"jsonl:{tmp_path}")) == [b"short", long.encode()]


FOREIGN = {
    "PK\x03\x04": "a zip archive", "BZh91AY&SY": "packed by bzip2", "\xfd7zXZ\x00": "packed by xz",
    "\x80\x04\x95": "a pickle", "GGUF": "weights of llama.cpp", "\x00\x05\x16\x07": "what macOS keeps beside a file",
    (20240326).to_bytes(4, "little").decode("latin-1"): "llm.c's weights",
    (20240328).to_bytes(4, "little").decode("latin-1"): "llm.c's tokenizer",
}  # fmt: skip


@pytest.mark.parametrize("start", FOREIGN, ids=FOREIGN.values())
@pytest.mark.parametrize("source", ["text", "jsonl", "parquet", "tokens"])
def test_a_file_of_another_kind_is_told_by_its_name(tmp_path: Path, source: str, start: str) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(start.encode("latin-1") + bytes(range(200)) * 10)
    told = {"text": "text", "jsonl": "text", "parquet": "Parquet file", "tokens": "token file"}[source]
    with pytest.raises(Unsupported, match=re.escape(f"a.bin is no {told} but {FOREIGN[start]}")):
        tokens(f"{source}:{file}", "bytes")


@pytest.mark.parametrize("source", ["parquet", "tokens"])
@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress])
def test_what_is_never_packed_is_told_to_be(tmp_path: Path, source: str, packed: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a.bin").write_bytes(packed(bytes(1000)))
    with pytest.raises(Unsupported, match=r"a\.bin is packed by (gzip|Zstandard); unpack it"):
        tokens(f"{source}:{tmp_path}/a.bin", "bytes")


@pytest.mark.parametrize("source", ["text", "jsonl", "parquet", "dataset", "tokens"])
def test_what_the_system_refuses_is_one_sentence(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    save_dataset(tmp_path / "set", TABLE)
    file = tmp_path / ("set/state.json" if source == "dataset" else "a.bin")
    (tmp_path / "a.bin").write_bytes(b"words")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(Unsupported, match=f"{file.name} cannot be read: Permission denied"):
        tokens(f"{source}:{file}", "bytes")


@pytest.mark.parametrize("problem", [OSError(5, "Input/output error"), OSError(28, "No space left"), MemoryError()])
def test_what_may_pass_is_a_failure_that_a_resume_tries_again(tmp_path: Path, problem: Exception) -> None:
    with pytest.raises(TrialError, match=r"cannot be read|more memory") as read, readable(tmp_path):
        raise problem
    assert not isinstance(read.value, Unsupported)
    if isinstance(problem, OSError):
        with pytest.raises(TrialError, match="tokens cannot be kept under") as kept, locked(tmp_path, "a", "tokens"):
            raise problem
        assert not isinstance(kept.value, Unsupported)


def test_text_in_utf_16_is_told(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be", "utf-16"):
        (tmp_path / "a.txt").write_text("one\n\ntwo", encoding=encoding)
        with pytest.raises(Unsupported, match=r"a\.txt is text in UTF-16; write it as UTF-8"):
            documents(f"text:{tmp_path}/a.txt")


def test_text_that_is_no_utf_8_is_told_with_its_place(tmp_path: Path) -> None:
    """A character may stand across the pieces that a file is read in, and the file may be packed."""
    long = "a" * ((1 << 20) - 1) + "\u00e9 and more"
    for before in ("one\n\n", long):
        whole = before.encode() + "caf\u00e9 two".encode("latin1")
        for name, data in (("a.txt", whole), ("a.txt.gz", gzip.compress(whole))):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(Unsupported) as caught:
                documents(f"text:{tmp_path}/{name}")
            assert f"{name} is no text in UTF-8: invalid continuation byte at byte {len(before.encode()) + 3}; " in str(
                caught.value
            )
    (tmp_path / "a.txt").write_text(f"{long}\n\n{long}.", encoding="utf-8")
    assert len(documents(f"text:{tmp_path}/a.txt")) == 2


def test_the_mark_of_an_editor_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "lone.txt").write_text("one\n\ntwo", encoding="utf-8-sig")
    (tmp_path / "other.txt").write_text("three", encoding="utf-8-sig")
    assert sorted(documents(f"text:{tmp_path}/lone.txt")) == [b"one", b"two"]
    assert sorted(documents(f"text:{tmp_path}")) == [b"one\n\ntwo", b"three"]


@pytest.mark.parametrize(("text", "words"), [("one\nline", "1 document .blank lines part"), ("\n \n\n", "no document")])
def test_a_lone_text_without_blank_lines_is_told_what_parts_documents(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(Unsupported, match=words):
        tokens(f"text:{tmp_path}/a.txt", "bytes")


def bomb(file: Path, name: str) -> None:
    """A file of a few KiB that stands for 64 MiB and more."""
    if name == "parquet":
        values = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["a" * (1 << 20)]))
        pq.write_table(pa.table({"text": values}), file, compression="zstd", dictionary_pagesize_limit=1 << 24)
    else:
        pack = {"gzip": gzip.compress, "zstd": zstandard.compress}[name]
        file.write_bytes(b"".join([pack(bytes(1 << 26))] * (2 if name == "gzip" else 1)))
    assert file.stat().st_size < 1 << 18


@pytest.mark.parametrize("name", ["gzip", "zstd", "parquet"])
def test_a_bomb_ends_in_a_sentence_before_all_of_it_is_in_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_most", lambda: 1 << 24)
    bomb(tmp_path / "a", name)
    sizes = []
    counted = reading.limited

    def watched(pieces: Iterable[bytes], where: str) -> Iterator[bytes]:
        return counted((sizes.append(len(piece)) or piece for piece in pieces), where)  # type: ignore[func-returns-value]

    for module in (reading, corpus):
        monkeypatch.setattr(module, "limited", watched)
    source = "parquet" if name == "parquet" else "text"
    with pytest.raises(Unsupported, match=r"more than 0\.0 GiB of text come out of .*a, half of the memory here"):
        tokens(f"{source}:{tmp_path}/a", "bytes")
    assert sum(sizes) < 3 << 24
    assert max(sizes) <= 1 << 24
