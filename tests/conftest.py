"""Tests run with one thread a process, so that several of them fit on a small machine."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
