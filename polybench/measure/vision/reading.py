"""The two formats of image files, read strictly: whatever is not as it should be is one sentence.

IDX is that of MNIST and Fashion-MNIST (yann.lecun.com/exdb/mnist), CIFAR the binary version of CIFAR-10 and CIFAR-100
(www.cs.toronto.edu/~kriz/cifar.html). No pickle is ever opened.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from polybench.corpora.reading import GZIP, readable
from polybench.errors import Unsupported

# Dimension key: N images, C colours, H height, W width.

IMAGES, LABELS = 0x0803, 0x0801  # how an IDX file of bytes begins: with three dimensions, with one
MOST_BYTES = 1 << 31  # of one file, unpacked
CIFAR_SIDE, CIFAR_COLOURS = 32, 3
# Bytes before the pixels of an image, and its classes. The last of them is the label; CIFAR-100 has a coarse one too.
_CIFAR_10, _CIFAR_100 = (1, 10), (2, 100)


def idx_pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 1, H, W) and labels (N,) of one side.

    Raises:
        Unsupported: a file cannot be read, is damaged, or holds something else; or they have not as many items.
    """
    x_NxHxW, y_N = idx(images, IMAGES), idx(labels, LABELS)
    if len(x_NxHxW) != len(y_N):
        raise Unsupported(f"{images} has {len(x_NxHxW):,} images and {labels} has {len(y_N):,} labels")
    return x_NxHxW[:, None], y_N


def idx(file: Path, magic: int) -> np.ndarray:
    """The bytes of an IDX file in its own shape. Raises Unsupported when it is not such a file to the last byte."""
    what = "images" if magic == IMAGES else "labels"
    dimensions = magic & 0xFF
    start = 4 + 4 * dimensions
    head = _bytes(file, start)
    found = int.from_bytes(head[:4], "big")
    if len(head) < start or found != magic:
        raise Unsupported(f"{file} is no IDX file of {what}: it begins with {head[:4].hex()}, not {magic:08x}")
    shape = tuple(int.from_bytes(head[4 * i : 4 * i + 4], "big") for i in range(1, dimensions + 1))
    size = math.prod(shape)
    if not size or size > MOST_BYTES:
        sizes = " x ".join(map(str, shape))
        raise Unsupported(f"{file} says that it holds {sizes} {what}, which is {'none' if not size else 'too many'}")
    # One byte more than it should have, so that what stands behind is seen and no more is unpacked.
    held = _bytes(file, start + size + 1)
    if len(held) != start + size:
        longer = len(held) > start + size
        raise Unsupported(
            f"{file} is {'longer than' if longer else f'cut off after {len(held):,} of'} the {start + size:,} bytes "
            "that its head says"
        )
    return np.frombuffer(held, np.uint8, offset=start).reshape(shape)


def cifar(files: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3, 32, 32) and labels (N,), of CIFAR-100 the fine ones, of one side in the order of its files.

    Raises:
        Unsupported: a file cannot be read, is cut off, empty, or has a label beyond the classes.
    """
    pixels = CIFAR_COLOURS * CIFAR_SIDE**2
    every = []
    for file in files:
        before, classes = _CIFAR_100 if file.name in ("train.bin", "test.bin") else _CIFAR_10
        held = np.frombuffer(_bytes(file, MOST_BYTES + 1), np.uint8)
        if not len(held) or len(held) % (before + pixels) or len(held) > MOST_BYTES:
            raise Unsupported(
                f"{file} has {len(held):,} bytes, no whole number of images of {before + pixels:,}; is it cut off, or "
                "not the binary version?"
            )
        rows = held.reshape(-1, before + pixels)
        if (highest := int(rows[:, before - 1].max())) >= classes:
            raise Unsupported(f"{file} has a label {highest}, and CIFAR-{classes} has {classes} classes from 0 on")
        every.append(rows)
    rows = np.concatenate(every)
    before = rows.shape[1] - pixels
    return rows[:, before:].reshape(-1, CIFAR_COLOURS, CIFAR_SIDE, CIFAR_SIDE), rows[:, before - 1]


def _bytes(file: Path, most: int) -> bytes:
    """The first so many bytes, unpacked if they are gzipped, whatever the file is called."""
    with readable(file):
        with file.open("rb") as stream:
            packed = stream.read(2) == GZIP
        try:
            with gzip.open(file) if packed else file.open("rb") as stream:
                return stream.read(most)
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise Unsupported(f"{file} is damaged: {problem}") from None
