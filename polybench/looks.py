"""What it costs to test a growing number of seeds more than once: the error is spent look by look.

A look is one planned batch of seeds, judged together with all that were there before. Of the error that is granted,
the first look spends the share `FIRST`, all later ones together `LATER`, each half of what is left of that, however
many there will be and whenever they come (alpha spending, Lan, DeMets 1983, doi:10.1093/biomet/70.3.659). The rest
is kept back: how many seeds are added follows from what was seen, which makes a later look err up to twice as often
as it should (results/notes/loss-verdicts.md). No clock, no file, no torch.
"""

from __future__ import annotations

FIRST = 0.7  # so that one look costs little who never takes another
LATER = 0.2


def share(look: int) -> float:
    """Of the error in all, what this look may spend; the first is 1."""
    return FIRST if look == 1 else LATER * 0.5 ** (look - 1)


def over_looks(p: float, look: int) -> float:
    """A p value at this look, made to count those before: the error in all at which it resolves."""
    return min(1.0, p / share(look))
