"""The command line: one sentence and a code for every mistake, and nothing heavy for what is light."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
from builders import exact, losses, run, save, suite
from commands import HEAVY, ROOT, Capture, call, python

from polybench.cli import main
from polybench.machine.environment import version
from polybench.plan.suite import suite_name, suite_paths
from polybench.registry import REGISTRIES

QUICK = "suites/quick.yaml"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory with the shipped suites in it; no signal handler is left behind."""
    (tmp_path / "suites").symlink_to(ROOT / "suites")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


def test_help_version_list_and_schema_say_what_is_there(capsys: Capture) -> None:
    assert call("--help") == 0
    shown = capsys.readouterr().out
    commands = (
        "run",
        "merge",
        "report",
        "history",
        "export",
        "pool",
        "plan",
        "validate",
        "list",
        "gate",
        "judge",
        "baseline",
        "calibrate",
        "schema",
        "init",
        "doctor",
        "selfcheck",
        "trace",
        "eval",
    )
    assert all(f"  {command} " in shown for command in commands)
    for command in commands:
        assert call(command, "-h") == 0
    capsys.readouterr()
    assert call("--version") == 0
    assert capsys.readouterr().out == f"polybench {version()}\n"
    assert call("schema") == 0
    assert capsys.readouterr().out == (ROOT / "suites/schema.json").read_text()
    assert call("list") == 0
    text = capsys.readouterr().out
    assert call("list", "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert {e["name"] for found in entries.values() for e in found} >= {n for r in REGISTRIES for n in r.names()}
    assert {e["name"]: Path(e["origin"]) for e in entries["suites"]} == {suite_name(p): p for p in suite_paths()}
    assert {"quick", "gpu-speed"} <= {e["name"] for e in entries["suites"]}
    for found in entries.values():
        for entry in found:
            assert entry["summary"] and entry["origin"], entry
            assert entry["name"] in text and entry["summary"] in text


def test_no_line_of_the_help_is_cut(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command has a first line that fits beside its name on a terminal of 80 columns, and says something."""
    monkeypatch.setenv("COLUMNS", "80")
    everything = typer.main.get_command(main.app)
    for group in ([], ["baseline"]):
        assert call(*group, "--help") == 0
        shown = capsys.readouterr().out
        assert "..." not in shown.partition("Commands:")[2] and max(map(len, shown.splitlines())) <= 80
        parent: Any = everything.commands[group[0]] if group else everything  # type: ignore[attr-defined]
        for name, command in parent.commands.items():
            first = (command.help or "").partition("\n")[0]
            assert first.endswith(".") and f"{name} " in shown and first in shown


def test_a_suite_is_validated_resolved_and_planned(capsys: Capture) -> None:
    assert call("validate", QUICK) == 0
    assert capsys.readouterr().out == f"{QUICK}: ok\n"
    assert call("validate", "--resolved", "-s", "margin=0.1", QUICK) == 0
    told = capsys.readouterr().out
    assert "# -s margin=0.1" in told and f"# {QUICK}:5" in told and "# default" in told
    assert call("plan", "--device", "cpu", "--json", "--filter", "memory", QUICK) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["cells"] == len(made["trials"]) and made["device"] == "cpu"
    assert [b["benchmark"] for b in made["benchmarks"]] == ["memory"]
    assert call("plan", "--device", "cpu", "--filter", "memory", QUICK) == 0
    told = capsys.readouterr()
    assert call("run", "--dry-run", "--device", "cpu", "--filter", "memory", QUICK) == 0
    assert capsys.readouterr() == told
    assert call("run", "--dry-run", "--device", "cuda", "--cluster", "slurm", "--filter", "memory", QUICK) == 0
    assert "on cuda" in capsys.readouterr().err  # which the nodes have, whatever is here
    assert f"memory: kind memory, {len(made['trials'])} trials, about " in told.out and "trials" in told.err
    assert "memory/relu/" not in told.out
    assert call("plan", "--device", "cpu", "--filter", "memory", "--trials", QUICK) == 0
    assert {line.strip() for line in capsys.readouterr().out.splitlines()} >= set(made["trials"])
    parts = []
    for i in range(1, 4):
        assert call("plan", "--device", "cpu", "--filter", "memory", "--shard", f"{i}/3", "--json", QUICK) == 0
        parts += json.loads(capsys.readouterr().out)["trials"]
    assert sorted(parts) == sorted(made["trials"])
    assert not Path("results").exists()


def test_a_dry_run_of_what_is_left_makes_no_folder(capsys: Capture) -> None:
    of = suite(benchmarks=[{"name": "memory", "kind": "memory"}])
    save(run(exact({"relu": 1}), of), Path("kept"), filter=None)
    assert call("run", "--resume", "kept", "--dry-run", "--force", "--json") == 0
    left = json.loads(capsys.readouterr().out)["trials"]
    assert left == ["memory/swiglu", "memory/polynorm"]
    parts = []
    for i in (1, 2):
        part = ("--shard", f"{i}/2", "--out", "part")
        assert call("run", "--resume", "kept", "--dry-run", "--force", "--json", *part) == 0
        parts += json.loads(capsys.readouterr().out)["trials"]
    assert parts == left and not Path("part").exists()


def test_parts_are_merged_and_what_is_missing_is_listed(capsys: Capture) -> None:
    of = suite(benchmarks=[{"name": "memory", "kind": "memory"}])
    for name in ("relu", "swiglu"):
        save(run(exact({name: 1}), of), Path(name), filter=None, shard="1/3")
    assert call("merge", "relu", "swiglu", "--out", "both") == 0
    out, err = capsys.readouterr()
    assert out == "results: both\n"
    assert "missing: memory/polynorm\n" in err
    assert err.splitlines()[-1] == "2 of 3 trials; go on with: polybench run --resume both"
    assert call("merge", "relu", "swiglu", "--out", "both") == 2
    assert "is not empty, so nothing was written" in capsys.readouterr().err


def test_mistakes_of_several_suites_are_told_together(capsys: Capture) -> None:
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text("suit: x\n")
    assert call("validate", "a.yaml", QUICK, "b.yaml") == 2
    out, err = capsys.readouterr()
    assert out == f"{QUICK}: ok\n"
    assert "a.yaml:1:1: suit: unknown key, did you mean 'suite'?" in err
    assert "b.yaml:1:1: suit: unknown key" in err


def test_init_writes_a_suite_that_validates_and_never_overwrites(capsys: Capture) -> None:
    assert call("init", "mine.yaml") == 0
    assert call("validate", "mine.yaml") == 0
    before = Path("mine.yaml").read_bytes()
    capsys.readouterr()
    assert call("init", "mine.yaml") == 2
    assert "is there already, so nothing was written" in capsys.readouterr().err
    assert Path("mine.yaml").read_bytes() == before
    assert call("init", "no/such/folder/x.yaml") == 2
    assert "cannot be written" in capsys.readouterr().err


WRONG: list[tuple[Sequence[str], str]] = [
    (["run"], "say which suite to run"),
    (["run", "nowhere.yaml"], "cannot be read"),
    (["plan", "nowhere.yaml"], "cannot be read"),
    (["validate", "nowhere.yaml"], "cannot be read"),
    (["validate"], "Missing argument"),
    (["run", QUICK, "--frobnicate"], "No such option"),
    (["frobnicate"], "No such command"),
    (["run", QUICK, "--device", "tpu"], "did you mean"),
    (["run", QUICK, "-s", "nonsense"], "write it as key=value"),
    (["run", QUICK, "-s", "seeds=x"], "'x' should be a list: [x]"),
    (["run", QUICK, "--out", "foreign"], "is not empty, so nothing was written"),
    (["run", QUICK, "--out", "foreign/file.txt"], "cannot be made"),
    (["run", "--resume", "nowhere"], "there is no run 'nowhere'"),
    (["run", "--resume", "foreign", "--filter", "x"], "leave --filter and --out away"),
    (["run", "--resume", "foreign"], "holds no run"),
    (["run", QUICK, "--shard", "4/3"], "such as 2/3"),
    (["plan", QUICK, "--shard", "2"], "such as 2/3"),
    (["run", "--resume", "kept", "--shard", "1/2"], "say both --shard and --out"),
    (["run", QUICK, "--cluster", "pbs"], "say slurm, or local"),
    (["run", QUICK, "--cluster", "slurm"], "say --device cpu or cuda"),
    (["run", QUICK, "--cluster", "local", "--device", "cpu"], "which spoils times"),
    (["run", QUICK, "--cluster", "local", "--shard", "1/2"], "makes the parts itself"),
    (["run", QUICK, "--cluster-option", "a=b"], "needs --cluster"),
    (["merge", "kept"], "Missing option '--out'"),
    (["merge", "nowhere", "--out", "x"], "there is no run 'nowhere'"),
    (["merge", "kept", "torn", "--out", "x"], "is damaged"),
    (["report"], "there is no run under results/ yet"),
    (["report", "nowhere"], "there is no run 'nowhere'"),
    (["report", "foreign"], "holds no run"),
    (["report", "torn"], "is damaged: it is not JSON"),
    (["report", "kept", "--format", "docx"], "unknown format 'docx'"),
    (["report", "kept", "--out", "foreign/file.txt"], "cannot be made"),
    (["gate", "kept"], "say --baseline NAME"),
    (["gate", "kept", "--baseline", "kept", "--self-check", "2"], "leave the run away"),
    (
        ["gate", "--baseline", "kept", "--self-check", "2", "--inconclusive", "fail"],
        "leave --write and --inconclusive away",
    ),
    (["gate", "kept", "--baseline", "kept", "--inconclusive", "maybe"], "say report, pass or fail"),
    (["gate", "kept", "--baseline", "kept"], "both the run and the baseline"),
    (["gate", "kept", "--baseline", "nowhere"], "there is no run 'nowhere'"),
    (["baseline", "save", "kept"], "has no gate: rules"),
    (["baseline", "save", "kept", "--name", "../x y"], "has no gate: rules"),
    (["baseline", "save", "kept", "--name", ".x"], "it becomes a folder"),
    (["baseline", "show", "nothing"], "there is no baseline 'nothing'"),
    (["baseline", "show", "x" * 300], "it becomes a folder"),
    (["baseline", "drop", "nothing"], "there is no baseline 'nothing'"),
    (["baseline", "diff", "nothing", "kept"], "there is no baseline 'nothing'"),
    (["calibrate", "nowhere.yaml"], "cannot be read"),
    (["calibrate", QUICK, "--sessions", "0"], "Invalid value for '--sessions'"),
    (["calibrate", QUICK], "no gate rule of suites/quick.yaml is of a time"),
    (["init", "published.yaml"], "a suite cannot be called published"),
    (["gate", "kept", "--baseline", "torn"], "is damaged"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_request_is_one_sentence_and_exit_two(arguments: list[str], words: str, capsys: Capture) -> None:
    Path("foreign").mkdir()
    Path("foreign/file.txt").write_text("mine")
    save(run(exact({"relu": 1})), Path("kept"))
    save(run(exact({"relu": 1})), Path("torn"))
    Path("torn/run.json").write_text('{"suite"')
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    assert sorted(p.name for p in Path("foreign").iterdir()) == ["file.txt"]
    assert Path("foreign/file.txt").read_text() == "mine"


def test_as_a_program_a_wrong_request_shows_no_traceback() -> None:
    ran = python("-m", "polybench", "run", "nowhere.yaml")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "nowhere.yaml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("command", [["--help"], ["list"], ["validate", QUICK], ["schema"]], ids=lambda c: c[0])
def test_light_commands_load_nothing_heavy(command: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["polybench", *{command!r}]
from polybench.cli.main import main
try:
    main()
except SystemExit as leave:
    assert not leave.code
print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    ran = python("-c", code)
    assert (ran.returncode, ran.stderr) == (0, "[]\n")


def test_the_command_line_begins_without_the_words_of_a_suite() -> None:
    """Each command loads what it needs: pydantic alone is half of what `--help` would take."""
    ran = python("-c", "import sys, polybench.cli.main; print([m for m in ('pydantic', 'yaml') if m in sys.modules])")
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_importing_polybench_loads_nothing_heavy() -> None:
    ran = python("-c", f"import sys, polybench; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_a_run_is_reported_in_files_or_in_one_format(capsys: Capture) -> None:
    folder = save(
        run([*exact({"relu": 1, "swiglu": 2}), *losses({"relu": [1, 2], "swiglu": [2, 3]})]), Path("results/toy/one")
    )
    assert call("report", "--format", "csv") == 0
    assert capsys.readouterr().out.startswith("benchmark,kind,activation,")
    assert not list(folder.glob("report*"))
    (folder / "report.csv").write_text("of an older version")
    assert call("report", folder) == 0
    assert "report: " in capsys.readouterr().out
    assert {p.name for p in folder.glob("report.*")} >= {f"report.{s}" for s in ("md", "csv.gz", "json", "html")}
    assert (folder / "report.csv").read_text() == "of an older version"
    assert call("report", folder, "--out", "plain", "--format", "csv", "--format", "csv.gz") == 0
    plain = Path("plain/report.csv").read_bytes()
    assert gzip.decompress(Path("plain/report.csv.gz").read_bytes()) == plain
    assert call("report", folder, "--out", "elsewhere", "--format", "markdown") == 0
    assert [p.name for p in Path("elsewhere").iterdir()] == ["report.md"]
    names = [save(run(exact({"relu": size, "swiglu": 2})), Path(f"{size}/part")) for size in (1, 3)]
    assert call("report", *names, names[0], "--out", "both", "--format", "markdown") == 0
    made = [Path(f"both/toy/{name}/report.md").read_text() for name in ("part", "part-2")]
    assert made[0] != made[1] and len(list(Path("both/toy").iterdir())) == 2
    save(run([]), Path("results/toy/two"))
    capsys.readouterr()
    assert call("report", "two") == 5
    assert "nothing was measured" in capsys.readouterr().err


def test_a_defect_of_ours_is_a_sentence_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(main, "app", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as leave:
        main.main()
    (file,) = tmp_path.glob("polybench-*.txt")
    assert leave.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert "ZeroDivisionError: planted" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_goes_nowhere(closed: str) -> None:
    for arguments, code in (("list", 0), ("validate no.yaml", 2)):
        command = f"{sys.executable} -m polybench {arguments} {closed}; echo code $? >&3"
        done = subprocess.run(
            ["sh", "-c", f"( {command} ) 3>&1"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.stdout.endswith(f"code {code}\n") and "itself failed" not in done.stdout + done.stderr


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left"), OSError(errno.EDQUOT, "Quota", "a/b")])
def test_a_full_disk_is_no_defect_of_ours(problem: OSError, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def full(**_: object) -> None:
        raise problem

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as leave:
        main.main()
    where = " to a/b" if problem.filename else ""
    told = f"nothing more can be written{where}: {problem.strerror}; make room, and say it again\n"
    assert (leave.value.code, capsys.readouterr().err) == (3, told)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_that_is_gone_stops_nothing_and_changes_no_exit_code(name: str, buffered: str, tmp_path: Path) -> None:
    of = suite(gate=[{"metric": "saved_bytes"}])
    kept, worse = (save(run(exact({"relu": n, "swiglu": 2}), of), tmp_path / f"run{n}") for n in (1, 2))
    command = [sys.executable, "-m", "polybench", "gate", str(worse), "--baseline", str(kept), "--write", "junit=j.xml"]
    ours, theirs = os.pipe()
    os.close(ours)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": buffered}
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, name: theirs}
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, **streams)
    os.close(theirs)
    assert done.returncode == 1 and (tmp_path / "j.xml").is_file()


def test_without_a_command_the_help_ends_as_help_does(capsys: Capture) -> None:
    assert call() == 2
    told = capsys.readouterr().err
    assert told.startswith("Usage:") and "See polybench --help" not in told


LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        *(("run", QUICK, "--filter", "memory*", "--out", LONG), ("merge", "RUN", "--out", LONG)),
        *(("eval", LONG), ("report", f"{LONG}/b")),
    ],
    ids=lambda a: a[0],
)
def test_a_path_that_is_too_long_is_one_sentence(arguments: tuple[str, ...], capsys: Capture, tmp_path: Path) -> None:
    kept = save(run(exact({"relu": 1, "swiglu": 2}), suite(benchmarks=[{"name": "memory", "kind": "memory"}])),
                tmp_path / "run")  # fmt: skip
    assert call(*(str(kept) if a == "RUN" else a for a in arguments)) == 2
    told = capsys.readouterr().err
    assert "polybench itself failed" not in told and len(told.splitlines()) == 1
    assert "name a shorter one" in told or "is no name of a run" in told


@pytest.mark.parametrize("method", ["is_dir", "is_file", "glob"])
def test_a_folder_that_may_not_be_read_is_one_sentence(
    method: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()

    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, method, refused)  # root, as whom tests may run, reads everything
    assert call("report", "locked") == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("Permission denied; get access to it, or name another")
