"""Tests run with one thread a process, so that several of them fit on a small machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


@pytest.fixture
def one_core() -> Iterator[None]:
    """A run that is started measures one trial at a time: each worker imports torch, which costs more than a trial."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[os.getpid() % len(before)]})
    yield
    os.sched_setaffinity(0, before)
