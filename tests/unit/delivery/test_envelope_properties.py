"""Events on their way between servers: what goes in comes out; anything else is malformed, and nothing worse."""

from __future__ import annotations

from itertools import pairwise

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from kit.parsing.checks import check_envelope, fields_of
from kit.parsing.properties import JSON, JSON_WITH_BYTES, TEXTS, damaged
from tradecast.delivery.envelope import (
    COUNTED,
    LATEST,
    VERSION,
    VOLATILE,
    Envelope,
    Head,
    Kind,
    Origin,
    decode_envelope,
    encode_envelope,
    read_head,
    read_origin,
)

KINDS: st.SearchStrategy[Kind] = st.sampled_from([COUNTED, LATEST, VOLATILE])
LISTS = st.lists(TEXTS, max_size=3)
HEX = st.text("0123456789abcdef", min_size=1, max_size=16)
ORIGINS = st.builds(Origin, HEX | st.just(""), HEX.map(str.encode), st.integers(0, 10**16 - 1))
EPOCHS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=16)
IDS = st.integers(0, 10**16 - 1)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Any that servers send."""
    made = encode_envelope(
        draw(TEXTS | st.text("\t\n\x00 a☃")),
        draw(st.lists(JSON_WITH_BYTES, max_size=3)),
        draw(st.lists(TEXTS, min_size=1, max_size=3)),
        draw(KINDS),
        except_rooms=draw(LISTS),
        skip=draw(LISTS),
    )
    elsewhere = draw(st.dictionaries(TEXTS, st.integers(0, 2**53), max_size=2))
    made.again = draw(st.booleans())
    return made.part(made.rooms, elsewhere)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Any as Redis publishes them."""
    head = VERSION + f"{draw(EPOCHS)}.{draw(IDS)}".encode() + draw(ORIGINS).encode()
    return head + draw(envelopes()).encode()


NAMES = st.lists(TEXTS, max_size=3) | st.lists(TEXTS | st.integers(), max_size=2) | JSON
NAMES = st.lists(TEXTS, max_size=3) | st.lists(TEXTS | st.integers(), max_size=2) | JSON
# What stands in the JSON, some of it of the wrong kind.
RARE = {
    **dict.fromkeys("rxs", NAMES),
    "e": st.dictionaries(TEXTS, st.integers(-1, 2) | st.sampled_from([2**64, True, 0.5, None]), max_size=2) | JSON,
    "a": st.lists(st.integers(-1, 4), max_size=4) | JSON,
    **dict.fromkeys("tpz", JSON),
}


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A message whose parts are each in order or nearly so."""
    rest = draw(st.binary(max_size=6))
    rare = {key: draw(RARE[key]) for key in draw(st.lists(st.sampled_from(sorted(RARE)), max_size=2, unique=True))}
    if "a" not in rare and draw(st.booleans()):
        places = sorted(draw(st.lists(st.integers(0, len(rest)), max_size=2)))
        bounds = [0, *places, len(rest) + draw(st.sampled_from([0, 0, 1, -1]))]
        rare["a"] = [end - start for start, end in pairwise(bounds)]
    event = draw(st.sampled_from([b"e", b"e", b"e", b"", b"\xff", b"a\tb"]))
    kind = draw(st.sampled_from([b"C", b"L", b"V", b"V", b"X"]))
    return b"1a.5.0.1.1\n%b\t%b\t%b\n%b" % (kind, event, orjson.dumps(rare) if rare else b"", rest)


@given(envelopes(), EPOCHS, IDS, ORIGINS)
def test_what_is_sent_comes_out(sent: Envelope, epoch: str, event_id: int, origin: Origin) -> None:
    data = VERSION + f"{epoch}.{event_id}".encode() + origin.encode() + sent.encode()
    head, start = read_head(data)
    assert head == Head(epoch, event_id, origin)
    got = decode_envelope(data[start:], sent.rooms[0], head.id, head.origin)
    assert fields_of(got) == fields_of(sent)
    assert got.message("a.1").frames == sent.message("a.1").frames
    assert read_origin(origin.encode()) == (origin, len(origin.encode()))


@given(st.binary(max_size=60) | damaged(messages(), [b"\n", b"\t", b".", b'"', b"null"]) | lines() | lines() | lines())
@example(b'1a.5.0.1.1\nC\te\t{"e":{"x":true}}\n2')
@example(b'1a.5.0.1.1\nC\te\t{"e":{"x":-1}}\n2')
def test_anything_else_is_malformed_and_nothing_worse(data: bytes) -> None:
    check_envelope(data)
