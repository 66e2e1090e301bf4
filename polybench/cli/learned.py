"""`polybench learned`: what the activations of a published checkpoint learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polybench.cli.options import Json

if TYPE_CHECKING:
    from polybench.document import Entry, Table
    from polybench.measure.model.official import Learned


def learned(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="a file, or the folder of its files")],
    activation: Annotated[
        str | None, typer.Option(metavar="NAME", help="what they are of, where the names of parameters do not tell")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the activations of a published model learned.

    CHECKPOINT holds safetensors or a state dict of torch, of PolyCom or of a Motif model. No code in it is run.
    """
    from polybench.measure.model import official

    layout, every = official.learned(checkpoint, activation)
    if as_json:
        from polybench.report.formats.data import plain

        found = {"checkpoint": str(checkpoint), "layout": layout, "learned": [_plain(one) for one in every]}
        print(json.dumps(plain(found), indent=1))
    else:
        print(_text(checkpoint, _table(layout, every)))


def _plain(one: Learned) -> dict[str, Any]:
    """Of each expert the weights, a_r first, and the bias."""
    return {
        "layer": one.layer,
        "place": one.place,
        "activation": one.activation,
        "weight": one.weight_ExR.tolist(),
        "bias": one.bias_Ex1.flatten().tolist(),
    }


def _table(layout: str, every: list[Learned]) -> Table:
    from polybench.document import Column, Entry, Table

    order = max(one.weight_ExR.shape[1] for one in every)
    several = any(one.experts > 1 for one in every)
    rows = []
    for one in every:
        r = one.weight_ExR.shape[1]
        of_power = [one.weight_ExR[:, r - i].tolist() if i <= r else [] for i in range(1, order + 1)]
        told = [Entry(str(one.layer), one.layer), Entry(one.place), Entry(one.activation)]
        told += [Entry(str(one.experts), one.experts)] if several else []
        rows.append((*told, *map(_entry, (*of_power, one.bias_Ex1.flatten().tolist()))))
    heads = [Column(name, numeric=False) for name in ("layer", "place", "activation")]
    heads += [Column("experts")] if several else []
    caption = "As they are stored: a_i is of power i, a_0 is the bias, before any sigmoid or clamp of the activation."
    if several:
        caption += " Of several experts their mean, and the lowest and the highest."
    if layout == "PolyCom":
        caption += " PolyReLU is stored by the same names as PolyNorm: say --activation polyrelu where it is one."
    columns = (*heads, *(Column(f"a_{i}") for i in (*range(1, order + 1), 0)))
    return Table("learned", f"Learned coefficients, layout {layout}", caption, columns, tuple(rows))


def _entry(values: list[float]) -> Entry:
    from statistics import fmean

    from polybench.document import ABSENT, Entry
    from polybench.metric import significant

    if not values:
        return Entry(ABSENT)
    mean = fmean(values)
    spread = f" ({significant(min(values), 3)} to {significant(max(values), 3)})" if len(values) > 1 else ""
    return Entry(f"{significant(mean, 4)}{spread}", mean)


def _text(checkpoint: Path, table: Table) -> str:
    from polybench.document import Document
    from polybench.report.formats.terminal import terminal

    return str(terminal(Document("learned", f"of {checkpoint}", tables=(table,))))
