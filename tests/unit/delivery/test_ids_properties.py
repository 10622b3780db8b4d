"""Offsets: those that were given out come back as they were; anything else is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.checks import check_words
from tradecast.delivery.ids import MAX_EPOCH, MAX_ID, Offset, parse_offset, write_offset

EPOCHS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=MAX_EPOCH)
IDS = st.lists(st.integers(0, MAX_ID) | st.sampled_from([0, MAX_ID]), min_size=1, max_size=16).map(tuple)
ALMOST = st.from_regex(r"[0-9a-zA-Z]{0,20}(\.[0-9a-fA-F+_-]{0,16}){0,5}", fullmatch=True)


@given(EPOCHS, IDS)
def test_what_was_given_out_comes_back(epoch: str, ids: tuple[int, ...]) -> None:
    assert parse_offset(write_offset(epoch, ids), len(ids)) == Offset(epoch, ids)


@given(EPOCHS, IDS, st.integers(1, 16))
def test_with_another_number_of_partitions_it_is_none(epoch: str, ids: tuple[int, ...], partitions: int) -> None:
    if partitions != len(ids):
        assert parse_offset(write_offset(epoch, ids), partitions) is None


@given(st.text() | ALMOST | st.text("0123456789abcdef.s:%1 -", max_size=60))
def test_any_other_text_is_none_of_ours(text: str) -> None:
    check_words(text)


@given(st.integers(MAX_ID - 2, MAX_ID + 2), st.integers(1, 17))
def test_ids_and_epochs_are_bounded(last: int, digits: int) -> None:
    assert (parse_offset(f"{'a' * digits}.{last:x}", 1) is not None) is (last <= MAX_ID and digits <= MAX_EPOCH)
