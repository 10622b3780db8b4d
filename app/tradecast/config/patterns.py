"""Settings that give a value to each of several patterns of names: `*=10,BTC*=2`. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

MOST_PATTERNS: Final = 200
LONGEST_PATTERN: Final = 64
# What symbols and names of events are made of.
_PRINTABLE: Final = re.compile(r"[ -~]+", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)


class Bounds(NamedTuple):
    """What a value may be, both ends included.

    Attributes:
        lowest: The smallest value.
        highest: The largest value.
    """

    lowest: float
    highest: float


class _Pattern(NamedTuple):
    parts: tuple[str, ...]
    value: float

    @property
    def literals(self) -> int:
        return sum(map(len, self.parts))

    def matches(self, name: str) -> bool:
        first, *middle = self.parts
        if not middle:
            return name == first
        last = middle.pop()
        at, end = len(first), len(name) - len(last)
        if at > end or not name.startswith(first) or not name.endswith(last):
            return False
        for part in middle:
            found = name.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


class PatternValues:
    """Values by patterns of names, in which `*` stands for any characters, or none.

    Of several patterns that match, the most specific one counts: a name without `*`, else the one with the most
    characters besides `*`, else the one that comes first. So the order of the entries hardly matters.

    Args:
        values: By pattern.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        self._exact = {pattern: value for pattern, value in values.items() if "*" not in pattern}
        patterns = [_Pattern(tuple(pattern.split("*")), value) for pattern, value in values.items() if "*" in pattern]
        self._patterns = sorted(patterns, key=lambda pattern: -pattern.literals)  # stable: the first one stays first
        self.values: Final = tuple(sorted(set(values.values())))
        """All values, each once."""

    def __bool__(self) -> bool:
        return bool(self.values)

    def find(self, name: str) -> float | None:
        """The value of a name; None if no pattern matches it."""
        value = self._exact.get(name)
        if value is not None:
            return value
        return next((pattern.value for pattern in self._patterns if pattern.matches(name)), None)


def parse_pattern_values(entries: Sequence[str], bounds: Bounds) -> PatternValues:
    """Read entries such as `BTC*=2`. What follows the last `=` is the value, so a symbol may have one in it.

    Raises:
        ValueError: An entry is invalid, or a pattern occurs twice; the message says which entry.
    """
    if len(entries) > MOST_PATTERNS:
        raise ValueError(f"has more than {MOST_PATTERNS} entries")
    values: dict[str, float] = {}
    for number, entry in enumerate(entries, 1):
        pattern, equals, text = entry.rpartition("=")
        pattern, text = pattern.strip(), text.strip()
        if not equals or not pattern:
            raise ValueError(f"entry {number} must be a pattern, `=` and a number, such as `BTC*=2`")
        if len(pattern) > LONGEST_PATTERN or not _PRINTABLE.fullmatch(pattern):
            raise ValueError(f"the pattern of entry {number} must be 1 to {LONGEST_PATTERN} printable ASCII characters")
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not bounds.lowest <= value <= bounds.highest:
            raise ValueError(f"the number of entry {number} must be from {bounds.lowest:g} to {bounds.highest:g}")
        if pattern in values:
            raise ValueError(f"entry {number} has the same pattern as an earlier one")
        values[pattern] = value
    return PatternValues(values)
