"""A report says what the run supports: every ratio with its interval, every failure with its reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
from typing import Any

import pytest
from builders import changed, exact, losses, record, run, section, suite, times
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.document import Column, Document, Entry, Table, Values, together
from polybench.metric import places_for, scale_for, significant
from polybench.record import Record, Status
from polybench.registry import formats
from polybench.report import answer, claims, tables
from polybench.report.compose import compose
from polybench.report.formats.fitting import fitting
from polybench.report.wording import show
from polybench.run.frame import frame
from polybench.stats import t_test

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
LOSSES = {"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.41, 3.1], "polynorm": [2.7, 3.21, 2.901]}
BROKEN = record("pretrain", "relu", seed=3, status=Status.DIVERGED, error="the loss became nan | at step 7")
CURVES = [
    record("pretrain", name, {"val_curve": [4.0, values[0]], "train_time": [0, 5]}, seed=8, steps=[0, 10])
    for name, values in LOSSES.items()
]
RECORDS: list[Record] = [
    *exact({"relu": 4096, "swiglu": 8192, "polynorm": 4096}),
    record("memory", "polynorm", status=Status.OUT_OF_MEMORY, error="no room [really]", backend="checkpoint"),
    *times({"relu": 0.5, "swiglu": 1.0, "polynorm": 1.001}),
    *losses(LOSSES),
    BROKEN,
    *CURVES,
]
CLAIM = {"metric": "val_loss", "subject": "polynorm", "better_than": "swiglu"}
RUN = run(RECORDS, suite(claims=[CLAIM], description="What <b>it</b> answers."))
DOCUMENT = compose(RUN)
VALUES = ("csv", "csv.gz", "bencher", "github-action-benchmark")  # formats of values alone
INTERVAL = re.compile(r"^[+−]?[\d.]+ \[[+−]?[\d.]+, [+−]?[\d.]+\]$")


def entries(table: Table, ending: str) -> list[Entry]:
    return [row[i] for row in table.rows for i, column in enumerate(table.columns) if ending in column.name]


def rendered(name: str, document: Document = DOCUMENT) -> str:
    """A report as text; what is packed is unpacked."""
    made = formats.load(name).object(document)
    return gzip.decompress(made).decode() if isinstance(made, bytes) else str(made)


def test_every_ratio_carries_its_interval_unless_the_metric_is_exact() -> None:
    seen = 0
    for table in section(tables, RUN).tables:
        for entry in [*entries(table, " over "), *entries(table, " less ")]:
            if entry.value is None:
                assert entry.text in ("1", "0", "–")
                continue
            assert entry.low is not None and entry.high is not None
            assert entry.low <= entry.value <= entry.high
            exact_one = table.key == "memory"
            assert (entry.low == entry.high) == exact_one
            assert exact_one or INTERVAL.match(entry.text) or "[no interval, n 1]" in entry.text
            seen += 1
    assert seen >= 6


def test_a_column_has_one_unit_and_shows_its_values_in_it() -> None:
    factors = {"ms": 1e-3, "µs": 1e-6, "s": 1.0, "KiB": 1024.0, "B": 1.0, "nat/token": 1.0, "bit/byte": 1.0}
    for table in section(tables, RUN).tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        for i, column in enumerate(table.columns):
            if column.unit in factors and " over " not in column.name and " less " not in column.name:
                for entry in (row[i] for row in table.rows):
                    if entry.value is not None and math.isfinite(entry.value):
                        shown = float(entry.text.replace(",", ""))
                        assert shown == pytest.approx(entry.value / factors[column.unit], rel=1e-3)


def test_a_failed_cell_is_shown_with_its_reason() -> None:
    memory, pretrain = (next(t for t in section(tables, RUN).tables if t.key == key) for key in ("memory", "pretrain"))
    assert any(e.text == "out of memory" for row in memory.rows for e in row)
    assert any("no room [really]" in note and "checkpoint" in note for note in memory.notes)
    assert any("relu" in note and "diverged: the loss became nan" in note for note in pretrain.notes)
    for name in formats.names():
        if name not in VALUES:
            assert "the loss became nan" in rendered(name), name


def bold(one: list[Record], key: str, column: str) -> list[str]:
    (table,) = [t for t in section(tables, run(one)).tables if t.key == key]
    at = [c.name for c in table.columns].index(column)
    return [row[0].text for row in table.rows if row[at].best]


def test_the_best_is_bold_only_if_its_interval_excludes_the_second() -> None:
    assert bold(times({"relu": 0.5, "swiglu": 1.0, "polynorm": 1.2}), "speed", "total_time") == ["relu"]
    assert (
        bold(times({"relu": 0.5, "swiglu": 1.0, "polynorm": 0.5}, jitter=0.02, launches=1), "speed", "total_time") == []
    )
    assert bold(losses(LOSSES), "pretrain", "val_loss") == ["polynorm"]
    wide = {**LOSSES, "polynorm": [2.0, 3.6, 3.0]}
    assert bold(losses(wide), "pretrain", "val_loss") == []
    assert bold(losses({"relu": [100, 110], "swiglu": [50, 56]}, "tokens_per_s"), "pretrain", "tokens_per_s") == [
        "relu"
    ]
    assert bold(exact({"relu": 1, "swiglu": 2}), "memory", "saved_bytes") == ["relu"]
    assert bold(exact({"relu": 1, "swiglu": 1}), "memory", "saved_bytes") == []


def answers(one: list[Record], **changes: Any) -> dict[str, tuple[str, bool]]:
    told = (f for part in (claims, answer) for f in section(part, run(one, suite(**changes))).findings)
    return {f.question: (f.text, f.resolved) for f in told}


def test_the_answer_names_a_winner_that_is_ahead_of_all_others() -> None:
    text, resolved = answers(losses(LOSSES))["At equal tokens"]
    assert resolved
    assert text.startswith("polynorm has the lowest held-out loss, 2.937 nat/token, and is ahead of both others")


def test_the_answer_says_what_is_not_resolved() -> None:
    text, resolved = answers(losses({**LOSSES, "polynorm": [2.0, 3.6, 3.0]}))["At equal tokens"]
    assert not resolved
    assert text.startswith("polynorm has the lowest held-out loss seen")
    assert "not resolved from relu" in text and "swiglu" in text and "[" in text


def test_who_was_seen_to_be_best_is_told_from_the_others_over_all_pairs() -> None:
    """Of three comparisons with polynorm the weakest has p 0.035, which Holm leaves as it is; of six it is not last."""
    best = [3.0, 3.1, 2.9, 3.05, 2.95]
    others = {
        "gelu": [0.5, 0.52, 0.48, 0.51, 0.49],
        "relu": [0.45, 0.55, 0.5, 0.4, 0.6],
        "swiglu": [1.0, 0.1, 0.7, 0.2, 0.6],
    }
    apart = {name: [b + d for b, d in zip(best, ds, strict=True)] for name, ds in others.items()}
    assert 0.03 < t_test(others["swiglu"]) < 0.05
    text, resolved = answers(losses({**apart, "polynorm": best}))["At equal tokens"]
    assert not resolved and "not resolved from swiglu" in text
    near = {**apart, "swiglu": [b + d + 0.6 for b, d in zip(best, others["swiglu"], strict=True)]}
    assert answers(losses({**near, "polynorm": best}))["At equal tokens"][1]


@pytest.mark.parametrize("least", [0, 7])
def test_equal_bytes_are_shared_and_fewer_win_even_at_zero(least: int) -> None:
    text, _ = answers(exact({"relu": least, "swiglu": 9, "polynorm": least}))["In memory kept for backward"]
    assert text.startswith("relu and polynorm share the fewest bytes") and "swiglu" not in text
    text, _ = answers(exact({"relu": least, "swiglu": 9}))["In memory kept for backward"]
    assert text.startswith("relu has the fewest bytes") and "ahead of the other." in text


def test_exact_counts_are_compared_where_something_else_failed() -> None:
    peaks = exact({"relu": 5, "swiglu": 9, "polynorm": 7}, status=Status.FAILED, error="later")
    text, resolved = answers(peaks)["In memory kept for backward"]
    assert resolved and "ahead of both others" in text


@pytest.mark.parametrize(
    ("polynorm", "verdict", "resolved"),
    [
        ([2.7, 3.21, 2.901], "supported", True),
        ([3.2, 3.71, 3.401], "refuted", True),
        ([2.0, 3.6, 3.2], "not resolved", False),
    ],
)
def test_a_claim_is_judged(polynorm: list[float], verdict: str, resolved: bool) -> None:
    records = losses({**LOSSES, "polynorm": polynorm})
    text, settled = answers(records, claims=[CLAIM])["Claim"]
    assert text.startswith(f"polynorm has a better val_loss than swiglu: {verdict} (")
    assert "Holm p" in text and "n 3" in text
    assert settled == resolved
    assert "not judged" in answers(exact({"relu": 1}), claims=[CLAIM])["Claim"][0]


@pytest.mark.parametrize("name", formats.names())
def test_every_report_renders_the_run(name: str) -> None:
    text = rendered(name)
    assert text.endswith("\n")
    assert all(activation in text for activation in LOSSES)
    assert rendered(name, compose(run(exact({"swiglu": 1}))))
    assert formats.load(name).facts["suffix"].startswith(".")


@pytest.mark.parametrize("name", ["terminal", "markdown"])
def test_piped_text_is_never_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = rendered(name)
    assert "…" not in text and "\x1b" not in text
    escaped = [("|", "\\|")] if name == "markdown" else []
    lines = text.splitlines()
    for table in DOCUMENT.tables:
        for row in table.rows:
            assert any(all(e.text in line for e in row) for line in lines), row
        for note in [table.caption, *table.notes]:
            for old, new in escaped:
                note = note.replace(old, new)
            assert note in text
    for finding in DOCUMENT.findings:
        assert (finding.text.replace("|", "\\|") if escaped else finding.text) in text


def test_csv_has_one_row_a_value() -> None:
    found = list(csv.DictReader(io.StringIO(rendered("csv"))))
    wanted = [v for r in RECORDS for m in r.measurements for v in m.values]
    assert [float(r["value"]) for r in found if r["value"]] == wanted
    assert [r["error"] for r in found if not r["value"]] == ["no room [really]", BROKEN.error]
    assert len(found) == len(frame(RUN))


FIELD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ALIKE = st.tuples(
    st.dictionaries(st.sampled_from("abxy"), FIELD),
    st.lists(st.tuples(st.none() | st.integers(0, 9), st.none() | st.floats() | st.integers()), max_size=3),
)


@LAWS
@given(st.lists(ALIKE, max_size=4))
def test_csv_is_what_pythons_own_writer_makes(blocks: list[tuple[dict[str, Any], list[tuple[Any, Any]]]]) -> None:
    alike = [(shared, [s for s, _ in pairs], [v for _, v in pairs]) for shared, pairs in blocks]
    values = Values(("a", "b", "step", "value"), lambda: alike)
    out = io.StringIO()
    axes = sorted({key for shared, _ in blocks for key in shared} - {"a", "b"})
    writer = csv.DictWriter(out, [*values.columns, *axes], lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    assert formats.load("csv").object(Document("t", "", (), (), (), (), data={"values": values})) == out.getvalue()
    both = together([values.of("one"), values.of("two")])
    assert [row["run"] for row in both] == ["one"] * len(list(values)) + ["two"] * len(list(values))


def test_the_packed_values_are_the_plain_ones_and_the_same_bytes_every_time() -> None:
    packed = formats.load("csv.gz").object
    assert rendered("csv.gz") == rendered("csv")
    assert packed(DOCUMENT) == packed(compose(RUN))
    assert len(packed(DOCUMENT)) < len(rendered("csv")) / 5


def test_json_holds_no_nan_and_no_infinity() -> None:
    odd = [*RECORDS, *losses({"relu": [math.inf], "swiglu": [1.0]}, "bits_per_byte")]
    text = rendered("json", compose(run(odd)))

    def refuse(word: str) -> None:
        raise AssertionError(word)

    data = json.loads(text, parse_constant=refuse)
    assert {t["key"] for t in data["tables"]} >= {"speed", "memory", "pretrain"}


def test_a_run_that_is_not_complete_says_how_to_go_on() -> None:
    document = compose(changed(RUN, planned=len(RECORDS) + 2))
    assert any("--resume" in note and f"{len(RECORDS)} of {len(RECORDS) + 2}" in note for note in document.notes)
    assert not DOCUMENT.notes


@LAWS
@given(st.floats(1e-12, 1e12), st.integers(1, 6))
def test_significant_digits_keep_the_value(value: float, digits: int) -> None:
    assert float(significant(value, digits).replace(",", "")) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


@LAWS
@given(st.sampled_from(["s", "B", "token/s", "token", "nat/token", "1"]), st.lists(st.floats(1e-8, 1e11), min_size=1))
def test_one_prefix_fits_the_smallest_value_of_a_column(unit: str, values: list[float]) -> None:
    scale = scale_for(unit, values)
    shown = min(values) / scale.factor
    assert shown >= 1 or scale.unit in ("ns", "B", "token/s", "token", "nat/token", "")
    assert scale_for(unit, reversed(values)) == scale


@LAWS
@given(st.floats(0.1, 10), st.floats(1e-4, 1))
def test_an_interval_is_rounded_by_its_own_width(value: float, half: float) -> None:
    from polybench.stats import Estimate

    text = show(Estimate(value, value - half, value + half, 5)).replace("−", "-")
    shown, low, high = (float(x) for x in re.findall(r"-?[\d.]+", text))
    step = 0.5001 * 10.0 ** -places_for(half)
    assert abs(shown - value) <= step and abs(low - value + half) <= step and abs(high - value - half) <= step
    assert 10.0 ** -places_for(half) <= half


@pytest.mark.parametrize("width", [40, 80, 120, 10_000])
def test_a_table_wider_than_the_terminal_is_laid_in_parts(width: int) -> None:
    columns = (Column("activation", numeric=False), *(Column(f"metric_{i}", "ms") for i in range(9)))
    table = Table("t", "t", "", columns, (tuple(Entry("1.00 [0.99, 1.01]") for _ in columns),))
    parts = fitting(table, width)
    assert [i for part in parts for i in part if i] == list(range(1, 10))
    assert all(part[0] == 0 for part in parts)
    assert all(len(part) * 19 <= max(width, 38) for part in parts)
