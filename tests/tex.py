"""LaTeX as a parser reads it, and as TeX does where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexGroupNode, LatexMacroNode, LatexWalker

PAPER = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\usepackage{siunitx}
\input{report}
\begin{document}
BODY
\end{document}
"""
OWN = {"polybenchnumber", "polybenchquantity"}
KNOWN = {  # of LaTeX, booktabs and siunitx
    "newcommand", "providecommand", "renewcommand", "num", "qty", "sisetup", "begingroup", "endgroup", "toprule",
    "midrule", "bottomrule", "textbf", "texttt", "ensuremath", "infty", "second", "milli", "micro", "nano", "byte",
    "kibi", "mebi", "gibi", "textbackslash", "textless", "textgreater", "textbar", "symbol", "mu", "textasciitilde",
    "textasciicircum", "textasciigrave", "times", "pm", "leq", "geq", "rightarrow", "dots",
    "\\", ",", "_", "&", "%", "#", "$", "{", "}",
}  # fmt: skip


def nodes(parsed: Any) -> Iterator[Any]:
    """Every node of a tree of LaTeX."""
    for node in parsed or ():
        if node is None:
            continue
        yield node
        if isinstance(node, LatexGroupNode | LatexEnvironmentNode):
            yield from nodes(node.nodelist)
        if given := getattr(node, "nodeargd", None):
            yield from nodes(given.argnlist)


def commands_of(source: str) -> dict[str, str]:
    """What a file of commands defines, by name; it is balanced, and uses nothing that is not known or its own."""
    parsed, _, _ = LatexWalker(source, tolerant_parsing=False).get_latex_nodes()
    macros = [node.macroname for node in nodes(parsed) if isinstance(node, LatexMacroNode)]
    found = dict(re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}$", source, re.M))
    defined = re.findall(r"^\\newcommand\{\\(.*?)\}", source, re.M)
    assert all(re.fullmatch("[A-Za-z]+", name) for name in defined), "letters alone"
    assert len(set(defined)) == len(defined), "no command twice"
    assert set(macros) <= {*KNOWN, *OWN, *defined}, set(macros) - {*KNOWN, *OWN, *defined}
    return found


def typeset(source: str, folder: Path) -> str:
    """What TeX makes of every table and caption, as text; skipped where there is no TeX."""
    if not shutil.which("pdflatex"):
        pytest.skip("there is no TeX here")
    (folder / "report.tex").write_text(source, encoding="utf-8")
    body = "\n\n".join(rf"\{name}{{}}" for name in re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}", source, re.M))
    (folder / "paper.tex").write_text(PAPER.replace("BODY", body), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    told = done.stdout.decode("latin-1")
    assert done.returncode == 0, told[-2000:]
    return told
