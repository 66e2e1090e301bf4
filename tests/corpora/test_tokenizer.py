"""Laws of tokenizers: any tokenizer.json, bytes that add up to the text, and one tokenizer over several corpora."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polybench.corpora.corpus import held_out, tokens
from polybench.corpora.tokenizer import Bytes, coder, of_json
from polybench.errors import Unsupported
from polybench.kind import kind_of

tokenizers = pytest.importorskip("tokenizers")
models, trainers, pre, decoders = (
    tokenizers.models, tokenizers.trainers, tokenizers.pre_tokenizers, tokenizers.decoders
)  # fmt: skip
TEXTS = [f"Document {i}: naïve Ωords, {i * 37} of them; " + "the river runs over stones. " * (i + 2) for i in range(20)]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text").mkdir()
    for i, text in enumerate(TEXTS):
        (tmp_path / "text" / f"{i}.txt").write_text(text, encoding="utf-8")
    return f"text:{tmp_path}/text"


def byte_level(file: Path, end: str = "<|endoftext|>", extra: int = 0) -> str:
    """Byte-level BPE as of GPT-2; `extra` unused tokens push the end's id past uint16."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(TEXTS, trainer)
    made.add_tokens([f"<unused {i}>" for i in range(extra)])
    made.add_special_tokens([end])
    made.enable_truncation(5)
    made.enable_padding(length=64)
    made.save(str(file))
    return f"file:{file}"


def word_pieces(file: Path) -> str:
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = pre.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=80, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    made.train_from_iterator(TEXTS, trainer)
    made.save(str(file))
    return f"file:{file}"


def size(texts: list[str]) -> int:
    return sum(len(t.encode()) for t in texts)


def test_a_byte_level_tokenizer_json_is_exact_neither_cut_nor_padded(corpus: str, tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path / "tokenizer.json")
    made = tokens(corpus, tokenizer)
    assert made.bytes_V is not None
    assert made.bytes_V.dtype == np.int64
    assert made.bytes_V[made.train_N].sum() + made.bytes_V[made.held_out_N].sum() == size(TEXTS)
    inner = tokenizers.Tokenizer.from_file(tokenizer.removeprefix("file:"))
    ends = sum(int((s == inner.token_to_id("<|endoftext|>")).sum()) for s in (made.train_N, made.held_out_N))
    assert ends == len(TEXTS)
    told = inner.decode(made.held_out_N.tolist())
    assert size([told]) == made.bytes_V[made.held_out_N].sum()


@pytest.mark.parametrize("name", ["bytes", "bpe-300", "file"])
def test_a_text_comes_back_from_its_ids_and_they_are_those_of_its_document(name: str, tmp_path: Path) -> None:
    made = coder(byte_level(tmp_path / "t.json") if name == "file" else name, [t.encode() for t in TEXTS])
    same = of_json(made.json or "bytes", "here")
    for text in ("", " ", "ab  c\n", "naïve Ω 猫 \N{PILE OF POO}", TEXTS[-1], TEXTS[0] * 20):
        ids = made.encode_text(text)
        assert made.decode(ids) == made.decode([*ids, made.end]) == text
        assert made.encode([text.encode()]).tolist() == [*ids, made.end]
        assert (same.encode_text(text), same.decode(ids), same.end) == (ids, text, made.end)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert Bytes().decode([0xC3, 0xBE, 0xBF, 0xC3]) == "þ\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    assert Bytes().encode_text("\udc80") == [ord("?")]


@pytest.mark.parametrize("content", ["", "{}", "{nope"])
def test_a_kept_tokenizer_that_cannot_be_read_is_told(content: str) -> None:
    with pytest.raises(Unsupported, match=r"^the tokenizer in the checkpoint is no tokenizer\.json: "):
        _ = of_json(content, "the tokenizer in the checkpoint").end


def test_ids_past_uint16_are_kept(corpus: str, tmp_path: Path) -> None:
    made = tokens(corpus, byte_level(tmp_path / "t.json", extra=1 << 16))
    assert made.train_N[:].dtype == np.uint32
    assert made.train_N.max() == made.vocabulary - 1 > 1 << 16


def test_tokens_without_a_length_of_their_own_get_the_mean(corpus: str, tmp_path: Path) -> None:
    made = tokens(corpus, word_pieces(tmp_path / "t.json"))
    assert made.bytes_V is not None
    held = made.bytes_V[made.held_out_N].sum()
    assert len(set(made.bytes_V.tolist())) == 2  # the mean, and nothing for a document's end
    text = bytes_of_held_out(corpus)
    assert held == pytest.approx(len(text))


def bytes_of_held_out(corpus: str) -> bytes:
    stream = np.asarray(tokens(corpus, "bytes").held_out_N)
    return stream[stream < 256].astype(np.uint8).tobytes()


def test_an_unknown_end_is_one_more_id(corpus: str, tmp_path: Path) -> None:
    made = tokens(corpus, byte_level(tmp_path / "t.json", end="<|unheard of|>"))
    assert made.train_N[-1] == made.vocabulary - 1


def test_the_hash_is_of_the_tokenizer_not_of_its_place(corpus: str, tmp_path: Path) -> None:
    first = tokens(corpus, byte_level(tmp_path / "a.json")).hash
    assert tokens(corpus, byte_level(tmp_path / "b.json")).hash == first
    assert tokens(corpus, byte_level(tmp_path / "a.json", end="</s>")).hash != first


@pytest.mark.parametrize("content", ["", "{}", "{nope", json.dumps({"model": {"type": "BPE"}}), "\udcff"])
def test_a_file_that_is_no_tokenizer_is_told(corpus: str, tmp_path: Path, content: str) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(Unsupported, match=r"t\.json (is no|cannot be read as a) tokenizer\.json"):
        tokens(corpus, f"file:{file}")
    with pytest.raises(ValueError, match="there is no file"):
        kind_of("pretrain").axes(tokenizer=f"file:{file}.gone")


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe-300", "file"])
def test_another_corpus_is_read_by_the_same_tokenizer(corpus: str, tmp_path: Path, tokenizer: str) -> None:
    tokenizer = byte_level(tmp_path / "t.json") if tokenizer == "file" else tokenizer
    trained_on = tokens(corpus, tokenizer)
    (tmp_path / "more").mkdir()
    for i in range(20):
        (tmp_path / "more" / f"{i}.txt").write_text(f"{i} quite other words about boats and weather", encoding="utf-8")
    other = held_out(f"text:{tmp_path}/more", trained_on)
    assert other.vocabulary == trained_on.vocabulary
    assert other.bytes_V is not None
    assert np.array_equal(other.bytes_V, trained_on.bytes_V)
    assert other.bytes_V[other.held_out_N].sum() == len(bytes_of_held_out(f"text:{tmp_path}/more"))
    assert held_out(f"text:{tmp_path}/more", trained_on).hash == other.hash != trained_on.hash
    same = held_out(corpus, trained_on)
    assert np.array_equal(same.held_out_N, trained_on.held_out_N)


def test_what_was_trained_on_is_not_held_out_of_another_corpus(corpus: str, tmp_path: Path) -> None:
    trained_on = tokens(corpus, "bytes")
    (tmp_path / "other").mkdir()
    for i, text in enumerate(TEXTS):
        (tmp_path / "other" / f"{i}.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    (tmp_path / "other" / "val.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    (tmp_path / "other" / "train.jsonl").write_text('{"text": "to be trained on"}')
    other = held_out(f"jsonl:{tmp_path}/other", trained_on)
    assert np.array_equal(other.held_out_N, trained_on.held_out_N)
    for i in range(len(TEXTS)):
        (tmp_path / "other" / f"{i}.jsonl").unlink()
    (tmp_path / "other" / "val.jsonl").write_text(trained_json(trained_on.train_N))
    with pytest.raises(Unsupported, match=r"every held-out document of corpus .* is among those trained on"):
        held_out(f"jsonl:{tmp_path}/other", trained_on)


def trained_json(stream: np.ndarray) -> str:
    first = np.asarray(stream)[: int(np.flatnonzero(np.asarray(stream) == 256)[0])]
    return json.dumps({"text": first.astype(np.uint8).tobytes().decode()})


def test_shards_take_vocabulary_and_bytes_from_a_tokenizer_json(corpus: str, tmp_path: Path) -> None:
    tokenizer = byte_level(tmp_path / "t.json")
    text = tokens(corpus, tokenizer)
    for name, stream in (("train", text.train_N), ("val", text.held_out_N)):
        (tmp_path / f"{name}.bin").write_bytes(np.asarray(stream).astype("<u2").tobytes())
    shards = tokens(f"tokens:{tmp_path}/*.bin", tokenizer)
    assert np.array_equal(shards.held_out_N[:], text.held_out_N)
    assert np.array_equal(shards.bytes_V, text.bytes_V)
    beside = held_out(corpus, shards)
    assert np.array_equal(beside.held_out_N, text.held_out_N)
    with pytest.raises(Unsupported, match="nobody knows"):
        held_out(f"tokens:{tmp_path}/*.bin", text)


ENDS = ["<|end|>", "<|endoftext|>", "</s>", "[SEP]"]


@pytest.mark.parametrize("made_by", ["bpe-300", "bpe-400", *ENDS])
def test_what_a_text_says_is_never_the_end_of_a_document(
    made_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 documents that write the special token out: as many ends as documents, and every byte is counted."""
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    word = made_by if made_by in ENDS else "<|end|>"
    texts = [f"{i * 7919 % 1000} markup {word} of page {i}, {word}" + f" x{i}" * (i % 30) for i in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    made = tokens(f"jsonl:{tmp_path}/a.jsonl", byte_level(tmp_path / "t.json", word) if word == made_by else made_by)
    streams = made.train_N[:], made.held_out_N[:]
    end = streams[0][-1]
    assert sum(int((s == end).sum()) for s in streams) == 200
    assert made.bytes_V is not None
    assert sum(made.bytes_V[s].sum() for s in streams) == size(texts)
    assert len(set(made.bytes_V.tolist())) > 2  # exact, not the mean


def test_a_known_end_that_is_an_ordinary_token_ends_no_document(tmp_path: Path) -> None:
    """A word of the vocabulary that is called </s> may come of any text."""
    vocabulary = {c: i for i, c in enumerate(sorted(pre.ByteLevel.alphabet()))}
    made = tokenizers.Tokenizer(models.WordLevel({**vocabulary, "</s>": len(vocabulary)}, unk_token="a"))
    made.pre_tokenizer = pre.WhitespaceSplit()
    made.save(str(tmp_path / "t.json"))
    read = coder(f"file:{tmp_path}/t.json", [])
    assert read.encode_text("a </s> b")[1] == len(vocabulary) != read.end == len(vocabulary) + 1


def described(**parts: object) -> str:
    made = tokenizers.Tokenizer(models.BPE({"a": 0, "b": 1}, [], unk_token="a"))
    return json.dumps({**json.loads(made.to_str()), **parts})


def replaces(content: str, times: int) -> dict[str, object]:
    one = {"type": "Replace", "pattern": {"String": "a"}, "content": content}
    return {"type": "Sequence", "normalizers": [one] * times}


HOSTILE = {
    "makes texts 1000000000000 times as long": described(normalizer=replaces("a" * 10, 12)),
    "makes 12800 tokens of 256 characters, more than 32 a byte": described(normalizer=replaces("a" * 50, 1)),
    "is no tokenizer.json: ": '{"normalizer": ' + "[" * 100_000,
    "is no tokenizer.json:": described(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
}


@pytest.mark.parametrize("told", HOSTILE)
def test_a_hostile_tokenizer_ends_in_a_sentence(corpus: str, tmp_path: Path, told: str) -> None:
    (tmp_path / "t.json").write_text(HOSTILE[told])
    (tmp_path / "text" / "a.txt").write_text("a" * 500)
    with pytest.raises(Unsupported, match=f"t.json {told}"):
        coder(f"file:{tmp_path}/t.json", []).encode([b"a" * 5000])


def test_a_tokenizer_of_no_such_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "t.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(Unsupported, match=r"more than 256 MiB, which no tokenizer\.json has"):
        coder(f"file:{tmp_path}/t.json", [])


def test_of_tokens_a_further_text_is_by_the_tokenizer_that_is_named(tmp_path: Path) -> None:
    """Two of equal size, of which the tokens themselves know nothing."""
    np.save(tmp_path / "ids.npy", np.arange(5000, dtype=np.uint16) % 300)
    for i in range(20):
        (tmp_path / f"{i}.txt").write_text(f"document {i} " + TEXTS[i % len(TEXTS)], encoding="utf-8")
    found = []
    for end in ("<|endoftext|>", "</s>"):
        trained_on = tokens(f"tokens:{tmp_path}/ids.npy", byte_level(tmp_path / f"{len(found)}.json", end))
        found.append(held_out(f"text:{tmp_path}/*.txt", trained_on))
    assert [end in found[i].tokenizer_json for i, end in enumerate(("<|endoftext|>", "</s>"))] == [True, True]
    assert found[0].hash != found[1].hash
