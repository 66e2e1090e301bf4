"""What is compared with what: a revision, a source tree or a Python, made ready to plan and to measure for itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from polybench.errors import UsageError, first_line
from polybench.located_modules import located
from polybench.registry import ENTRY_POINT_GROUP
from polybench.source_tree import PROJECT, TREE, SourceTree
from polybench.trial import Job

BASE, HEAD, CONTROL = "base", "head", "control"
SIDES = (BASE, HEAD, CONTROL)
# What a copy of a tree leaves out: nothing that is imported.
_LEFT_OUT = (".git", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache")


@dataclass(frozen=True)
class Side:
    """One of base, head and control: a Python, and the source tree that it imports first, if there is one.

    `what` is how people named it, with the commit where that is a revision.
    """

    name: str
    what: str
    executable: str = sys.executable
    tree: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its processes are started with; where they are started is no part of what they import."""
        if self.tree is None:
            return {"PYTHONSAFEPATH": "1"}
        before = os.environ.get("PYTHONPATH")
        paths = [*SourceTree(self.tree, "", {}).paths, *([before] if before else [])]
        tree = str(self.tree) if (self.tree / PROJECT).is_file() else ""
        return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths), TREE: tree}

    def job(self, job: Job) -> Job:
        """The job as this side does it."""
        return replace(job, environment=(*job.environment, *self.environment.items()))


@contextmanager
def opened(base: str, head: str | None, base_setup: str = "", head_setup: str = "") -> Iterator[dict[str, Side]]:
    """The sides by name, with a worktree or copy each where they need one; these are gone afterwards.

    The control is the base once more: from a fresh worktree, a copy of its tree, or in a process of its own.

    Raises UsageError on what is no revision, tree or Python, and on a tree that cannot be set up.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="polybench-compare-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        asked = {BASE: (base, base_setup), HEAD: (head, head_setup), CONTROL: (base, base_setup)}
        yield {name: _opened(name, what, setup, folder / name, stack) for name, (what, setup) in asked.items()}


def _opened(name: str, what: str | None, setup: str, room: Path, stack: ExitStack) -> Side:
    if what is None:
        side = Side(name, ".", tree=_project())
    elif python := _python(what):
        if setup:
            raise UsageError(f"--{name}-setup is for a tree, and {what} is a Python; set its environment up beforehand")
        return Side(name, what, python)
    elif os.path.isdir(what):
        if os.sep not in what and what not in (".", "..") and _commit(what):
            raise UsageError(f"{what} is a folder and a revision; say ./{what}, or refs/heads/{what}")
        side = Side(name, what, tree=Path(what).resolve())
    elif commit := _commit(what):
        told = commit[:10] if commit.startswith(what) else f"{what} ({commit[:10]})"
        side = Side(name, told, tree=_worktree(commit, room, stack))
    else:
        raise UsageError(f"--{name.replace(CONTROL, BASE)} {what}: {_nothing(what)}")
    assert side.tree
    if name == CONTROL and side.tree != room and not side.tree.is_relative_to(room):
        side = replace(side, tree=_copied(side.tree, room))
    return _set_up(side, setup)


def _python(what: str) -> str:
    """The Python that is meant: an executable file, or that of the environment in a folder."""
    path = Path(what)
    if (path / "pyvenv.cfg").is_file():
        path = path / "bin" / "python"
    usable = path.is_file() and os.access(path, os.X_OK) and path.name.startswith("python")
    return os.path.abspath(path) if usable else ""  # not resolved: an environment is known by its link


def _project() -> Path:
    """The tree one stands in: the nearest folder upwards with a pyproject.toml, else this one."""
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / PROJECT).is_file()), here)


def _commit(what: str) -> str:
    """The commit of a revision of the repository one stands in, if it is one."""
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{what}^{{commit}}")
    return done.stdout.strip() if done and done.returncode == 0 else ""


def _worktree(commit: str, room: Path, stack: ExitStack) -> Path:
    """A fresh worktree of the commit, and in it the same project that one stands in."""
    top = Path(_told("rev-parse", "--show-toplevel"))
    stack.callback(_git, "-C", str(top), "worktree", "remove", "--force", str(room))
    _told("-C", str(top), "worktree", "add", "--quiet", "--detach", str(room), commit)
    project = _project()
    inner = room / project.relative_to(top) if project.is_relative_to(top) else room
    return inner if (inner / PROJECT).is_file() else room


def _copied(tree: Path, room: Path) -> Path:
    try:
        shutil.copytree(tree, room, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    except OSError as problem:  # also shutil's own, which lists every file
        raise UsageError(f"the control needs a copy of {tree}, which cannot be made: {first_line(problem)}") from None
    return room


def _set_up(side: Side, command: str) -> Side:
    """The side after its set-up; where that leaves an environment in the tree, it is measured with that."""
    folder = side.tree
    assert folder
    if command:
        done = subprocess.run(
            command, shell=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        if done.returncode:
            words = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "it said nothing")
            option = f"--{side.name.replace(CONTROL, BASE)}-setup"
            raise UsageError(f"{option} ended with exit code {done.returncode} in {folder}: {words.strip()}")
        if made := _python(str(folder / ".venv")):
            side = replace(side, executable=made)
    tree = SourceTree.read(folder, ENTRY_POINT_GROUP)
    if any(not located(module, list(tree.paths)) for module in tree.modules.values()) and _without_submodules(folder):
        raise UsageError(
            f"{side.name}: what the {PROJECT} of {side.what} names is not in its tree, whose submodules are not there;"
            f" say --{side.name.replace(CONTROL, BASE)}-setup 'git submodule update --init --recursive'"
        )
    ours = any(os.path.isfile(os.path.join(path, "polybench", "__init__.py")) for path in tree.paths)
    if not ours and not tree.modules and side.executable == sys.executable:
        raise UsageError(
            f"{side.name}: nothing of {side.what} would be measured: it has no package polybench, and its {PROJECT} "
            f"names no module under [project.entry-points.{ENTRY_POINT_GROUP}]; or name a Python with --{side.name}"
        )
    return side


def _without_submodules(tree: Path) -> bool:
    """Whether the tree has a submodule that is not checked out, as a fresh worktree has all of them."""
    told = _git("-C", str(tree), "submodule", "status")
    return told is not None and any(line.startswith("-") for line in told.stdout.splitlines())


def _nothing(what: str) -> str:
    """Why it is nothing that could be compared."""
    if os.path.exists(what):
        return "it is a file, but neither a Python nor a folder with a source tree"
    repository = _git("rev-parse", "--is-shallow-repository")
    if repository is None:
        return "it is no folder and no Python, and there is no git here to know a revision by"
    if repository.returncode:
        return f"it is no folder and no Python, and git knows no revision: {first_line(ValueError(repository.stderr))}"
    shallow = repository.stdout.strip() == "true"
    return "there is no such revision, folder or Python" + (
        "; this clone is shallow, so fetch more of its history (fetch-depth: 0 of actions/checkout)" if shallow else ""
    )


def _told(*arguments: str) -> str:
    """What git says. Raises UsageError where it refuses."""
    done = _git(*arguments)
    if done is None or done.returncode:
        words = first_line(ValueError(done.stderr)) if done else "it is not installed"
        raise UsageError(f"git {' '.join(arguments[:4])}: {words}")
    return done.stdout.strip()


def _git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """None without git. What a hook of git sets would name another repository than the one that one stands in."""
    clean = {k: v for k, v in os.environ.items() if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, errors="replace", env=clean, stdin=subprocess.DEVNULL
        )
    except OSError:
        return None
