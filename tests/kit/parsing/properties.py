"""How many cases tests of properties try, and what they are made of.

In a usual run few, the same ones each time, and nothing is kept: a failure comes again. With `HYPOTHESIS_PROFILE=long`
many, others each time; those that failed are kept in build/ and come first in the next run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase

KEPT = Path(__file__).parents[3] / "build" / "hypothesis"
# Not the time of a case: what else the machine does is not the code's fault.
COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

set_hypothesis_home_dir(KEPT)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **COMMON)
settings.register_profile(
    "long", max_examples=10_000, database=DirectoryBasedExampleDatabase(KEPT / "examples"), print_blob=True, **COMMON
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

PLACES = st.lists(st.integers(0, 5_000), max_size=12) | st.just(range(5_000))
"""Where bytes are cut: anywhere, or everywhere."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
"""What UTF-8 can say."""

JSON_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
)


def json_values(leaves: st.SearchStrategy[Any], max_leaves: int = 12) -> st.SearchStrategy[Any]:
    """Values of JSON with these leaves, which may be more than JSON has."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=max_leaves,
    )


JSON = json_values(JSON_LEAVES | TEXTS)
JSON_WITH_BYTES = json_values(JSON_LEAVES | TEXTS | st.binary(max_size=30))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces, none of them empty."""
    at = sorted({place for place in places if place < len(data)} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes], bits: Sequence[bytes] = (b"\x00", b"\xff")) -> bytes:
    """Bytes of which a few were changed, lost, or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "lose", "put", "end"])):
            case "change":
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "lose":
                del data[place : place + draw(st.integers(1, 8))]
            case "put":
                data[place:place] = draw(st.sampled_from(bits) | st.binary(max_size=4))
            case _:
                del data[place:]
    return bytes(data)
