"""Writes the tables of README.md and docs/measuring.md from published runs: `.venv/bin/python .ci/readme.py`."""

from __future__ import annotations

import lzma
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from polybench.compare.selfcheck import KIND
from polybench.document import Document
from polybench.report.compose import compose
from polybench.report.formats.draw import palette_of, png
from polybench.report.formats.markdown import markdown, md_table
from polybench.run.store import load

ROOT = Path(__file__).parent.parent
RUN = ROOT / "results" / "published" / "quick"
PICTURE = RUN / "loss-against-time.png"
CHECK = ROOT / "results" / "published" / "selfcheck"
LEDGER = ROOT / "results" / "published" / "paper" / "ledger"
END = "<!-- end -->"


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


def selfchecked() -> Document:
    """The report of the published selfcheck, whose records are packed."""
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / CHECK.name
        unpacked.mkdir()
        shutil.copy(CHECK / "run.json", unpacked)
        (unpacked / "records.jsonl").write_bytes(lzma.decompress((CHECK / "records.jsonl.xz").read_bytes()))
        found = compose(load(unpacked))
    where = ("run", str(CHECK.relative_to(ROOT)))
    return replace(found, title=CHECK.name, facts=(where, *found.facts[1:]))


def rules(report: Document) -> str:
    """What every rule flags, and in which cells."""
    table = next(t for t in report.tables if t.key == KIND)
    rows = "\n".join(md_table(table))
    return f"{rows}\n\n{table.caption}\n"


def in_ten_lines() -> str:
    """The first table of the page that `polybench report --ledger` made of the runs of `suites/paper`."""
    page = (LEDGER / "report.md").read_text(encoding="utf-8")
    return page[page.index("| claim |") :].split("\n\n")[0] + "\n"


def placed(page: str, text: str, run: Path = RUN) -> str:
    """The page with the section between the markers of the run."""
    begin = f"<!-- from {run.relative_to(ROOT)} -->\n"
    before, _, rest = page.partition(begin)
    return before + begin + text + END + rest.partition(END)[2]


def main() -> None:
    report = document()
    readme = ROOT / "README.md"
    written = placed(readme.read_text(encoding="utf-8"), section(report))
    readme.write_text(placed(written, in_ten_lines(), LEDGER), encoding="utf-8")
    figure = next(f for f in report.figures if f.kind == "pareto")
    png(figure, PICTURE, palette_of(s.label for s in figure.series))
    checked, page = selfchecked(), ROOT / "docs" / "measuring.md"
    page.write_text(placed(page.read_text(encoding="utf-8"), rules(checked), CHECK), encoding="utf-8")
    (CHECK / "table.md").write_text(markdown(checked), encoding="utf-8")


if __name__ == "__main__":
    main()
