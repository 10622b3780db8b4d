"""Offsets of earlier epochs: in the present ones, or nothing, and never ahead of what those have."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from tradecast.delivery.ids import MAX_EPOCH, MAX_ID, Offset, parse_offset, write_offset
from tradecast.delivery.redis.epochs import DIGITS, join_epochs, split_epochs, translate_offset, write_epochs

EPOCHS = st.text("abz", min_size=DIGITS, max_size=5)
KNOWN = st.none() | EPOCHS
IDS = st.integers(0, MAX_ID)


@st.composite
def places(draw: st.DrawFn) -> tuple[Offset, list[str | None], list[Mapping[str, int]]]:
    """An offset, and what is known of each partition."""
    count = draw(st.integers(1, 4))
    epoch = draw(st.text("abz", min_size=1, max_size=2 * DIGITS * count))
    offset = Offset(epoch[: max(MAX_EPOCH, DIGITS * count)], tuple(draw(IDS) for _ in range(count)))
    lineage = st.dictionaries(EPOCHS, IDS, max_size=3)
    return offset, [draw(KNOWN) for _ in range(count)], [draw(lineage) for _ in range(count)]


@given(places())
def test_an_offset_of_any_epoch_is_translated_or_not(
    place: tuple[Offset, list[str | None], list[Mapping[str, int]]],
) -> None:
    offset, epochs, lineages = place
    assert parse_offset(write_offset(*offset), len(epochs)) == offset
    found = translate_offset(offset, epochs, lineages)
    if found is not None:
        assert found.epoch == join_epochs(epochs)
        assert all(now <= before for now, before in zip(found.ids, offset.ids, strict=True))
        assert translate_offset(found, epochs, lineages) is not None


@given(st.lists(KNOWN, min_size=1, max_size=16))
def test_epochs_that_a_session_keeps_come_back(epochs: list[str | None]) -> None:
    assert split_epochs(write_epochs(epochs), len(epochs)) == epochs


@given(st.text(), st.integers(1, 16))
def test_any_text_is_epochs_of_that_many_partitions_or_none(text: str, partitions: int) -> None:
    found = split_epochs(text, partitions)
    assert found is None or len(found) == partitions
