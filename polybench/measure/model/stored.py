"""Parameters in files of others: names first, a tensor when it is asked for, and no code of the file is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polybench.errors import A_LINE, UsageError, first_line, in_short

_ENDINGS = (".safetensors", ".bin", ".pt", ".pth")  # a folder stands for its files of the first of these that it has

_DEEPEST = 8  # of dictionaries within dictionaries; Megatron's names are the fourth


def stored(path: Path) -> Mapping[str, Tensor]:
    """Every tensor by its dotted name: of a file of safetensors or of torch, or of the files of a folder.

    Of safetensors only what is asked for is read. Files of torch are mapped into memory; dictionaries within
    dictionaries are joined by dots, and what is no tensor is left out.

    Raises:
        UsageError: no such file, none that can be read without running code of it, or one name in two files.
    """
    merged: dict[str, Mapping[str, Tensor]] = {}
    for file in _files(path):
        held = _safetensors(file) if _is_safetensors(file) else _of_torch(file)
        for name in held:
            if name in merged:
                raise UsageError(
                    f"{path} holds {in_short(name, A_LINE)} in two files; name one of them, such as {file}"
                )
            merged[name] = held
    return _Merged(merged)


class _Merged(Mapping[str, Tensor]):
    """Tensors of several files by name."""

    def __init__(self, files: Mapping[str, Mapping[str, Tensor]]):
        self._files = files

    def __getitem__(self, name: str) -> Tensor:
        return self._files[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class _Safetensors(Mapping[str, Tensor]):
    """A file of safetensors, opened anew for each tensor that is read."""

    def __init__(self, path: Path, names: tuple[str, ...]):
        self._path, self._names = path, names

    def __getitem__(self, name: str) -> Tensor:
        with _opened(self._path) as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no checkpoint {path}")
    for ending in _ENDINGS:
        found = sorted(p for p in path.glob(f"*{ending}") if p.is_file())
        if found:
            return found
    raise UsageError(f"{path} holds no file that ends in {', '.join(_ENDINGS)}; name the file of the checkpoint")


def _is_safetensors(path: Path) -> bool:
    """Whether JSON begins after eight bytes of its length, by whatever name."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}") from None


def _opened(path: Path) -> Any:
    try:
        from safetensors import safe_open
    except ModuleNotFoundError:
        raise UsageError("files of safetensors need the safetensors package: pip install safetensors") from None
    try:
        return safe_open(path, framework="pt")
    except Exception as problem:  # its own, and OSError
        raise UsageError(f"{path} cannot be read as safetensors: {first_line(problem)}") from None


def _safetensors(path: Path) -> _Safetensors:
    with _opened(path) as file:
        return _Safetensors(path, tuple(file.keys()))


def _of_torch(path: Path) -> dict[str, Tensor]:
    try:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # its format of before 1.6 cannot be mapped
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for damaged files
        refused = re.search(r"(?:GLOBAL|class|function) (\w+\.[\w.]*\w)", str(problem))
        if refused:
            raise UsageError(
                f"{path} holds {refused[1]} beside tensors, and is not read, since that could run code; "
                "save its state dict alone where you trust it"
            ) from None
        # Else torch's first line advises to run the code of the file all the same.
        why = "" if "weights_only" in str(problem) else f": {first_line(problem)}"
        raise UsageError(f"{path} is no file of safetensors or torch, or damaged{why}") from None
    return dict(tensors(content))


def tensors(content: object) -> Iterator[tuple[str, Tensor]]:
    """All tensors by their dotted names, as deep as checkpoints nest dictionaries and no deeper."""
    left: list[tuple[str, object, int]] = [("", content, 0)]
    while left:
        name, value, depth = left.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping) and depth < _DEEPEST:
            parts = [(key, part) for key, part in value.items() if isinstance(key, str | int)]
            left += [(f"{name}.{key}" if name else str(key), part, depth + 1) for key, part in parts]
