"""What a CPU can do at once, and which flags make a compiler use it; one library is built for each level."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Level:
    """A set of instructions: what Linux calls the features that it needs, and the compiler's flags."""

    name: str
    needs: frozenset[str]
    flags: tuple[str, ...]


PLAIN = Level("plain", frozenset(), ())  # what every CPU of its kind has: SSE2 on x86-64, NEON on AArch64
_AVX2, _AVX2_FLAGS = frozenset({"avx2", "fma", "f16c"}), ("-mavx2", "-mfma", "-mf16c")
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_AVX512_FLAGS = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c")
LEVELS = (
    # Rounds two vectors to bfloat16 by one instruction: PolyNorm in bfloat16 is 1.2 times as fast.
    Level("avx512-bf16", _AVX512 | {"avx512_bf16"}, (*_AVX512_FLAGS, "-mavx512bf16")),
    Level("avx512", _AVX512, _AVX512_FLAGS),
    Level("avx2", _AVX2, _AVX2_FLAGS),
    PLAIN,
)
_BEST = {"avx512": LEVELS[0], "avx2": LEVELS[2], "default": PLAIN}  # by what ATEN_CPU_CAPABILITY calls them


def served() -> tuple[Level, ...]:
    """The levels that this CPU can run, the best first; none above the one that torch is held to by its variable."""
    found, most = _features(), os.environ.get("ATEN_CPU_CAPABILITY", "")
    below = LEVELS[LEVELS.index(_BEST.get(most, LEVELS[0])) :]
    return tuple(level for level in below if level.needs <= found)


def _features() -> frozenset[str]:
    """What Linux says of the first processor; nothing elsewhere, so that only the plain level is left."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return frozenset()
    try:
        lines = _CPUINFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
