"""A kind that trains nothing: it says which process it ran in, or fails where its axes say so."""

from __future__ import annotations

from pathlib import Path

SOURCE = r'''
import os, signal, time
from pydantic import Field
from polybench.kind import Axes, Fact, Protocol
from polybench.metric import Metric, Price, Question
from polybench.record import Measurement
from polybench.registry import kinds

class ToyAxes(Axes):
    fails: str = Field("", description="rank/seed of the process that fails")
    kills: int = Field(-1, description="seed whose first trial ends the whole program, once")
    by: str = Field("SIGKILL", description="the signal that ends it")
    gates: str = Field("", description="folder in which a file named by the seed lets it go on")

class ToyProtocol(Protocol):
    parallel: str = Field("ddp", description="how several processes share it")

PROGRAM = os.getppid()

def ended(axes):
    """Whether this program is the one that ends here: all its trials of the seed wait for that."""
    claim = f"{os.environ['TOY_LOG']}.{axes.kills}.{axes.by}"
    mine = f"{claim}.{os.getpid()}"
    with open(mine, "w") as file:
        file.write(str(PROGRAM))
    try:
        os.link(mine, claim)  # whole at once, so that nobody reads half of it
    except FileExistsError:
        with open(claim) as file:
            return file.read() == str(PROGRAM)
    os.kill(PROGRAM, getattr(signal, axes.by))
    return True

SCORE = Metric("score", "1", "lower", "seed", "Ten times the seed.", cost=Price("score", "Score of a game"))
REGRET = Metric("regret", "nat/token", "lower", "seed", "What was missed.", header="regret", title="regret in nats",
                asked=Question("In regret", "the least regret"), by_seed=True)
SECRET = Metric("secret", "1", "lower", "seed", "Of no use to a reader.", hidden=True)

@kinds.register("toy", axes=ToyAxes, protocol=ToyProtocol, metrics=(SCORE, REGRET, SECRET), version=1, repeats="seeds",
                     seconds=lambda axes, protocol: 1.0)
def toy(trials, axes, protocol):
    """Says where it ran."""
    rank, seed = os.environ.get("RANK", "0"), trials[0].seed
    with open(os.environ["TOY_LOG"], "a") as file:
        file.write(f"{rank}/{os.environ.get('WORLD_SIZE', '1')} {trials[0].cell.activation} {seed}\n")
    if axes.fails == f"{rank}/{seed}":
        raise ValueError("planted")
    if axes.kills == seed and ended(axes):
        signal.pause()
    while axes.gates and not os.path.exists(f"{axes.gates}/{seed}"):
        time.sleep(0.1)
    yield 0, Fact("rank", rank)
    yield 0, Measurement("score", (10.0 * seed,))

@kinds.register("toy_once", axes=Axes, protocol=Protocol, metrics=(SCORE,), version=1, repeats="once",
                     seconds=lambda axes, protocol: 1.0)
def toy_once(trials, axes, protocol):
    """Trains nothing, so that one process does it."""
    with open(os.environ["TOY_LOG"], "a") as file:
        file.write(f"{os.environ.get('RANK', '0')} once\\n")
    yield 0, Measurement("score", (1.0,))
'''


def install(folder: Path) -> dict[str, str]:
    """Put the package into a folder; variables for the processes that shall have it."""
    (folder / "polybench_toy.py").write_text(SOURCE.replace("\\\\n", "\\n"), encoding="utf-8")
    info = folder / "polybench_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polybench-toy\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[polybench]\ntoy = polybench_toy\n", encoding="utf-8")
    return variables(folder)


def variables(folder: Path) -> dict[str, str]:
    """What a process has in its environment that shall have the package, where it is installed."""
    return {"PYTHONPATH": f"{folder}:{Path(__file__).parent.parent}", "TOY_LOG": str(folder / "log.txt")}
