"""Every mistake of a suite is located, and every value is what a reader of the file expects."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from polybench.errors import SuiteError
from polybench.kind import kind_of
from polybench.plan.check import Resolved, load_suite
from polybench.plan.located import read
from polybench.plan.schema import schema_text, starter
from polybench.plan.suite import suite_name, suite_paths
from polybench.registry import kinds

ROOT = Path(__file__).parents[2]
SHIPPED = suite_paths(ROOT / "suites")
SUITE = """\
suite: demo
activations: [relu, gelu, swiglu]
reference: swiglu
seeds: [0, 1]
benchmarks:
  - name: mem
    kind: memory
    backends: [eager]
    dtypes: [float32]
    matrix: {level: block, tokens: [64, 128], d_model: 32}
  - name: pre
    kind: pretrain
    matrix: {corpus: stdlib, d_model: 64}
    protocol: {evaluations: 2}
claims:
  - {metric: val_loss, subject: gelu, better_than: relu}
gate:
  - {metric: saved_bytes, tolerance: 5%, where: {level: block}}
"""
# (old, new, line:col, path, essential words), one mistake each.
PLANTED = [
    ("seeds: [0, 1]", "seed: [0, 1]", "4:1", "seed", "unknown key, did you mean 'seeds'?"),
    ("seeds: [0, 1]", "int: 3", "4:1", "int", "unknown key"),
    ("seeds: [0, 1]", "'a(b)': 3", "4:1", "a(b)", "unknown key"),
    ("    dtypes:", "    dtype:", "9:5", "benchmarks[0].dtype", "unknown key, did you mean 'dtypes'?"),
    ("[relu, gelu", "[relu, gellu", "2:21", "activations[1]", "unknown activation 'gellu', did you mean 'gelu'?"),
    ("kind: memory", "kind: memroy", "7:11", "benchmarks[0].kind", "unknown kind 'memroy', did you mean 'memory'?"),
    ("[eager]", "[eagre]", "8:16", "benchmarks[0].backends[0]", "unknown backend 'eagre', did you mean 'eager'?"),
    ("stdlib", "stdlb", "13:22", "benchmarks[1].matrix.corpus", "unknown corpus 'stdlb', did you mean 'stdlib'?"),
    ("[float32]", "[float23]", "9:14", "benchmarks[0].dtypes[0]", "'float23' is unknown, did you mean 'float32'?"),
    ("[relu, gelu", "[polynorm(ordr=2), gelu", "2:15", "activations[0]", "no option 'ordr', did you mean 'order'?"),
    ("[relu, gelu", "[relu(order=2), gelu", "2:15", "activations[0]", "no option 'order', it has none"),
    ("[relu, gelu", "[polynorm(order=9), gelu", "2:15", "activations[0]", "option 'order' of 'polynorm': 9 will"),
    ("[relu, gelu", "[relu(, gelu", "2:15", "activations[0]", "is not a name or name(option=value, ...)"),
    ("[relu, gelu", "['polynorm(eps=inf)', gelu", "2:15", "activations[0]", "'inf' will not do: input should be a fin"),
    ("[relu, gelu", "['polynorm(eps=1e400)', gelu", "2:15", "activations[0]", "'1e400' will not do: input should be"),
    ("[relu, gelu", "['polynorm(bias=nan)', gelu", "2:15", "activations[0]", "'nan' will not do: input should be a fi"),
    ("tolerance: 5%", "tolerance: 5", "18:38", "gate[0].tolerance", "5 is 500%; write 5%, or 500% if that is meant"),
    ("seeds: [0, 1]", "margin: 3", "4:9", "margin", "3 is 300%; write 3%, or 300% if that is meant"),
    ("suite: demo", "suite: published", "1:8", "suite", "'published' is kept: results/published holds other runs"),
    ("suite: demo", "suite: Baselines", "1:8", "suite", "'Baselines' is kept"),
    ("tokens: [64, 128]", "include: 4", "10:37", "benchmarks[0].matrix.include", "this must be a list of mappings"),
    ("tokens: [64, 128]", "include: null", "10:37", "benchmarks[0].matrix.include", "this must be a list of mappings"),
    ("{corpus: stdlib, d_model: 64}", "{include: null}", "13:23", "benchmarks[1].matrix.include", "this must be a li"),
    ("tokens: [64, 128]", "tokens: 10000000000", "10:36", "benchmarks[0].matrix.tokens", "is beyond any number that"),
    ("tokens: [64, 128]", "tokens: many", "10:36", "benchmarks[0].matrix.tokens", "should be a valid integer"),
    ("tokens: [64, 128]", "tokens: [64, -1]", "10:41", "benchmarks[0].matrix.tokens[1]", "greater than 0"),
    ("tokens: [64, 128]", "tokns: 64", "10:28", "benchmarks[0].matrix.tokns", "memory has no axis 'tokns', did you"),
    ("d_model: 32", "d_model: 8", "10:56", "benchmarks[0].matrix.d_model", "nearest, 21, has 1.56% fewer; take d"),
    ("d_model: 32", "d_model: 10", "10:56", "benchmarks[0].matrix.d_model", "nearest, 27, has 1.25% more; take d"),
    ("stdlib, d_model: 64", "stdlib, ffn_width: 16", "13:41", "benchmarks[1].matrix.ffn_width", "11, has 3.12% more"),
    ("stdlib, d_model", "stdlib, experts: 8, top_k: 8, d_model", "13:49", "benchmarks[1].matrix.top_k", "ffn_width 33"),
    ("{level: block}}", "{device: gpu}}", "18:58", "gate[0].where.device", "no cell of this suite has device 'gpu'"),
    ("tokens: [64, 128]", "tokens: []", "10:36", "benchmarks[0].matrix.tokens", "this list is empty"),
    ("tokens: [64, 128]", "tokens: [64, 64]", "10:41", "benchmarks[0].matrix.tokens[1]", "64 stands in this list"),
    ("d_model: 32}", "exclude: [{tokens: 64}, {tokens: 128}]}", "10:56", "benchmarks[0].matrix.exclude", "nothing is"),
    ("d_model: 32}", "exclude: [{tokens: 65}]}", "10:57", "benchmarks[0].matrix.exclude[0]", "this excludes nothing"),
    ("d_model: 32}", "exclude: 7}", "10:56", "benchmarks[0].matrix.exclude", "must be a list of mappings"),
    ("d_model: 32}", "include: [{token: 64}]}", "10:58", "benchmarks[0].matrix.include[0].token", "mean 'tokens'?"),
    ("d_model: 64", "d_model: 65", "13:39", "benchmarks[1].matrix.d_model", "65 cannot be divided into 2 heads"),
    ("stdlib", "'text: no/such/*.txt'", "13:22", "benchmarks[1].matrix.corpus", "no file matches 'no/such/*.txt'"),
    ("stdlib", "manual+manual", "13:22", "benchmarks[1].matrix.corpus", "'manual' stands in it twice"),
    ("stdlib", "'manual+tokens:*.toml'", "13:22", "benchmarks[1].matrix.corpus", "only texts can be joined"),
    ("stdlib", "''", "13:22", "benchmarks[1].matrix.corpus", "corpus is empty"),
    ("{evaluations: 2}", "{evaluation: 2}", "14:16", "benchmarks[1].protocol.evaluation", "mean 'evaluations'?"),
    ("    kind: memory\n", "", "6:5", "benchmarks[0]", "the key 'kind' is missing"),
    ("suite: demo\n", "", "1:1", "", "the key 'suite' is missing"),
    ("suite: demo", f"suite: {'a' * 101}", "1:8", "suite", "it becomes the name of a folder; shorten it to 100 bytes"),
    ("name: pre", f"name: {'ü' * 51}", "11:11", "benchmarks[1].name", "shorten it to 100 bytes"),
    ("suite: demo", "suite: a/b", "1:8", "suite", "it becomes the name of a folder"),
    ("reference: swiglu", "reference: relu2", "3:12", "reference", "'relu2' is not among the activations"),
    ("metric: val_loss", "metric: own acc", "16:14", "claims[0].metric", "no model is kept to be asked that task"),
    ("better_than: relu", "better_than: relu2", "16:52", "claims[0].better_than", "among the activations, which are"),
    ("metric: val_loss", "metric: other_losses", "16:14", "claims[0].metric", "needs texts to be judged on; name them"),
    ("metric: val_loss", "metric: loss on manual", "16:14", "claims[0].metric", "claim other_losses, which asks every"),
    ("{corpus: stdlib,", "{corpus: stdlib, eval_corpora: 'manual, sotu',", "13:44", "benchmarks[1].matrix.eval_corpora",
     "several are joined by +"),
    ("{corpus: stdlib,", "{corpus: stdlib, eval_corpora: sotu+sotu,", "13:44", "benchmarks[1].matrix.eval_corpora",
     "'sotu' stands in it twice"),
    ("better_than: relu", "better_than: gelu", "16:52", "claims[0].better_than", "'gelu' is held against itself"),
    ("gelu, better_than: relu", "swiglu", "16:33", "claims[0].subject", "'swiglu' is the reference; say what it is"),
    ("better_than: relu", "better_than: relu, same_as: swiglu", "16:5", "claims[0]", "say one of better_than and same"),
    ("subject: gelu, better_than: relu", "by: 0.1", "16:5", "claims[0]", "say a subject and what it is better_than"),
    ("better_than: relu", "order: [gelu, relu]", "16:5", "claims[0]", "say an order or a subject, not both"),
    ("subject: gelu, better_than: relu", "order: [gelu]", "16:31", "claims[0].order", "needs 2 values at least"),
    ("subject: gelu, better_than: relu", "order: [gelu, relu, gelu]", "16:44", "claims[0].order[2]", "this order twi"),
    ("subject: gelu, better_than: relu", "order: [gelu, rely]", "16:38", "claims[0].order[1]", "did you mean 'relu'?"),
    ("better_than: relu", "better_than: relu, by: 5%", "16:62", "claims[0].by", "by difference, so say by: in nat"),
    ("better_than: relu", "better_than: relu, by: -1", "16:62", "claims[0].by", "greater than or equal to 0"),
    ("val_loss, subject: gelu, better_than: relu", "saved_bytes, subject: gelu, same_as: relu, by: 5", "16:61",
     "claims[0].by", "5 is 500%; write 5%, or 500% if that is meant"),
    ("val_loss, subject: gelu, better_than", "parameters, subject: gelu, worse_than", "16:53", "claims[0].worse_than",
     "'parameters' has no good direction; claim more_than, less_than or same_as of it"),
    ("val_loss, subject: gelu, better_than", "bits_per_byte, subject: gelu, same_as", "16:5", "claims[0]",
     "bits_per_byte in bit/byte has no margin of its own; say by:"),
    ("saved_bytes, tolerance: 5%, where: {level: block}", "val_loss, tolerance: 5%", "18:35", "gate[0].tolerance",
     "val_loss is compared by difference, so say tolerance: in nat/token, such as 0.01"),
    ("tolerance: 5%", "floor: 2us", "18:34", "gate[0].floor", "a floor is for times, and 'saved_bytes' is none"),
    ("tolerance: 5%", "floor: 2", "18:34", "gate[0].floor", "2 has no unit; write it with one, such as 2us"),
    ("tolerance: 5%", "floor: soon", "18:34", "gate[0].floor", "this is no time; write a number and ns, us,"),
    ("tolerance: 5%", "tolerance: five", "18:38", "gate[0].tolerance", "should be a valid number"),
    ("tolerance: 5%", "tolerance: -1", "18:38", "gate[0].tolerance", "greater than or equal to 0"),
    ("metric: saved_bytes", "metric: save_bytes", "18:14", "gate[0].metric", "'save_bytes', did you mean 'saved_byte"),
    ("where: {level", "where: {levl", "18:50", "gate[0].where.levl", "no cell has 'levl', did you mean 'level'?"),
    ("{level: block}", "{backend: eagr}", "18:59", "gate[0].where.backend", "'eagr', did you mean 'eager'?"),
    ("{level: block}", "{activation: rely}", "18:62", "gate[0].where.activation", "did you mean 'relu'?"),
    ("reference: swiglu", "reference: SwiGLU", "3:12", "reference", "'SwiGLU', did you mean 'swiglu'?"),
    ("    matrix: {corpus", "    steps: 5\n    matrix: {corpus", "13:5", "benchmarks[1].steps", "belongs into matrix:"),
    ("d_model: 64}", "d_model: 64, evaluations: 3}", "13:43", "benchmarks[1].matrix.evaluations", "into protocol:"),
    ("evaluations: 2}", "steps: 2}", "14:16", "benchmarks[1].protocol.steps", "it belongs into matrix:"),
    ("    dtypes:", "\tdtypes:", "9:1", "", "indent by spaces"),
    ("suite: demo", "suite: demo\ndescription: one: two", "2:17", "", "put a text with a colon in quotes"),
    ("name: pre", "name: mem", "6:11", "benchmarks[0].name", "two benchmarks are called 'mem'"),
    ("name: pre", "name: [mem]", "11:11", "benchmarks[1].name", "should be a valid string"),
    ("seeds: [0, 1]", "seeds: [0, 1, 0]", "4:15", "seeds[2]", "0 stands in this list twice"),
    ("seeds: [0, 1]", "seeds: []", "4:8", "seeds", "this list is empty"),
    ("seeds: [0, 1]", "seeds: [-1]", "4:9", "seeds[0]", "greater than or equal to 0"),
    ("seeds: [0, 1]", "seeds: 3", "4:8", "seeds", "3 should be a list: [0, 1, 2] for 3 seeds, [3] for this one alone"),
    ("[relu, gelu", "[relu, gelu, gelu(approximate=none)", "2:27", "activations[2]", "stands in this list twice"),
    ("seeds: [0, 1]", "seeds: [0]\nsuite: again", "5:1", "suite", "this key already stands in line 1"),
    ("seeds: [0, 1]", "seeds: !python [0]", "4:8", "seeds", "the tag !python means nothing here"),
    ("seeds: [0, 1]", "seeds: !!python/object/apply:os [x]", "4:8", "seeds", "the tag !!python/object/apply:os m"),
    ("seeds: [0, 1]", "!!python/name:os.system seeds: [0]", "4:1", "", "the tag !!python/name:os.system means nothing"),
    ("suite: demo", "suite: !!str 5", "1:8", "suite", "the tag !!str means nothing here"),
    ("seeds: [0, 1]", "seeds: &s [*s]", "4:8", "seeds[0]", "an alias stands inside of what it repeats"),
    ("seeds: [0, 1]", "<<: 3", "4:1", "", "<< takes a mapping, or a list of them"),
    ("seeds: [0, 1]", "gate: &g [{<<: *g}]", "4:12", "gate[0]", "<< takes a mapping, or a list of them"),
    ("seeds: [0, 1]", "seeds: @x", "4:8", "", "this is not YAML"),
    ("seeds: [0, 1]", "extends: 5", "4:10", "extends", "one file name is wanted here, not 5"),
    ("seeds: [0, 1]", "extends: other.yaml", "4:10", "extends", "there is no file 'other.yaml' beside this one"),
    ("seeds: [0, 1]", f"extends: {'x' * 300}", "4:10", "extends", "there is no file"),
    ("seeds: [0, 1]", 'extends: "a\\0b"', "4:10", "extends", "there is no file"),
]  # fmt: skip


def write(folder: Path, text: str = SUITE, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    return [str(p) for p in caught.value.problems]


def loaded(folder: Path, text: str = SUITE, overrides: tuple[str, ...] = ()) -> Resolved:
    return load_suite(write(folder, text), overrides)


def test_the_suite_that_mistakes_are_planted_in_has_none(tmp_path: Path) -> None:
    assert loaded(tmp_path).suite.suite == "demo"


@pytest.mark.parametrize(("old", "new"), [("[relu, gelu", "[relu, gellu"), ("kind: memory", "kind: memroy")])
def test_what_only_lacks_a_misspelt_name_is_not_blamed_too(tmp_path: Path, old: str, new: str) -> None:
    assert len(mistakes(write(tmp_path, SUITE.replace(old, new)))) == 1


def test_a_claim_may_be_about_a_task_that_kept_models_will_be_asked(tmp_path: Path) -> None:
    asked = SUITE.replace("metric: val_loss", "metric: own acc").replace("evaluations: 2", "evaluations: 2, save: true")
    assert loaded(tmp_path, asked).suite.claims[0].metric == "own acc"
    assert loaded(tmp_path, asked.replace("own acc", "polybench_cloze acc")).suite.claims


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("polybench_agreemnt acc", "polybench_agreement acc"),
        ("polybnch_cloze acc", "polybench_cloze acc"),
        ("polybench_cloze accuracy", "polybench_cloze acc"),
        ("polybench_ acc", "polybench acc"),
    ],
)
def test_a_task_of_polybench_that_is_misspelt_is_named(tmp_path: Path, said: str, meant: str) -> None:
    asked = SUITE.replace("metric: val_loss", f"metric: {said}").replace("evaluations: 2", "evaluations: 2, save: true")
    (found,) = mistakes(write(tmp_path, asked))
    assert f"16:14: claims[0].metric: no task of polybench scores {said!r}, did you mean {meant!r}?" in found


@pytest.mark.parametrize(("old", "new", "place", "path", "words"), PLANTED, ids=[f"{p[3]}: {p[4]}" for p in PLANTED])
def test_a_mistake_is_located(tmp_path: Path, old: str, new: str, place: str, path: str, words: str) -> None:
    assert old in SUITE
    file = write(tmp_path, SUITE.replace(old, new, 1))
    found = mistakes(file)
    start = f"{file}:{place}: {path}: " if path else f"{file}:{place}: "
    matching = [m for m in found if m.startswith(start) and words in m.removeprefix(start)]
    assert matching, f"wanted {start}...{words}...\nfound " + "\n".join(found)


def test_ten_mistakes_yield_ten_messages_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = SUITE
    ten = [
        ("[relu, gelu,", "[relu, gellu, gelu,"),
        ("reference: swiglu", "reference: swigelu"),
        ("[0, 1]", "[0, 0]"),
        ("kind: memory", "knid: memory\n    kind: memory"),
        ("[eager]", "[eagre]"),
        ("[float32]", "[float23]"),
        ("d_model: 32", "d_model: wide"),
        ("stdlib", "stdlb"),
        ("metric: val_loss", "metric: val_los"),
        ("tolerance: 5%", "tolerance: five"),
    ]
    for old, new in ten:
        text = text.replace(old, new, 1)
    found = mistakes(write(tmp_path, text))
    assert len(found) == 10
    places = [tuple(map(int, re.match(r".*?suite.yaml:(\d+):(\d+): ", m).groups())) for m in found]  # type: ignore[union-attr]
    assert places == sorted(places)


@pytest.mark.parametrize("name", kinds.names())
def test_what_a_kind_makes_no_use_of_is_refused(name: str, tmp_path: Path) -> None:
    kind = kind_of(name)
    models = {"matrix": kind.axes, "protocol": kind.protocol}
    known = {key: part for part, model in models.items() for key in model.model_fields}
    for key in kind.unused:
        benchmark = {"name": "b", "kind": name, known[key]: {key: 1}}
        data = {"suite": "demo", "activations": ["relu"], "reference": "relu", "benchmarks": [benchmark]}
        told = mistakes(write(tmp_path, json.dumps(data)))
        assert any(f"benchmarks[0].{known[key]}.{key}: {name} makes no use of {key}, so leave it" in t for t in told)


@pytest.mark.parametrize("name", kinds.names())
def test_an_axis_that_plays_no_part_in_any_cell_is_refused(name: str, tmp_path: Path) -> None:
    kind = kind_of(name)
    plain = kind.axes()
    some = {"expert_coefficients": "own", **{k: v for k, v in plain.model_dump().items() if v is not None}}
    for axis in {*plain.idle()} - {*kind.unused}:
        benchmark = {"name": "b", "kind": name, "matrix": {axis: some.get(axis, 1)}}
        data = {"suite": "demo", "activations": ["relu"], "reference": "relu", "benchmarks": [benchmark]}
        told = mistakes(write(tmp_path, json.dumps(data)))
        assert any(f"benchmarks[0].matrix.{axis}: {axis} (" in t and "plays no part here" in t for t in told), told


def test_an_axis_that_plays_a_part_in_one_cell_may_be_said(tmp_path: Path) -> None:
    matrix = {"level": ["activation", "decoder"], "layers": [1, 3]}
    benchmark = {"name": "b", "kind": "speed", "matrix": matrix}
    data = {"suite": "demo", "activations": ["relu"], "reference": "relu", "benchmarks": [benchmark]}
    path = write(tmp_path, json.dumps(data))
    assert load_suite(path).suite
    # Who changes the level by -s cannot take away what the file says of the decoder.
    assert load_suite(path, ["b.matrix.level=block"]).suite
    assert load_suite(path, ["b.matrix.level=block", "b.matrix.tokens=4"]).suite
    with pytest.raises(SuiteError, match=r"^-s b\.matrix\.heads=2: .* plays no part here"):
        load_suite(path, ["b.matrix.level=block", "b.matrix.heads=2"])


def test_an_axis_that_plays_no_part_in_an_included_cell_is_refused(tmp_path: Path) -> None:
    text = SUITE.replace("d_model: 32}", "d_model: 32, include: [{tokens: 128, layers: 7}]}", 1)
    assert text != SUITE
    (told,) = mistakes(write(tmp_path, text))
    assert "matrix.include[0].layers: layers (of the decoder) plays no part here" in told


def test_seeds_and_the_margin_of_losses_belong_to_what_has_them(tmp_path: Path) -> None:
    for line in ("seeds: [3, 4]", "loss_margin: 0.5"):
        text = SUITE.replace("kind: memory", f"kind: memory\n    {line}", 1)
        assert text != SUITE
        (told,) = mistakes(write(tmp_path, text))
        assert f"{line.partition(':')[0]}: memory makes no use of {line.partition(':')[0]}, so leave it away" in told


def test_a_tolerance_of_what_is_compared_by_difference_is_a_number_of_any_size(tmp_path: Path) -> None:
    text = SUITE.replace("saved_bytes, tolerance: 5%, where: {level: block}", "val_loss, tolerance: 2")
    assert loaded(tmp_path, text).suite.gate[0].tolerance == 2


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a list\n", "just words\n"])
def test_what_is_no_mapping_is_no_suite(tmp_path: Path, text: str) -> None:
    (found,) = mistakes(write(tmp_path, text))
    assert "a suite is a mapping of keys to values" in found
    assert ".yaml:1:1: " in found or text.startswith("#")


def test_what_would_never_end_is_refused_at_once(tmp_path: Path) -> None:
    text = SUITE.replace("name: mem\n    kind: memory", "name: mem\n    kind: speed").replace(
        "metric: saved_bytes", "metric: total_time"
    )
    text = text.replace("matrix: {level", "protocol: {launches: 1000}\n    matrix: {level")
    text = text.replace("[64, 128]", str([*range(1, 401)]))
    (found,) = mistakes(write(tmp_path, text))
    assert "these are 1,200,000 trials, and more than 1,000,000 never end" in found


@pytest.mark.parametrize("name", ["2024", "true", "null", "1e3", "a b", "0x10", "off"])
def test_a_first_suite_is_called_as_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(starter(path.stem), encoding="utf-8")
    assert load_suite(path).suite.suite == name.replace(" ", "-")


def test_a_file_that_is_missing_or_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path / "nowhere.yaml")
    assert found == f"{tmp_path / 'nowhere.yaml'}: cannot be read: No such file or directory"
    for slip in ("suite.yml", "suite", "suites.yaml"):
        (found,) = mistakes(write(tmp_path).with_name(slip))
        assert found.endswith(f"No such file or directory; did you mean {tmp_path / 'suite.yaml'}?")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary.yaml").write_bytes("suite: é\n# ".encode() + b"\xff")
    assert mistakes(tmp_path / "binary.yaml")[0].startswith(
        f"{tmp_path / 'binary.yaml'}:2:3: this is not UTF-8 text: the byte 0xff"
    )
    assert "Is a directory" in mistakes(tmp_path)[0]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1500,
        "a: &a [x]\n" + "\n".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else '*a'] * 9)}]" for i in range(9)),
        "\n".join(f"a{i}: &a{i} {'[' * 90}{f'*a{i - 1}' if i else 'x'}{']' * 90}" for i in range(40)),
    ],
    ids=["deep", "billion laughs", "deep by aliases"],
)
def test_a_file_that_explodes_is_refused(tmp_path: Path, text: str) -> None:
    assert any(word in mistakes(write(tmp_path, text))[0] for word in ("nested too deeply", "aliases expand"))


def test_yaml_traps_are_closed(tmp_path: Path) -> None:
    pairs = {
        "1e-3": 1e-3, "1e3": 1000.0, ".5": 0.5, "-1": -1, "+7": 7, "true": True, "False": False, "~": None,
        "on": "on", "off": "off", "yes": "yes", "no": "no", "y": "y", "0777": 777, "0x1F": "0x1F", "0o17": "0o17",
        "1:30": "1:30", "2026-01-01": "2026-01-01", "1_000": "1_000", "'1'": "1", '"true"': "true", "=": "=",
        ".inf": ".inf", ".nan": ".nan", "1e999": "1e999", "9" * 5000: "9" * 5000,
    }  # fmt: skip
    located = read(write(tmp_path, "\n".join(f"k{i}: {text}" for i, text in enumerate(pairs))))
    wanted = list(pairs.values())
    assert list(located.data.values()) == wanted
    assert [type(v) for v in located.data.values()] == [type(v) for v in wanted]
    assert not located.problems


def test_two_halves_of_a_character_in_json_are_one(tmp_path: Path) -> None:
    (tmp_path / "\U0001f680.txt").write_text("text " * 1000)
    path = f"text:{tmp_path}/\U0001f680.txt"
    benchmark = {"name": "pre", "kind": "pretrain", "matrix": {"corpus": path}}
    data = {"suite": "demo", "activations": ["relu"], "reference": "relu", "benchmarks": [benchmark]}
    assert "\\ud83d\\ude80" in json.dumps(data)
    assert loaded(tmp_path, json.dumps(data)).suite.benchmarks[0].matrix == {"corpus": path}


def test_a_mapping_takes_over_what_it_does_not_say_itself(tmp_path: Path) -> None:
    text = """
suite: s
activations: [relu, gelu]
reference: relu
benchmarks:
  - {name: a, kind: memory, matrix: &a {level: block, tokens: 8}}
  - {name: b, kind: memory, matrix: &b {<<: *a, tokens: 16}}
  - {name: c, kind: memory, matrix: {<<: [*b, {d_model: 32, level: decoder}]}}
"""
    matrices = [b.matrix for b in load_suite(write(tmp_path, text)).suite.benchmarks]
    assert matrices[1] == {"level": "block", "tokens": 16}
    assert matrices[2] == {"level": "block", "tokens": 16, "d_model": 32}


def test_options_equal_to_the_defaults_are_dropped_from_the_name(tmp_path: Path) -> None:
    text = SUITE.replace("[relu, gelu,", "['polynorm(order=3)', 'polynorm( eps=1e-5, order=2 )', relu, gelu,")
    assert loaded(tmp_path, text).suite.activations[:2] == ["polynorm", "polynorm(eps=1e-05, order=2)"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: suite_name(p, ROOT / "suites"))
def test_every_shipped_suite_validates_and_names_the_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = path.read_text(encoding="utf-8")
    named = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", text.splitlines()[0])
    assert named
    schema = json.loads((path.parent / named[1]).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(read(path).data, schema)
    jsonschema.validate(yaml.safe_load(text), schema)  # what an editor's YAML makes of it
    assert load_suite(path).suite.suite == suite_name(path, ROOT / "suites")


def test_the_schema_beside_the_suites_is_the_one_polybench_prints() -> None:
    assert (ROOT / "suites/schema.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("name", ["mine", "my suite", "../x", ".hidden", "-", "é"])
def test_the_starter_suite_validates(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, starter(name))
    assert load_suite(file).suite.activations
    jsonschema.validate(read(file).data, json.loads(schema_text()))
