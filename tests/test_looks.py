"""The error that several looks at one growing sample spend."""

from __future__ import annotations

import math

from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench.looks import FIRST, LATER, over_looks, share


@LAWS
@given(st.integers(1, 40))
def test_all_looks_together_spend_less_than_all_however_many_they_are(looks: int) -> None:
    spent = math.fsum(share(look + 1) for look in range(looks))
    assert spent <= FIRST + LATER < 1 and share(1) == FIRST


@LAWS
@given(st.floats(0, 1), st.integers(1, 6))
def test_a_p_that_counts_its_looks_resolves_what_its_look_may_spend(p: float, look: int) -> None:
    counted = over_looks(p, look)
    assert p <= counted <= over_looks(p, look + 1) <= 1
    assert counted == 1 or math.isclose(counted * share(look), p)
