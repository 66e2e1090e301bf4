"""The shape of the code: imports point down the floors, and the cold half never needs torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "polybench"

# Every module stands on one floor and imports from its own floor or below.
FLOORS: dict[int, str] = {
    0: "errors spec metric stats stopping document finding machine limits window probe gpu_state software survey "
    "environment cost clocks meeting shape rates thinning curves stream reading dynamics_metrics",
    1: "doctor_gpu doctor cell registry suite located record presets",
    2: "traces executor options layers kind store explain source corpus tokenizer "
    "token_cache shard pretokenized precision",
    3: "team ranks parts sources axes language tuning points elsewhere matrix runner derive "
    "frame schema catalogue rounding backends.standard backends.liger corpora.texts corpora.records corpora.shards "
    "activations.relu activations.gelu activations.swiglu "
    "activations.geglu activations.polyrelu activations.polynorm activations.gated_polynorm",
    4: "matrix_check tuning_check collector judgements regression plan compare build operators allocation worker "
    "benchmarks.speed benchmarks.memory benchmarks.loss_curve "
    "benchmarks.pretrain benchmarks.selfcheck benchmarks.accuracy",
    5: "check selfcheck gate table grouping opening ffn moe correct",
    6: "session merge resolved scores profile_table answer overview loss_table way spread scaling "
    "baseline verdicts progress decoder workshop figure error_table error_figure dynamics_figure dynamics_table labels",
    7: "codec harness_tasks cluster launch rate_report scaling_report checkpoint distributed "
    "roofline compose training evaluation course utilisation timing gpu_timing profiling draw dynamics",
    8: "harness blocks reports.text reports.html",
    9: "cli_suites cli_doctor cli_eval cli_selfcheck cli_trace cli_merge",
    10: "cli_run",
    11: "cli",
    12: "__main__ __init__",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
HOT = {
    *("checkpoint", "distributed", "meeting", "evaluation", "course", "harness", "utilisation", "dynamics"),
    *(
        "operators",
        "build",
        "ffn",
        "moe",
        "decoder",
        "training",
        "timing",
        "gpu_timing",
        "blocks",
        "profiling",
        "workshop",
    ),
    *("allocation", "worker", "rounding", "precision", "correct", "backends.standard", "backends.liger"),
    *("activations.relu", "activations.gelu", "activations.swiglu", "activations.geglu"),
    *("activations.polyrelu", "activations.polynorm", "activations.gated_polynorm"),
}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if not name.endswith(".__init__"):
            found[name] = path
    return found


def imports(path: Path, top_only: bool) -> set[str]:
    """Names of polybench's modules, and of other packages, that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(tree.body) if top_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return found


def inside(names: set[str]) -> set[str]:
    return {n.removeprefix("polybench.") for n in names if n.startswith("polybench.")} & set(modules())


def test_every_module_has_its_floor() -> None:
    assert set(modules()) == set(FLOOR)


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_at_the_top_point_down(name: str) -> None:
    for other in inside(imports(modules()[name], top_only=True)):
        assert FLOOR[other] <= FLOOR[name], f"{name} imports {other} from a higher floor"


def test_imports_at_the_top_have_no_cycle() -> None:
    edges = {name: inside(imports(path, top_only=True)) - {name} for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in edges:
        visit(name, ())


@pytest.mark.parametrize("name", sorted(set(modules()) - HOT - {"__init__"}))
def test_cold_modules_import_no_torch_at_the_top(name: str) -> None:
    top = imports(modules()[name], top_only=True)
    assert not {n for n in top if n.split(".")[0] in ("torch", "pandas", "matplotlib", "scipy", "numpy")}
    assert not inside(top) & HOT - {"worker"}


@pytest.mark.parametrize("name", sorted(HOT))
def test_hot_modules_open_no_results_and_parse_no_yaml(name: str) -> None:
    assert not inside(imports(modules()[name], top_only=False)) & {"store", "located", "layers", "check", "cli"}


def test_the_cold_half_runs_without_torch_installed() -> None:
    """Every cold module is imported in a process where torch cannot be."""
    cold = sorted(set(modules()) - HOT - {"__main__"})
    code = (
        "import sys, importlib\n"
        "sys.modules['torch'] = None\n"
        f"for name in {cold!r}: importlib.import_module('polybench.' + name)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
