"""From a file to a Suite: every mistake at once, each with its place and the nearest right name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polybench.errors import RegistryError, SuiteError, did_you_mean, in_short, instead
from polybench.kind import Kind, kind_of
from polybench.plan.check_claims import check_claims, no_share
from polybench.plan.check_matrix import matrix_problems
from polybench.plan.check_tuning import tuning_problems
from polybench.plan.extends import extended
from polybench.plan.governing import idle
from polybench.plan.located import Located, Mark, Route
from polybench.plan.matrix import combinations
from polybench.plan.problems import Collector, unused
from polybench.plan.suite import DTYPES, KEPT_NAMES, RELATIONS, Claim, Suite
from polybench.registry import activations, backends
from polybench.spec import canonical

MOST_TRIALS = 1_000_000  # of one benchmark


@dataclass(frozen=True)
class Resolved:
    """A suite that can run, and where each of its values came from."""

    suite: Suite
    origins: dict[Route, Mark]

    def to_json(self) -> dict[str, Any]:
        return self.suite.model_dump(mode="json")


def load_suite(
    path: Path,
    overrides: Iterable[str] = (),
    device: str | None = None,
    claims: Mapping[str, dict[str, Any]] | None = None,
) -> Resolved:
    """Read, extend and check a suite; `claims`, by how they were said on the command line, stand in place of its own.

    Raises:
        SuiteError: with every mistake found.
        UsageError: an override that makes no sense.
    """
    located = extended(path, [*overrides, *([f"device={device}"] if device else [])])
    if claims:
        _claim_instead(located, claims)
    return checked(located)


def checked(located: Located) -> Resolved:
    """The suite that was read. Raises SuiteError with every mistake found."""
    check = _Check(located)
    suite = check.whole()
    if check.problems or suite is None:
        raise SuiteError(check.problems)
    return Resolved(suite, dict(located.values))


def _claim_instead(located: Located, claims: Mapping[str, dict[str, Any]]) -> None:
    """Claims of the command line, and among the activations those that are registered and that the suite has not."""
    located.drop(("claims",))
    located.data["claims"] = list(claims.values())
    located.values |= {("claims", index): Mark(f"--claim {text}") for index, text in enumerate(claims)}
    listed = located.data.get("activations")
    for claim in claims.values() if isinstance(listed, list) else ():
        for name in (*claim.get("order", ()), *(claim[key] for key in ("subject", *RELATIONS) if key in claim)):
            with suppress(RegistryError):  # said where it stands
                if str(canonical(name)) not in [str(canonical(text)) for text in listed]:
                    listed.append(name)


class _Check(Collector):
    """One method a part of the suite."""

    def whole(self) -> Suite | None:
        data = self.located.data
        if not isinstance(data, dict):
            self.add((), "a suite is a mapping of keys to values; `polybench init` writes one to start from")
            return None
        suite = self.model(Suite, data)
        self._name_and_shares(data)
        self.twice(data.get("seeds"), ("seeds",))
        reference = data.get("reference")
        known = self.activations(data.get("activations"), ("activations",))
        if isinstance(reference, str):
            name = self.activation(reference, ("reference",))
            if name and known and name not in known and "activations" not in self.unsure:
                self.add(("reference",), f"{in_short(reference)} is not among the activations, {instead(known)}")
        kinds: list[Kind] = []
        every = dict.fromkeys(known)
        items = data.get("benchmarks")
        for index, item in enumerate(items if isinstance(items, list) else []):
            if isinstance(item, dict):
                route: Route = ("benchmarks", index)
                own = self.activations(item.get("activations"), (*route, "activations"))
                every |= dict.fromkeys(own)
                kinds += self._benchmark(item, route, reference, known, own, data.get("seeds"))
        if isinstance(items, list):
            names = [b.get("name") for b in items if isinstance(b, dict) and isinstance(b.get("name"), str)]
            for index, item in enumerate(items):
                if isinstance(item, dict) and names.count(item.get("name")) > 1:
                    self.add(("benchmarks", index, "name"), f"two benchmarks are called {in_short(item['name'])}")
        if kinds:
            check_claims(self, data, [*every], kinds)
        if suite is None or self.problems:
            return None
        for index, (item, kind) in enumerate(zip(items or (), kinds, strict=True)):
            self._size(item, kind, data, ("benchmarks", index))
        if self.problems:
            return None
        found = _canonical(suite)
        self._idle_rules(found)
        return None if self.problems else found

    def _idle_rules(self, suite: Suite) -> None:
        """Blame a gate rule that holds nothing, whether no cell is like that or a later rule takes them all."""
        for index, other in idle(suite).items():
            if other is None:
                self.add(("gate", index), "no cell of this suite matches this rule")
                continue
            taker = self.located.mark(("gate", other))
            self.add(("gate", index), f"the rule at {taker} takes every cell of this one: the last that matches counts")

    def _name_and_shares(self, data: dict[str, Any]) -> None:
        """What a stored suite may hold, but what in a file is a slip of the pen."""
        name = data.get("suite")
        if isinstance(name, str) and name.lower() in KEPT_NAMES:
            self.add(("suite",), f"{name!r} is kept: results/{name} holds other runs; call the suite otherwise")
        if told := no_share(data.get("margin")):
            self.add(("margin",), told)
        rules = data["gate"] if isinstance(data.get("gate"), list) else []
        for i, rule in enumerate(rules):
            if isinstance(rule, dict) and isinstance(rule.get("floor"), int | float) and rule["floor"]:
                self.add(("gate", i, "floor"), f"{rule['floor']:g} has no unit; write it with one, such as 2us or 1ms")

    def _size(self, item: dict[str, Any], kind: Kind, data: dict[str, Any], route: Route) -> None:
        """Blame a benchmark that would never end."""
        protocol = item.get("protocol", {})
        repeats = len(item.get("seeds") or data.get("seeds") or Suite.model_fields["seeds"].default)
        if kind.repeats == "launches":
            repeats = kind.protocol(**protocol).launches  # type: ignore[attr-defined]
        listed = item.get("activations") or data["activations"], item.get("backends", [""]), item.get("dtypes", [""])
        sizes = [len(combinations(item.get("matrix", {}), kind)), *map(len, listed)]
        trials = math.prod(sizes) * (1 if kind.repeats == "once" else repeats)
        if trials > MOST_TRIALS:
            self.add(route, f"these are {trials:,} trials, and more than {MOST_TRIALS:,} never end; measure fewer")

    def _benchmark(
        self, item: dict[str, Any], route: Route, reference: Any, known: list[str], own: list[str], seeds: Any
    ) -> list[Kind]:
        if own and isinstance(reference, str):
            try:
                wanted = str(canonical(reference))
                if wanted not in own:
                    self.add((*route, "activations"), f"the reference {in_short(wanted)} is missing from this list")
            except RegistryError:
                pass  # already said at `reference`
        self.twice(item.get("seeds"), (*route, "seeds"))
        for key, words in (("backends", backends.names()), ("dtypes", DTYPES)):
            values = item[key] if isinstance(item.get(key), list) else []
            for index, value in enumerate(values):
                if isinstance(value, str) and value not in words and key == "backends":
                    self.add((*route, key, index), f"unknown backend {in_short(value)}, {did_you_mean(value, words)}")
            self.twice(values, (*route, key))
        name = item.get("kind")
        if not isinstance(name, str):
            return []
        try:
            kind = kind_of(name)
        except RegistryError as problem:
            self.add((*route, "kind"), str(problem))
            self.unsure.add("kinds")
            return []
        used = {"seeds": kind.repeats == "seeds", "loss_margin": any(m.in_nats for m in kind.named.values())}
        for key in used:
            if item.get(key) is not None and not used[key]:
                self.add((*route, key), unused(kind, key), at_key=True)
        if isinstance(item.get("protocol"), dict):
            self.model(kind.protocol, item["protocol"], (*route, "protocol"))
            for key in {*item["protocol"]} & {*kind.unused}:
                self.add((*route, "protocol", key), unused(kind, key), at_key=True)
        if isinstance(item.get("matrix", {}), dict):
            matrix, compared = item.get("matrix", {}), _branches(own or known)
            self.problems += matrix_problems(kind, matrix, self.located, (*route, "matrix"), compared)
            for where, message in tuning_problems(item, kind, seeds):
                self.add((*route, *where), message)
        return [kind]


def _branches(names: Iterable[str]) -> set[int]:
    """How many branches these activations have; one that says nonsense is told when it is loaded."""
    said = [activations.entry(canonical(name).name).facts.get("branches", 1) for name in names]
    return {G for G in said if type(G) is int and G > 0}


def _where(where: dict[str, Any]) -> dict[str, Any]:
    """A filter with its activations under their one name."""
    value = where.get("activation")
    if value is None:
        return where
    named = [str(canonical(str(v))) for v in value] if isinstance(value, list) else str(canonical(str(value)))
    return {**where, "activation": named}


def _names(texts: list[str] | None) -> list[str] | None:
    return None if texts is None else [str(canonical(t)) for t in texts]


def canonical_claim(claim: Claim, reference: str) -> Claim:
    """With every activation under its one name, the reference too where it stands for one that is not said."""
    said = {key: name for key in ("subject", *RELATIONS) if (name := getattr(claim, key)) is not None}
    if claim.order is None and len(said) == 1:
        said["better_than"] = reference
    named = {key: str(canonical(name)) for key, name in said.items()}
    return claim.model_copy(update={**named, "order": _names(claim.order), "where": _where(claim.where)})


def _canonical(suite: Suite) -> Suite:
    """Every activation under its one name."""
    claims = [canonical_claim(c, suite.reference) for c in suite.claims]
    return suite.model_copy(
        update={
            "activations": _names(suite.activations),
            "reference": str(canonical(suite.reference)),
            "benchmarks": [b.model_copy(update={"activations": _names(b.activations)}) for b in suite.benchmarks],
            "claims": claims,
            "gate": [r.model_copy(update={"where": _where(r.where)}) for r in suite.gate],
        }
    )
