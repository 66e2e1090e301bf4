"""The C++ of the kernels, compiled: no header of torch or Python is needed, so that seconds are enough."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polybench.kernels.levels import Level, served

SOURCES = Path(__file__).with_name("cpu")
COMPILERS = ("g++", "clang++", "c++")  # in this order, where CXX names none
# Not -ffast-math: NaN, infinities and subnormal numbers come out as eager gives them.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
OPENMP = "-fopenmp"
ANSWER_S, BUILD_S = 60.0, 900.0  # for a compiler to say its version, and to compile


class NotCompiled(Exception):
    """There is no compiler, or it does not compile the kernels; the message says which and why."""


class Refused(NotCompiled):
    """A compiler ended with an error."""


@dataclass(frozen=True)
class Compiler:
    """A command, and what it says of its version."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Way:
    """How a library is compiled: by whom, for which CPUs, and whether rows are divided among threads."""

    compiler: Compiler
    level: Level
    threads: bool

    @property
    def flags(self) -> tuple[str, ...]:
        return *FLAGS, *self.level.flags, *((OPENMP,) if self.threads else ())

    @property
    def key(self) -> str:
        """Sixteen hex digits over all that decides what is compiled."""
        told = (*self.compiler.command, self.compiler.version, platform.machine(), *self.flags)
        digest = hashlib.sha256("\0".join(told).encode())
        for path in sorted(SOURCES.iterdir()):
            if path.suffix in (".h", ".cpp"):
                digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return f"{self.level.name}-{digest.hexdigest()[:16]}"


def ways() -> list[Way]:
    """How the kernels may be compiled here, the best first: an old compiler knows no new CPU, or no OpenMP.

    Raises:
        NotCompiled: there is no compiler.
    """
    compiler = _compiler()
    return [Way(compiler, level, threads) for level in served() for threads in (True, False)]


def takes(way: Way, folder: Path) -> bool:
    """Whether the compiler knows all the flags, by an empty library. Raises NotCompiled when it cannot be run."""
    trial = folder / "empty.cpp"
    trial.write_text("", encoding="ascii")
    made = trial.with_suffix(".so")
    try:
        _all([[*way.compiler.command, *way.flags, "-shared", trial, "-o", made]], time.monotonic() + ANSWER_S, ANSWER_S)
    except Refused:
        return False
    finally:
        trial.unlink()
        made.unlink(missing_ok=True)
    return True


def build(way: Way, library: Path) -> None:
    """Compile into the file `library`; what comes between lies in its folder, and is gone after.

    Raises:
        NotCompiled: the compiler refused, or took too long.
        OSError: the disk refused.
    """
    folder, command, until = library.parent, way.compiler.command, time.monotonic() + BUILD_S
    sources = sorted(SOURCES.glob("*.cpp"))
    objects = [folder / f"{source.stem}.o" for source in sources]
    start: list[str | Path] = [*command, *way.flags]
    try:
        _all([[*start, "-c", source, "-o", to] for source, to in zip(sources, objects, strict=True)], until, BUILD_S)
        _all([[*start, "-shared", *objects, "-o", library]], until, BUILD_S)
    finally:
        for made in objects:
            made.unlink(missing_ok=True)


def _compiler() -> Compiler:
    named = shlex.split(os.environ.get("CXX", ""))
    command = tuple(named) or next(((name,) for name in COMPILERS if shutil.which(name)), ())
    if not command:
        raise NotCompiled(f"there is no C++ compiler ({', '.join(COMPILERS)}); install one, or name it in CXX")
    try:
        asked = [*command, "--version"]
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError) as problem:
        raise NotCompiled(f"{shlex.join(command)} does not say its version: {problem}") from None
    return Compiler(command, (done.stdout.splitlines() or [""])[0].strip())


def _all(commands: Sequence[Sequence[str | Path]], until: float, seconds: float) -> None:
    """Run them side by side `until` then, the `seconds` being over; nothing of them is left running.

    Raises NotCompiled with what the first to fail says.
    """
    running: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    text=True, errors="replace",
                )
            )  # fmt: skip
        for command, process in zip(commands, running, strict=True):
            try:
                _, said = process.communicate(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise NotCompiled(f"{command[0]} was not done after {seconds:.0f} s") from None
            if process.returncode:
                lines = [line.strip() for line in said.splitlines() if line.strip()]
                why = next((line for line in lines if "error" in line), lines[-1] if lines else "without a word")
                raise Refused(f"{command[0]} failed: {why}")
    except OSError as problem:
        raise NotCompiled(f"{commands[0][0]} cannot be run: {problem.strerror or problem}") from None
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()
