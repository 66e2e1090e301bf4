"""Is this machine fit for timing? Rules that turn what was read of it into findings.

Only what spoils the times taken now makes a machine unfit. What polybench measures around, and what cannot be seen,
is a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from polybench.launches import BLOCKS, MOST, PILOT
from polybench.machine.diagnosis import Symptom, worst
from polybench.machine.doctor_gpu import graphics
from polybench.machine.environment import GIB, room
from polybench.machine.hardware import UNKNOWN, ranges
from polybench.machine.launches_needed import MARGIN, launches_for
from polybench.machine.survey import Survey

FREE_CORES = 0.75  # less than this left by others and a timed thread waits for its turn
BUSY_CORES = 0.25  # less than this of others' work is the usual hum of a system
STOLEN = (0.005, 0.05)  # cores taken by the hypervisor: worth a note, unfit
PREEMPTED = (0.02, 0.5)  # share of the time in which the busy thread did not run: worth a note, unfit
FREE_MEMORY = (0.2, 0.05)  # share of the memory left: worth a note, unfit
LEAST_MEMORY = 512 << 20  # bytes, unfit below
SWAPPED = 1 << 20  # bytes moved in the few seconds that we looked, unfit above
DRIFT = 0.1  # interquartile range of a sample's time, worth a note
GAP = 10e-3  # seconds in which the clock was not read though we read it all the time, worth a note
CLOCK = 1e-6  # seconds, of step or cost: a sample of a millisecond is then read to 1e-3


def findings(seen: Survey) -> tuple[Symptom, ...]:
    """Everything there is to say, in the order of reading: processor, disturbances, memory, clocks, GPU, software."""
    return (*_processor(seen), *_disturbances(seen), *_memory(seen), *_clocks(seen), *graphics(seen), *_software(seen))


def _processor(seen: Survey) -> Iterator[Symptom]:
    here = seen.processor
    usable, quota = len(here.affinity), seen.limits.quota
    which = f"{here.name}, {usable} of {here.present} processors usable ({ranges(here.affinity)})"
    alone = usable == 1 or (quota is not None and quota < 2)
    yield worst(
        "cores",
        [(alone, "note", f"{which}, which is one core's worth", "Whatever else runs shares it with what is measured.")],
        which,
    )
    default = seen.software.threads.get("OMP_NUM_THREADS") or seen.software.threads.get("MKL_NUM_THREADS")
    told = ", ".join(f"{k}={v}" for k, v in seen.software.threads.items()) or "no variable sets them"
    many = bool(default and default.isdigit() and int(default) > usable)
    yield worst(
        "threads",
        [(many, "note", f"{told}: more threads than the {usable} processors", f"Outside of polybench, say {usable}.")],
        f"{told}; torch alone would use {default or here.physical}, polybench times with one",
    )
    paired = here.smt == "on" and here.physical < usable
    yield worst(
        "SMT",
        [(paired, "note", "two threads share a core", "Pin polybench to one of each pair: taskset -c LIST polybench.")],
        {"on": "on, but no two usable processors share a core"}.get(here.smt, here.smt),
    )
    hidden = "it cannot be read here, as is usual in containers and virtual machines"
    yield worst(
        "governor",
        [
            (here.governor == UNKNOWN, "note", hidden, "Ask whoever runs the host; ratios inside a round still hold."),
            (
                here.governor != "performance",
                "note",
                f"{here.governor}: the clock follows the load",
                "Where you may: sudo cpupower frequency-set -g performance.",
            ),
        ],
        here.governor,
    )
    yield worst(
        "turbo",
        [
            (here.boost == UNKNOWN, "note", hidden, "Expect the clock to depend on what the other cores do."),
            (
                here.boost == "on",
                "note",
                "on: the clock depends on temperature and on the other cores",
                "Where steady times matter more than short ones, turn it off in the firmware or under /sys.",
            ),
        ],
        here.boost,
    )
    alien = "a virtual machine: its neighbours cannot be seen"
    yield worst(
        "host",
        [(here.virtual, "note", alien, "Repeat on another day before you trust small differences.")],
        "no hypervisor",
    )


def _disturbances(seen: Survey) -> Iterator[Symptom]:
    usable, others = len(seen.processor.affinity), seen.resting.other_cores
    average = f" (load {' '.join(f'{x:g}' for x in seen.load)})" if seen.load else ""
    sentence = f"others keep {others:.2f} of {usable} processors busy{average}"
    yield worst(
        "load",
        [
            (usable - others < FREE_CORES, "unfit", sentence, "Stop the other work or wait for its end; top shows it."),
            (others > BUSY_CORES, "note", sentence, "Stop the other work if you can; CPU time suffers less than wall."),
        ],
        sentence,
    )
    lost = seen.probe.preempted
    sentence = f"a busy thread was kept waiting for {lost:.1%} of the time"
    yield worst(
        "waiting",
        [
            (
                lost > PREEMPTED[1],
                "unfit",
                sentence,
                "Find what takes its place: other work, or a quota.",
            ),
            (lost > PREEMPTED[0], "note", sentence, "Read CPU times rather than wall times."),
        ],
        sentence,
    )
    stolen = seen.working.stolen_cores
    sentence = f"the hypervisor took {stolen:.1%} of a core"
    yield worst(
        "steal",
        [
            (stolen > STOLEN[1], "unfit", sentence, "Its host is crowded: take another machine or another hour."),
            (stolen > STOLEN[0], "note", sentence, "Its host is busy: prefer another hour."),
        ],
        sentence,
    )
    quota, stopped = seen.limits.quota, seen.resting.throttled + seen.working.throttled
    share = "no processor quota" if quota is None else f"the container may use {quota:g} processors' worth of time"
    yield worst(
        "quota",
        [
            (
                stopped > 0,
                "unfit",
                f"{share} and was stopped {stopped} times while we looked",
                "Raise the quota, or pin whole processors (cpuset) instead.",
            ),
            (
                quota is not None and quota < usable,
                "note",
                f"{share}, of {usable} visible",
                "More threads than that are stopped for the rest of each period; pin whole processors instead.",
            ),
        ],
        share,
    )


def _memory(seen: Survey) -> Iterator[Symptom]:
    total, free = room(seen.memory, seen.limits)
    bounds = " by the container's limit" if total < seen.memory.total else ""
    sentence = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free{bounds}, huge pages: {seen.memory.huge_pages}"
    full = free < FREE_MEMORY[1] * total or free < LEAST_MEMORY
    yield worst(
        "memory",
        [
            (full, "unfit", sentence, "End what holds the memory, or measure smaller shapes elsewhere."),
            (free < FREE_MEMORY[0] * total, "note", sentence, "Large shapes may not fit."),
        ],
        sentence,
    )
    moved, used = seen.resting.swapped_bytes + seen.working.swapped_bytes, seen.memory.swap_used
    sentence = f"{used / GIB:.1f} of {seen.memory.swap_total / GIB:.1f} GiB used"
    yield worst(
        "swap",
        [
            (moved > SWAPPED, "unfit", f"{moved / 2**20:.0f} MiB moved while we looked", "Free memory until it stops."),
            (used > 0, "note", sentence, "Something was pushed out earlier; harmless while nothing moves."),
        ],
        sentence if seen.memory.swap_total else "none",
    )


def _clocks(seen: Survey) -> Iterator[Symptom]:
    now = seen.probe
    coarse, cost = now.clock_resolution_s, max(now.clock_cost_s, now.thread_clock_cost_s)
    source = "" if seen.processor.clock_source == UNKNOWN else f" from {seen.processor.clock_source}"
    sentence = (
        f"steps of {coarse * 1e9:.0f} ns{source}; a reading costs {now.clock_cost_s * 1e9:.0f} ns, "
        f"of the thread's CPU time {now.thread_clock_cost_s * 1e9:.0f} ns; longest gap {now.gap_s * 1e3:.2g} ms"
    )
    yield worst(
        "clock",
        [
            (max(coarse, cost) > CLOCK, "note", sentence, "Make samples longer: a coarse clock hides in them."),
            (now.gap_s > GAP, "note", sentence, "Something stops everything at times; wall times will show it."),
        ],
        sentence,
    )
    for topic, cpu in (("arithmetic", now.arithmetic_cpu), ("copying", now.copy_cpu)):
        need = launches_for(cpu.jitter)
        enough = f"{need or f'more than {MOST}'} launches of {BLOCKS} rounds would tell {MARGIN:.0%} apart"
        sentence = (
            f"CPU time of neighbours differs by {cpu.jitter:.1%}, {enough}; it drifted by {cpu.drift:.1%}, "
            f"the worst took {cpu.worst:.1f} times the median"
        )
        yield worst(
            topic,
            [
                (need is None, "unfit", sentence, "Look for other work, shared caches or heat, and measure again."),
                (need != PILOT, "note", sentence, "Expect verdicts to need more launches."),
                (cpu.drift > DRIFT, "note", sentence, "Compare only what was measured in the same rounds."),
            ],
            sentence,
        )


def _software(seen: Survey) -> Iterator[Symptom]:
    there = seen.software
    named = ", ".join(f"{k} {v}" for k, v in there.packages.items() if v)
    sentence = f"Python {there.python}, {named or 'no packages'}, {there.system}"
    yield worst(
        "versions",
        [(not there.packages.get("torch"), "note", f"{sentence}; no torch", "Install torch to measure anything.")],
        sentence,
    )
    first, answer = next(iter(there.compilers.items()), ("g++", ""))
    found = ", ".join(f"{k}: {v}" for k, v in there.compilers.items() if v) or "none"
    lacking = f"{found}; the backend compile needs {first} on the CPU"
    yield worst(
        "compilers",
        [(not answer, "note", lacking, "Install g++, or name another in CXX; other backends do without.")],
        found,
    )
    told = ", ".join(f"{k}={v}" for k, v in there.variables.items())
    yield worst(
        "variables", [(bool(told), "note", told, "They change what is measured; runs record them.")], "none set"
    )
