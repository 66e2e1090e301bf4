"""Times as people write them: `2us`, `1.5 ms`, `90s`, `5m`."""

from __future__ import annotations

import re

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SHAPE = re.compile(r"^\s*((?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)\s*([a-zµμ]+)\s*$")


def seconds(text: str) -> float:
    """How many seconds that is. Raises ValueError without a number and a unit."""
    match = _SHAPE.match(text)
    if not match or match[2] not in _SECONDS:
        raise ValueError("this is no time; write a number and ns, us, ms, s, m or h, such as 2us or 5m")
    return float(match[1]) * _SECONDS[match[2]]
