"""Interrupts wait where they would leave a lock in disorder, and are never lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from polybench.interrupt import Interrupted, held, listen

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}  # a shell's `&` ignores an interrupt
    listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_waits_until_it_is_due(number: signal.Signals) -> None:
    passed = []
    with pytest.raises(Interrupted), held() as due:
        due()
        signal.raise_signal(number)
        passed.append("the signal")
        due()
        passed.append("what follows")
    assert passed == ["the signal"]


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_is_raised_at_the_end_at_the_latest(number: signal.Signals) -> None:
    passed = []
    with pytest.raises(Interrupted), held():
        signal.raise_signal(number)
        passed.append("the signal")
    assert passed == ["the signal"]
    with pytest.raises(Interrupted):
        signal.raise_signal(number)


def test_what_fails_meanwhile_is_raised_in_its_place() -> None:
    with pytest.raises(ValueError, match="worse"), held():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("worse")
    with held() as due:
        due()
