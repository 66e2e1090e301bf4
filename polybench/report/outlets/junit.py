"""Verdicts as JUnit XML, which every build server shows: a test suite a rule, a test case a cell."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from polybench.compare.decision import Ruling
from polybench.compare.judged import FAILED, PASSED, Judged, shown_values
from polybench.compare.verdict import Verdict
from polybench.registry import outlets

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # of XML 1.0, production 2
_COUNTS = {"testcase": "tests", "failure": "failures", "error": "errors", "skipped": "skipped"}


@outlets.register("junit", suffix=".xml")
def junit(judged: Judged, before: str) -> str:
    """A regression is a failure, what could not be measured an error, what is not decided skipped.

    Where the exit code is of more than the verdicts, a case of its own says so, so that no build is red with a file
    that is green.
    """
    name = f"polybench {judged.command} {judged.suite}"
    root = ET.Element("testsuites", name=_xml(name))
    groups: dict[str, list[Verdict]] = {}
    for v in judged.verdicts:
        groups.setdefault(v.rule, []).append(v)
    for rule, verdicts in groups.items():
        suite = ET.SubElement(root, "testsuite", name=_xml(rule))
        for v in verdicts:
            _case(suite, f"{judged.command}.{judged.suite}.{rule}", v.label, _kind(v.outcome), *_told(judged, v))
    if judged.beyond:
        suite = ET.SubElement(root, "testsuite", name=_xml(judged.command))
        kind = "failure" if judged.code == 1 else "skipped" if judged.code == 4 else "error"
        _case(suite, f"{judged.command}.{judged.suite}", "exit code", kind, f"code {judged.code}", judged.reason)
    for part in root.iter():
        if part.tag.startswith("testsuite"):
            _count(part)
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _kind(outcome: Ruling) -> str:
    """What a build server is told; nothing of what passed."""
    if outcome in PASSED:
        return ""
    return "failure" if outcome in FAILED else "error" if outcome == "broken" else "skipped"


def _told(judged: Judged, v: Verdict) -> tuple[str, str]:
    """The word for the verdict, and what there is to say of it."""
    return judged.word(v), ": ".join(filter(None, (f"{v.metric.name} {shown_values(v)}".rstrip(), v.reason)))


def _case(suite: ET.Element, place: str, name: str, kind: str, word: str, text: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=_xml(place), name=_xml(name))
    if kind == "skipped":
        ET.SubElement(case, kind, message=_xml(f"{word}: {text}"))
    elif kind:
        ET.SubElement(case, kind, type=_xml(word), message=_xml(text)).text = _xml(text)
    else:
        ET.SubElement(case, "system-out").text = _xml(f"{word}: {text}")


def _count(part: ET.Element) -> None:
    """What is inside of it; the whole of a file has no number of skipped cases in the schema of Jenkins."""
    for kind, name in _COUNTS.items():
        if name != "skipped" or part.tag == "testsuite":
            part.set(name, str(len(list(part.iter(kind)))))


def _xml(text: str) -> str:
    """What XML cannot hold is escaped as Python would."""
    return _NO_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
