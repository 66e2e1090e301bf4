"""One way to add anything: a decorator in a file of the right folder, or in an installed package.

Entries are found by reading source, not by running it, so that `list` and `validate` know every
activation without importing torch. A module is imported when its entry is first loaded.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from polybench.declarations import declared
from polybench.errors import RegistryError, did_you_mean, in_short, reason
from polybench.interrupt import contained
from polybench.located_modules import located
from polybench.source_tree import TREE, SourceTree, one_name

ENTRY_POINT_GROUP = "polybench"
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Extension:
    """What is known of an extension before its module is imported.

    `facts` are the literal keywords of its decorator, `options` the keyword-only parameters of its
    constructor as (annotation, default) source pairs, `error` why it cannot be used. `file` is the source it was read
    from, if any.
    """

    registry: str
    name: str
    module: str
    origin: str
    summary: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    error: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Loaded:
    """An imported extension: the decorated object and every keyword of its decorator."""

    name: str
    object: Any
    facts: Mapping[str, Any]


class Registry:
    """The extensions of one folder and of every installed package that names the group `polybench`.

    `name` is what stands before `.register`, `noun` what one of them is called, `folder` where the built-in ones lie.
    """

    def __init__(self, name: str, noun: str, folder: str = ""):
        self.name, self.noun, self.folder = name, noun, folder or name
        self._loaded: dict[str, Loaded] = {}

    def register(self, name: str, **facts: Any) -> Callable[[Any], Any]:
        """Decorator: the class or function below is the extension called `name`."""

        def keep(thing: Any) -> Any:
            self._loaded[name] = Loaded(name, thing, facts)
            return thing

        return keep

    def entries(self) -> dict[str, Extension]:
        """Every entry by name. One that is broken may have none but its package's label, and gives way to another."""
        found: dict[str, Extension] = {}
        for entry in _scan():
            if entry.registry == self.name and not (entry.error and entry.name in found):
                found[entry.name] = entry
        return found

    def names(self) -> list[str]:
        return sorted(self.entries())

    def entry(self, name: str) -> Extension:
        """Raises RegistryError when the name is unknown or its module is broken."""
        entries = self.entries()
        if name not in entries:
            sound = [known for known, entry in entries.items() if not entry.error]
            lost = [f"{e.origin} is broken: {e.error}" for e in _scan() if e.error]
            lost += _beside(self.name, name)
            told = [f"unknown {self.noun} {in_short(name)}", *lost, did_you_mean(name, sound)]
            raise RegistryError("; ".join(told) if lost else ", ".join(told))
        if entries[name].error:
            raise RegistryError(f"{self.noun} {name!r} of {entries[name].origin} is broken: {entries[name].error}")
        return entries[name]

    def load(self, name: str) -> Loaded:
        """Import the module of `name`. Raises RegistryError when that is impossible."""
        if name not in self._loaded:
            entry, before = self.entry(name), _all_loaded()
            try:
                with contained():
                    _reach_tree()
                    importlib.import_module(entry.module)
            except Exception as problem:
                _forget(_dropped(_all_loaded() - before))
                why = reason(problem)
                raise RegistryError(f"{self.noun} {name!r} of {entry.origin} is broken: {why}") from problem
            _forget(_ambiguous())
            if name not in self._loaded:
                raise RegistryError(f"importing {entry.module} registered no {self.noun} {name!r}")
        return self._loaded[name]

    def facts_of(self, thing: object) -> Mapping[str, Any]:
        """The keywords of the decorator of the loaded class that `thing` is of; none for a stranger."""
        return next((known.facts for known in self._loaded.values() if known.object is type(thing)), {})


activations = Registry("activations", "activation")
backends = Registry("backends", "backend", "measure/backends")
kinds = Registry("kinds", "kind", "measure/kinds")
corpora = Registry("corpora", "corpus")
formats = Registry("formats", "format", "report/formats")
outlets = Registry("outlets", "outlet", "report/outlets")
loggers = Registry("loggers", "logger", "report/loggers")
REGISTRIES = (activations, backends, kinds, corpora, formats, outlets, loggers)
benchmarks, reports = kinds, formats  # as plug-ins written before these two had their names say it
_FORMER = {"benchmarks": kinds.name, "reports": formats.name}


def broken() -> tuple[str, ...]:
    """What is wrong with each extension that cannot be used, wherever it lies."""
    return tuple(dict.fromkeys(entry.error for entry in _scan() if entry.error))


def _all_loaded() -> set[tuple[Registry, str]]:
    return {(registry, name) for registry in REGISTRIES for name in registry._loaded}


def _forget(names: set[tuple[Registry, str]]) -> None:
    for registry, name in names:
        del registry._loaded[name]


def _dropped(names: set[tuple[Registry, str]]) -> set[tuple[Registry, str]]:
    """Of these, what a module registered that Python has dropped because it raised later: it stays broken."""
    return {(r, n) for r, n in names if getattr(r._loaded[n].object, "__module__", None) not in sys.modules}


def _ambiguous() -> set[tuple[Registry, str]]:
    """What modules registered, imported for another's sake, under a name that is broken: it stays so."""
    return {(r, n) for r in REGISTRIES for n, entry in r.entries().items() if entry.error and n in r._loaded}


@cache
def _scan() -> tuple[Extension, ...]:
    tree = SourceTree.of_variable(ENTRY_POINT_GROUP)
    return _apart([*_built_in(), *(_of_tree(tree) if tree else ()), *_installed(tree)])


def _apart(entries: Sequence[Extension]) -> tuple[Extension, ...]:
    """A name that several claim is none's, since what it would stand for hung on what else is installed."""
    claimed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in entries:
        if not entry.error:
            claimed[entry.registry, entry.name].append(entry.origin)

    def kept(entry: Extension) -> Extension:
        if entry.error or len(origins := claimed[entry.registry, entry.name]) == 1:
            return entry
        why = f"{len(origins)} {entry.registry} are called {entry.name!r}, of {' and of '.join(origins)}"
        told = f"{why}; rename or uninstall all but one"
        return Extension(entry.registry, entry.name, entry.module, entry.origin, error=told)

    return tuple(map(kept, entries))


def _built_in() -> Iterator[Extension]:
    for registry in REGISTRIES:
        for path in sorted((_PACKAGE / registry.folder).glob("[!_]*.py")):
            module = f"polybench.{registry.folder.replace('/', '.')}.{path.stem}"
            yield from _read(path, module, f"polybench/{registry.folder}/{path.name}")


def _installed(tree: SourceTree | None = None) -> Iterator[Extension]:
    """Of a distribution that is a `tree` too, what is installed does not count."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        package = point.dist.name if point.dist else point.value
        if not tree or one_name(package) != tree.distribution:
            module = point.value.partition(":")[0].strip()  # what it names in there registers itself
            yield from _named(point.name, module, f"{package} ({point.value})")


def _reach_tree() -> None:
    """Modules of the tree that the environment names are imported from there, and not from where they are installed."""
    if tree := SourceTree.of_variable(ENTRY_POINT_GROUP):
        sys.path[:0] = [path for path in tree.paths if path not in sys.path]


def _of_tree(tree: SourceTree) -> Iterator[Extension]:
    for name, module in tree.modules.items():
        yield from _named(name, module, f"{tree.path} ({module})", list(tree.paths))


def _beside(registry: str, name: str) -> list[str]:
    """What to do where the folder we are in registers the name, and is not installed."""
    try:
        tree = SourceTree.read(Path.cwd(), ENTRY_POINT_GROUP)
    except (RegistryError, OSError):
        return []  # it is nobody's business what another's project looks like
    if not any((entry.registry, entry.name) == (registry, name) for entry in _of_tree(tree)):
        return []
    return [f"{tree.path} registers it and is not installed: pip install -e {tree.path}, or set {TREE}={tree.path}"]


def _named(label: str, value: str, origin: str, where: list[str] | None = None) -> Iterator[Extension]:
    """What the module behind an entry point registers, looked for in these folders, or wherever Python looks."""
    paths = located(value, where)
    found = [entry for path, module in paths for entry in _read(path, module, origin, label)]
    if not found:
        why = f'{value} registers nothing; write @activations.register("name", ...) above a class'
        why = why if paths else f"its module {value!r} cannot be found"
        yield Extension(activations.name, label, value, origin, error=why)
    yield from found


def _read(path: Path, module: str, origin: str, label: str = "") -> Iterator[Extension]:
    """The entries a source file declares, in order; a file that is no Python is a broken entry."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError) as problem:
        beside = next((r.name for r in REGISTRIES if Path(r.folder).name == path.parent.name), activations.name)
        why = (
            f"{path.name}:{problem.lineno}: {problem.msg}"
            if isinstance(problem, SyntaxError)
            else f"{path.name}: {problem}"
        )
        yield Extension(beside, label or path.stem, module, origin, error=why)
        return
    for one in declared(tree, {r.name: r.name for r in REGISTRIES} | _FORMER):
        error = f"{path.name}, {one.error}" if one.error else ""
        yield Extension(
            one.registry, one.name or label or path.stem, module, origin, one.summary, one.facts, one.options, error,
            path,
        )  # fmt: skip
