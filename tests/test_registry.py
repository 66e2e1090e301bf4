"""What counts as registered: the built-in extensions by folder, and plug-ins by either name of a registry."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from polybench import registry
from polybench.errors import RegistryError
from polybench.located_modules import located
from polybench.registry import REGISTRIES, Extension, Registry
from polybench.source_tree import TREE, SourceTree
from polybench.spec import Spec, canonical

FORMER = """
from polybench.registry import {former}

@{former}.register("mine", suffix=".mine")
def mine(document):
    "One of somebody's own."
"""


@pytest.mark.parametrize("each", REGISTRIES, ids=lambda r: r.name)
def test_every_file_of_its_folder_that_registers_something_is_listed(each: Registry) -> None:
    folder = Path(registry.__file__).parent / each.folder
    registering = {p.name for p in folder.glob("*.py") if f"@{each.name}.register(" in p.read_text(encoding="utf-8")}
    assert registering == {Path(entry.origin).name for entry in each.entries().values()}
    assert all(each.load(name).object for name in each.names())


@pytest.mark.parametrize(("former", "now"), [("benchmarks", registry.kinds), ("reports", registry.formats)])
def test_a_plug_in_that_says_the_former_name_is_found(former: str, now: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FORMER.format(former=former), encoding="utf-8")
    (entry,) = registry._read(tmp_path / "mine.py", "mine", "a plug-in")
    assert (entry.registry, entry.name, entry.error) == (now.name, "mine", "")
    assert getattr(registry, former) is now


WAYS = {
    "its own name": "from polybench.registry import activations as acts\n@acts.register('mine', branches=2)\nBODY",
    "the module": "from polybench import registry as r\n@r.activations.register('mine', branches=2)\nBODY",
    "the whole module": "import polybench.registry\n@polybench.registry.activations.register('mine', branches=2)\nBODY",
    "a keyword": "IMPORT\n@activations.register(name='mine', branches=2)\nBODY",
    "another variable": "IMPORT\na = activations\n@a.register('mine', branches=2)\nBODY",
    "the verb alone": "IMPORT\nput = activations.register\n@put('mine', branches=2)\nBODY",
    "constants": "IMPORT\nN, M = 1, 2\nNAME = 'mine'\nTWO = 2\n@activations.register(NAME, branches=TWO)\nBODY",
    "a condition": "IMPORT\nif True:\n try:\n  @activations.register('mine', branches=2)\n  class Mine:\n   'Mine.'\n"
    "   def __init__(self, *, p: int = 3): ...\n except ImportError: pass",
    "a call": "IMPORT\nBODY\nactivations.register('mine', branches=2)(Mine)",
    "a call that is kept": "IMPORT\nBODY\nMine = activations.register('mine', branches=2)(Mine)",
}
IMPORT = "from polybench.registry import activations"
BODY = "class Mine:\n 'Mine.'\n def __init__(self, *, p: int = 3): ...\n"


@pytest.mark.parametrize("way", WAYS)
def test_whatever_registers_when_it_is_run_is_found_when_it_is_read(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = WAYS[way].replace("IMPORT", IMPORT).replace("BODY", BODY)
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    (entry,) = registry._read(tmp_path / "mine.py", "mine", "a plug-in")
    assert (entry.registry, entry.name, entry.summary, entry.error) == ("activations", "mine", "Mine.", "")
    assert (entry.facts, entry.options) == ({"branches": 2}, {"p": ("int", 3)})
    monkeypatch.setattr(registry.activations, "_loaded", {})
    exec(source, {"__name__": "mine"})
    assert registry.activations._loaded["mine"].facts == {"branches": 2}


def test_a_name_that_only_running_tells_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import os\n\n@activations.register(os.name)\nclass Mine: ...\n", encoding="utf-8"
    )
    (entry,) = registry._read(tmp_path / "mine.py", "mine", "a plug-in", "label")
    assert (entry.name, entry.error) == ("label", "mine.py, line 3: it must be registered under a name written out")


def test_what_is_below_a_function_or_of_others_registers_nothing(tmp_path: Path) -> None:
    below = "def later():\n @activations.register('a')\n class A: ...\n"
    text = f"{below}@others.register('b')\nclass B: ...\n@x\nclass C: ..."
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert not list(registry._read(tmp_path / "mine.py", "mine", "a plug-in"))


def test_of_a_tree_its_own_definitions_count_and_not_what_is_installed_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "from polybench.registry import activations\n@activations.register('{}', branches=1)\nclass A: ...\n"
    for folder, module, name in (
        ("site", "old", "from_site"),
        ("site", "other", "another"),
        ("tree", "old", "from_tree"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{module}.py").write_text(body.format(name), encoding="utf-8")
    for package, module in (("my_own", "old"), ("others", "other")):
        info = tmp_path / "site" / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[polybench]\nx = {module}\n", encoding="utf-8")
    project = '[project]\nname = "my-own"\n[project.entry-points.polybench]\nmine = "old"\ngone = "nothing"\n'
    (tmp_path / "tree" / "pyproject.toml").write_text(project, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv(TREE, str(tmp_path / "tree"))
    tree = SourceTree.of_variable(registry.ENTRY_POINT_GROUP)
    assert tree
    names = {e.name for e in (*registry._of_tree(tree), *registry._installed(tree))}
    assert {"from_tree", "another", "gone"} <= names and "from_site" not in names
    (gone,) = (e for e in registry._of_tree(tree) if e.name == "gone")
    assert gone.error == "its module 'nothing' cannot be found"
    monkeypatch.setattr(registry, "_scan", lambda: tuple(registry._of_tree(tree)))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "old", raising=False)
    assert registry.activations.load("from_tree").object.__name__ == "A"
    monkeypatch.delitem(sys.modules, "old")
    monkeypatch.delitem(registry.activations._loaded, "from_tree")


def test_a_module_that_only_a_finder_knows_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As setuptools installs a flat project with -e; an entry point may name something in its module."""
    package = tmp_path / "elsewhere" / "my_flat"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError", encoding="utf-8")
    (package / "mod.py").write_text(f"{IMPORT}\n@activations.register('flat')\nclass A: ...\n", encoding="utf-8")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            return spec_from_file_location(name, package / "__init__.py") if name == "my_flat" else None

    info = tmp_path / "site" / "my_flat-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-flat\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[polybench]\nx = my_flat.mod:A\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert located("my_flat.mod") == []
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    (entry,) = (e for e in registry._installed() if e.origin == "my-flat (my_flat.mod:A)")
    assert (entry.name, entry.module, entry.error) == ("flat", "my_flat.mod", "")
    assert located("sys") == []


def test_a_module_that_registers_and_then_raises_stays_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = f"{IMPORT}\n@activations.register('half')\nclass A: ...\n"
    (tmp_path / "sound_half.py").write_text(body.replace("half", "whole"), encoding="utf-8")
    (tmp_path / "broken_half.py").write_text(f"import sound_half\n{body}raise OSError('no')\n", encoding="utf-8")
    entries = [
        Extension("activations", "half", "broken_half", "x"),
        Extension("activations", "whole", "sound_half", "x"),
    ]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_scan", lambda: entries)
    monkeypatch.setattr(registry.activations, "_loaded", dict(registry.activations._loaded))
    for _ in range(2):
        with pytest.raises(RegistryError, match="activation 'half' of x is broken: OSError: no"):
            registry.activations.load("half")
    assert registry.activations.load("whole").object.__module__ == "sound_half"
    monkeypatch.delitem(sys.modules, "sound_half")


def test_an_unknown_name_is_told_with_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def f(:\n", encoding="utf-8")
    broken = tuple(registry._read(tmp_path / "mine.py", "mine", "my-package (mine)", "mine"))
    monkeypatch.setattr(registry, "_scan", lambda: broken)
    with pytest.raises(RegistryError, match=r"'cube'; my-package \(mine\) is broken: mine.py:1: .*; none is known"):
        registry.activations.entry("cube")


@pytest.mark.parametrize("errors", [("", "why"), ("why", ""), ("one", "two"), ("one", "two", "")], ids=str)
def test_broken_entries_of_one_label_take_the_name_of_nothing_else(
    errors: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Extension("activations", "mine", "mine", "my-package (mine)")
    entries = tuple(replace(one, error=error) for error in errors)
    monkeypatch.setattr(registry, "_scan", lambda: entries)
    assert registry.activations.entries() == {"mine": entries[errors.index("")] if "" in errors else entries[0]}
    assert registry.broken() == tuple(filter(None, errors))


def test_a_name_that_two_claim_is_broken_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = f"{IMPORT}\n@activations.register('relu')\nclass A: ...\n@activations.register('other')\nclass B: ...\n"
    (tmp_path / "twice_relu.py").write_text(code, encoding="utf-8")
    theirs = list(registry._read(tmp_path / "twice_relu.py", "twice_relu", "my-package (twice_relu)"))
    scanned = registry._apart([*registry._built_in(), *theirs])
    monkeypatch.setattr(registry, "_scan", lambda: scanned)
    monkeypatch.setattr(registry.activations, "_loaded", {})
    why = (
        "2 activations are called 'relu', of polybench/activations/relu.py and of my-package (twice_relu); "
        "rename or uninstall all but one"
    )
    assert registry.broken() == (why,) and registry.activations.entries()["relu"].error == why
    assert {r: n for r in REGISTRIES for n, e in r.entries().items() if e.error} == {registry.activations: "relu"}
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.activations.load("other").object.__name__ == "B"
    for ask in (registry.activations.entry, registry.activations.load, canonical):
        with pytest.raises(RegistryError, match=r"activation 'relu' of \S+ is broken: 2 activations are called 'relu'"):
            ask("relu")
    monkeypatch.delitem(sys.modules, "twice_relu")


@pytest.mark.parametrize("each", REGISTRIES, ids=lambda r: r.name)
def test_a_suite_can_write_every_name(each: Registry) -> None:
    assert [Spec.parse(f"{name}(x=1)").name for name in each.names()] == each.names()


@pytest.mark.parametrize("name", ["ünî", "my act|<b>", "", "2relu", "_x", "a\n", "a(b)"])
def test_a_name_that_no_suite_can_write_is_broken(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"\n@activations.register({name!r})\nclass Mine: ...\n", encoding="utf-8")
    (entry,) = registry._read(tmp_path / "mine.py", "mine", "a plug-in", "label")
    assert entry.name == "label"
    assert entry.error.startswith(f"mine.py, line 2: no suite can write the name {name!r}; begin with a letter")


def test_a_tree_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("gone", "empty"):
        monkeypatch.setenv(TREE, str(tmp_path / name))
        with pytest.raises(RegistryError, match=f"{name} names no folder with a pyproject.toml; unset it, or name one"):
            SourceTree.of_variable(registry.ENTRY_POINT_GROUP)
    monkeypatch.setenv(TREE, "")
    assert SourceTree.of_variable(registry.ENTRY_POINT_GROUP) is None


def test_a_name_that_the_folder_here_registers_is_told_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).with_name("plugin"))
    with pytest.raises(RegistryError, match=rf"plugin registers it .*: pip install -e \S+, or set {TREE}=\S+; known: "):
        registry.activations.entry("cube")
    with pytest.raises(RegistryError, match="unknown backend 'cube', known: "):
        registry.backends.entry("cube")
    (tmp_path / "pyproject.toml").write_text("[", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError, match="unknown activation 'cube', known: "):
        registry.activations.entry("cube")
