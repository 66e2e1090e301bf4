"""Activations that go wrong in every way, which `install` puts where a package would be."""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
import os, resource, signal, sys, threading
import torch
from polybench.message import Done, Ending, Message, encode
from polybench.record import Status
from polybench.registry import activations

class Base(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)

@activations.register("raises", branches=1, source="tests")
class Raises(Base):
    """Raises in its forward pass."""
    def forward(self, x):
        raise ValueError("planted mistake\\nsecond line")

@activations.register("leaves", branches=1, source="tests")
class Leaves(Base):
    """Wants to end the program."""
    def forward(self, x):
        raise SystemExit(1)

@activations.register("interrupts", branches=1, source="tests")
class Interrupts(Base):
    """Looks like Ctrl-C."""
    def forward(self, x):
        raise KeyboardInterrupt

@activations.register("closes", branches=1, source="tests")
class Closes(Base):
    """Looks like the end of a generator."""
    def forward(self, x):
        raise GeneratorExit

@activations.register("exits", branches=1, source="tests")
class Exits(Base):
    """Ends the process."""
    def forward(self, x):
        print("last words", file=sys.stderr, flush=True)
        os._exit(7)

@activations.register("killed", branches=1, source="tests")
class Killed(Base):
    """Is killed as the kernel kills for memory."""
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGKILL)

@activations.register("asked", branches=1, source="tests")
class Asked(Base):
    """Is asked to end, as a cluster asks all processes of a job, and the one that made it."""
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGTERM)
        if os.getppid() != int(os.environ.get("PROGRAM", os.getppid())):
            os.kill(os.getppid(), signal.SIGTERM)
        return torch.relu(x)

@activations.register("threaded", branches=1, source="tests")
class Threaded(Base):
    """Needs a thread that it starts once in a process."""
    thread = None
    def __init__(self):
        super().__init__()
        if Threaded.thread is None:
            Threaded.thread = threading.Thread(target=threading.Event().wait, daemon=True)
            Threaded.thread.start()
    def forward(self, x):
        if not Threaded.thread.is_alive():
            raise RuntimeError("its thread is gone")
        return torch.relu(x)

@activations.register("hungry", branches=1, source="tests")
class Hungry(Base):
    """Asks for more memory than there is."""
    def forward(self, x):
        return torch.empty(1 << 60)

@activations.register("endless", branches=1, source="tests")
class Endless(Base):
    """Takes memory for as long as there is some: a quarter of a GiB, as in a container of that size."""
    def forward(self, x):
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), hard))
        taken = []
        try:
            while True:
                taken.append(torch.ones(1 << 20))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

@activations.register("hangs", branches=1, source="tests")
class Hangs(Base):
    """Never returns."""
    def forward(self, x):
        while True:
            pass

@activations.register("prints", branches=1, source="tests")
class Prints(Base):
    """Writes on stdout what could be taken for a message."""
    def forward(self, x):
        print(encode(Message(0, Done())), flush=True)
        os.write(1, encode(Message(0, Ending(Status.FAILED, "no"))).encode() + b"\\n")
        return torch.relu(x)

class Steep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.nn.functional.silu(x)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return 1.01 * dy * s * (1 + x * (1 - s))

@activations.register("steep", branches=1, source="tests")
class WrongGradient(Base):
    """Has a gradient that is one per cent too steep."""
    def forward(self, x):
        return Steep.apply(x)

class OnCtx(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return torch.nn.functional.softplus(x)

    @staticmethod
    def backward(ctx, dy):
        return dy * torch.sigmoid(ctx.x)

@activations.register("secretive", branches=1, source="tests")
class Secretive(Base):
    """Keeps its input where the hooks of autograd are not shown it."""
    def forward(self, x):
        return OnCtx.apply(x)

@activations.register("explodes", branches=1, source="tests")
class Explodes(Base):
    """Gives no numbers."""
    def forward(self, x):
        return x * float("nan")

@activations.register("misshapen", branches=1, source="tests")
class Misshapen(Base):
    """Gives the wrong width."""
    def forward(self, x):
        return x[..., :-1]
'''


def install(folder: Path) -> Path:
    """Put the package into a folder that then goes on PYTHONPATH."""
    (folder / "polybench_faults.py").write_text(SOURCE, encoding="utf-8")
    info = folder / "polybench_faults-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polybench-faults\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[polybench]\nfaults = polybench_faults\n", encoding="utf-8")
    return folder
