"""Ids that nobody can guess."""

from __future__ import annotations

import re

import pytest

from tradecast.engine.ids import IdMaker, make_id


@pytest.mark.parametrize("size", [3, 9, 15, 18, 4095])
def test_an_id_has_the_length_of_its_bytes_in_base64(size: int) -> None:
    make = IdMaker(size)
    for _ in range(20):
        assert re.fullmatch(rf"[A-Za-z0-9_-]{{{size * 4 // 3}}}", make())


def test_no_two_are_the_same_over_many_chunks() -> None:
    ids = [make_id() for _ in range(5_000)]
    assert len(set(ids)) == len(ids)


def test_they_are_cut_out_of_what_the_system_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def urandom(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    monkeypatch.setattr("os.urandom", urandom)
    make = IdMaker(15)
    assert {make() for _ in range(273)} == {"A" * 20}
    assert len(asked) == 1
    make()
    assert len(asked) == 2, "never a part of one twice"


def test_a_length_with_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        IdMaker(16)
