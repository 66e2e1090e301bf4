"""Reading the machine: made-up file trees and drivers, counters, and what makes two runs comparable."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import MACHINE
from builders import run as made
from fakes import Fake

from polybench.errors import UsageError
from polybench.machine import environment
from polybench.machine.container import Limits, limits
from polybench.machine.environment import FINGERPRINT, GIB, capture, choose_device, differences, room, unrecorded
from polybench.machine.gpus import NO_DRIVER, Gpu, Gpus, gpus, seen
from polybench.machine.hardware import Memory, processor, ranges
from polybench.machine.probe import spread
from polybench.machine.software import software, variables
from polybench.machine.window import Ticks, Window, change
from polybench.plan.suite import Suite
from polybench.report.provenance import facts
from polybench.run import local, session, store
from polybench.run.store import Run

ROOT = Path(__file__).parents[2]


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


CGROUP = "sys/fs/cgroup"
VERSION_1 = "4:memory:/a/b\n2:cpu,cpuacct:/a/b\n0::/"
NO_LIMIT = str((1 << 63) - 4096)
CONTAINERS: dict[str, tuple[dict[str, str], Limits]] = {
    "none": ({}, Limits()),
    "version 2": (
        {
            "proc/self/cgroup": "0::/",
            f"{CGROUP}/cpu.max": "150000 100000",
            f"{CGROUP}/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 4",
            f"{CGROUP}/memory.max": str(4 * GIB),
            f"{CGROUP}/memory.current": str(3 * GIB),
            f"{CGROUP}/memory.stat": f"anon 1\ninactive_file {GIB}",
        },
        Limits(1.5, 4 * GIB, 2 * GIB, 4),
    ),
    "version 2, no limit": (
        {
            "proc/self/cgroup": "0::/",
            f"{CGROUP}/cpu.max": "max 100000",
            f"{CGROUP}/memory.max": "max",
            f"{CGROUP}/memory.current": "7",
        },
        Limits(),
    ),
    "version 2, the tightest is above": (
        {
            "proc/self/cgroup": "0::/slice/job",
            f"{CGROUP}/slice/cpu.max": "200000 100000",
            f"{CGROUP}/slice/job/cpu.max": "800000 100000",
            f"{CGROUP}/slice/memory.max": "max",
            f"{CGROUP}/slice/job/memory.max": "1000",
            f"{CGROUP}/slice/job/memory.current": "400",
        },
        Limits(2.0, 1000, 400, 0),
    ),
    "version 1": (
        {
            "proc/self/cgroup": VERSION_1,
            f"{CGROUP}/cpu,cpuacct/a/b/cpu.cfs_quota_us": "50000",
            f"{CGROUP}/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000",
            f"{CGROUP}/cpu,cpuacct/a/b/cpu.stat": "nr_throttled 2",
            f"{CGROUP}/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            f"{CGROUP}/cpu,cpuacct/cpu.cfs_period_us": "100000",
            f"{CGROUP}/memory/a/memory.limit_in_bytes": "5000",
            f"{CGROUP}/memory/a/memory.usage_in_bytes": "900",
            f"{CGROUP}/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 100",
            f"{CGROUP}/memory/memory.limit_in_bytes": NO_LIMIT,
        },
        Limits(0.5, 5000, 800, 2),
    ),
    "version 1, path outside of the mount": (
        {
            "proc/self/cgroup": "4:memory:/docker/0123\n2:cpu:/docker/0123",
            f"{CGROUP}/cpu/cpu.cfs_quota_us": "300000",
            f"{CGROUP}/cpu/cpu.cfs_period_us": "100000",
            f"{CGROUP}/memory/memory.limit_in_bytes": NO_LIMIT,
        },
        Limits(3.0),
    ),
    "rubbish": (
        {"proc/self/cgroup": "x\n0::/../..\n::", f"{CGROUP}/cpu.max": "many 0", f"{CGROUP}/memory.max": "-5"},
        Limits(),
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_tightest_limit_of_a_container_counts(name: str, tmp_path: Path) -> None:
    files, expected = CONTAINERS[name]
    assert limits(tree(tmp_path, files)) == expected


def test_a_container_bounds_the_cores_and_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    main = Memory(16 * GIB, 10 * GIB, 0, 0, "always")
    assert room(main, Limits()) == (16 * GIB, 10 * GIB)
    assert room(main, Limits(memory=4 * GIB, memory_used=3 * GIB)) == (4 * GIB, GIB)
    assert room(main, Limits(memory=4 * GIB, memory_used=5 * GIB)) == (4 * GIB, 0)
    monkeypatch.setattr("polybench.machine.environment.limits", lambda: Limits(quota=0.5, memory=GIB))
    found = capture()
    assert (found["cores"], found["cpu_quota"], found["memory_limit_GiB"]) == (1, 0.5, 1.0)


CPU = "sys/devices/system/cpu"


def test_a_processor_is_read_from_its_files_or_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polybench.machine.hardware.affinity", lambda: (0, 1, 4))
    bare = processor(tmp_path)
    assert (bare.governor, bare.boost, bare.smt, bare.clock_source, bare.virtual) == (*["unknown"] * 4, False)
    assert bare.name and bare.physical == 3
    files = {f"{CPU}/cpu{i}/cpufreq/scaling_governor": "performance" for i in (0, 1)}
    files |= {f"{CPU}/cpu{i}/topology/thread_siblings_list": "0,4" for i in (0, 4)}
    files |= {f"{CPU}/cpu4/cpufreq/scaling_governor": "powersave", f"{CPU}/smt/active": "1"}
    files |= {f"{CPU}/intel_pstate/no_turbo": "1", "proc/cpuinfo": "model name\t: Toy  CPU\nflags\t\t: fpu hypervisor"}
    found = processor(tree(tmp_path, files))
    assert (found.name, found.governor, found.boost, found.smt) == ("Toy CPU", "performance,powersave", "off", "on")
    assert (found.physical, found.virtual) == (2, True)
    (tmp_path / CPU / "intel_pstate/no_turbo").unlink()
    assert processor(tree(tmp_path, {f"{CPU}/cpufreq/boost": "1"})).boost == "on"


def test_ranges_are_written_as_the_kernel_writes_them() -> None:
    assert [ranges(n) for n in ((), (3,), (0, 1, 2, 3, 6), (5, 4, 1))] == ["", "3", "0-3,6", "1,4-5"]


def test_a_window_is_what_others_did_between_two_moments() -> None:
    one = Ticks(100.0, 50.0, 1.0, 7.0, 3, 1000)
    other = Ticks(110.0, 75.0, 2.0, 12.0, 5, 1500)
    assert change(one, other) == Window(10.0, 2.0, 0.1, 2, 500)
    assert change(other, one) == Window(0.0, 0.0, 0.0, 0, 0)
    assert change(one, Ticks(110.0, 0.0, 0.0, 8.0, 0, 0)) == Window(10.0, 0.0, 0.0, 0, 0)


def test_slow_drift_is_no_jitter_and_a_sample_of_no_length_is_left_out() -> None:
    slow = spread([1 + i / 1000 for i in range(1000)])
    assert slow.drift > 0.3 and slow.jitter < 0.001
    quick = spread([1.0, 1.2] * 20 + [1.2, 1.0] * 20)
    assert quick.jitter > 0.3
    assert spread([0.0, 1.0, 1.0, 1.0, 5.0]).samples == 4
    assert spread([0.0, 1.0, 1.0, 1.0, 5.0]).worst == 5
    with pytest.raises(ValueError, match="too coarse"):
        spread([0.0] * 100)


class Driver:
    """A pynvml with one device that answers some questions and refuses the rest."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, **answers: Any):
        self.answers = {"Count": 1, "HandleByIndex": "handle", "Name": "Toy 100", **answers}
        self.shut = 0

    def nvmlInit(self) -> None:
        if "init" in self.answers:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlShutdown(self) -> None:
        self.shut += 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        assert name.startswith("nvmlDeviceGet"), f"{name} could change the device"

        def answer(*_: Any) -> Any:
            if name.removeprefix("nvmlDeviceGet") not in self.answers:
                raise self.NVMLError("Not Supported")
            return self.answers[name.removeprefix("nvmlDeviceGet")]

        return answer


def test_a_gpu_is_read_as_far_as_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = Driver(
        UUID="GPU-a",
        MemoryInfo=SimpleNamespace(total=10, used=4),
        UtilizationRates=SimpleNamespace(gpu=25),
        ClockInfo=900,
        MaxClockInfo=1980,
        CurrentClocksThrottleReasons=0x1 | 0x2 | 0x4 | 0x40,
        ComputeRunningProcesses=[SimpleNamespace(pid=2**22 + 1)],
        PowerUsage=70500,
        EnforcedPowerLimit=700000,
        PersistenceMode=0,
        MigMode=[1, 0],
        Temperature=41,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    found = gpus()
    (card,) = found.usable
    assert (found.driver, found.missing, driver.shut) == ("580.95.05", "", 1)
    assert card.throttled == ("power limit", "hardware thermal slowdown")
    assert (card.memory, card.memory_used, card.busy, card.processes) == (10, 4, 0.25, (2**22 + 1,))
    assert (card.sm.now, card.sm.most, card.sm.application) == (900, 1980, None)
    assert (card.power_W, card.power_limit_W, card.temperature_C) == (70.5, 700, 41)
    assert (card.persistence, card.mig, card.ecc) == (False, True, None)
    told = json.loads(json.dumps(capture()))
    assert (told["gpus"], told["driver"], told["gpu_power_limit_W"]) == (["Toy 100"], "580", [700.0])
    assert told["gpu_state"][0]["other_processes"] == 1
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    assert gpus().devices == (Gpu(0, "Toy 100"),)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus().usable == () and capture()["gpus"] == []


@pytest.mark.parametrize(
    "driver", [None, Driver(init=False), Driver(Count=0)], ids=["no package", "no driver", "empty"]
)
def test_without_a_gpu_there_is_a_reason_and_auto_is_the_cpu(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    found = gpus()
    assert found.devices == () and found.missing
    assert choose_device("auto") == "cpu"
    with pytest.raises(UsageError, match="no NVIDIA GPU"):
        choose_device("cuda")


def test_auto_says_once_why_it_takes_the_cpu_where_there_is_a_driver(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "installed", lambda package: "2.9.0+cu128")
    for missing in (NO_DRIVER, "planted is not installed: pip install it"):
        monkeypatch.setattr(environment, "gpus", lambda missing=missing: Gpus(missing=missing))
        assert [choose_device("auto"), choose_device("auto"), choose_device("cpu")] == ["cpu"] * 3
    assert capsys.readouterr().err == "device auto takes the CPU: planted is not installed: pip install it\n"


@pytest.mark.parametrize(
    ("listed", "visible"),
    [(None, [0, 1, 2]), ("", []), ("-1", []), ("1", [1]), ("2, 0", [0, 2]), ("GPU-b", [1]), ("0,9,2", [0]),
     ("MIG-x", [2]), ("NoDevFiles", [])],
)  # fmt: skip
def test_devices_are_visible_as_cuda_sees_them(listed: str | None, visible: list[int]) -> None:
    cards = [Gpu(0, "x", "GPU-aa"), Gpu(1, "x", "GPU-bb"), Gpu(2, "x", "GPU-cc", mig=True)]
    told = {} if listed is None else {"CUDA_VISIBLE_DEVICES": listed}
    assert [c.index for c in seen(cards, told) if c.visible] == visible


def test_variables_count_that_change_how_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(variables()):
        monkeypatch.delenv(name)
    for name in ("OMP_PROC_BIND", "OMP_NUM_THREADS", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "CXX", "SECRET"):
        monkeypatch.setenv(name, "no-such-compiler")
    assert sorted(variables()) == ["CXX", "OMP_PROC_BIND"]
    found = software()
    assert found.threads["OMP_NUM_THREADS"] == "no-such-compiler"
    assert next(iter(found.compilers.items())) == ("no-such-compiler", "")
    assert found.compiler == ""
    told = {"g++": "g++ (Debian 12.2.0-14+deb12u1) 12.2.0", "ninja": "1.11"}
    assert replace(found, compilers=told).compiler == "g++ 12"
    assert replace(found, compilers={"icpx": "of its own kind"}).compiler == "icpx"


def test_a_machine_is_like_itself_and_a_difference_names_group_and_field() -> None:
    local = json.loads(json.dumps(capture()))
    assert {f for fields in FINGERPRINT.values() for f in fields} <= set(local)
    assert differences(local, local) == unrecorded(local, local) == []
    for group, fields in FINGERPRINT.items():
        for field in fields:
            assert differences(local, {**local, field: "x"}) == [f"{group}.{field}: {local[field]} / x"]
    moving = {
        "load": [9.0],
        "host": "other",
        "affinity": "7",
        "memory_free_GiB": 0,
        "swap_used_GiB": 9,
        "gpu_state": [],
    }
    assert differences(local, {**local, **moving}) == []


@pytest.mark.parametrize("name", ["published/quick", "baselines/quick"])
def test_runs_of_before_stay_comparable_on_what_they_recorded(name: str) -> None:
    late = {"boost", "cpu_quota"}  # recorded by later versions only
    old = {k: v for k, v in store.load(ROOT / "results" / name).environment.items() if k not in late}
    core = [f for fields in FINGERPRINT.values() for f in fields if f in old]
    now = {**capture(), **{f: old[f] for f in core}}
    assert differences(old, now) == differences(now, old) == []
    lacking = unrecorded(old, now)
    assert {"processor.boost", "limits.cpu_quota"} <= set(lacking)
    assert differences(old, {**now, "cpu": "another"}) == [f"processor.cpu: {old['cpu']} / another"]
    assert not {f"{g}.{f}" for g, fields in FINGERPRINT.items() for f in fields if f in core} & set(lacking)


def test_a_run_without_a_field_that_all_have_matches_nothing() -> None:
    assert len(differences({}, MACHINE)) == 9
    assert differences({k: v for k, v in MACHINE.items() if k != "cpu"}, MACHINE) == ["processor.cpu: None / toy"]


def test_a_run_keeps_the_machine_before_and_after_and_what_happened_meanwhile(tmp_path: Path) -> None:
    suite = Suite.model_validate(
        {"suite": "toy", "device": "cpu", "activations": ["relu", "swiglu"], "reference": "swiglu",
         "benchmarks": [{"name": "memory", "kind": "memory"}]}
    )  # fmt: skip
    current = session.begin(suite, tmp_path / "run", None, "toy.yaml")
    local.carry_out(current, make_executor=Fake)
    found = store.load(tmp_path / "run")
    after = found.header["environment_after"]
    assert set(found.environment) | {"meanwhile"} == set(after)
    assert after["meanwhile"]["seconds"] >= 0 and after["meanwhile"]["other_cores"] >= 0
    assert "others kept" in dict(facts(found))["meanwhile"]


def test_facts_of_a_run_leave_out_what_it_did_not_record() -> None:
    old = dict(facts(made([])))
    assert "meanwhile" not in old and old["clock"] == "governor none"
    new = made([])
    header = {**new.header, "environment_after": {"meanwhile": {"other_cores": 0.5, "throttled": 3}}}
    assert dict(facts(Run(new.path, header, ())))["meanwhile"] == (
        "others kept 0.50 processors busy, a hypervisor took 0.00, the container's quota stopped it 3 times"
    )


def test_this_machine_itself_can_be_read() -> None:
    local, allowed = processor(), limits()
    assert local.name and 1 <= local.physical <= len(local.affinity) <= local.present
    assert allowed.quota is None or allowed.quota > 0
    assert allowed.memory is None or allowed.memory > 0
