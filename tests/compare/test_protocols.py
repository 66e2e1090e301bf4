"""What stages ask of a protocol, whose fields they do not know: every kind answers, with a plain answer by default."""

from __future__ import annotations

from typing import NoReturn

import pytest
from test_gate import BASE, KEPT

from polybench.compare.gate import between
from polybench.errors import RegistryError
from polybench.kind import Protocol, kind_of
from polybench.registry import kinds

EVERY = [kind_of(name) for name in kinds.names()]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_what_a_protocol_names_are_fields_of_its_own(kind) -> None:  # type: ignore[no-untyped-def]
    protocol = kind.protocol
    fields = set(protocol.model_fields)
    assert protocol.how_often <= fields or protocol.how_often == Protocol.how_often
    assert "launches" in protocol.how_often or kind.repeats != "launches"
    values = protocol().model_dump()
    assert set(protocol.biasing(values)) == fields - protocol.how_often
    assert protocol(**protocol.of_suite(0.25), **protocol.with_profile()) is not None


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
def test_a_lean_protocol_keeps_no_more_than_it_must(kind) -> None:  # type: ignore[no-untyped-def]
    switches = {name: True for name, field in kind.protocol.model_fields.items() if field.default is False}
    full = kind.protocol(**switches)
    lean = full.lean()
    assert type(lean) is kind.protocol and lean == lean.lean()
    assert not lean.keeps_files and not kind.protocol().keeps_files
    assert {n: v for n, v in lean.model_dump().items() if n not in switches} == {
        n: v for n, v in full.model_dump().items() if n not in switches
    }


def test_the_protocols_that_keep_files_or_need_a_process_say_so() -> None:
    train, time = kind_of("pretrain").protocol, kind_of("speed").protocol
    assert train(save=True).keeps_files and train(checkpoint_every=2).keeps_files
    assert train(checkpoint_every=2).lean().keeps_files  # a tuning goes on after a kill too
    assert time(**time.with_profile()).own_process and not time().own_process
    assert time(**time.of_suite(0.25)).margin == 0.25
    heap, seldom = {"heap": "default"}, {"heap": "default", "launches": 9, "budget_s": 1.0}
    assert time.biasing(seldom) == train.biasing({**heap, "budget_s": 1.0}) == heap


def test_a_protocol_without_any_of_it_has_plain_answers() -> None:
    plain = Protocol()
    assert (plain.keeps_files, plain.own_process, plain.lean(), plain.environment()) == (False, False, plain, {})
    assert plain.of_suite(0.25) == plain.with_profile() == plain.biasing({"launches": 2}) == {}
    assert plain.biasing({"care": 2}) == {"care": 2}


def test_runs_of_a_kind_that_is_not_here_any_more_are_gated_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> NoReturn:
        raise RegistryError(f"unknown kind {name!r}")

    monkeypatch.setattr("polybench.compare.sessions.kind_of", gone)
    assert {verdict.outcome for verdict in between(BASE, KEPT)} == {"pass"}
