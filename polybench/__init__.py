"""polybench: what does each feed-forward activation cost, and what does it buy in loss?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import pandas
    from torch import Tensor, nn

    from polybench.measure.model.official import Learned

__all__ = ["activation", "learned", "load"]


def activation(name: str, **options: Any) -> nn.Module:
    """The activation as a module for your own model: input (..., G*F), output (..., F).

    G is 1, or 2 for gated activations such as swiglu. Options are those `polybench list` shows.

    Raises:
        polybench.errors.RegistryError: unknown name, unknown option, or an option out of range.
    """
    from polybench.measure.model.build import activation as build

    return build(name, **options)


def learned(checkpoint: str | os.PathLike[str] | Mapping[str, Tensor], activation: str | None = None) -> list[Learned]:
    """What the activations of a published checkpoint learned, layer by layer, and our modules that have learned it.

    `checkpoint` is a file of safetensors or torch, a folder of such files, or a state dict, of PolyCom (PolyNorm_1B
    and its kin), Motif-2.6B, Motif-2-12.7B or Motif-3. `activation` says what the numbers are of where the names of
    parameters do not: `polyrelu` for PolyReLU_1B, which is stored as PolyNorm is. `learned(...)[0].module()` is
    the activation of the first of them.

    Raises:
        polybench.errors.UsageError: no such checkpoint, or one of another kind; no code in it is run.
        polybench.errors.RegistryError: there is no such activation.
    """
    from collections.abc import Mapping
    from pathlib import Path

    from polybench.measure.model import official

    where = checkpoint if isinstance(checkpoint, Mapping) else Path(checkpoint)
    return official.learned(where, activation)[1]


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
