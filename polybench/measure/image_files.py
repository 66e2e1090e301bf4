"""Which images a suite names, and which files of a folder they are in; nothing is read in here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from polybench.errors import A_LINE, did_you_mean, in_short

Source = Literal["digits", "idx", "cifar"]
SOURCES: tuple[Source, ...] = ("digits", "idx", "cifar")
_IDX = re.compile(r"(?:.*-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
_IDX_PARTS = "train-images-idx3-ubyte and train-labels-idx1-ubyte, gzipped or not"
_CIFAR_PARTS = "data_batch_1.bin of CIFAR-10 or train.bin of CIFAR-100, of the binary version"


@dataclass(frozen=True)
class ImageFiles:
    """Files by side, in order; nothing held out where the folder has no such part.

    Of IDX each side is its images and its labels, of CIFAR as many batches as there are.
    """

    train: tuple[Path, ...]
    held_out: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ImagesName:
    """Images as a suite writes them: `digits`, `idx:FOLDER` or `cifar:FOLDER`."""

    source: Source
    folder: str = ""

    @classmethod
    def parse(cls, text: str) -> ImagesName:
        """Raises ValueError for another source, or a folder too many or too few."""
        name, _, folder = (part.strip() for part in text.partition(":"))
        source = next((known for known in SOURCES if known == name), None)
        if source is None:
            raise ValueError(f"there are no images {in_short(name)}, {did_you_mean(name, SOURCES)}")
        if (source == "digits") == bool(folder):
            written = "takes no folder" if source == "digits" else f"is written {source}:FOLDER"
            raise ValueError(f"images {source!r} {written}")
        return cls(source, folder)

    def __str__(self) -> str:
        return self.source + (f":{self.folder}" if self.folder else "")

    def files(self) -> ImageFiles:
        """Where its images are, by the names that their publishers gave them; none of `digits`.

        Raises:
            ValueError: the folder is not there, or holds no such files.
        """
        if not self.folder:
            return ImageFiles(())
        folder = Path(self.folder)
        try:
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
        except OSError as problem:
            where = in_short(self.folder, A_LINE)
            raise ValueError(f"images {self.source}: {where} cannot be read: {problem.strerror or problem}") from None
        return _FINDERS[self.source](folder, names)


def _idx(folder: Path, names: list[str]) -> ImageFiles:
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if match := _IDX.fullmatch(name):
            found.setdefault(("train" if match[1] == "train" else "held out", match[2]), []).append(name)
    for (side, part), alike in found.items():
        if len({name.removesuffix(".gz") for name in alike}) > 1:
            raise ValueError(
                f"{folder} has {' and '.join(alike[:2])}, both {part} of the side {side}; leave one set in the folder"
            )
    # Who unpacks a file often leaves the packed one beside it, so the shortest name is the unpacked one.
    sides = {
        side: tuple(folder / min(found[side, part], key=len) for part in ("images", "labels") if (side, part) in found)
        for side in ("train", "held out")
    }
    if len(sides["train"]) < 2:
        raise ValueError(f"no IDX files in {folder}; it needs {_IDX_PARTS}")
    if len(sides["held out"]) == 1:
        raise ValueError(f"{sides['held out'][0]} has no partner: images and labels go together")
    return ImageFiles(sides["train"], sides["held out"])


def _cifar(folder: Path, names: list[str]) -> ImageFiles:
    ten = tuple(folder / name for name in names if re.fullmatch(r"data_batch_\d+\.bin", name))
    hundred = tuple(folder / name for name in names if name == "train.bin")
    if bool(ten) == bool(hundred):
        raise ValueError(f"{folder} has {'both' if ten else 'neither'} of {_CIFAR_PARTS}")
    held_out = "test_batch.bin" if ten else "test.bin"
    return ImageFiles(ten or hundred, (folder / held_out,) if held_out in names else ())


_FINDERS: dict[Source, Callable[[Path, list[str]], ImageFiles]] = {"idx": _idx, "cifar": _cifar}


def _known(text: str) -> str:
    name = ImagesName.parse(text)
    name.files()
    return str(name)


Images = Annotated[str, AfterValidator(_known)]
