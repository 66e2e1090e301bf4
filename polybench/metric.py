"""What a number means: its unit, its good direction, what it varies with, and its definition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

VariesWith = Literal["sample", "seed", "nothing"]
Better = Literal["lower", "higher", "neither"]
Along = Literal["step", "layer", "pair", "corpus"]

# Prefixes by unit: seconds step by 1000 down to nanoseconds, bytes by 1024, rates and counts by 1000.
_PREFIXES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B")),
    "token/s": ((1e6, "M token/s"), (1e3, "k token/s"), (1.0, "token/s")),
    "token": ((1e9, "G token"), (1e6, "M token"), (1e3, "k token"), (1.0, "token")),
}
# Losses and decades live on a logarithmic scale already, so activations are compared by difference, not by ratio.
# Cosines, shares and scores may be 0, to which there is no ratio.
_NATS = {"nat/token", "nat"}
_DIFFERENCE_UNITS = _NATS | {"bit/byte", "decade", "cosine", "share", "score"}


@dataclass(frozen=True)
class Question:
    """What the answer of a report says of a metric: `text`: NAME has `superlative`, such as *the lowest loss*.

    Of rank 1 is what an activation buys, of higher ranks what it costs. The answer begins with the lowest
    rank, the columns of the overview with the highest.
    """

    text: str
    superlative: str
    rank: int = 1


@dataclass(frozen=True)
class Price:
    """What a picture of loss against cost says of a metric: against `what`, and the words of its axis."""

    what: str
    axis: str


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    `unit` is an SI base unit or one of B, token/s, nat/token, nat, bit/byte, decade, cosine, share, score, 1.
    `varies_with` picks the statistic: *sample* for times, *seed* for losses, *nothing* for exact counts. A `curve`
    has one value a step, or what else it runs `along`, and is drawn, not compared. `over` are axes of which it needs
    all values, also where a claim is about one of them.

    The rest says how a report speaks of it, and is no part of its definition: the question it `asked`s
    the answer to tell, its `header` in the overview, its `title` in words (by default its name), whether
    a table `by_seed` is its own, as losses have, whether it is `hidden` in the table of its benchmark, and
    what it is called as a `cost` of the loss.
    """

    name: str
    unit: str
    better: Better
    varies_with: VariesWith
    definition: str
    source: str = ""
    version: int = 1
    curve: bool = False
    along: Along = "step"
    over: tuple[str, ...] = field(default=(), compare=False)
    asked: Question | None = field(default=None, compare=False)
    header: str = field(default="", compare=False)
    title: str = field(default="", compare=False)
    by_seed: bool = field(default=False, compare=False)
    hidden: bool = field(default=False, compare=False)
    cost: Price | None = field(default=None, compare=False)

    @property
    def words(self) -> str:
        """What it is called within a sentence."""
        return self.header or self.title or self.name

    @property
    def heading(self) -> str:
        """What it is called on an axis: in words that begin with a capital, if it has any."""
        return self.words[0].upper() + self.words[1:] if self.header or self.title else self.name

    @property
    def effect(self) -> Literal["ratio", "difference"]:
        """How two values are compared."""
        return "difference" if self.unit in _DIFFERENCE_UNITS else "ratio"

    @property
    def claimable(self) -> bool:
        """Whether a claim may be about it: a number, or losses on several texts, of which each is judged."""
        return not self.curve or self.along == "corpus"

    @property
    def in_nats(self) -> bool:
        """Whether it is a loss that the suite's `loss_margin` is about: in nats, a token or an image."""
        return self.unit in _NATS

    @property
    def of_time(self) -> bool:
        """Whether it hangs on how fast the machine is."""
        return self.unit == "s" or self.unit.endswith("/s")

    def improves(self, change: float) -> bool:
        """Whether a positive or negative change of value is for the better."""
        return change < 0 if self.better == "lower" else change > 0 if self.better == "higher" else False

    def to_json(self) -> dict[str, Any]:
        """Its definition, which is stored with what it measured."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.compare}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], known: Metric | None = None) -> Metric:
        """A stored definition; what a newer polybench added to it is passed over.

        How reports speak of it, it has from the `known` metric of that name, if that is of the same version.
        Raises TypeError when a field is missing.
        """
        defining = {f.name for f in fields(cls) if f.compare}
        stored = cls(**{name: value for name, value in data.items() if name in defining})
        if known is None or known.version != stored.version:
            return stored
        return replace(stored, **{f.name: getattr(known, f.name) for f in fields(cls) if not f.compare})


@dataclass(frozen=True)
class Scale:
    """One unit for a whole column: shown = value / factor."""

    factor: float
    unit: str

    def show(self, value: float, digits: int = 4) -> str:
        """The value in this unit with `digits` significant digits; exact when it is a whole count."""
        if not math.isfinite(value):
            return str(value)
        shown = value / self.factor
        if self.factor == 1.0 and shown == int(shown) and abs(shown) < 1e15:
            return f"{int(shown):,}"
        return significant(shown, digits)


def scale_for(unit: str, values: Iterable[float]) -> Scale:
    """The prefix that keeps the smallest non-zero value of a column at or above one."""
    sizes = [abs(v) for v in values if v and math.isfinite(v)]
    prefixes = _PREFIXES.get(unit)
    if not prefixes:
        return Scale(1.0, "" if unit == "1" else unit)
    if not sizes:
        return Scale(1.0, unit)
    for factor, name in prefixes:
        if min(sizes) >= factor:
            return Scale(factor, name)
    return Scale(*prefixes[-1])


def significant(value: float, digits: int) -> str:
    """`value` with that many significant digits, never in exponent form between 1e-4 and 1e15."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if abs(value) < 1e-4 or abs(value) >= 1e15:
        return f"{value:.{digits - 1}e}"
    return f"{round(value, places):,.{max(0, places)}f}"


def power_of_ten(value: float) -> str:
    """`10⁻³` for 0.001, `1` and `10` as they are; what is no power of ten in two digits."""
    if not (value > 0 and math.isfinite(value)):
        return f"{value:g}"
    exponent = round(math.log10(value))
    if exponent in (0, 1) or not math.isclose(value, 10.0**exponent, rel_tol=1e-9):
        return f"{value:.2g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def places_for(half_width: float) -> int:
    """Decimal places at which an interval of this half-width is worth printing: two of its digits."""
    if not math.isfinite(half_width) or half_width <= 0:
        return 4
    return min(6, max(0, 1 - math.floor(math.log10(half_width))))


def in_full(value: float) -> str:
    """An exact value, of which every digit may matter: a count with its thousands, else as it was given."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.12g}"
