"""What the doctor says of the GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from polybench.machine.diagnosis import Symptom, worst
from polybench.machine.gpus import Gpu
from polybench.machine.survey import Survey

BUSY = 0.1  # share of the time: above it another process computes, though a container may hide which
FREE_MEMORY = (0.8, 0.1)  # share of the memory left: worth a note, unfit
HOT = 80  # degrees Celsius, at rest

# A power limit holds clocks down under any full load, ours too; sync boost and displays are settings.
_HARMLESS = {"power limit", "sync boost", "display clock setting"}


def graphics(seen: Survey) -> Iterator[Symptom]:
    """Findings of every visible device, or one that says why there is none."""
    cards = seen.gpus.usable
    if not cards:
        hidden = bool(seen.gpus.devices)
        why = "CUDA_VISIBLE_DEVICES hides them all" if hidden else seen.gpus.missing
        unread = "not installed" in why or "cannot be asked" in why
        yield worst("GPU", [(unread, "note", why, "pip install nvidia-ml-py, and see whether nvidia-smi works.")], why)
        return
    torch = seen.software.packages.get("torch", "")
    yield worst(
        "GPU",
        [(torch.endswith("+cpu"), "note", f"torch {torch} cannot use it", "Install a torch built for CUDA.")],
        f"{len(cards)} visible, driver {seen.gpus.driver}",
    )
    for card in cards:
        yield from _state(card)
        yield from _settings(card)


def _state(card: Gpu) -> Iterator[Symptom]:
    """What disturbs times now."""
    topic = f"GPU {card.index}"
    bad = [r for r in card.throttled if r not in _HARMLESS]
    sentence = f"clocks are held down by {', '.join(card.throttled) or 'nothing'}"
    sentence += "" if card.temperature_C is None else f", {card.temperature_C} °C"
    sentence += "" if card.power_W is None else f", {card.power_W:.0f} W"
    sentence += "" if card.power_limit_W is None else f" of {card.power_limit_W:.0f} W"
    yield worst(
        f"{topic} throttle",
        [
            (bool(bad), "unfit", sentence, "Let it cool, look at its fans and its power supply; then measure again."),
            (bool(card.throttled), "note", sentence, "Times are those of a device with its clocks held down."),
            ((card.temperature_C or 0) > HOT, "note", sentence, "It is hot before any work: throttling is near."),
        ],
        sentence,
    )
    busy, others = card.busy or 0.0, card.processes
    who = f"processes {', '.join(map(str, others))} compute on it" if others else "no other process is seen"
    sentence = who if card.busy is None else f"{who}, busy {busy:.0%} of the time"
    yield worst(
        f"{topic} others",
        [(bool(others) or busy > BUSY, "unfit", sentence, "Wait for them, or choose another: CUDA_VISIBLE_DEVICES.")],
        sentence,
    )
    if card.memory and card.memory_used is not None:
        left = 1 - card.memory_used / card.memory
        sentence = f"{left:.0%} of {card.memory / 2**30:.0f} GiB free"
        yield worst(
            f"{topic} memory",
            [
                (left < FREE_MEMORY[1], "unfit", sentence, "Something holds it; nvidia-smi shows what it can."),
                (left < FREE_MEMORY[0], "note", sentence, "Something holds it; nvidia-smi shows what it can."),
            ],
            sentence,
        )


def _settings(card: Gpu) -> Iterator[Symptom]:
    """What an administrator chose, and what follows for times."""
    sm, memory = card.sm, card.memory_clock
    chosen = sm.application is not None and sm.most is not None and sm.application < sm.most
    sentence = f"{card.name}, SM {sm.now} of {sm.most} MHz (application {sm.application}), "
    sentence += f"memory {memory.now} of {memory.most} MHz (application {memory.application})"
    sentence = sentence.replace("None", "?").replace(" (application ?)", "")
    yield worst(
        f"GPU {card.index} clocks",
        [(chosen, "note", sentence, "The clock is held below what it can: steadier times, not the shortest.")],
        sentence,
    )
    words = {True: "on", False: "off", None: "not reported"}
    modes = f"persistence {words[card.persistence]}, MIG {words[card.mig]}, ECC {words[card.ecc]}"
    yield worst(
        f"GPU {card.index} modes",
        [
            (card.mig is True, "note", modes, "A slice shares power and heat with its neighbours: say which slice."),
            (card.persistence is False, "note", modes, "First calls load the driver anew: nvidia-smi -pm 1, as root."),
        ],
        modes,
    )
