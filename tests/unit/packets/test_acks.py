"""Acknowledgements that clients are asked for."""

from __future__ import annotations

import orjson
import pytest

from tradecast.packets import acks as module
from tradecast.packets.acks import FIRST, Acknowledgements


def test_all_have_answered() -> None:
    acks = Acknowledgements()
    asked = acks.open(["a", "b"])
    assert acks.take("a", asked.ack_id, [1, {"x": b"\x00"}])
    assert not asked.done.is_set()
    assert acks.take("b", asked.ack_id, [])
    assert asked.done.is_set()
    acks.close(asked)
    assert {sid: orjson.loads(packed) for sid, packed in asked.answers.items()} == {
        "a": [1, {"x": {"$bytes": "AA=="}}],
        "b": [],
    }
    assert (asked.silent, asked.refused, len(acks)) == ([], [], 0)


def test_nobody_is_asked() -> None:
    assert Acknowledgements().open([]).done.is_set()


def test_only_who_was_asked_and_only_once() -> None:
    acks = Acknowledgements()
    first, second = acks.open(["a", "b"]), acks.open(["b"])
    assert acks.take("c", first.ack_id, ["forged"])
    assert acks.take("a", second.ack_id, ["forged"])
    assert acks.take("a", first.ack_id, ["true"])
    assert acks.take("a", first.ack_id, ["twice"])
    assert first.answers == {"a": b'["true"]'}
    assert second.answers == {}
    acks.close(first)
    acks.close(second)
    assert (first.silent, second.silent) == (["b"], ["b"])
    assert acks.take("b", first.ack_id, ["late"])
    assert "b" not in first.answers


def test_who_goes_is_silent() -> None:
    acks = Acknowledgements()
    asked = acks.open(["a", "b"])
    acks.take("b", asked.ack_id, ["x"])
    acks.forget("b")
    acks.forget("a")
    acks.forget("nobody")
    assert asked.done.is_set()
    assert (asked.silent, list(asked.answers)) == (["a"], ["b"])


@pytest.mark.parametrize("ack_id", [None, 0, 1, FIRST - 1, "x"])
def test_what_is_not_ours(ack_id: object) -> None:
    assert not Acknowledgements().take("a", ack_id, [])


@pytest.mark.parametrize("arguments", [None, "x", {}, 1])
def test_what_is_no_acknowledgement(arguments: object) -> None:
    with pytest.raises(ValueError, match="acknowledgement"):
        Acknowledgements().take("a", FIRST, arguments)


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 20)
    monkeypatch.setattr(module, "MAX_ANSWERS", 30)
    acks = Acknowledgements()
    asked = acks.open(["large", "first", "second", "deep"])
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]
    acks.take("large", asked.ack_id, ["x" * 17])
    acks.take("first", asked.ack_id, ["x" * 16])
    acks.take("second", asked.ack_id, ["x" * 16])
    acks.take("deep", asked.ack_id, deep)
    assert (list(asked.answers), asked.refused) == (["first"], ["large", "second", "deep"])
    assert asked.done.is_set()
