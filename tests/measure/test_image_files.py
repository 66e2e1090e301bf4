"""Files of images: what was written is read to the byte, and what is damaged is one sentence."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st
from pictures import as_cifar, as_idx, drawn, idx_folder

from polybench.errors import Unsupported
from polybench.measure.image_files import ImagesName
from polybench.measure.vision.images import HELD_OUT_PARTS, Side, divided, images
from polybench.measure.vision.reading import IMAGES, LABELS, cifar, idx


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_to_the_byte(tmp_path: Path, packed: bool) -> None:
    found = images(f"idx:{idx_folder(tmp_path, train=30, held_out=9, side=5, packed=packed)}")
    for side, count in ((found.train, 30), (found.held_out, 9)):
        pixels, labels = drawn(count, 5, 5, seed=count)
        assert np.array_equal(side.x_NxCxHxW[:, 0], pixels) and np.array_equal(side.y_N, labels)
    assert (found.classes, found.colours, found.told) == (3, 1, "as they come")


@pytest.mark.parametrize("coarse", [False, True])
def test_cifar_files_are_read_to_the_byte(tmp_path: Path, coarse: bool) -> None:
    names = ["train.bin", "test.bin"] if coarse else ["data_batch_2.bin", "data_batch_1.bin", "test_batch.bin"]
    written = {}
    for seed, name in enumerate(names):
        written[name] = drawn(7, 3, 32, 32, classes=10, seed=seed)
        (tmp_path / name).write_bytes(as_cifar(*written[name], coarse))
    found = images(f"cifar:{tmp_path}")
    train = [written[name] for name in sorted(names[:-1])]
    assert np.array_equal(found.train.x_NxCxHxW, np.concatenate([pixels for pixels, _ in train]))
    assert np.array_equal(found.train.y_N, np.concatenate([labels for _, labels in train]))
    assert np.array_equal(found.held_out.x_NxCxHxW, written[names[-1]][0])
    assert (found.classes, found.colours) == (7, 3)


GOOD = as_idx(drawn(6, 3, 3)[0])


@LAWS
@given(st.one_of(
    st.integers(0, len(GOOD) - 1).map(lambda n: GOOD[:n]),
    st.binary(min_size=1, max_size=40).map(lambda more: GOOD + more),
    st.binary(max_size=64),
    st.integers(1, 60).map(lambda n: gzip.compress(GOOD, mtime=0)[:n]),
    st.tuples(st.integers(0, 15), st.integers(1, 255)).map(lambda at: _changed(GOOD, *at)),
))  # fmt: skip
def test_a_damaged_idx_file_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, held: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "hostile-idx3-ubyte"
    file.write_bytes(held)
    with pytest.raises(Unsupported) as told:
        idx(file, IMAGES)
    assert str(file) in str(told.value) and "\n" not in str(told.value)


def _changed(held: bytes, place: int, by: int) -> bytes:
    return held[:place] + bytes([held[place] ^ by]) + held[place + 1 :]


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (GOOD[:-5], r"is cut off after 65 of the 70 bytes that its head says"),
        (GOOD + b"\0", r"is longer than the 70 bytes that its head says"),
        (as_idx(np.zeros((4,), np.uint8)), r"is no IDX file of images: it begins with 00000801, not 00000803"),
        (as_idx(np.zeros((0, 3, 3), np.uint8)), r"says that it holds 0 x 3 x 3 images, which is none"),
        (GOOD[:4] + b"\xff" * 12, r"says that it holds 4294967295 x 4294967295 x 4294967295 images, which is too many"),
        (gzip.compress(GOOD, mtime=0)[:-9], r"is damaged: Compressed file ended"),
        (
            gzip.compress(as_idx(np.zeros((1, 1, 1), np.uint8)) + b"\0" * (1 << 20), mtime=0),
            "is longer than the 17 bytes",
        ),
        (b"\x80\x04\x95" + GOOD, r"is no IDX file of images: it begins with 80049500"),
    ],
)
def test_what_is_wrong_with_an_idx_file_is_said(tmp_path: Path, held: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(held)
    with pytest.raises(Unsupported, match=words):
        idx(tmp_path / "x", IMAGES)


@LAWS
@given(st.integers(1, 2 * 3073 - 1).filter(lambda n: n % 3073))
def test_a_cifar_file_that_is_cut_off_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    file = tmp_path_factory.getbasetemp() / "test_batch.bin"
    file.write_bytes(bytes(size))
    with pytest.raises(Unsupported, match=f"has {size:,} bytes, no whole number of images of 3,073"):
        cifar((file,))


def _several(folder: Path) -> None:
    idx_folder(folder)
    (folder / "emnist-train-images-idx3-ubyte").write_bytes(b"")


def _fewer_labels(folder: Path) -> None:
    idx_folder(folder)
    (folder / "train-labels-idx1-ubyte").write_bytes(as_idx(np.zeros(5, np.uint8)))


def _other_size(folder: Path) -> None:
    idx_folder(folder, held_out=0)
    idx_folder(folder / "other", side=6)
    for file in (folder / "other").glob("t10k*"):
        file.rename(folder / file.name)


def _new_class(folder: Path) -> None:
    idx_folder(folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(as_idx(np.full(8, 9, np.uint8)))


def _no_partner(folder: Path) -> None:
    idx_folder(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()


def _few(folder: Path) -> None:
    idx_folder(folder, train=1, held_out=0)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_several, "has emnist-train-images-idx3-ubyte and train-images-idx3-ubyte, both images of the side train"),
        (_fewer_labels, "train-images-idx3-ubyte has 24 images and .*train-labels-idx1-ubyte has 5 labels"),
        (_other_size, "those of one side are 1 x 4 x 4, those of the other 1 x 6 x 6"),
        (_new_class, "class 9 is held out and never trained on"),
        (_no_partner, "t10k-images-idx3-ubyte has no partner"),
        (_few, "1 are too few to hold some out"),
        (lambda folder: None, "no IDX files in .*; it needs train-images-idx3-ubyte and train-labels-idx1-ubyte"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, made: Callable[[Path], None], words: str) -> None:
    made(tmp_path)
    with pytest.raises(Unsupported, match=words):
        images(f"idx:{tmp_path}")


def test_other_mistakes_with_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has neither of data_batch_1\.bin of CIFAR-10 or train\.bin of CIFAR-100"):
        ImagesName.parse(f"cifar:{tmp_path}").files()
    for name in ("data_batch_1.bin", "train.bin"):
        (tmp_path / name).write_bytes(bytes(3073) if name[0] == "d" else b"")
    with pytest.raises(ValueError, match="has both of"):
        ImagesName.parse(f"cifar:{tmp_path}").files()
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(Unsupported, match="has a label 10, and CIFAR-10 has 10 classes from 0 on"):
        cifar((tmp_path / "test_batch.bin",))
    (tmp_path / "labels").write_bytes(GOOD)
    with pytest.raises(Unsupported, match="is no IDX file of labels"):
        idx(tmp_path / "labels", LABELS)
    with pytest.raises(Unsupported, match="gone cannot be read: No such file"):
        idx(tmp_path / "gone", LABELS)


def test_the_unpacked_file_is_taken_where_both_are_there(tmp_path: Path) -> None:
    idx_folder(tmp_path, packed=True)
    for file in tmp_path.iterdir():
        file.write_bytes(b"no gzip at all")
    idx_folder(tmp_path)
    assert len(images(f"idx:{tmp_path}").train) == 24


def test_what_is_held_out_hangs_on_the_pixels_alone() -> None:
    """Not on the order of the images; equal ones stand on one side; about one in four."""
    pixels, labels = drawn(400, 1, 4, 4, seed=5)
    pixels[200:] = pixels[:200]
    order = np.random.default_rng(1).permutation(400)
    once, again = (divided(Side(pixels[rows], labels[rows]), "x") for rows in (np.arange(400), order))
    for one, other in zip(once, again, strict=True):
        assert sorted(map(bytes, one.x_NxCxHxW)) == sorted(map(bytes, other.x_NxCxHxW))
    train, held_out = ({bytes(x) for x in side.x_NxCxHxW} for side in once)
    assert not train & held_out
    assert abs(len(held_out) / 200 - 1 / HELD_OUT_PARTS) < 0.1


def test_digits_come_from_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = drawn(40, 8, 8, classes=10)
    bundled = SimpleNamespace(images=(pixels % 17).astype(float), target=labels.astype(int))
    made = ModuleType("sklearn.datasets")
    made.load_digits = lambda: bundled  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sklearn", ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", made)
    found = images("digits")
    assert len(found.train) + len(found.held_out) == 40
    rows = np.concatenate([found.train.x_NxCxHxW, found.held_out.x_NxCxHxW])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, pixels % 17))
    assert found.told == "one in 4 held out by the hash of its pixels"


def test_without_scikit_learn_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported, match=r"not installed: pip install 'torch-polybench\[vision\]'"):
        images("digits")


def test_the_digits_that_scikit_learn_brings_are_divided_as_ever() -> None:
    pytest.importorskip("sklearn")
    found = images("digits")
    assert (len(found.train), len(found.held_out), found.classes) == (1344, 453, 10)
    assert (found.hash, found.train.x_NxCxHxW.shape[1:]) == ("d724080742223759", (1, 8, 8))
