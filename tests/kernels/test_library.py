"""The library of kernels is built once, whatever the compiler, the cache and the CPU are like."""

from __future__ import annotations

import ctypes
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from polybench.errors import Unsupported
from polybench.kernels import build, levels, library
from polybench.measure.model.build import activation, chosen

COMPILER = shutil.which("g++") or shutil.which("clang++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
Script = Callable[..., None]


@pytest.fixture(autouse=True)
def little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kernel that compiles at once, and a cache of this test; the folder of what is built."""
    sources = tmp_path / "some sources"
    sources.mkdir()
    (sources / "little.cpp").write_text('extern "C" int little_forward(const void*) { return 7; }\n')
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "a cache"))
    monkeypatch.delenv("CXX", raising=False)
    yield tmp_path / "a cache" / "kernels"
    library.attempt.cache_clear()


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Makes a compiler of a shell script; `real` in it is the one of this machine."""

    def make(script: str) -> None:
        path = tmp_path / "my c++"
        path.write_text(f"#!/bin/sh\nreal() {{ exec '{COMPILER}' \"$@\"; }}\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", f"'{path}'")

    return make


def loaded() -> library.Library | None:
    """As a process that has not asked before."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return anew()


def anew() -> library.Library | None:
    library.attempt.cache_clear()
    return library.library.__wrapped__()


def answer(found: library.Library | None) -> int:
    assert found
    return int(found.functions.little_forward(None))


def test_it_is_built_once_and_found_again(little: Path, compiler: Script, tmp_path: Path) -> None:
    compiler(f'echo "$*" >> \'{tmp_path}/log\'\nreal "$@"')
    assert answer(loaded()) == answer(loaded()) == 7
    assert (tmp_path / "log").read_text().count(" -c ") == 1
    (built,) = (p for p in little.iterdir() if p.is_dir())
    assert sorted(p.name for p in built.iterdir()) == ["kernels.so", "sha256"]


def test_a_library_of_a_lesser_cpu_in_the_cache_is_not_taken_for_the_best(
    compiler: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler('real "$@"')
    with monkeypatch.context() as held:
        held.setenv("ATEN_CPU_CAPABILITY", "default")
        lesser = loaded()
    best = loaded()
    assert lesser and best and best.way.level == build.ways()[0].level


def test_another_source_flag_compiler_or_level_is_another_library(compiler: Script) -> None:
    compiler('real "$@"')
    (one, *_) = build.ways()
    other = build.Way(build.Compiler(one.compiler.command, "13.1"), one.level, one.threads)
    keys = {one.key, other.key, build.Way(one.compiler, one.level, False).key}
    keys |= {build.Way(one.compiler, level, True).key for level in levels.LEVELS if level != one.level}
    (build.SOURCES / "little.h").write_text("// changed")
    keys.add(one.key)
    assert len(keys) == 3 + len(levels.LEVELS)


def test_processes_that_build_at_once_build_once(compiler: Script, tmp_path: Path) -> None:
    compiler(f'echo "$*" >> \'{tmp_path}/log\'\nreal "$@"')
    with ThreadPoolExecutor(3) as pool:
        assert [answer(f) for f in pool.map(lambda _: loaded(), range(3))] == [7, 7, 7]
    assert (tmp_path / "log").read_text().count(" -c ") == 1


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", "does not say its version"),
        ("case $1 in --version) echo mine 1.0;; *) echo 'x.cpp:1: error: oh no' >&2; exit 1;; esac", "error: oh no"),
        ("case $1 in --version) echo mine 1.0;; *) exit 1;; esac", "failed: without a word"),
    ],
    ids=["no version", "an error", "silent"],
)
def test_a_broken_compiler_is_said_in_a_sentence_and_leaves_the_chunks(
    script: str, told: str, compiler: Script, little: Path
) -> None:
    compiler(script)
    with pytest.warns(RuntimeWarning, match=rf"run in chunks by operators of torch: .*{told}"):
        assert anew() is None
    assert not [p for p in little.glob("*") if p.suffix != ".lock"]


@pytest.mark.parametrize("named", ["", "no such compiler"])
def test_a_missing_compiler_is_said_in_a_sentence(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", f"'{named}'" if named else "")
    told = named or r"there is no C\+\+ compiler.* install one, or name it in CXX"
    with pytest.warns(RuntimeWarning, match=told):
        assert anew() is None


def test_a_compiler_that_is_not_done_in_time_is_ended(compiler: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler('case "$*" in *" -c "*) exec tail -f /dev/null;; *) real "$@";; esac')
    monkeypatch.setattr(build, "BUILD_S", 0.0)
    with pytest.warns(RuntimeWarning, match="was not done after 0 s"):
        assert anew() is None


def test_a_compiler_that_does_not_answer_is_told_with_the_seconds_it_had(
    compiler: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler('case "$*" in *empty.cpp*) exec tail -f /dev/null;; *) real "$@";; esac')
    monkeypatch.setattr(build, "ANSWER_S", 3.0)  # enough to say its version
    with pytest.warns(RuntimeWarning, match="was not done after 3 s"):
        assert anew() is None


@pytest.mark.parametrize("unknown", ["-mavx", "-fopenmp"])
def test_an_old_compiler_builds_with_what_it_knows(unknown: str, compiler: Script) -> None:
    compiler(f'case "$*" in *{unknown}*) echo error: unrecognized {unknown} >&2; exit 1;; *) real "$@";; esac')
    found = loaded()
    assert answer(found) == 7
    assert found and not [flag for flag in found.way.flags if flag.startswith(unknown)]


def test_a_cache_that_cannot_be_written_is_said_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(
        RuntimeWarning, match=r"every process compiles .* anew: .*name another folder in POLYBENCH_CACHE"
    ):
        assert answer(anew()) == 7


def test_a_cache_whose_libraries_cannot_be_loaded_is_said_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that is mounted with noexec."""
    load = ctypes.CDLL

    def refusing(path: str) -> ctypes.CDLL:
        if "a cache" in path:
            raise OSError("failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(ctypes, "CDLL", refusing)
    with pytest.warns(RuntimeWarning, match="anew: .*failed to map segment"):
        assert answer(anew()) == 7


@pytest.mark.parametrize("damage", ["truncated", "changed", "no digest"])
def test_a_damaged_library_is_not_loaded_but_built_anew(
    damage: str, little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[bytes] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda path: loads.append(Path(path).read_bytes()))
    loaded()
    (made,) = little.glob("*/kernels.so")
    match damage:
        case "truncated":
            made.write_bytes(loads[0][:1000])
        case "changed":
            made.write_bytes(loads[0][:-1] + b"?")
        case _:
            (made.parent / "sha256").unlink()
    loaded()
    assert loads[1] == loads[0] == made.read_bytes()


def test_what_a_killed_builder_left_is_gone_after_the_next(little: Path) -> None:
    left = little / f".{build.ways()[0].key}.0123abcd"
    left.mkdir(parents=True)
    (left / "little.o").write_bytes(b"half")
    assert answer(loaded()) == 7
    assert not list(little.glob(".*"))


@pytest.mark.parametrize(
    ("machine", "flags", "named"),
    [
        ("x86_64", "fpu avx2 fma f16c avx512f avx512bw avx512dq avx512vl", ["avx512", "avx2", "plain"]),
        (
            "x86_64",
            "avx2 fma f16c avx512f avx512bw avx512dq avx512vl avx512_bf16",
            ["avx512-bf16", "avx512", "avx2", "plain"],
        ),
        ("x86_64", "fpu avx2 fma f16c avx512f", ["avx2", "plain"]),
        ("x86_64", "fpu avx", ["plain"]),
        ("x86_64", "", ["plain"]),
        ("aarch64", "fp asimd avx2", ["plain"]),
    ],
)
def test_the_level_is_what_this_cpu_can_run(
    machine: str, flags: str, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setattr(levels.platform, "machine", lambda: machine)
    monkeypatch.setattr(levels, "_CPUINFO", tmp_path / "cpuinfo")
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t: none\n")
    assert [level.name for level in levels.served()] == named


def test_the_level_is_none_above_the_one_that_torch_is_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_features", lambda: levels.LEVELS[0].needs)
    for most, named in (
        ("avx2", ["avx2", "plain"]),
        ("default", ["plain"]),
        ("", ["avx512-bf16", "avx512", "avx2", "plain"]),
    ):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", most)
        assert [level.name for level in levels.served()] == named


def test_what_would_run_in_chunks_is_not_timed_as_fused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    library.attempt.cache_clear()
    with pytest.raises(Unsupported, match=r"the fused kernels are not compiled: there is no C\+\+ compiler"):
        chosen("relu2", "fused").executed(activation("relu2"))
