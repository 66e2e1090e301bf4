"""Laws of token shards: every format gives its ids back, memory stays flat, and damage is told by its place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.corpora import token_shingles
from polybench.corpora.corpus import held_out, tokens
from polybench.corpora.source import CorpusName
from polybench.corpora.stream import Joined
from polybench.corpora.token_file import _looks_like
from polybench.errors import Unsupported
from polybench.kind import kind_of

IDS = np.random.default_rng(0).integers(0, 1000, 5000)
WRITTEN = {20240520: (1, "<u2"), 20240801: (7, "<u4")}  # magic: version, type; as llm.c writes them


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))


def llm_c(file: Path, ids: np.ndarray, magic: int = 20240520, count: int | None = None, version: int = 0) -> Path:
    header = np.zeros(256, dtype="<i4")
    header[:3] = magic, version or WRITTEN[magic][0], len(ids) if count is None else count
    file.write_bytes(header.tobytes() + ids.astype(WRITTEN[magic][1]).tobytes())
    return file


def npy(file: Path, ids: np.ndarray) -> Path:
    np.save(file, ids)
    return file


def raw(file: Path, ids: np.ndarray) -> Path:
    file.write_bytes(ids.astype("<u2").tobytes())
    return file


FORMATS = {
    "nanoGPT": lambda file, ids: raw(file.with_suffix(".bin"), ids),
    "llm.c, GPT-2": lambda file, ids: llm_c(file.with_suffix(".bin"), ids),
    "llm.c, Llama 3": lambda file, ids: llm_c(file.with_suffix(".any"), ids, 20240801),
    "npy, uint16": lambda file, ids: npy(file.with_suffix(".npy"), ids.astype(np.uint16)),
    "npy, int64": lambda file, ids: npy(file.with_suffix(".npy"), ids),
    "npy, big-endian": lambda file, ids: npy(file.with_suffix(".npy"), ids.astype(">u4")),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_its_ids_back(tmp_path: Path, name: str) -> None:
    file = FORMATS[name](tmp_path / "shard", IDS)
    made = tokens(f"tokens:{file}", "bytes")
    assert (len(made.train_N), len(made.held_out_N)) == (4500, 500)
    assert np.array_equal(np.concatenate([made.train_N[:], made.held_out_N[:]]), IDS)
    assert (made.vocabulary, made.bytes_V) == (1024, None)
    assert tokens(f"tokens:{file}#1000", "bytes").vocabulary == 1000


def test_a_folder_of_nanogpt_holds_out_val_bin_and_never_opens_its_pickle(tmp_path: Path) -> None:
    raw(tmp_path / "train.bin", IDS[:4000])
    raw(tmp_path / "val.bin", IDS[4000:])
    (tmp_path / "meta.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (tmp_path / "meta.pkl").chmod(0)
    made = tokens(f"tokens:{tmp_path}", "bytes")
    assert np.array_equal(made.train_N[:], IDS[:4000])
    assert np.array_equal(made.held_out_N[:], IDS[4000:])


def test_shards_are_one_stream_in_the_order_of_their_names(tmp_path: Path) -> None:
    for i, part in enumerate(np.split(IDS, 5)):
        llm_c(tmp_path / f"fineweb_{'val' if i == 2 else 'train'}_{i:06}.bin", part)
    made = tokens(f"tokens:{tmp_path}/fineweb_*.bin", "bytes")
    assert np.array_equal(made.held_out_N[:], IDS[2000:3000])
    assert np.array_equal(made.train_N[:], np.concatenate([IDS[:2000], IDS[3000:]]))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_a_slice_across_shards_is_the_slice_of_their_sum(sizes: list[int], start: int, stop: int) -> None:
    whole = np.arange(sum(sizes))
    parts = Joined(np.split(whole, np.cumsum(sizes)[:-1]))
    assert len(parts) == len(whole)
    assert np.array_equal(parts[start:stop], whole[start:stop])


def test_without_a_validation_shard_the_last_tenth_begins_at_a_documents_end(tmp_path: Path) -> None:
    ids = IDS.copy()
    ids[[4400, 4620, 4630]] = 50256
    for file in (llm_c(tmp_path / "a.bin", ids), llm_c(tmp_path / "b.bin", np.tile(IDS, 2))):
        made = tokens(f"tokens:{file}", "bytes")
        assert len(made.train_N) == (4620 if file.stem == "a" else 9000)
    made = tokens(f"tokens:{tmp_path}/*.bin", "bytes")
    assert (len(made.train_N), len(made.held_out_N)) == (13500, 1500)


def as_npy(file: Path, ids: np.ndarray, cut: int | None = None) -> None:
    """An array of NumPy under the name of another format, less its last bytes."""
    file.write_bytes(npy(file.with_suffix(".npy"), ids).read_bytes()[:cut])


OBJECTS = b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(69) + b"\n"
DAMAGE = {
    "header says 1000 tokens, but 900 fit": lambda f: llm_c(f, IDS[:900], count=1000),
    "header says -5 tokens": lambda f: llm_c(f, IDS[:900], count=-5),
    "it ends inside its header, at byte 500": lambda f: f.write_bytes(llm_c(f, IDS).read_bytes()[:500]),
    "byte 4: version 9 of the format 20240520": lambda f: llm_c(f, IDS, version=9),
    "multiple-choice examples": lambda f: f.write_bytes((20240522).to_bytes(4, "little") + bytes(1100)),
    "has 1801 bytes, an odd number, so its last uint16 at byte 1800": lambda f: f.write_bytes(bytes(1801)),
    "shard.bin is empty": lambda f: f.write_bytes(b""),
    "holds a single token": lambda f: f.write_bytes(b"ab"),
    "holds float64, but token ids are whole numbers": lambda f: as_npy(f, IDS / 2),
    "holds object": lambda f: f.write_bytes(OBJECTS),
    "has the shape (50, 100)": lambda f: as_npy(f, IDS.reshape(50, 100)),
    "damaged .npy header": lambda f: f.write_bytes(b"\x93NUMPY\x01\x00" + bytes(99)),
    "header says 5000 tokens, but 4996 fit": lambda f: as_npy(f, IDS, -30),
    "byte 176 (token 6): the id -1 is beyond": lambda f: as_npy(f, np.r_[:6, -1, 7]),
}


@pytest.mark.parametrize("told", DAMAGE)
def test_damage_is_told_by_its_place(tmp_path: Path, told: str) -> None:
    file = tmp_path / "shard.bin"
    DAMAGE[told](file)
    with pytest.raises(Unsupported, match=re.escape(told)) as raised:
        tokens(f"tokens:{file}", "bytes")
    assert str(file) in str(raised.value)


def test_an_id_beyond_the_vocabulary_is_told_by_its_place(tmp_path: Path) -> None:
    ids = IDS.copy()
    ids[4321] = 1007
    file = llm_c(tmp_path / "a.bin", ids)
    told = f"a.bin, byte {1024 + 2 * 4321} (token 4321): the id 1007 is beyond a vocabulary of 1000"
    with pytest.raises(Unsupported, match=re.escape(told)):
        tokens(f"tokens:{file}#1000", "bytes")
    trained_on = tokens(f"tokens:{llm_c(tmp_path / 'b.bin', IDS % 900)}#1000", "bytes")
    assert held_out(f"tokens:{tmp_path / 'b.bin'}", trained_on).vocabulary == 1000
    with pytest.raises(Unsupported, match="the id 1007 is beyond a vocabulary of 1000"):
        held_out(f"tokens:{file}", trained_on)
    with pytest.raises(Unsupported, match="by an unknown tokenizer"):
        held_out("stdlib", trained_on)


def test_the_hash_is_of_the_ids_and_of_the_split_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, name = llm_c(tmp_path / "a.bin", IDS), f"tokens:{tmp_path}/a.bin"
    first = tokens(name, "bytes").hash
    with monkeypatch.context() as patch:
        patch.setattr("polybench.corpora.token_file.TokenFile.chunks", None)  # not read again
        patch.setattr("polybench.corpora.pretokenized.cut", lambda shard, at: at)
        assert tokens(name, "bytes").hash == first
    assert tokens(f"tokens:{llm_c(tmp_path / 'c.bin', IDS)}", "bytes").hash == first
    file.write_bytes(file.read_bytes()[:-2] + b"\x01\x00")
    assert tokens(name, "bytes").hash != first
    llm_c(tmp_path / "c.bin", IDS).rename(tmp_path / "a_val.bin")
    assert tokens(f"tokens:{tmp_path}/a*.bin", "bytes").hash != first


def test_a_tokenizer_cannot_be_trained_on_tokens(tmp_path: Path) -> None:
    file = raw(tmp_path / "a.bin", IDS)
    with pytest.raises(ValueError, match="is tokenized already"):
        kind_of("pretrain").axes(corpus=f"tokens:{file}", tokenizer="bpe-300")
    with pytest.raises(Unsupported, match="tokenized already, so bpe-300 cannot be trained"):
        tokens(f"tokens:{file}", "bpe-300")
    assert "tokenizer" not in kind_of("pretrain").axes(corpus=f"tokens:{file}").deciding()


FLAT = """
import sys
import numpy as np
from polybench.corpora.corpus import tokens

def most():  # MiB that were ever resident
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

before = most()
stream = tokens("tokens:" + sys.argv[1], "bytes").train_N
for starts in np.random.default_rng(0).integers(0, len(stream) - 129, (300, 16)):
    np.stack([stream[a : a + 129] for a in starts]).astype(np.int64)
print(len(stream), most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_on_a_shard_of_a_gigabyte(tmp_path: Path) -> None:
    """300 batches of 16 x 128 from 1 GB, which is read through once for its hash, and mapped but never held."""
    file = llm_c(tmp_path / "big.bin", IDS, count=500_000_000)
    os.truncate(file, 1024 + 2 * 500_000_000)
    done = subprocess.run([sys.executable, "-c", FLAT, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    length, growth = map(float, done.stdout.split())
    assert length == 450_000_000
    assert growth < 50


WIDE = np.random.default_rng(1).integers(0, 5000, 60_000)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_ids_that_are_wider_than_they_say_are_refused_until_their_type_is_said(tmp_path: Path, dtype: str) -> None:
    """60,000 uniform ids below 5,000 would be read as 120,000 or 240,000 ids, half of them 0, and learned well."""
    file = tmp_path / "a.bin"
    file.write_bytes(WIDE.astype(dtype).tobytes())
    like = dtype.removeprefix("u")
    with pytest.raises(Unsupported, match=rf"a\.bin looks like {like}, .* name it as tokens:{file}#{like}"):
        tokens(f"tokens:{file}", "bytes")
    np.save(tmp_path / "a.npy", WIDE)
    right = tokens(f"tokens:{tmp_path}/a.npy", "bytes")
    for option in (f"#{dtype}", f"#{like}"):
        made = tokens(f"tokens:{file}{option}", "bytes")
        assert np.array_equal(made.train_N[:], right.train_N[:])
        assert np.array_equal(made.held_out_N[:], right.held_out_N[:])
    assert tokens(f"tokens:{file}#{dtype},6000", "bytes").vocabulary == 6000
    assert len(tokens(f"tokens:{file}#uint16", "bytes").train_N) > 54_000


def test_padding_and_the_other_byte_order_are_seen_too(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(np.r_[WIDE, -100, -1].astype("<i4").tobytes())
    (tmp_path / "b.bin").write_bytes(WIDE.astype(">i4").tobytes())
    (tmp_path / "c.bin").write_bytes((WIDE + 100_000).astype("<i4").tobytes())
    for name, told in (("a", "int32"), ("b", "big-endian 32-bit ids; turn them round"), ("c", "int32")):
        with pytest.raises(Unsupported, match=f"looks like {told}"):
            tokens(f"tokens:{tmp_path}/{name}.bin", "bytes")


@given(st.integers(2, 65_536), st.integers(32, 400), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_uint16_never_looks_like_anything_else(vocabulary: int, count: int, random: object) -> None:
    ids = np.random.default_rng(random.getrandbits(32)).integers(0, vocabulary, count)  # type: ignore[attr-defined]
    data = ids.astype("<u2").tobytes()
    assert _looks_like(data, len(data)) == ""


@pytest.mark.parametrize(
    ("write", "option", "told"),
    [
        (llm_c, "int32", "says itself that its ids are uint16; leave #int32 away"),
        (npy, "uint16", "says itself that its ids are int64; leave #uint16 away"),
        (raw, "int64", "has 10006 bytes, so its last int64 at byte 10000 is cut off"),
    ],
)
def test_a_type_that_cannot_be_is_told(
    tmp_path: Path, write: Callable[[Path, np.ndarray], Path], option: str, told: str
) -> None:
    file = write(tmp_path / ("a.npy" if write is npy else "a.bin"), np.r_[IDS, 1, 2, 3])
    with pytest.raises(Unsupported, match=re.escape(told)):
        tokens(f"tokens:{file}#{option}", "bytes")
    assert tokens(f"tokens:{llm_c(tmp_path / 'b.bin', IDS)}#uint16,1000", "bytes").vocabulary == 1000


@pytest.mark.parametrize("option", ["int", "int33", "int32,", ",5", "int32,0", "5,int32", "int3250304"])
def test_an_option_is_a_type_and_a_size_and_nothing_else(tmp_path: Path, option: str) -> None:
    file = raw(tmp_path / "a.bin", IDS)
    with pytest.raises(ValueError, match="is written tokens: path/or/glob, or path#type,vocabulary size"):
        CorpusName.parse(f"tokens:{file}#{option}")


def documents(count: int, ids: np.random.Generator, end: int = 50256) -> list[np.ndarray]:
    return [np.r_[ids.integers(0, 1000, 199), end] for _ in range(count)]


@pytest.mark.parametrize("copied", [0, 3, 10])
def test_what_of_held_out_tokens_is_trained_on_is_told(tmp_path: Path, copied: int) -> None:
    """Of ten documents held out some are in training too, at another place of another file."""
    ids = np.random.default_rng(2)
    held, others = documents(10, ids), documents(40, ids)
    llm_c(tmp_path / "train_1.bin", np.concatenate([*others[:20], *held[:copied]]))
    llm_c(tmp_path / "train_2.bin", np.concatenate(others[20:]))
    llm_c(tmp_path / "val.bin", np.concatenate(held))
    made = tokens(f"tokens:{tmp_path}", "bytes")
    assert made.shared == pytest.approx(copied / 10, abs=0.001)
    assert made.shared_text == f"{made.shared:.2%}"
    assert held_out(f"tokens:{tmp_path}", made).shared_text == "not looked at"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polybench.corpora.pretokenized.shared", None)  # not worked out again
        assert tokens(f"tokens:{tmp_path}", "bytes").shared == made.shared


def test_a_part_of_many_shingles_tells_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(3)
    held, others = documents(100, ids), documents(100, ids)
    train_N, held_N = np.concatenate([*others, *held[:30]]), np.concatenate(held)
    whole = token_shingles.shared(train_N, held_N, 50256)
    assert whole == pytest.approx(0.3, abs=0.001)  # windows that begin with one token twice do not count
    monkeypatch.setattr(token_shingles, "_CHUNK", 100)
    assert token_shingles.shared(train_N, held_N, 50256) == whole
    monkeypatch.setattr(token_shingles, "_ENOUGH", len(held_N) // 8)
    part = token_shingles.shared(train_N, held_N, 50256)
    assert part == pytest.approx(0.3, abs=0.03)
    assert part != whole


def test_where_documents_cannot_be_told_nothing_is_said(tmp_path: Path) -> None:
    raw(tmp_path / "a.bin", IDS)
    assert tokens(f"tokens:{tmp_path}/a.bin", "bytes").shared_text == "not looked at"
    assert token_shingles.shared(np.full(1000, 7), np.full(1000, 7), 50256) is None
    assert token_shingles.shared(IDS[:5], IDS[:5], 50256) is None
