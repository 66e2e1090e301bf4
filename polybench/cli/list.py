"""What `polybench list` shows: every extension and suite, read without running any of it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from polybench.cli.options import Json


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """Entries by registry, and the suites of the working directory."""
    from polybench.plan.suite import suite_name, suite_paths
    from polybench.registry import REGISTRIES

    found: dict[str, list[dict[str, Any]]] = {}
    for registry in REGISTRIES:
        found[registry.name] = [
            {
                "name": entry.name,
                "summary": f"broken: {entry.error}" if entry.error else entry.summary,
                "origin": entry.origin,
                "options": {key: default for key, (_, default) in entry.options.items()},
                **({"used_by": entry.facts["used_by"]} if entry.facts.get("used_by") else {}),
            }
            for _, entry in sorted(registry.entries().items())
        ]
    found["suites"] = [
        {"name": suite_name(path), "summary": _description(path), "origin": str(path), "options": {}}
        for path in suite_paths()
    ]
    return found


def text(entries: dict[str, list[dict[str, Any]]], width: int = sys.maxsize) -> str:
    """A line an entry, in columns, wrapped at words where it is wider than `width`."""
    from polybench.report.formats.fitting import wrapped

    parts = []
    for title, found in entries.items():
        parts.append(f"{title}")
        wide = max((len(e["name"]) for e in found), default=0)
        for entry in found:
            options = ", ".join(f"{k}={'auto' if v is None else v}" for k, v in entry["options"].items())
            tail = f" ({options})" if options else ""
            users = f" Used by {entry['used_by']}." if "used_by" in entry else ""
            line = f"  {entry['name']:<{wide}}  {entry['summary']}{users}{tail}  [{entry['origin']}]"
            parts += wrapped(line, width, " " * (wide + 4))
        parts.append("")
    return "\n".join(parts).rstrip()


def _description(path: Path) -> str:
    """The description line of a suite, without judging the rest of the file."""
    try:
        match = re.search(r"^description:\s*(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return "cannot be read"
    return match[1].strip().strip("\"'") if match else ""


def list_(as_json: Json = False) -> None:
    """Name everything that is registered, and the suites.

    Each with its options and where it comes from.
    """
    entries = catalogue()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    print(json.dumps(entries, indent=1) if as_json else text(entries, width))
