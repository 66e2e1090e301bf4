"""Images with their labels on two sides: those that are trained on and those that are held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from polybench.errors import Unsupported
from polybench.measure.image_files import ImagesName
from polybench.measure.vision.reading import cifar, idx_pair

# Dimension key: N images, C colours, H height, W width.

INSTALL = "pip install 'torch-polybench[vision]'"
HELD_OUT_PARTS = 4  # one of so many, where the images have no held-out part: what scikit-learn's train_test_split takes


@dataclass(frozen=True)
class Side:
    """Pixels as they are stored, and classes from 0 on."""

    x_NxCxHxW: np.ndarray
    y_N: np.ndarray

    def __len__(self) -> int:
        return len(self.y_N)


@dataclass(frozen=True)
class Images:
    """Both sides. `told` says how they came to be, `hash` tells all pixels and labels by sixteen digits."""

    train: Side
    held_out: Side
    told: str
    hash: str

    @property
    def classes(self) -> int:
        return int(self.train.y_N.max()) + 1

    @property
    def colours(self) -> int:
        return int(self.train.x_NxCxHxW.shape[1])


def images(text: str) -> Images:
    """What a suite names as images.

    Raises:
        Unsupported: scikit-learn or a file is not there, or a file is damaged; or its sides do not go together.
    """
    name = ImagesName.parse(text)
    try:
        files = name.files()
    except ValueError as problem:  # it was there when the suite was read
        raise Unsupported(str(problem)) from None
    read = {"digits": lambda _: _digits(), "idx": lambda paths: idx_pair(*paths), "cifar": cifar}[name.source]
    train, held_out = Side(*read(files.train)), Side(*read(files.held_out)) if files.held_out else None
    told = "as they come"
    if held_out is None:
        train, held_out = divided(train, str(name))
        told = f"one in {HELD_OUT_PARTS} held out by the hash of its pixels"
    if train.x_NxCxHxW.shape[1:] != held_out.x_NxCxHxW.shape[1:]:
        sizes = (" x ".join(map(str, side.x_NxCxHxW.shape[1:])) for side in (train, held_out))
        raise Unsupported(f"images {name}: those of one side are {next(sizes)}, those of the other {next(sizes)}")
    if int(held_out.y_N.max()) > int(train.y_N.max()):
        raise Unsupported(f"images {name}: class {int(held_out.y_N.max())} is held out and never trained on")
    return Images(train, held_out, told, _hash(train, held_out))


def divided(all_of_them: Side, name: str) -> tuple[Side, Side]:
    """Those to train on and one in four to hold out, by a hash of the pixels alone: the same for every seed.

    Equal images come to the same side.

    Raises:
        Unsupported: there are so few that a side is empty.
    """
    out_N = np.array([hashlib.sha256(x.tobytes()).digest()[0] % HELD_OUT_PARTS == 0 for x in all_of_them.x_NxCxHxW])
    if out_N.all() or not out_N.any():
        raise Unsupported(f"images {name}: {len(out_N)} are too few to hold some out")
    train, held_out = (Side(all_of_them.x_NxCxHxW[side_N], all_of_them.y_N[side_N]) for side_N in (~out_N, out_N))
    return train, held_out


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """1797 handwritten digits, 8 x 8, 0 to 16: the test part of UCI's optical digits, in scikit-learn's package."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Unsupported(f"images digits are in scikit-learn, which is not installed: {INSTALL}") from None
    found = load_digits()
    return found.images.astype(np.uint8)[:, None], found.target.astype(np.uint8)


def _hash(*sides: Side) -> str:
    digest = hashlib.sha256()
    for side in sides:
        digest.update(f"{side.x_NxCxHxW.shape}".encode())
        digest.update(np.ascontiguousarray(side.x_NxCxHxW).tobytes() + np.ascontiguousarray(side.y_N).tobytes())
    return digest.hexdigest()[:16]
