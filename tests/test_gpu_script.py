"""The steps of .ci/gpu as a machine with a GPU would take them, by a Python that only says what it was asked."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

# Tells its arguments; makes the folder of a run; fails where FAILS matches.
PYTHON = """\
#!/bin/sh
echo "$TORCHINDUCTOR_COMPILE_THREADS: $*" >> "$ASKED"
out=
case "$*" in *" --dry-run"*) exit 0 ;; *"polybench run "*" --out "*) out=${*##*--out } && out=${out%% *} ;; esac
[ -z "$out" ] || { mkdir -p "$out" && echo '{}' > "$out/run.json"; }
case "$*" in $FAILS) echo "FAILED tests/of.py::one" && exit 1 ;; esac
"""


@dataclass(frozen=True)
class Script:
    folder: Path

    def run(self, *steps: str, fails: str = "") -> subprocess.CompletedProcess[str]:
        python = self.folder / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        own = {"PYTHON": str(python), "OUT": str(self.folder / "out"), "SITE": str(self.folder / "site")}
        own |= {"ASKED": str(self.folder / "asked"), "FAILS": fails, "WHEELS": str(self.folder)}
        environment = {**os.environ, **own, "PACKED": str(self.folder / "all.tgz")}
        (self.folder / "asked").unlink(missing_ok=True)
        return subprocess.run([".ci/gpu", *steps], env=environment, capture_output=True, text=True, check=False)

    def asked(self, part: str) -> list[str]:
        return [line for line in (self.folder / "asked").read_text().splitlines() if part in line]

    def packed(self) -> set[str]:
        with tarfile.open(self.folder / "all.tgz") as kept:
            return {name.removeprefix("./") for name in kept.getnames()}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def test_kernels_are_compiled_ahead_then_timed_with_no_pool_beside_them(script: Script) -> None:
    done = script.run("kernels")
    assert done.returncode == 0, done.stderr
    ahead = script.asked("--shard")
    assert len(ahead) == 4 and all(line.startswith("4: ") for line in ahead)
    (timed,) = script.asked(f"--out {script.folder}/out/kernels")
    assert timed.startswith("1: ") and (script.folder / "asked").read_text().index(timed) > max(
        (script.folder / "asked").read_text().index(line) for line in ahead
    )
    assert {"right.log", "kernels/run.json", "kernel_times.done", "graphs.done"} <= script.packed()
    assert script.run("kernels").returncode == 0 and not (script.folder / "asked").exists(), "all of it was done"


def test_a_case_that_fails_is_told_and_costs_no_times(script: Script) -> None:
    done = script.run("kernels", fails="*test_triton.py*")
    assert done.returncode == 1
    assert "FAILED tests/of.py::one" in done.stdout and "kernel_times: done" in done.stdout


def test_times_that_were_stopped_are_gone_on_with_and_packed(script: Script) -> None:
    script.run("kernels", fails=f"*--out {script.folder}/out/kernels*")
    assert "kernels/run.json" in script.packed() and "kernel_times.done" not in script.packed()
    assert script.run("kernels").returncode == 0
    assert script.asked("--resume") and not script.asked("--out ") and not script.asked("test_triton")


@pytest.mark.parametrize(("name", "parts", "threads"), [("dense", 4, "4"), ("cost", 1, "1")])
def test_a_suite_of_the_paper_is_measured_in_parts_unless_it_is_timed(
    name: str, parts: int, threads: str, script: Script
) -> None:
    script.run("paper", name, fails="*polybench merge*")
    asked = script.asked(f"suites/paper/gpu/{name}.yaml")
    assert len(asked) == parts and all(line.startswith(f"{threads}: ") for line in asked)
