"""Sids that name their server, and those that only look as if they did."""

from __future__ import annotations

import base64
import re

import pytest

from tradecast.polling_relay.sids import BOOT, LENGTH, RANDOM, boot_of, make_sid, new_boot

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def test_a_sid_names_its_server_and_nothing_else_is_needed() -> None:
    boot = new_boot()
    sid = make_sid(boot, KEY)
    assert boot_of(sid, [KEY]) == boot
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{LENGTH}}}", sid), "safe in a URL as it is"


def test_no_two_are_the_same_and_each_has_a_random_part_that_cannot_be_guessed() -> None:
    boot = new_boot()
    heads = {make_sid(boot, KEY)[:RANDOM] for _ in range(1_000)}
    assert len(heads) == 1_000
    assert RANDOM * 6 >= 120, "bits"
    assert len({new_boot() for _ in range(1_000)}) == 1_000
    assert len(boot) == BOOT


def test_keys_that_were_in_use_count() -> None:
    sid = make_sid(new_boot(), OTHER_KEY)
    assert boot_of(sid, [KEY, OTHER_KEY]) == sid[RANDOM : RANDOM + BOOT]
    assert boot_of(sid, [KEY]) is None
    assert boot_of(sid, []) is None


@pytest.mark.parametrize("position", range(LENGTH))
def test_a_changed_character_makes_it_nobodys(position: int) -> None:
    sid = make_sid("bootbootboot", KEY)
    other = "A" if sid[position] != "A" else "B"
    assert boot_of(sid[:position] + other + sid[position + 1 :], [KEY]) is None


def test_another_server_s_boot_id_cannot_be_put_in() -> None:
    mine, theirs = make_sid("mymymymymymy", KEY), make_sid("theirtheirth", KEY)
    assert boot_of(mine[:RANDOM] + theirs[RANDOM : RANDOM + BOOT] + mine[RANDOM + BOOT :], [KEY]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "A" * LENGTH,
        "é" * LENGTH,
        "\0" * LENGTH,
        "A" * (LENGTH - 1),
        "A" * 1_000_000,
        base64.urlsafe_b64encode(b"\0" * 15).decode(),  # python-engineio's own form
    ],
)
def test_other_texts_are_nobodys(text: str) -> None:
    assert boot_of(text, [KEY]) is None


def test_what_stands_behind_or_before_does_not_count() -> None:
    sid = make_sid(new_boot(), KEY)
    for text in (sid + "A", "A" + sid, sid + "\n", sid[1:], sid.lower()):
        assert boot_of(text, [KEY]) is None
