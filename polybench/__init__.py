"""polybench: what does each feed-forward activation cost, and what does it buy in loss?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    import pandas
    from torch import nn

__all__ = ["activation", "load"]


def activation(name: str, **options: Any) -> nn.Module:
    """The activation as a module for your own model: input (..., G*F), output (..., F).

    G is 1, or 2 for gated activations such as swiglu. Options are those `polybench list` shows.

    Raises:
        polybench.errors.RegistryError: unknown name, unknown option, or an option out of range.
    """
    from polybench.measure.model.build import activation as build

    return build(name, **options)


def load(run: str | os.PathLike[str] | None = None) -> pandas.DataFrame:
    """The records of a run (a folder, `suite/run`, or the latest), one row a measured value.

    Columns: benchmark, kind, activation, backend, device, dtype, seed, control, status, error,
    metric, unit, step (of curves, or the layer, else the index of the sample), value, and one column an axis.

    Raises:
        polybench.errors.ResultsError: there is no such run, or it is damaged.
    """
    from polybench.run.frame import frame
    from polybench.run.store import find
    from polybench.run.store import load as read

    return frame(read(find(None if run is None else str(run))))
