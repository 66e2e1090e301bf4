"""A claim in a line, as `val_loss: polynorm < swiglu by 0.01`: read, and written.

    METRIC [where AXIS=VALUE, ...]: A < B [by N]

`<` and `>` compare numbers, whichever is better; a chain of them, `A < B < C`, is an order; `=` says that two are the
same. A value is text or a number, `a|b` where either will do, and a JSON string where it holds signs of the grammar.
`by` is a share (`5%`), or a difference in the metric's unit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from polybench.declarations import NAME
from polybench.errors import UsageError
from polybench.metric import Metric
from polybench.plan.suite import Claim, Relation
from polybench.spec import Scalar, scalar

Sign = Literal["<", ">", "="]

_ACTIVATION = rf"{NAME}(?:\([^():]*\))?"
_SENTENCE = re.compile(
    rf"(?P<metric>.+?)(?:\s+where\s+(?P<where>.+))?\s*:\s*(?P<chain>{_ACTIVATION}(?:\s*[<>=]\s*{_ACTIVATION})+)"
    r"(?:\s+by\s+(?P<by>\S+))?\s*",
    re.DOTALL,
)
_STRING = r'"(?:[^"\\]|\\.)*"'
_VALUE = rf'(?:{_STRING}|[^\s",|=]+)'
_CONDITION = re.compile(rf"\s*([\w.-]+)\s*=\s*({_VALUE}(?:\|{_VALUE})*)\s*(?:,|$)")
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?%?", re.ASCII)
_FORM = "write METRIC [where AXIS=VALUE, ...]: A < B [by N], such as 'val_loss: polynorm < swiglu by 0.01'"


@dataclass(frozen=True)
class Sentence:
    """What the line says; `by` is as written, empty without one, and `where` holds one value or several an axis."""

    metric: str
    names: tuple[str, ...]
    sign: Sign
    by: str = ""
    where: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UsageError when it is no such line."""
        found = _SENTENCE.fullmatch(text.strip())
        if not found:
            raise UsageError(f"--claim {text}: this cannot be read; {_FORM}")
        names = tuple(re.findall(_ACTIVATION, found["chain"]))
        signs = set(re.findall("[<>=]", re.sub(_ACTIVATION, "", found["chain"])))
        if len(signs) > 1 or ("=" in signs and len(names) > 2):
            raise UsageError(f"--claim {text}: this mixes signs; an order has < or > alone, and = stands between two")
        by = found["by"] or ""
        if by and not _NUMBER.fullmatch(by):
            raise UsageError(f"--claim {text}: {by!r} is no number; say by 5%, or of losses by 0.01")
        sign: Sign = "<" if "<" in signs else ">" if ">" in signs else "="
        return cls(found["metric"].strip(), names, sign, by, _conditions(text, found["where"] or ""))

    @classmethod
    def of(cls, claim: Claim, metric: Metric | None, reference: str) -> Self:
        """How a claim is said of this metric; of one that is not known any more, as if less were better."""
        pairs = claim.pairs(reference)
        names = (pairs[0][0], *(other for _, other in pairs))
        where = tuple((key, tuple(v) if isinstance(v, list) else (v,)) for key, v in claim.where.items())
        ratio = metric is not None and metric.effect == "ratio"
        return cls(claim.metric, names, sign_of(claim.relation, metric), _by(claim.by, ratio), where)

    @property
    def conditions(self) -> str:
        return ", ".join(f"{key}={'|'.join(map(_written, values))}" for key, values in self.where)

    def __str__(self) -> str:
        where = f" where {self.conditions}" if self.where else ""
        by = f" by {self.by}" if self.by else ""
        return f"{self.metric}{where}: {f' {self.sign} '.join(self.names)}{by}"

    def to_claim(self, metric: Metric) -> dict[str, Any]:
        """As a suite says it: what is less is better where less of the metric is, and only less where neither is."""
        by: dict[str, Any] = {}
        if self.by:
            by = {"by": self.by if self.by.endswith("%") else float(self.by)}
        where = {key: list(values) if len(values) > 1 else values[0] for key, values in self.where}
        whole = {"metric": self.metric, **by, **({"where": where} if where else {})}
        plain = metric.better == "neither" and self.sign != "=" and len(self.names) == 2
        if plain:
            return {**whole, "subject": self.names[0], "more_than" if self.sign == ">" else "less_than": self.names[1]}
        good = self.sign == sign_of("better", metric)
        if len(self.names) > 2:
            return {**whole, "order": list(self.names if good else self.names[::-1])}
        relation = "same_as" if self.sign == "=" else "better_than" if good else "worse_than"
        return {**whole, "subject": self.names[0], relation: self.names[1]}


def sign_of(relation: Relation, metric: Metric | None) -> Sign:
    """How two numbers stand to each other where the one's activation is better, worse or the same."""
    if relation == "same":
        return "="
    if relation in ("more", "less"):
        return ">" if relation == "more" else "<"
    more = metric is not None and metric.better == "higher"
    return ">" if (relation == "better") == more else "<"


def _conditions(text: str, where: str) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
    found: dict[str, tuple[Scalar, ...]] = {}
    at = 0
    while at < len(where):
        condition = _CONDITION.match(where, at)
        if not condition or condition[1] in found:
            raise UsageError(f"--claim {text}: {where[at:].strip()!r} is not AXIS=VALUE, once an axis")
        found[condition[1]] = tuple(map(_read, re.findall(_VALUE, condition[2])))
        at = condition.end()
    return tuple(found.items())


def _read(value: str) -> Scalar:
    if not value.startswith('"'):
        return scalar(value)
    try:
        return str(json.loads(value, strict=False))
    except ValueError:
        raise UsageError(f"{value} is no JSON string") from None


def _written(value: Scalar) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return value if re.fullmatch(_VALUE, value) and scalar(value) is value else json.dumps(value, ensure_ascii=False)


def _by(value: float | None, ratio: bool) -> str:
    """A share in per cent, where that is the same number."""
    if value is None:
        return ""
    percent = f"{value * 100:.10g}"
    return f"{percent}%" if ratio and float(percent) / 100 == value else repr(float(value))
