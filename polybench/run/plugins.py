"""The plug-ins that take part in a run: what they are made of decides its numbers as the code of polybench does."""

from __future__ import annotations

from polybench.machine.environment import plugin_hash
from polybench.plan.jobs import Plan
from polybench.registry import activations, backends, corpora, kinds


def plugins(of: Plan) -> dict[str, dict[str, str]]:
    """What an environment says more where trials need plug-ins: the hash of each by its package."""
    cells = {trial.cell for trial in of.trials}
    values = {str(value) for cell in cells for _, value in cell.axes}
    named = {
        activations: {cell.activation.partition("(")[0] for cell in cells},
        backends: {cell.backend for cell in cells},
        kinds: {cell.kind for cell in cells},
        corpora: {one.partition(":")[0].strip() for value in values for one in value.split("+")},
    }
    files = {
        entry.file
        for registry, names in named.items()
        for name, entry in registry.entries().items()
        if name in names and entry.file and not entry.module.startswith("polybench.")
    }
    found = dict(plugin_hash(file) for file in sorted(files))
    return {"plugins": found} if found else {}
