"""Whatever a suite file holds, it loads or its mistakes are located; nothing else comes out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.errors import A_LINE, RegistryError, SuiteError, UsageError
from polybench.plan.check import Resolved, load_suite
from polybench.plan.jobs import plan
from polybench.plan.suite import DTYPES, Suite
from polybench.registry import activations, backends
from polybench.spec import Spec, canonical, scalar

FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)
VALID: dict[str, Any] = {
    "suite": "demo",
    "description": "words",
    "activations": ["relu", "gelu", "swiglu", "polynorm(order=2)"],
    "reference": "swiglu",
    "seeds": [0, 1],
    "device": "cpu",
    "margin": 0.05,
    "benchmarks": [
        {
            "name": "mem",
            "kind": "memory",
            "backends": ["eager", "checkpoint"],
            "dtypes": ["float32"],
            "matrix": {
                "level": ["block", "activation"],
                "tokens": [64, 128],
                "include": [{"tokens": 256}],
                "exclude": [{"tokens": 64}],
            },
            "timeout_s": 5.5,
        },
        {"name": "pre", "kind": "pretrain", "matrix": {"corpus": "stdlib"}, "protocol": {"evaluations": 2}},
        {"name": "sp", "kind": "speed", "seeds": [3], "activations": ["swiglu", "relu"]},
    ],
    "claims": [{"metric": "val_loss", "subject": "gelu", "better_than": "relu", "where": {"d_model": [64]}}],
    "gate": [{"metric": "saved_bytes", "tolerance": "5%", "where": {"level": "block"}}],
}
WORDS = st.sampled_from(
    ["-1%", "relu", "gelu(approximate=tanh)", "memory", "speed", "float32", "stdlib", "text: *", "text:\0", "5%",
     "nan%", "inf", "", "~", "null", "polynorm(", "polynorm(order=)", "a" * 400, "include", "str", "int", "a[b]",
     "block", "name", "kind", "matrix", "extends", "d_model", "\u0663", "é\n"]
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), WORDS, st.text(max_size=12))
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=4)
)


def load(text: str | bytes, overrides: tuple[str, ...] = ()) -> Resolved | None:
    """The suite, or None when it was refused as it should be."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "suite.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass"))
        try:
            found = load_suite(path, overrides)
        except SuiteError as failure:
            assert failure.problems
            for problem in failure.problems:
                assert problem.message
                assert problem.file == str(path) or problem.file.startswith("-s "), problem
                assert (problem.line and problem.column) or not isinstance(text, str) or overrides, problem
            return None
        except UsageError as problem:
            assert overrides and str(problem)
            return None
        assert isinstance(found.suite, Suite)
        assert plan(found.suite, "cpu").trials
        return found


def routes(data: Any, route: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if route:
        yield route
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield from routes(value, (*route, key))


def replaced(data: Any, route: tuple[Any, ...], value: Any) -> Any:
    data = copy.deepcopy(data)
    inner = data
    for part in route[:-1]:
        inner = inner[part]
    inner[route[-1]] = value
    return data


@FEW
@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"#%@ \n\t,?0", max_size=60))
def test_any_text(text: str) -> None:
    load(text)


LONG = ("x" * 50_000, f"relu{' ' * 50_000}x", f"polynorm(order={'9' * 50_000})", f"text:{'y/' * 20_000}")


@pytest.mark.parametrize("word", LONG, ids=lambda word: word[:9])
def test_a_refusal_shows_no_more_than_a_line_of_what_it_refuses(word: str, tmp_path: Path) -> None:
    file, sound = tmp_path / "s.yaml", tmp_path / "sound.yaml"
    sound.write_text(json.dumps(VALID))
    said = []
    for data in [*(replaced(VALID, route, word) for route in routes(VALID)), {**VALID, word: 1}, {word: VALID}]:
        file.write_text(json.dumps(data))
        with suppress(SuiteError):
            load_suite(file)
            continue
        said.append(refusal(file))
    said += [refusal(sound, override) for override in (f"{word}=1", f"sp.{word}=1", f"margin={word}", word)]
    assert len(said) > 20
    assert not any(part in line for line in said for part in (word[:A_LINE], word[A_LINE : 2 * A_LINE]))


def refusal(file: Path, *overrides: str) -> str:
    with pytest.raises((SuiteError, UsageError)) as caught:
        load_suite(file, overrides)
    return str(caught.value)


@FEW
@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    load(data)


@FEW
@given(JUNK)
def test_any_data(data: Any) -> None:
    load(yaml.safe_dump(data, allow_unicode=True))


@settings(FEW, max_examples=250)
@given(st.sampled_from(list(routes(VALID))), JUNK)
def test_a_valid_suite_with_one_value_replaced_by_junk(route: tuple[Any, ...], junk: Any) -> None:
    load(yaml.safe_dump(replaced(VALID, route, junk), sort_keys=False))


@FEW
@given(st.sampled_from([r for r in routes(VALID) if isinstance(r[-1], str)]), WORDS | st.text(max_size=8), JUNK)
def test_a_valid_suite_with_one_key_too_many(route: tuple[Any, ...], key: str, junk: Any) -> None:
    load(yaml.safe_dump(replaced(VALID, (*route[:-1], key), junk), sort_keys=False))


@pytest.mark.parametrize("route", list(routes(VALID)), ids=lambda r: ".".join(map(str, r)))
def test_no_value_of_a_suite_may_be_of_every_type(route: tuple[Any, ...]) -> None:
    """A list of a list of a mapping fits nowhere but into claims and gate when it is empty."""
    assert load(yaml.safe_dump(replaced(VALID, route, [[{"x": []}]]), sort_keys=False)) is None


@FEW
@given(
    st.sampled_from(["seeds", "mem", "benchmarks.0.matrix", "margin", "", "mem.matrix.tokens"]), st.text(max_size=20)
)
def test_any_override(key: str, rest: str) -> None:
    load(yaml.safe_dump(VALID), (key + rest,))
    load(yaml.safe_dump(VALID), (f"{key}={rest}",))


@st.composite
def suites(draw: st.DrawFn) -> dict[str, Any]:
    """Valid suites, with everything at least once left out and at least once given."""

    def some(values: Any, least: int = 1) -> list[Any]:
        return draw(st.lists(st.sampled_from(sorted(values)), min_size=least, max_size=3, unique=True))

    names = some(activations.names())
    maybe = {
        "seeds": draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True)),
        "margin": draw(st.floats(0, 1) | st.sampled_from(["5%", "0.5%"])),
        "device": "cpu",
        "gate": [{"metric": "saved_bytes", "tolerance": draw(st.integers(0, 1)), "where": {"benchmark": "b0"}}],
        "claims": [{"metric": "saved_bytes", "order": names}] if len(names) > 1 else [],
    }
    return {
        "suite": draw(st.from_regex(r"\A[a-z][a-z0-9_.-]{0,8}\Z")),
        "activations": names,
        "reference": draw(st.sampled_from(names)),
        "benchmarks": [
            {
                "name": f"b{i}",
                "kind": "memory",
                "backends": some(backends.names()),
                "dtypes": some(DTYPES),
                "matrix": {
                    "tokens": draw(st.lists(st.integers(1, 999), min_size=1, max_size=3, unique=True)),
                    "d_model": draw(st.integers(12, 64)),  # from here on every width has equal parameters
                },
            }
            for i in range(draw(st.integers(1, 3)))
        ],
        **{key: maybe[key] for key in some(maybe, 0)},
    }


@FEW
@given(suites())
def test_a_valid_suite_loads_and_what_it_resolves_to_loads_as_itself(data: dict[str, Any]) -> None:
    first = load(yaml.safe_dump(data, sort_keys=False))
    assert first is not None
    whole = first.to_json()
    assert whole["activations"] == data["activations"]
    assert json.loads(json.dumps(whole)) == whole
    assert Suite.model_validate(whole) == first.suite  # how `run --resume` reads it back
    given = [{k: v for k, v in b.items() if v is not None} for b in whole["benchmarks"]]
    second = load(yaml.safe_dump({**whole, "benchmarks": given}))
    assert second is not None
    assert second.to_json() == whole


@st.composite
def specs(draw: st.DrawFn) -> str:
    name = draw(st.from_regex(r"\A[A-Za-z][A-Za-z0-9_.-]{0,8}\Z"))
    word = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,5}\Z")
    value = st.one_of(
        st.integers().map(str), st.floats().map(str), st.booleans().map(str), st.text(min_size=1, max_size=5)
    )
    pairs = draw(st.dictionaries(word, value, max_size=3))
    return f"{name}({', '.join(f'{k} = {v}' for k, v in pairs.items())})"


@settings(FEW, max_examples=300)
@given(specs())
def test_a_spec_is_what_it_prints(text: str) -> None:
    try:
        spec = Spec.parse(text)
    except ValueError:
        return
    assert Spec.parse(str(spec)) == spec
    assert str(Spec.parse(str(spec))) == str(spec)


@settings(FEW, max_examples=200)
@given(st.text(max_size=30) | st.from_regex(r"\Apoly(norm|relu)\((order|eps|norm|bias)=[^,]{0,6}\)\Z"))
def test_a_canonical_name_is_its_own_canonical_name(text: str) -> None:
    try:
        spec = canonical(text)
    except RegistryError as problem:
        assert str(problem)
        return
    assert canonical(str(spec)) == spec


@FEW
@given(st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_scalar_is_read_as_python_writes_it(value: float) -> None:
    found = scalar(str(value))
    assert found == value
    assert type(found) is type(value)
