"""Folders of images, made of random numbers, in the formats that the kind vision reads."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def drawn(count: int, *shape: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (count, *shape) and labels; every class is there, and an image is brighter the higher its class."""
    generator = np.random.default_rng(seed)
    y_N = np.arange(count, dtype=np.uint8) % classes
    noise = generator.integers(0, 128, (count, *shape), dtype=np.uint8)
    return noise + (y_N * (127 // max(1, classes - 1))).reshape(-1, *[1] * len(shape)), y_N


def as_idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file of unsigned bytes."""
    head = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.tobytes()


def idx_folder(folder: Path, train: int = 24, held_out: int = 8, side: int = 4, packed: bool = False) -> Path:
    """A folder as MNIST's, with a held-out part unless there is to be nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("t10k", held_out)):
        if count:
            pixels, labels = drawn(count, side, side, seed=count)
            for what, array in (("images-idx3", pixels), ("labels-idx1", labels)):
                held = as_idx(array)
                file = folder / f"{name}-{what}-ubyte{'.gz' if packed else ''}"
                file.write_bytes(gzip.compress(held) if packed else held)
    return folder


def as_cifar(pixels: np.ndarray, labels: np.ndarray, coarse: bool) -> bytes:
    """The bytes of a file of the binary version, with a coarse label before the fine one or not."""
    before = [labels[:, None] // 5, labels[:, None]] if coarse else [labels[:, None]]
    return np.concatenate([*before, pixels.reshape(len(pixels), -1)], axis=1).astype(np.uint8).tobytes()
