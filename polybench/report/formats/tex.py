"""Words as TeX takes them: text that stays text, units, and names of commands, which are made of letters alone."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

Key = tuple[str, ...]  # what a command is called by, in words
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_SIGNS = {"+": "Plus", "-": "Minus", "−": "Minus", "µ": "Micro"}
_LETTERS = 6  # of the hash that tells names apart which would be one; the least that makes a clash among 10^4 unlikely
_TEXT = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\textasciigrave{}",
    "−": r"\ensuremath{-}", "–": "--", "—": "---", "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}",
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "∞": r"\ensuremath{\infty}", "µ": r"\ensuremath{\mu}",
    "²": r"\ensuremath{^2}", "³": r"\ensuremath{^3}", "→": r"\ensuremath{\rightarrow}", "…": r"\dots{}",
    "\u00a0": "~",
}  # fmt: skip
# Units that siunitx has a macro for; every other stands as it is.
_UNITS = {
    "s": r"\second", "ms": r"\milli\second", "µs": r"\micro\second", "ns": r"\nano\second", "B": r"\byte",
    "KiB": r"\kibi\byte", "MiB": r"\mebi\byte", "GiB": r"\gibi\byte",
}  # fmt: skip
_NO_UNITS = ("", "1", "ratio")


def plain(text: str) -> str:
    """Text of which nothing is a command; a letter that no font of a plain document has is its code."""
    return "".join(map(_character, " ".join(text.split())))


def _character(one: str) -> str:
    if one in _TEXT:
        return _TEXT[one]
    if one.isascii():
        return one if one.isprintable() else ""
    if "À" <= one <= "ÿ" and one not in "ÐÞðþ÷":  # letters that every document has
        return one
    return rf"\texttt{{U+{ord(one):04X}}}"


def unit_of(text: str) -> str:
    """What siunitx takes as a unit; nothing of a ratio."""
    name = text.removeprefix("difference in ")
    if name in _NO_UNITS:
        return ""
    return _UNITS.get(name) or r"\,".join(plain(word) for word in name.split())


def names_of(keys: Iterable[Key]) -> dict[Key, str]:
    """A command for each key, of letters alone, no two alike, and the same in every report.

    Where two would be one, each has letters of its own words' hash behind it, whichever comes first.
    """
    clashes: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        clashes["".join(map(_camel, key))].append(key)
    return {
        key: f"{name or 'Number'}{_hashed(key) if len(alike) > 1 or not name else ''}"
        for name, alike in clashes.items()
        for key in alike
    }


def _camel(text: str) -> str:
    """`QuickSpeed` for quick-speed, `RateZeroPointFive` for rate=0.5."""
    spelled = re.sub(r"(?<=\d)\.(?=\d)", " point ", text)
    spelled = re.sub(r"(?<![A-Za-z0-9])[+−-](?=\d)|µ", lambda found: f" {_SIGNS[found[0]]} ", spelled)
    spelled = re.sub(r"\d", lambda found: f" {_DIGITS[int(found[0])]} " if found[0].isascii() else "", spelled)
    words = re.findall(r"[A-Za-z]+", unicodedata.normalize("NFKD", spelled))
    return "".join(word[0].upper() + word[1:] for word in words)


def _hashed(key: Key) -> str:
    digest = hashlib.sha256("\0".join(key).encode("utf-8", "backslashreplace")).hexdigest()
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digest[:_LETTERS]).capitalize()
