"""What a source file registers, read and not run: decorators and calls of `register`, by whatever name it has there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polybench.errors import in_short

_MODULE = "polybench.registry"
_VERB = "register"
NAME = r"[A-Za-z][\w.-]*"  # of anything registered, as a suite can write it
_RULE = "begin with a letter from a to z, then take letters, digits, dot, dash and underscore"


@dataclass(frozen=True)
class Declared:
    """One registration, as `Extension` holds it; `error` says, with the line, why it cannot be known."""

    registry: str
    name: str
    summary: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    error: str = ""


def declared(tree: ast.Module, registries: Mapping[str, str]) -> Iterator[Declared]:
    """The registrations of a file, in order; `registries` gives for each name of one the name it has now."""
    known = dict(registries)
    verbs: dict[str, str] = {}  # names of `register` itself, of which registry
    constants: dict[str, ast.expr] = {}
    definitions: dict[str, ast.ClassDef | ast.FunctionDef] = {}

    def registry_of(owner: ast.expr) -> str:
        """`activations` for `activations`, `registry.activations` and what was assigned from them, else nothing."""
        return known.get(_last(owner), "")

    def registry_called(function: ast.expr) -> str:
        if isinstance(function, ast.Attribute) and function.attr == _VERB:
            return registry_of(function.value)
        return verbs.get(_last(function), "")

    def one(call: ast.Call, what: ast.ClassDef | ast.FunctionDef | None) -> Declared:
        given = {k.arg: constants.get(_last(k.value), k.value) for k in call.keywords if k.arg}
        named = constants.get(_last(call.args[0]), call.args[0]) if call.args else given.pop("name", None)
        name = _literal(named) if named else None
        registry = registry_called(call.func)
        if not isinstance(name, str):
            return Declared(registry, "", error=f"line {call.lineno}: it must be registered under a name written out")
        if not re.fullmatch(NAME, name):
            why = f"no suite can write the name {in_short(name)}; {_RULE}"
            return Declared(registry, "", error=f"line {call.lineno}: {why}")
        facts = {key: value for key, node in given.items() if (value := _literal(node)) is not None}
        summary = (ast.get_docstring(what) or "").partition("\n")[0] if what else ""
        return Declared(registry, name, summary, facts, _options(what) if what else {})

    for node in _statements(tree.body):
        match node:
            case ast.ImportFrom(module=module, names=names) if module == _MODULE:
                known |= {a.asname: known[a.name] for a in names if a.asname and a.name in known}
            case ast.ClassDef() | ast.FunctionDef():
                definitions[node.name] = node
                for call in node.decorator_list:
                    if isinstance(call, ast.Call) and registry_called(call.func):
                        yield one(call, node)
            case ast.Expr(value=ast.Call(func=ast.Call() as call, args=args)) if registry_called(call.func):
                yield one(call, definitions.get(_last(args[0])) if args else None)
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                if (
                    isinstance(value, ast.Call)
                    and isinstance(value.func, ast.Call)
                    and registry_called(value.func.func)
                ):
                    yield one(value.func, definitions.get(_last(value.args[0])) if value.args else None)
                elif isinstance(value, ast.Constant):
                    constants[target] = value
                elif isinstance(value, ast.Attribute) and value.attr == _VERB and registry_of(value.value):
                    verbs[target] = registry_of(value.value)
                elif registry_of(value):
                    known[target] = registry_of(value)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that are run when a file is, those below `if`, `try` and `with` too."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _statements(handler.body)


def _last(node: ast.expr) -> str:
    """`b` for b and for a.b."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _options(node: ast.ClassDef | ast.FunctionDef) -> dict[str, tuple[str, Any]]:
    if isinstance(node, ast.ClassDef):
        methods = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
        init = next(methods, None)
        if init is None:
            return {}
        node = init
    pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return {
        arg.arg: (ast.unparse(arg.annotation) if arg.annotation else "", _literal(default))
        for arg, default in pairs
        if default is not None
    }


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        return None
