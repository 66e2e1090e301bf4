"""The doctor: every rule on made-up facts, and the command with its exit codes."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import HEAVY, ROOT, call

from polybench.cli import doctor as command
from polybench.cli import main
from polybench.launches import BLOCKS, PILOT
from polybench.machine import survey
from polybench.machine.container import Limits
from polybench.machine.diagnosis import Symptom, conclusion
from polybench.machine.doctor import findings
from polybench.machine.environment import GIB
from polybench.machine.gpus import ClockRates, Gpu, Gpus
from polybench.machine.hardware import Memory, Processor
from polybench.machine.launches_needed import MARGIN, launches_for
from polybench.machine.probe import Probe, Spread
from polybench.machine.software import Software
from polybench.machine.survey import Survey
from polybench.machine.window import Window
from polybench.stats import of_launches

EVEN = Spread(1000, 1e-3, 0.01, 0.01, 1.1)
CARD = Gpu(
    0, "Toy 100", "GPU-a", True, 80 * GIB, GIB, 0.0, ClockRates(1980, 1980, 1980), ClockRates(2619, 2619, 2619),
    temperature_C=35, power_W=70.0, power_limit_W=700.0, persistence=True, mig=False, ecc=True,
)  # fmt: skip
GOOD = Survey(
    processor=Processor("Toy", 4, (0, 1, 2, 3), 4, "performance", "off", "off", False, "tsc"),
    memory=Memory(16 * GIB, 12 * GIB, 4 * GIB, 0, "madvise"),
    limits=Limits(),
    load=(0.1, 0.1, 0.1),
    resting=Window(1.0, 0.0, 0.0, 0, 0),
    working=Window(3.0, 0.0, 0.0, 0, 0),
    probe=Probe(EVEN, EVEN, EVEN, EVEN, 0.001, 5e-8, 5e-8, 5e-7, 1e-4),
    gpus=Gpus((CARD,), "580.1"),
    software=Software("Linux 6", "3.12.1", {"torch": "2.13.0"}, {}, {}, {"g++": "12.2", "ninja": ""}),
)
Capture = pytest.CaptureFixture[str]


def but(**changes: Any) -> Survey:
    """The good machine with a part changed: `memory__free=0` changes one field of the part."""
    seen = GOOD
    for path, value in changes.items():
        part, _, field = path.partition("__")
        seen = replace(seen, **{part: replace(getattr(seen, part), **{field: value}) if field else value})
    return seen


def card(**changes: Any) -> Survey:
    return but(gpus=Gpus((replace(CARD, **changes),), "580.1"))


RULES: list[tuple[str, str, Survey]] = [
    ("cores", "note", but(processor__affinity=(2,))),
    ("cores", "note", but(limits__quota=1.5)),
    ("threads", "note", but(software__threads={"OMP_NUM_THREADS": "64"})),
    ("threads", "ok", but(software__threads={"OMP_NUM_THREADS": "4"})),
    ("threads", "ok", but(software__threads={"OMP_NUM_THREADS": "4,2"})),
    ("SMT", "note", but(processor__smt="on", processor__physical=2)),
    ("SMT", "ok", but(processor__smt="on")),
    ("governor", "note", but(processor__governor="unknown")),
    ("governor", "note", but(processor__governor="performance,powersave")),
    ("turbo", "note", but(processor__boost="unknown")),
    ("turbo", "note", but(processor__boost="on")),
    ("host", "note", but(processor__virtual=True)),
    ("load", "ok", but(resting__other_cores=0.2)),
    ("load", "note", but(resting__other_cores=1.0)),
    ("load", "unfit", but(resting__other_cores=3.9)),
    ("load", "unfit", but(processor__affinity=(0,), resting__other_cores=0.3)),
    ("waiting", "note", but(probe__preempted=0.1)),
    ("waiting", "unfit", but(probe__preempted=0.6)),
    ("steal", "note", but(working__stolen_cores=0.02)),
    ("steal", "unfit", but(working__stolen_cores=0.1)),
    ("quota", "note", but(limits__quota=2.0)),
    ("quota", "ok", but(limits__quota=8.0)),
    ("quota", "unfit", but(limits__quota=2.0, working__throttled=3)),
    ("memory", "note", but(memory__free=2 * GIB)),
    ("memory", "unfit", but(memory__free=GIB // 2)),
    ("memory", "unfit", but(memory__total=GIB, memory__free=GIB // 4)),
    ("memory", "unfit", but(limits=Limits(memory=8 * GIB, memory_used=8 * GIB - 1))),
    ("memory", "ok", but(limits=Limits(memory=32 * GIB, memory_used=32 * GIB))),
    ("swap", "note", but(memory__swap_used=GIB)),
    ("swap", "unfit", but(resting__swapped_bytes=64 << 20)),
    ("swap", "ok", but(memory__swap_total=0)),
    ("clock", "note", but(probe__clock_resolution_s=1e-3)),
    ("clock", "note", but(probe__thread_clock_cost_s=3e-6)),
    ("clock", "note", but(probe__gap_s=0.05)),
    ("arithmetic", "note", but(probe__arithmetic_cpu=replace(EVEN, jitter=0.15))),
    ("arithmetic", "note", but(probe__arithmetic_cpu=replace(EVEN, drift=0.3))),
    ("arithmetic", "unfit", but(probe__arithmetic_cpu=replace(EVEN, jitter=0.5))),
    ("copying", "note", but(probe__copy_cpu=replace(EVEN, jitter=0.15))),
    ("copying", "unfit", but(probe__copy_cpu=replace(EVEN, jitter=0.5))),
    ("GPU", "ok", but(gpus=Gpus(missing="there is no NVIDIA driver"))),
    ("GPU", "note", but(gpus=Gpus(missing="nvidia-ml-py is not installed"))),
    ("GPU", "note", but(software__packages={"torch": "2.13.0+cpu"})),
    ("GPU", "ok", card(visible=False, processes=(7,))),
    ("GPU 0 throttle", "ok", card(temperature_C=None, power_W=None, power_limit_W=None)),
    ("GPU 0 throttle", "note", card(temperature_C=90)),
    ("GPU 0 throttle", "note", card(throttled=("power limit",))),
    ("GPU 0 throttle", "unfit", card(throttled=("power limit", "hardware thermal slowdown"))),
    ("GPU 0 others", "unfit", card(processes=(4711,))),
    ("GPU 0 others", "unfit", card(busy=0.9)),
    ("GPU 0 others", "ok", card(busy=None)),
    ("GPU 0 memory", "note", card(memory_used=40 * GIB)),
    ("GPU 0 memory", "unfit", card(memory_used=79 * GIB)),
    ("GPU 0 clocks", "note", card(sm=ClockRates(1200, 1980, 1200))),
    ("GPU 0 clocks", "ok", card(sm=ClockRates(None, None, None))),
    ("GPU 0 modes", "note", card(mig=True)),
    ("GPU 0 modes", "note", card(persistence=False)),
    ("GPU 0 modes", "ok", card(persistence=None, mig=None, ecc=None)),
    ("versions", "note", but(software__packages={"torch": ""})),
    ("compilers", "note", but(software__compilers={"g++": "", "ninja": "1.11"})),
    ("compilers", "note", but(software__compilers={})),
    ("variables", "note", but(software__variables={"LD_PRELOAD": "libjemalloc.so"})),
]


def test_a_good_machine_is_fit_and_nothing_is_held_against_it() -> None:
    assert {f.level for f in findings(GOOD)} == {"ok"}
    assert conclusion(findings(GOOD)) == (0, "fit for timing")


@pytest.mark.parametrize(("topic", "level", "seen"), RULES, ids=[f"{i}-{t}-{v}" for i, (t, v, _) in enumerate(RULES)])
def test_each_rule_has_its_level_and_only_unfit_ends_with_4(topic: str, level: str, seen: Survey) -> None:
    said = findings(seen)
    assert {f.topic: f.level for f in said}[topic] == level
    assert len({f.topic for f in said}) == len(said)
    for f in said:
        assert f.sentence and bool(f.remedy) == (f.level != "ok"), f
        assert "\n" not in f.sentence and "None" not in f.sentence, f
    code, reason = conclusion(said)
    assert code == (4 if any(f.level == "unfit" for f in said) else 0)
    if level != "ok":
        assert topic in reason


def test_every_topic_that_can_be_held_against_a_machine_was_in_the_table() -> None:
    assert {f.topic for f in findings(GOOD)} == {topic for topic, _, _ in RULES}


def test_the_last_line_names_every_reason() -> None:
    said = [
        Symptom("a", "unfit", "is bad", "stop"),
        Symptom("b", "note", "hm", "look"),
        Symptom("c", "unfit", "too", "x"),
    ]
    assert conclusion(said) == (4, "not fit for timing: a: is bad; c: too")
    assert conclusion(said[1:2]) == (0, "fit for timing; worth a look: b")


def test_the_launches_asked_for_do_resolve_the_margin() -> None:
    """Simulated: so many launches give an interval as narrow as promised, a third of them a wider one."""
    random_ = random.Random(3)

    def half_width(jitter: float, launches: int) -> float:
        rounds = [[random_.gauss(0, jitter / 1.349) for _ in range(BLOCKS)] for _ in range(launches)]
        return of_launches(rounds).half_width

    for jitter in (0.15, 0.2):
        needed = launches_for(jitter)
        assert needed is not None and needed >= 3 * PILOT
        enough, few = (statistics.mean(half_width(jitter, n) for _ in range(200)) for n in (needed, needed // 3))
        assert 0.85 * MARGIN < enough < 1.02 * MARGIN < few
    assert (launches_for(0.0), launches_for(1.0)) == (PILOT, None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


def looks(monkeypatch: pytest.MonkeyPatch, seen: Survey) -> None:
    monkeypatch.setattr(survey, "survey", lambda with_gpu=True: seen if with_gpu else replace(seen, gpus=Gpus()))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("seen", "code"), [(GOOD, 0), (but(resting__other_cores=4.0), 4)])
def test_the_command_ends_with_its_verdict(
    seen: Survey, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    looks(monkeypatch, seen)
    assert call("doctor") == code
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == conclusion(findings(seen))[1]
    assert err == "" and "\x1b" not in out
    assert all(f.topic in out and f.sentence in out and f.remedy in out for f in findings(seen))
    assert call("doctor", "--json") == code
    told = json.loads(capsys.readouterr().out)
    assert (told["exit_code"], told["fit"]) == (code, not code)
    assert [f["topic"] for f in told["findings"]] == [f.topic for f in findings(seen)]
    assert told["facts"]["processor"]["affinity"] == [0, 1, 2, 3]
    assert told["torch"] is None


@pytest.mark.usefixtures("here")
def test_a_busy_gpu_does_not_matter_on_the_cpu(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    looks(monkeypatch, card(busy=1.0))
    assert call("doctor") == 4
    assert call("doctor", "--device", "cpu") == 0
    capsys.readouterr()
    assert call("doctor", "--device", "tpu") == 2
    assert "say auto, cpu or cuda" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('built with care')", "built with care"),
        ("raise SystemExit('no torch')", "could not survey the machine: no torch"),
    ],
)
def test_full_adds_what_torch_says_or_why_it_says_nothing(
    code: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    looks(monkeypatch, GOOD)
    monkeypatch.setattr(command, "_FULL", code)
    assert call("doctor", "--full") == 0
    assert words in capsys.readouterr().out
    assert call("doctor", "--full", "--json") == 0
    assert words in json.loads(capsys.readouterr().out)["torch"]


def test_a_real_look_at_this_machine_loads_nothing_heavy() -> None:
    """A short one: the verdict is whatever the machine deserves, in JSON, and the facts hold together."""
    code = f"""
import functools, sys
from polybench.machine import survey
survey.survey = functools.partial(survey.survey, 0.2)
sys.argv = ["polybench", "doctor", "--json"]
from polybench.cli.main import main
try:
    main()
finally:
    print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.stderr == "[]\n"
    told = json.loads(ran.stdout)
    assert ran.returncode == told["exit_code"] and told["exit_code"] in (0, 4)
    facts = told["facts"]
    assert facts["probe"]["copy_cpu"]["samples"] >= 4
    assert 0 < facts["memory"]["free"] <= facts["memory"]["total"]
    assert 1 <= facts["processor"]["physical"] <= len(facts["processor"]["affinity"])
    assert facts["working"]["seconds"] > 0
