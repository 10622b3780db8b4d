"""The epochs of all partitions in one: as offsets name them, and as recovery states have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tradecast.delivery.ids import MAX_ID, Offset

# Digits that distinguish an epoch from others of its lineage (`lua`).
DIGITS: Final = 2
# Instead of these, for a partition whose epoch is not known.
_UNKNOWN_DIGITS: Final = "zz"
_UNKNOWN: Final = "-"


def join_epochs(epochs: Sequence[str | None]) -> str | None:
    """The epochs as offsets name them: one epoch itself, or the first digits of several; None if none is known."""
    if len(epochs) == 1:
        return epochs[0]
    if not any(epochs):
        return None
    return "".join([epoch[:DIGITS] if epoch else _UNKNOWN_DIGITS for epoch in epochs])


def translate_offset(
    offset: Offset, epochs: Sequence[str | None], lineages: Sequence[Mapping[str, int]]
) -> Offset | None:
    """Translate an offset of earlier epochs to the current ones; None if that is impossible.

    Args:
        offset: The offset.
        epochs: The present epoch of each partition, None where that is not known: who has rooms there must wait.
        lineages: Of each partition, earlier epochs and up to which id the present one has them.
    """
    present = join_epochs(epochs)
    if present is None:
        return None
    if len(epochs) == 1:
        named = [offset.epoch]
    elif len(offset.epoch) == DIGITS * len(epochs):
        named = [offset.epoch[i : i + DIGITS] for i in range(0, len(offset.epoch), DIGITS)]
    else:
        return None
    ids = []
    for name, epoch, lineage, seen in zip(named, epochs, lineages, offset.ids, strict=True):
        top = _find_top(name, epoch, lineage, len(epochs) > 1)
        if top is None:
            return None
        ids.append(min(seen, top))
    return Offset(present, tuple(ids))


def _find_top(name: str, epoch: str | None, lineage: Mapping[str, int], short: bool) -> int | None:
    if short and (name == _UNKNOWN_DIGITS or epoch is None):
        return 0
    if epoch is None:
        return None
    digits = DIGITS if short else None
    if name == epoch[:digits]:
        return MAX_ID
    return next((top for earlier, top in lineage.items() if earlier[:digits] == name), None)


def write_epochs(epochs: Sequence[str | None]) -> str:
    """Format the epochs as in a recovery state."""
    return " ".join(epoch or _UNKNOWN for epoch in epochs)


def split_epochs(text: str, partitions: int) -> Sequence[str | None] | None:
    """Parse the epochs of a recovery state, None where unknown; None in all if the number of partitions differs."""
    epochs = text.split()
    if len(epochs) != partitions:
        return None
    return [None if epoch == _UNKNOWN else epoch for epoch in epochs]
