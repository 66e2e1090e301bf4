"""How many numbers a program takes at a time, how many warps it has and how many programs an SM: by width alone.

None of this depends on the number of rows, so no kernel is compiled anew for another number of tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ACCESS = 16  # bytes that a thread reads or writes at a time
WARP = 32
REGISTERS = 65536  # of an SM, from sm_80 to sm_100


@dataclass(frozen=True)
class Shape:
    """Of a launch. `resident` programs are to fit on an SM at a time, which bounds their `registers`."""

    block: int  # numbers along a row
    warps: int
    resident: int
    rows: int = 1  # at a time
    whole: bool = True  # a row is one block
    stages: int = 1  # 2: the next row is on its way while one is summed

    @property
    def registers(self) -> int:
        """A thread may have, handed out eight at a time and 255 at most."""
        return min(255, REGISTERS // (WARP * self.warps * self.resident) // 8 * 8)


def alignment(width: int, itemsize: int) -> int:
    """Numbers that may be read at once wherever a row of `width` begins."""
    return math.gcd(width, ACCESS // itemsize)


def power(width: int) -> int:
    """The power of two at or above."""
    return 1 << max(width - 1, 0).bit_length()


def sweeping(width: int, itemsize: int, order: int, gated: bool, backward: bool) -> Shape:
    """Of a kernel that sums a row and then writes it: a row in registers where a thread need not hold too many.

    `resident` is what the registers allow that compilers for sm_80 to sm_100 gave these kernels.
    """
    more = gated + (order > 3)  # to be held at a time
    if power(width) > (8192 >> more if backward else 8192):
        return Shape(2048, 8, 2 if more and backward else 3, whole=False)
    block = max(power(width), WARP)
    warps = min(16, max(1, block // (WARP * (8 if more and backward else 16))))
    threads = 512 >> (more > 1) if backward else 1024 >> (more > 0)
    # Less than a word at a time cannot be copied ahead.
    stages = 2 if alignment(width, itemsize) * itemsize >= 4 else 1
    return Shape(block, warps, min(16, threads // (WARP * warps)), stages=stages)


def flat(itemsize: int, sums: bool) -> Shape:
    """Of a kernel of one number: two accesses a thread; `sums` take registers."""
    return Shape(2 * 4 * WARP * ACCESS // itemsize, 4, 4 if sums else 6)


def tiled(width: int, itemsize: int) -> Shape:
    """Of a kernel of a gate and a value: one access a thread to each, of several rows where they are short."""
    area = 4 * WARP * ACCESS // itemsize
    block = min(area, power(width))
    return Shape(block, 4, 8, rows=area // block)
