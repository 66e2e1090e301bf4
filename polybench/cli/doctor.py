"""The command that looks at the machine: what to know, and what to do, before timing on it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from polybench.cli.options import DeviceOption, Json
from polybench.machine.diagnosis import Symptom

_STYLE = {"ok": "green", "note": "yellow", "unfit": "bold red"}
# In a process of its own: it imports torch, and torch's own survey takes about ten seconds.
_FULL = (
    "import torch\n"
    "from torch.utils.collect_env import get_pretty_env_info\n"
    "print(get_pretty_env_info(), torch.__config__.show(), torch.__config__.parallel_info(), sep='\\n\\n')\n"
)


def doctor(
    full: Annotated[bool, typer.Option("--full", help="add what torch says of itself, about ten seconds")] = False,
    device: DeviceOption = None,
    as_json: Json = False,
) -> None:
    """Say whether this machine is fit for timing, and what to do.

    It sets nothing. Ends with 0 where the machine is fit, with 4 where it is not.
    """
    from polybench.errors import UsageError
    from polybench.machine.diagnosis import conclusion
    from polybench.machine.doctor import findings
    from polybench.machine.environment import choose_device
    from polybench.machine.survey import survey

    if device not in (None, "auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: say auto, cpu or cuda")
    choose_device(device or "auto")
    if sys.stderr.isatty():
        print("looking at the machine for about four seconds", file=sys.stderr, flush=True)
    seen = survey(with_gpu=device != "cpu")
    said = findings(seen)
    code, reason = conclusion(said)
    torch = _of_torch() if full else None
    if as_json:
        whole = {"schema_version": 1, "exit_code": code, "fit": not code, "reason": reason}
        whole |= {"findings": [asdict(f) for f in said], "facts": asdict(seen), "torch": torch}
        print(json.dumps(whole, indent=1))
    else:
        _show(said)
        print(f"\n{torch}\n" if torch else "", end="")
        print(reason)
    raise typer.Exit(code)


def _show(said: Sequence[Symptom]) -> None:
    """A line a finding and a line of advice under it; coloured on a terminal, never cut."""
    from rich.console import Console
    from rich.text import Text

    plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))
    out = io.StringIO()  # rich itself ends the program at a pipe whose reader is gone
    console = Console(file=out, highlight=False, no_color=plain, force_terminal=not plain, soft_wrap=True)
    wide = max(len(f.topic) for f in said)
    for f in said:
        console.print(Text(f"{f.level:<5}", _STYLE[f.level]), Text(f" {f.topic:<{wide}}  {f.sentence}"), sep="")
        if f.remedy:
            console.print(Text(f"{'':{wide + 8}}-> {f.remedy}"))
    print(out.getvalue(), end="")


def _of_torch() -> str:
    """What torch says of itself, or one sentence that says why it says nothing."""
    try:
        done = subprocess.run([sys.executable, "-c", _FULL], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "torch did not finish its own survey within 120 s"
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return done.stdout.strip() if done.returncode == 0 else f"torch could not survey the machine: {last}"
