"""The page of a report: whole without network and script, told apart without colour, and nothing on it is lost."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from htmltree import Element, Reader

from polybench.document import Column, Document, Entry, Figure, Finding, Series, Table
from polybench.registry import formats
from polybench.report.compose import compose
from polybench.report.formats import html as page_module
from polybench.run.store import load

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
RUNS = sorted(p.parent.name for p in PUBLISHED.glob("*/records.jsonl"))
DRAWN = "memory"  # whose pictures are drawn, the others' are left out: they take seconds
STYLE = (Path(page_module.__file__).parent / "report.css").read_text(encoding="utf-8")
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def rendered(document: Document) -> str:
    return str(formats.load("html").object(document))


def read(text: str) -> Element:
    assert text.startswith("<!doctype html>") and text.endswith("</html>\n")
    return Reader(text).top


def bars(key: str, title: str, caption: str = "A caption.", label: str = "relu") -> Figure:
    return Figure(key, "bars", title, caption, "", "Time", (Series(label, (0.0,), (1.0,)),), 1.0)


def table(rows: int, key: str = "t", text: str = "x") -> Table:
    columns = (Column("activation", numeric=False), Column("level", numeric=False), Column("time", "ms", "How long."))
    body = tuple((Entry(f"a{i}"), Entry(f"l{i // 4}"), Entry(text, 1.0, outcome="better")) for i in range(rows))
    return Table(key, f"Table {key}", "What it holds.", columns, body, ("A note.",))


def document(**changes: object) -> Document:
    whole = {
        "title": "toy/one", "description": "What it asks.", "findings": (Finding("At once", "relu wins.", True),),
        "tables": (table(3),), "figures": (bars("one", "Time"),), "facts": (("cpu", "toy"),), "notes": ("Unfinished.",),
    }  # fmt: skip
    return Document(**{**whole, **changes})  # type: ignore[arg-type]


def test_a_line_parts_cells_and_not_what_was_found_in_words() -> None:
    plain = table(8)
    columns = (*plain.columns, Column("bound by", numeric=False))
    told = replace(plain, columns=columns, rows=tuple((*r, Entry(f"{i}")) for i, r in enumerate(plain.rows)))
    assert rendered(document(tables=(told,))).count('<tr class="apart">') == 1


@pytest.mark.parametrize("name", RUNS)
def test_the_page_of_every_published_run_keeps_the_laws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != DRAWN:
        monkeypatch.setattr(page_module, "svg", lambda figure, palette: '<svg role="img"></svg>')
    found = compose(load(PUBLISHED / name))
    text = rendered(found)
    page = read(text)
    every = list(page.all())
    needs_no_network(text, every)
    leads_somewhere(page, every)
    says_all(found, page)
    can_be_heard(page)
    assert text == rendered(found)


def needs_no_network(text: str, every: list[Element]) -> None:
    links = {
        v for e in every for k, v in e.attributes.items() if k in ("href", "xlink:href", "src", "srcset", "action")
    }
    assert all(link.startswith("#") for link in links)
    assert not {e.tag for e in every} & {"link", "img", "iframe", "object", "embed", "form", "base", "image"}
    assert all(inside.startswith("#") for inside in re.findall(r"url\(['\"]?([^)]*)\)", text))
    assert "@import" not in text and not re.search(r"\b(fetch|XMLHttpRequest|import|sendBeacon)\b *\(", text)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= NAMESPACES


def leads_somewhere(page: Element, every: list[Element]) -> None:
    """Every id is there once, and whatever refers to one finds it; the contents lead to every table and figure."""
    ids = Counter(e.attributes["id"] for e in every if "id" in e.attributes)
    assert set(ids.values()) <= {1}
    assert {v[1:] for e in every for k, v in e.attributes.items() if k.endswith("href")} <= set(ids)
    assert {v for e in every if (v := e.attributes.get("aria-labelledby"))} <= set(ids)
    (nav,) = page.all("nav")
    targets = [a.attributes["href"][1:] for a in nav.all("a")]
    assert len(targets) == len(set(targets))
    (main,) = page.all("main")
    assert {s.attributes["id"] for s in main.all("section")} <= set(targets)
    reached = [e for e in main.all() if e.attributes.get("id") in targets]
    figures = {f.attributes["id"] for e in reached for f in [e, *e.all()] if f.tag == "figure"}
    assert figures == {f.attributes["id"] for f in main.all("figure")}


def says_all(found: Document, page: Element) -> None:
    """Every finding, and every table with all of its rows, in their order; a long one is folded, no other is."""
    (main,) = page.all("main")
    texts = [e.text for e in main.all("span") if e.attributes.get("class") == "text"]
    assert texts == [" ".join(f.text.split()) for f in found.findings]
    grids = list(main.all("table"))
    assert len(grids) == len(found.tables)
    for grid, wanted in zip(grids, found.tables, strict=True):
        (caption,), (head, body) = grid.all("caption"), grid.all("thead", "tbody")
        assert caption.text.startswith(wanted.title)
        assert [" ".join(c.text.split()) for c in head.all("th")] == [
            f"{c.name} {c.unit}".strip() for c in wanted.columns
        ]
        assert all(c.attributes["scope"] == "col" for c in head.all("th"))
        shown = [[c.text for c in row.all("th", "td")] for row in body.all("tr")]
        assert shown == [[with_sign(e, first=i == 0) for i, e in enumerate(row)] for row in wanted.rows]
        assert all([c.attributes.get("scope") for c in row.all("th")] == ["row"] for row in body.all("tr"))
    folds = list(main.all("details"))
    long = [f"{t.title}: {len(t.rows)} rows" for t in found.tables if len(t.rows) > page_module.LONG]
    assert [caption.text for fold in folds for caption in fold.all("caption")] == long
    assert not any("open" in d.attributes for d in folds)
    first, rest = (tuple(f for f in found.figures if (f.key == found.picture) == alone) for alone in (True, False))
    families = [list(alike) for _, alike in groupby(rest, lambda f: f.title.partition(" (")[0])]
    drawn = [*first, *(figure for alike in families for figure in alike[: page_module.MOST_PICTURES])]
    assert Counter(f.attributes["id"] for f in main.all("figure")) == Counter(f"figure-{f.key}" for f in drawn)
    titles = " ".join(e.text for e in main.all("h3", "h4", "p", "figcaption"))
    for alike in families:
        left = len(alike) - page_module.MOST_PICTURES
        assert left <= 0 or f"{left} more are not drawn" in titles
    for figure in drawn:
        assert all(part in titles for part in figure.title.removesuffix(")").partition(" (")[::2])
        assert all(s in titles for s in re.split(r"(?<=\.) (?=[A-Z])", " ".join(figure.caption.split())))


def with_sign(entry: Entry, first: bool) -> str:
    outcome = "" if first or not entry.outcome else f" {page_module.SIGNS[entry.outcome]} {entry.outcome}"
    return " ".join(f"{entry.text}{outcome}".split())


def can_be_heard(page: Element) -> None:
    """One main, one contents, one first heading, no level left out below it, and names for what is not text."""
    counts = Counter(e.tag for e in page.all())
    assert counts["main"] == counts["nav"] == counts["header"] == counts["h1"] == 1
    levels = [int(e.tag[1]) for e in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(e.attributes["role"] == "img" for e in page.all("svg"))
    assert all(e.attributes.get("aria-label") for e in page.all() if e.attributes.get("role") == "region")


def test_the_pictures_of_the_drawn_run_have_names() -> None:
    page = read(rendered(document(figures=(bars("one", "Time", label="relu"), bars("two", "Bytes")), picture="two")))
    assert [e.attributes["aria-label"] for e in page.all("svg")] == ["Bytes: relu", "Time: relu"]


@pytest.mark.parametrize(("rows", "folded"), [(1, False), (page_module.LONG, False), (page_module.LONG + 1, True)])
def test_a_table_folds_when_it_is_long(rows: int, folded: bool) -> None:
    (main,) = read(rendered(document(tables=(table(rows),)))).all("main")
    assert bool(list(main.all("details"))) == folded
    assert len(list(main.all("tr"))) == 1 + rows
    assert [i for i, r in enumerate(main.all("tr")) if r.attributes.get("class")] == [
        i + 1 for i in range(1, rows) if i % 4 == 0
    ]


def test_the_picture_stands_in_the_answer_and_nowhere_else() -> None:
    page = read(rendered(document(figures=(bars("one", "Time"), bars("two", "Bytes")), picture="two")))
    (answer,) = [s for s in page.all("section") if s.attributes["id"] == "answer"]
    assert [f.attributes["id"] for f in answer.all("figure")] == ["figure-two"]
    assert [f.attributes["id"] for f in page.all("figure")] == ["figure-two", "figure-one"]
    without = read(rendered(document(findings=(), picture="")))
    assert "answer" not in {s.attributes["id"] for s in without.all("section")}


def test_what_a_family_of_pictures_shares_is_said_once() -> None:
    family = (
        bars("a", "Time (small, eager)", "Shorter is faster. At 1.5 ms. Held constant: eager."),
        bars("b", "Time (small, compile)", "Shorter is faster. At 1.5 ms. Held constant: compile."),
        bars("c", "Bytes (exact)", "Few."),
    )
    page = read(rendered(document(figures=family)))
    (main,) = page.all("main")
    assert [e.text for e in main.all("h3", "h4")][-4:] == ["Time", "small, eager", "small, compile", "Bytes (exact)"]
    assert [e.text for e in main.all("figcaption")] == ["Held constant: eager.", "Held constant: compile.", "Few."]
    assert main.text.count("Shorter is faster. At 1.5 ms.") == 1


def test_of_many_pictures_the_first_are_drawn_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_PICTURES", 2)
    family = tuple(bars(f"k{i}", f"Time ({i})", f"Faster. Held constant: {i}.") for i in range(5))
    page = read(rendered(document(figures=family)))
    assert len(list(page.all("figure"))) == 2
    assert "Faster. 3 more are not drawn; the tables have their numbers." in page.text


def test_an_empty_document_is_a_page() -> None:
    read(rendered(Document("nothing", "", (), (), (), ())))


HOSTILE = "</style></script><script>alert(1)</script><b onclick='x'>\"'&amp;{{ 7 * 7 }} [<i>0</i>]"


def test_names_and_texts_are_never_markup() -> None:
    entry, column = Entry(HOSTILE, outcome=HOSTILE), Column(HOSTILE, HOSTILE, HOSTILE, numeric=False)
    bad = Document(
        title=HOSTILE,
        description=HOSTILE,
        findings=(Finding(HOSTILE, HOSTILE, False),),
        tables=(Table("t", HOSTILE, HOSTILE, (column, column), ((entry, entry),) * 13, (HOSTILE,)),),
        figures=tuple(bars(key, HOSTILE, HOSTILE, "<b>'\"&") for key in ("a", "b", "c")),
        facts=((HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
        picture="a",
    )
    text = rendered(bad)
    page = read(text)
    assert {e.tag for e in page.all()}.isdisjoint({"b", "i"})
    assert [len(list(page.all(tag))) for tag in ("script", "style")] == [1, 1]
    assert not [k for e in page.all() for k in e.attributes if k.startswith("on")]
    assert page.text.count(" ".join(HOSTILE.split())) >= 10
    assert html.escape(HOSTILE, quote=False).split("<")[0] in text.replace("&#34;", '"').replace("&#39;", "'")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_its_paper(scheme: int) -> None:
    """Contrast of at least 4.5 : 1, level AA of WCAG 2.2, on paper and on the wash of every other row."""
    colours = dict(re.findall(r"--(\w+): ([^;]+);", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]))
    red, green, blue, percent = map(float, re.findall(r"[\d.]+", colours["wash"]))
    paper = rgb(colours["paper"])
    wash = [p + (w - p) * percent / 100 for p, w in zip(paper, (red, green, blue), strict=True)]
    for name in ("ink", "soft", "link", "good", "bad"):
        for ground in (paper, wash):
            lighter, darker = sorted((luminance(rgb(colours[name])), luminance(ground)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name


def rgb(colour: str) -> list[float]:
    digits = colour.removeprefix("#")
    pairs = [2 * d for d in digits] if len(digits) == 3 else re.findall("..", digits)
    return [float(int(pair, 16)) for pair in pairs]


def luminance(colour: list[float]) -> float:
    """Relative luminance of sRGB, WCAG 2.2."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
