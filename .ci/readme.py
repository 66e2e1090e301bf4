"""Writes the numbers of README.md from the run that is published beside it: `.venv/bin/python .ci/readme.py`."""

from __future__ import annotations

from pathlib import Path

from polybench.document import Document
from polybench.report.compose import compose
from polybench.report.formats.draw import palette_of, png
from polybench.report.formats.markdown import md_table
from polybench.run.store import load

ROOT = Path(__file__).parent.parent
RUN = ROOT / "results" / "published" / "quick"
PICTURE = RUN / "loss-against-time.png"
BEGIN, END = "<!-- from results/published/quick -->\n", "<!-- end -->"


def document() -> Document:
    return compose(load(RUN))


def section(report: Document) -> str:
    """The overview table, its caption and where it was measured."""
    table = next(t for t in report.tables if t.key == "overview")
    facts = dict(report.facts)
    torch = next(p for p in facts["packages"].split(", ") if p.startswith("torch "))
    where = f"{facts['processor']}, {facts['device']}, {torch}, {facts['started'][:10]}"
    rows = "\n".join(md_table(table))
    picture = f"![held-out loss against time]({PICTURE.relative_to(ROOT)})"
    return f"{rows}\n\n{table.caption} Measured on {where}.\n\n{picture}\n"


def placed(readme: str, text: str) -> str:
    """The README with the section between its markers."""
    before, _, rest = readme.partition(BEGIN)
    return before + BEGIN + text + END + rest.partition(END)[2]


def main() -> None:
    report = document()
    readme = ROOT / "README.md"
    readme.write_text(placed(readme.read_text(encoding="utf-8"), section(report)), encoding="utf-8")
    figure = next(f for f in report.figures if f.kind == "pareto")
    png(figure, PICTURE, palette_of(s.label for s in figure.series))


if __name__ == "__main__":
    main()
