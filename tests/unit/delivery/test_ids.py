"""Ids and offsets: what a client sends back is what it was given, or nothing at all."""

from __future__ import annotations

import random
import time

import pytest

from tradecast.delivery.ids import MAX_ID, PER_MS, START_MS, Offset, id_span, now_id, parse_offset, write_offset


def time_of(event_id: int) -> float:
    """When an event was published, in seconds since 1970."""
    return (event_id // PER_MS + START_MS) / 1000


def test_an_id_has_its_time() -> None:
    before = time.time()
    event_id = now_id()
    assert before - 0.002 <= time_of(event_id) <= time.time()
    assert time_of(event_id + id_span(90)) == pytest.approx(time_of(event_id) + 90, abs=0.001)


def test_ids_stay_below_what_lua_counts_exactly_until_2089() -> None:
    assert MAX_ID == 2**53 - 1
    assert now_id() < MAX_ID
    year_2089 = 3_755_289_600
    at = now_id() + id_span(year_2089 - time.time())
    assert at < MAX_ID
    assert float(at) == at
    assert at % PER_MS == 0


@pytest.mark.parametrize("partitions", [1, 2, 16])
def test_an_offset_comes_back_as_it_was(partitions: int) -> None:
    chance = random.Random(partitions)
    for _ in range(300):
        top = chance.choice([PER_MS, now_id(), MAX_ID])
        ids = tuple(chance.choice([0, top, chance.randint(0, top)]) for _ in range(partitions))
        text = write_offset("0a1b2c3d", ids)
        assert parse_offset(text, partitions) == Offset("0a1b2c3d", ids)


def test_an_offset_can_stand_in_a_json_text_as_it_is_and_is_short() -> None:
    now = now_id()
    ids = [now - n * PER_MS * 50 for n in range(16)]
    text = write_offset("0a1b2c3d", ids)
    assert set(text) <= set("0123456789abcdefghijklmnopqrstuvwxyz.")
    assert len(text) < 130
    assert len(write_offset("0a1b2c3d", ids[:1])) < 25


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "abcd",
        "abcd.",
        ".1",
        "abcd.1.2",  # two partitions
        "abcd..1",
        "abcd.1\n",
        "\nabcd.1",
        " abcd.1",
        "ABCD.1",
        "abcd.1F",
        "abcd.-1",
        "abcd.+1",
        "abcd.0x1",
        "abcd.1_0",
        "abcd.g",
        "abcd.١",  # digits to `int` and to `\d`, and none of ours
        "abcd.１",
        "ab١d.1",
        "a" * 17 + ".1",
        "abcd." + "1" * 15,
        "abcd." + f"{MAX_ID + 1:x}",
        "abcd." + "f" * 14,
        "abcd" + ".1" * 65,
        "1700000000000-0",  # as Node's Redis streams adapter has them
        "abcd.1\x00",
        "a" * 1_000_000,
        "abcd" + ".1" * 1_000_000,
        None,
        1,
        1.5,
        True,
        b"abcd.1",
        ["abcd.1"],
        {"abcd": 1},
    ],
)
def test_what_was_never_an_offset_is_none(text: object) -> None:
    assert parse_offset(text, 1) is None


def test_the_largest_id_is_still_one() -> None:
    assert parse_offset(f"abcd.{MAX_ID:x}", 1) == Offset("abcd", (MAX_ID,))


@pytest.mark.parametrize(
    "text",
    [
        "abcd.5",  # a single partition's
        "abcd.5.0",
        "abcd.5.0.0.0",
        "abcd.5.6.0",  # before the beginning
        f"abcd.{MAX_ID + 1:x}.0.0",
        f"abcd.{MAX_ID + 1:x}.1.0",  # one of both is too large
    ],
)
def test_with_partitions_all_must_fit(text: str) -> None:
    assert parse_offset(text, 2) is None


def test_noise_never_raises() -> None:
    chance = random.Random(1)
    letters = "0123456789abcdefxyz..-\x00é١\ud800"
    for _ in range(20_000):
        text = "".join(chance.choices(letters, k=chance.randint(0, 40)))
        for partitions in (1, 3):
            found = parse_offset(text, partitions)
            if found is not None:
                assert len(found.ids) == partitions
                assert all(0 <= one <= MAX_ID for one in found.ids)
