"""The pages: their commands run, their code and suites work, their paths exist, and what exists stands on them."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import shlex
import shutil
import statistics
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import typer.main
import yaml
from builders import exact, run, save, suite
from commands import ROOT, Capture, call

import polybench
from polybench import errors, registry
from polybench.cli import main
from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.decision import Ruling
from polybench.compare.judged import Judged
from polybench.document import Document
from polybench.kind import Kind, kind_of
from polybench.measure.presets import PRESETS
from polybench.metric import Metric
from polybench.plan.check import load_suite
from polybench.plan.suite import DTYPES, Benchmark, Claim, Rule, Suite, Tune, suite_paths
from polybench.record import Measurement, Record, Status
from polybench.report import compose, wording
from polybench.report.formats.markdown import markdown
from polybench.report.tracking import tracked
from polybench.run import store
from polybench.trial import Cell, Trial

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [*PAGES, ROOT / "results" / "README.md"]
TEXT = {page: page.read_text(encoding="utf-8") for page in LINKED}
WHOLE = "\n".join(TEXT[page] for page in PAGES)
MOST_LINES = 150  # of the README
QUICK = store.load(ROOT / "results" / "published" / "quick")
LATEST = "2026-11-26T09-00-00"  # the run that the pages speak of
POLYBENCH: Any = typer.main.get_command(main.app)
COMMANDS: dict[str, Any] = POLYBENCH.commands

# What is not run as it stands, by how it begins. The first entry that fits counts.
# *parsed*: by the real command with all of its options; *planned*: so, and all but the measuring is done.
NOT_RUN = {
    "run --resume": "parsed",  # would measure, and refuses to since the code is another one than that of the run
    "run": "planned",
    "doctor": "parsed",  # four seconds; tests of the doctor run it
    "selfcheck": "parsed",  # minutes; tests of the selfcheck run it with few cells
    "judge suites/quick.yaml": "parsed",  # would measure; tests of it run one
    "compare": "parsed",  # minutes, and a repository; tests of compare make one
    "calibrate": "parsed",  # minutes; tests of the gate make up its sessions
    "gate --baseline mine --self-check": "parsed",  # of what a calibration left
    "pool": "parsed",  # needs several sessions; tests of the pool make some
    "eval": "parsed",  # needs a trained model and lm-evaluation-harness
    "learned": "parsed",  # needs a published model; tests of it make small ones
    f"trace results/quick/{LATEST}": "parsed",  # serves until Ctrl-C
}
N, F = 4, 8  # rows and width of what activations are tried on
MADE = {
    "results/",
    "results/gpu/",
    "results/ledger/",
    "results/SUITE/TIME",
    "results/SUITE/compare-TIME",
    "results/SUITE/history.html",
}  # paths that a run makes


def fences(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in one of these languages."""
    return [
        body for language, body in re.findall(r"^```(\w*)\n(.*?)^```", TEXT[page], re.M | re.S) if language in languages
    ]


def spans(text: str) -> list[str]:
    """What stands between backticks, on one line or over two, outside of code blocks."""
    return [" ".join(s.split()) for s in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))]


def commands(page: Path) -> list[list[str]]:
    """Arguments of every `polybench` in the code blocks of a page, without what a shell does with the output."""
    lines = (shlex.split(line, comments=True) for block in fences(page, "sh") for line in block.splitlines())
    return [line[1 : line.index(">") if ">" in line else None] for line in lines if line[:1] == ["polybench"]]


def how(arguments: list[str]) -> str:
    line = " ".join(arguments)
    return next((way for start, way in NOT_RUN.items() if f"{line} ".startswith(f"{start} ")), "run")


def thinned(record: Record) -> Record:
    """Without most of its curves, which take most of the time of a report."""
    kept = tuple(m for m in record.measurements if m.steps is None or m.metric in ("val_curve", "train_time"))
    return dataclasses.replace(record, measurements=kept)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the shipped suites, the published runs, and what the commands of the pages would find there."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "suites").symlink_to(ROOT / "suites")
    shutil.copytree(ROOT / "results" / "baselines", folder / "results" / "baselines")
    for copy in ("results/published/quick", f"results/quick/{LATEST}", "ci-run"):
        store.create(folder / copy, {k: v for k, v in QUICK.header.items() if k != "schema_version"})
        store.append(folder / copy, [thinned(record) for record in QUICK.records])
    traces = folder / "results" / "quick" / LATEST / "traces"
    traces.mkdir()
    for name in ("relu", "polynorm"):
        (traces / f"{name}.pt.trace.json.gz").touch()
    of = suite(benchmarks=[{"name": "memory", "kind": "memory"}])
    for part, name in enumerate(of.activations, 1):
        save(run(exact({name: 1}), of), folder / f"part-{part}", filter=None, shard=f"{part}/3")
    for file in ("shards/train.bin", "more/a.txt"):
        (folder / file).parent.mkdir()
        (folder / file).touch()
    yield folder


@pytest.fixture
def here(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workshop)
    monkeypatch.setattr(main, "listen", lambda: None)
    monkeypatch.setattr(compose, "compose", composed)
    return workshop


original = compose.compose


@cache
def made(path: Path) -> Document:
    """The report of a run with the first of its pictures: to draw all takes longer than all else here."""
    document = original(store.load(path))
    return dataclasses.replace(document, figures=document.figures[:1])


def composed(one: store.Run) -> Document:
    """Made once for all commands that show it."""
    return made(one.path)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_of_a_page_runs(page: Path, here: Path, capsys: Capture) -> None:
    for arguments in commands(page):
        name, *rest = arguments
        way = how(arguments)
        COMMANDS[name].make_context(name, list(rest))
        if way != "parsed":
            code = call(*arguments, *(["--dry-run"] if way == "planned" and "--dry-run" not in rest else []))
            assert code == 0, f"{shlex.join(['polybench', *arguments])}: {code}, {capsys.readouterr().err}"
            assert "".join(capsys.readouterr()).strip()


def test_what_is_not_run_stands_on_a_page() -> None:
    shown = [" ".join(arguments) for page in PAGES for arguments in commands(page)]
    for start in NOT_RUN:
        assert any(f"{line} ".startswith(f"{start} ") for line in shown), start


@pytest.mark.parametrize("page", LINKED, ids=lambda p: p.name)
def test_commands_within_sentences_exist_with_their_options(page: Path) -> None:
    for span in spans(TEXT[page]):
        if re.match(r"polybench [a-z]", span):
            name, *rest = shlex.split(span)[1:]
            assert name in COMMANDS, span
            known = options(name) | {"-h", "--help"}
            assert {word for word in rest if word.startswith("-")} <= known, span


def parameters(name: str) -> list[Any]:
    """Of a command, or of all that a group of commands has."""
    found = COMMANDS[name]
    return [*found.params, *(p for one in getattr(found, "commands", {}).values() for p in one.params)]


def options(name: str) -> set[str]:
    return {o for p in parameters(name) for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """Every Python block of the pages as a module of an installed package, run."""
    blocks = [block for page in PAGES for block in fences(page, "python")]
    folder = tmp_path_factory.mktemp("site")
    info = folder / "polybench_pages-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polybench-pages\nVersion: 1.0\n", encoding="utf-8")
    names = [f"polybench_page_{i}" for i in range(len(blocks))]
    points = "".join(f"{n} = {n}\n" for n, block in zip(names, blocks, strict=True) if ".register(" in block)
    (info / "entry_points.txt").write_text(f"[polybench]\n{points}", encoding="utf-8")
    for name, block in zip(names, blocks, strict=True):
        (folder / f"{name}.py").write_text(block, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(ROOT)
        registry._scan.cache_clear()
        yield {name: importlib.import_module(name) for name in names}
    registry._scan.cache_clear()
    for one in registry.REGISTRIES:
        for known in [k for k in one._loaded.values() if k.object.__module__ in names]:
            del one._loaded[known.name]
    for name in names:
        sys.modules.pop(name, None)


def test_the_code_of_the_pages_works_as_an_installed_package(package: dict[str, ModuleType], tmp_path: Path) -> None:
    mine = {r.name: [e for e in r.entries().values() if e.module in package] for r in registry.REGISTRIES}
    assert all(mine.values()), "an example of each registry"
    assert not [entry for entries in mine.values() for entry in entries if entry.error]
    import torch

    from polybench.corpora.source import CorpusName
    from polybench.measure.instruments.allocation import saved_bytes

    for entry in mine["activations"]:
        module, width = polybench.activation(entry.name), entry.facts.get("branches", 1) * F
        x = torch.randn(N, width, requires_grad=True)
        for backend in mine["backends"]:
            assert torch.allclose(registry.backends.load(backend.name).object(module)(x), module(x))
        if hasattr(module, "cost"):
            kept = saved_bytes(partial(module, x), tuple(module.parameters()))
            assert kept == module.cost().saved_bytes(N, F, x.element_size())
        assert torch.autograd.gradcheck(module.double(), x.detach().double().requires_grad_())
    for entry in mine["kinds"]:
        kind = kind_of(entry.name)
        cell = Cell(kind.name, kind.version, "relu", "eager", "cpu", "float32", ())
        items = [item for _, item in kind.run([Trial("x", cell, 0)], kind.axes(), kind.protocol())]
        assert {i.metric for i in items if isinstance(i, Measurement)} == {m.name for m in kind.metrics}
    for entry in mine["corpora"]:
        assert len(list(CorpusName.parse(entry.name).source().read())) > 1  # type: ignore[union-attr]
    for entry in mine["outlets"]:
        judged = Judged("gate", "toy", (), 0, "gate passed")
        assert registry.outlets.load(entry.name).object(judged, "first\n").startswith("first\ngate toy: 0")
    for entry in mine["loggers"]:
        assert registry.loggers.load(entry.name).object(tracked(QUICK), tmp_path)
        assert any("val_curve" in file.read_text(encoding="utf-8") for file in tmp_path.iterdir())
    for entry in mine["formats"]:
        text = registry.formats.load(entry.name).object(made(QUICK.path))
        assert "At equal tokens" in text


def test_every_suite_of_the_pages_validates(package: dict[str, ModuleType], here: Path) -> None:
    base: dict[str, Any] = {"suite": "page", "activations": ["relu", "gelu", "swiglu"], "reference": "swiglu"}
    speed = {"name": "speed", "kind": "speed", "matrix": {"level": "block"}}
    base["benchmarks"] = [speed, {"name": "memory", "kind": "memory"}, {"name": "pretrain", "kind": "pretrain"}]
    blocks = [block for page in PAGES for block in fences(page, "yaml")]
    assert len(blocks) > 3
    for block in blocks:
        path = here / "page.yaml"
        path.write_text(yaml.safe_dump({**base, **yaml.safe_load(block)}), encoding="utf-8")
        load_suite(path, ())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_says_first_what_it_is_for(page: Path) -> None:
    assert re.match(r"# \w.*\n\n" + ("" if page == README else "This page is for "), TEXT[page])
    languages = re.findall(r"^```(\w*)\n.*?^```", TEXT[page], re.M | re.S)
    assert set(languages) <= {"sh", "python", "yaml", "toml", "text"}  # no other block would be held to anything
    for block in fences(page, "toml"):
        tomllib.loads(block)


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(TEXT[README].splitlines()) <= MOST_LINES
    for page in PAGES[1:]:
        assert f"({page.relative_to(ROOT).as_posix()})" in TEXT[README]


@pytest.mark.parametrize("page", LINKED, ids=lambda p: p.name)
def test_every_path_and_link_leads_somewhere(page: Path) -> None:
    pattern = r"(?:suites|results|tests|polybench|docs|\.ci)/[\w./-]*"
    for path in (s for s in spans(TEXT[page]) if re.fullmatch(pattern, s) and s not in MADE):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(([^)]+)\)", TEXT[page]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", TEXT[page], flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def documented(name: str, text: str = WHOLE) -> bool:
    """Whether it stands in code: between backticks, or in a block."""
    code = [*spans(text), *re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)]
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", part) for part in code)


def test_all_that_is_registered_is_documented() -> None:
    names = {n for r in registry.REGISTRIES if r.name != "activations" for n in r.names()}
    names |= {r.name for r in registry.REGISTRIES} | {
        p.relative_to(ROOT).as_posix() for p in suite_paths(ROOT / "suites")
    }
    names |= {*PRESETS, *DTYPES, *Status, *get_args(Ruling)}
    assert not sorted(n for n in names if not documented(n))


def test_the_page_of_activations_has_all_with_their_options_and_users() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|(.*)\|$", TEXT[ROOT / "docs" / "activations.md"], re.M)
    shown = {name: (set(re.findall(r"`([a-z_]+)`", options)), users.strip()) for name, options, users in rows}
    entries = {n: e for n, e in registry.activations.entries().items() if e.origin.startswith("polybench/")}
    assert shown == {name: (set(e.options), e.facts.get("used_by", "")) for name, e in entries.items()}


def test_all_that_a_suite_may_say_is_documented() -> None:
    models = [Suite, Benchmark, Tune, Claim, Rule]
    kinds = [kind_of(name) for name in registry.kinds.names()]
    fields = {f for m in (*models, *(k.axes for k in kinds), *(k.protocol for k in kinds)) for f in m.model_fields}
    fields |= {m.name for k in kinds for m in (*k.metrics, *k.derived) if not m.curve}
    assert not sorted(f for f in (*fields, "extends", "include", "exclude") if not documented(f))


@pytest.mark.parametrize("model", [Kind, Metric], ids=lambda m: m.__name__.lower())
def test_the_fields_of_kinds_and_metrics_are_documented(model: Any) -> None:
    page = TEXT[ROOT / "docs" / "extending.md"]
    table = page.partition(f"| of a {model.__name__.lower()} | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines() for name in spans(row.split("|")[1])]
    given = {"name", "run"} if model is Kind else set()  # by the decorator and by what stands below it
    assert sorted(told) == sorted({f.name for f in dataclasses.fields(model)} - given)


def test_every_command_is_documented_with_its_options() -> None:
    page = TEXT[ROOT / "docs" / "commands.md"]
    assert all(documented(option, page) for parameter in POLYBENCH.params for option in parameter.opts)
    told = set()
    for heading, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.M | re.S):
        names = heading.split(", ")
        told |= set(names)
        every = [p for name in names for p in parameters(name)]
        needed = {max(p.opts, key=len) for p in every} | {o for p in every for o in p.secondary_opts}
        assert not sorted(o for o in needed if o.startswith("--") and not documented(o, text)), heading
        shown = {span.split()[0] for span in spans(text) if span.startswith("--")}
        assert shown <= {o for name in names for o in options(name)}, heading
    assert told == set(COMMANDS)


def test_every_extra_is_documented_and_every_target_of_make_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert not sorted(e for e in extras if not documented(e, TEXT[ROOT / "docs" / "measuring.md"]))
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"(?:^|`)make (\w+)", WHOLE, re.M)) <= set(targets)


def test_every_exit_code_is_documented() -> None:
    codes = {
        getattr(e, "exit_code", 2)
        for e in vars(errors).values()
        if isinstance(e, type) and issubclass(e, errors.PolybenchError)
    }
    section = TEXT[ROOT / "docs" / "gate.md"].partition("## Exit codes")[2]
    assert {int(n) for n in re.findall(r"^\| (\d+) \|", section, re.M)} == codes | {0, 1, 4}


def test_every_fault_is_held_by_tests_that_exist() -> None:
    page = TEXT[ROOT / "docs" / "faults.md"]
    there = {name for file in (ROOT / "tests").rglob("test_*.py")
             for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}  # fmt: skip
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    named = [set(re.findall(r"`(test_\w+)`", row[-1])) for row in rows if row[0] != "case"]
    assert all(named) and set.union(*named) <= there, set.union(*named) - there


def test_every_verdict_is_a_word_that_is_explained() -> None:
    words = TEXT[ROOT / "docs" / "words.md"]
    outcomes = {*wording._OUTCOMES.values(), *wording._OUTCOMES_OF_TIME.values(), "better", "worse", "same", "unstable"}
    assert not sorted(o for o in outcomes - {""} if f"**{o}**" not in words)


def test_every_interval_of_the_readme_stands_in_the_report_of_a_published_run() -> None:
    published = ROOT / "results" / "published"
    reports = [markdown(made(published / name)) for name in ("quick", "speed", "pretrain-cpu")]
    for name in (
        "pretrain-cpu-0.9m",
        "pretrain-cpu-order",
        "pretrain-cpu-long",
        "paper/ledger",
        "paper/compositions",
        "paper/size",
    ):
        reports.append((published / name / "report.md").read_text(encoding="utf-8"))
    figure = r"[−+]?\d[\d.,]* \[[^\]]+\]"
    known = {found for report in reports for found in re.findall(figure, report)}
    shown = set(re.findall(figure, TEXT[README]))
    assert shown
    assert not sorted(shown - known)


def test_the_table_of_equal_losses_is_the_one_of_the_notes() -> None:
    notes = (ROOT / "results" / "notes" / "loss-verdicts.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| run \| cells .*?\n\n", TEXT[ROOT / "docs" / "measuring.md"], re.M | re.S)
    assert len(table) == 1 and table[0] in notes


def test_the_table_of_the_gate_is_of_the_notes() -> None:
    notes = (ROOT / "results" / "notes" / "gate-power.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (?:sessions differ by|.* \| 20) \|.*$", TEXT[ROOT / "docs" / "gate.md"], re.M)
    assert len(table) == 7 and all(f"{row}\n" in notes for row in table)


def test_what_stands_after_in_the_study_of_resolution_is_in_the_published_runs() -> None:
    notes = (ROOT / "results" / "notes" / "resolution.md").read_text(encoding="utf-8")
    after = {row[0]: row[1] for row in re.findall(r"^\| (.*?) \| .*? \| (.*?) \|$", notes, re.M)}
    runs = {name: store.load(ROOT / "results" / "published" / name) for name in ("quick", "speed", "pretrain-cpu")}

    def told(name: str, metric: str) -> list[Comparison]:
        every = Comparisons.of(runs[name]).to_reference(metric).values()
        return [c for c in every if c.change and c.activation != "swiglu"]

    def minutes(name: str) -> str:
        began, ended = (datetime.fromisoformat(runs[name].header[at]) for at in ("started_at", "finished_at"))
        return f"{(ended - began).total_seconds() / 60:.1f}"

    def halves(several: list[Comparison], unit: float | None = None) -> list[float]:
        return sorted((c.change.high - c.change.low) / 2 / (unit or c.change.value) for c in several if c.change)

    losses, times, open_ = told("quick", "val_loss"), told("speed", "total_time"), ("unresolved", "unstable")
    tokens, nats = halves(told("quick", "step_throughput")), halves(told("pretrain-cpu", "val_loss"), 1.0)
    rows = {
        "`suites/quick.yaml`: of six losses decided": str(sum(c.outcome not in open_ for c in losses)),
        "half-widths of tokens/s there": f"{tokens[0] * 100:.1f} to {tokens[-1] * 100:.1f} %",
        "minutes of the quick suite": minutes("quick"),
        "`suites/speed.yaml`: rows of": f"{sum(h <= 0.02 for h in halves(times))} of {len(times)}",
        "not resolved there": f"{sum(c.outcome in open_ for c in times)} of {len(times)}",
        "minutes of speed": minutes("speed"),
        "half-width of a whole training": f"{statistics.median(halves(told('speed', 'step_time'))) * 100:.1f} %",
        "`suites/pretrain-cpu.yaml`: half-widths": f"{nats[0]:.4f} to {nats[-1]:.4f} (",
    }
    found = {start: "".join(v for k, v in after.items() if k.startswith(start)) for start in rows}
    assert not {start: said for start, said in found.items() if not said.startswith(rows[start])}


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / ".ci" / "readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_made_from_the_published_run() -> None:
    writer = generator()
    written = writer.placed(TEXT[README], writer.section(writer.document()))
    assert writer.placed(written, writer.in_ten_lines(), writer.LEDGER) == TEXT[README]


def test_the_table_of_the_selfcheck_is_made_from_the_published_run() -> None:
    writer, page = generator(), TEXT[ROOT / "docs" / "measuring.md"]
    checked = writer.selfchecked()
    assert writer.placed(page, writer.rules(checked), writer.CHECK) == page
    assert markdown(checked) == (writer.CHECK / "table.md").read_text(encoding="utf-8")
