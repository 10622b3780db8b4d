"""What servers tell each other: what goes in comes out; anything else is malformed, and nothing worse."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.checks import check_cluster_message
from kit.parsing.properties import JSON, TEXTS, damaged
from tradecast.cluster_rpc.protocol import (
    MAX_COUNT,
    MAX_LEASE,
    MAX_PARTS,
    MAX_REASON,
    Heartbeat,
    Message,
    Request,
    Response,
    decode_message,
    encode_message,
)

NAMES = st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True)
COUNTS = st.integers(0, MAX_COUNT)
BEATS = st.builds(
    Heartbeat, NAMES, COUNTS, st.floats(0.001, MAX_LEASE), st.booleans(), st.booleans(), NAMES | st.just("")
)
REQUESTS = st.builds(Request, NAMES, COUNTS, TEXTS, JSON, st.booleans())


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """A part of an answer."""
    parts = draw(st.integers(1, MAX_PARTS))
    part = draw(st.integers(0, parts - 1))
    reason = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_REASON))
    return Response(draw(NAMES), draw(COUNTS), draw(st.lists(JSON, max_size=3)), part, parts, reason)


MESSAGES: st.SearchStrategy[Message] = BEATS | REQUESTS | responses()
ANY: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["t", "s", "c", "l", "h", "b", "n", "k", "a", "p", "of", "i", "e"]),
    st.sampled_from(["beat", "ask", "answer", "a", 0, 1, -1, 2.5, True, None, [], 3600, 2**53]) | JSON,
)


@given(MESSAGES)
def test_what_is_reported_comes_out(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(
    st.binary(max_size=60)
    | damaged(MESSAGES.map(encode_message), [b'"', b"null", b"-", b"1e9", b"true"])
    | st.one_of(ANY, JSON).map(lambda said: b"1" + orjson.dumps(said))
)
def test_anything_else_is_malformed_and_nothing_worse(data: bytes) -> None:
    check_cluster_message(data)


WHOLE: dict[str, dict[str, Any]] = {
    "beat": {"t": "beat", "s": "a", "c": 1, "l": 2.5, "h": 1, "b": 1},
    "ask": {"t": "ask", "s": "a", "n": 1, "k": "kind", "b": [1], "a": 1},
    "answer": {"t": "answer", "s": "a", "n": 1, "p": 1, "of": 2, "i": [1], "e": "why"},
}
ODD: tuple[Any, ...] = (0, 1, 2, -1, 2.5, True, None, "", "a", [], {}, MAX_LEASE + 1, MAX_PARTS + 1, MAX_COUNT + 1)


@pytest.mark.parametrize("kind", list(WHOLE))
def test_messages_with_one_thing_wrong(kind: str) -> None:
    for key, odd in itertools.product(("t", "s", "c", "l", "h", "b", "n", "k", "a", "p", "of", "i", "e"), ODD):
        check_cluster_message(b"1" + orjson.dumps({**WHOLE[kind], key: odd}))
