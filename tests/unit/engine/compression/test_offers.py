from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeader
from websockets.headers import parse_extension

from tradecast.engine.compression.offers import ANSWER, LONGEST, BadOffers, answer_offers, read_offers

WITH_WINDOW = ANSWER + b"; server_max_window_bits=15"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", ANSWER),
        # What Chromium, Firefox and Node's ws send; Safari; Python's websockets.
        ("permessage-deflate; client_max_window_bits", ANSWER),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", None),
        ("permessage-deflate; client_max_window_bits=8", ANSWER),
        ('permessage-deflate; client_max_window_bits="1\\0"', ANSWER),
        ("permessage-deflate; server_max_window_bits=15", WITH_WINDOW),
        ('permessage-deflate; server_max_window_bits="15"', WITH_WINDOW),
        ("permessage-deflate;server_no_context_takeover;client_no_context_takeover", ANSWER),
        (" \t,, permessage-deflate ; client_max_window_bits\t=\t15 ,", ANSWER),
        # The first that can be accepted, however many are before it.
        ("foo; a=b, permessage-deflate; server_max_window_bits=10, permessage-deflate", ANSWER),
        ("permessage-deflate; server_max_window_bits=15, permessage-deflate", WITH_WINDOW),
        ("permessage-deflate; unknown, permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate-2", None),
        ("Permessage-Deflate", None),
        ("", None),
        (" ,\t", None),
    ],
)
def test_first_acceptable_offer_is_accepted(offers: str, answer: bytes | None) -> None:
    assert answer_offers(offers) == answer


@pytest.mark.parametrize(
    "parameter",
    [
        *(f"server_max_window_bits={bits}" for bits in ("7", "8", "14", "16", "015", "+15", "abc")),
        *(f"client_max_window_bits={bits}" for bits in ("7", "16", "08", "1e1", "x")),
        "server_max_window_bits",  # which an offer must give a value
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "Server_No_Context_Takeover",
        "window=15",
        "client_max_window_bits; client_max_window_bits",
        "client_no_context_takeover; client_no_context_takeover",
        "client_max_window_bits=15; client_max_window_bits=10",
    ],
)
def test_offer_that_cannot_be_accepted_is_declined(parameter: str) -> None:
    """RFC 7692 §7.1: declined, while another offer may be accepted."""
    assert answer_offers(f"permessage-deflate; {parameter}") is None
    assert answer_offers(f"permessage-deflate; {parameter}, permessage-deflate") == ANSWER


@pytest.mark.parametrize(
    "offers",
    [
        *(";", "permessage-deflate;", "permessage-deflate; =1", "permessage-deflate; a=", "a b"),
        *("a; b=c d", 'a; b="', 'a; b="c', 'a; b=""', 'a; b="c d"', 'a; b="c;d"', 'a; b="c\\"', 'a; b="c"d', "a=1"),
        *("a; b; c d, permessage-deflate", "permessage-deflate, é", "a\0", "a\n", '"permessage-deflate"', "a;;b"),
    ],
)
def test_what_breaks_the_grammar_fails_the_handshake(offers: str) -> None:
    with pytest.raises(BadOffers):
        answer_offers(offers)


def test_long_offers_are_declined_unread() -> None:
    assert answer_offers("permessage-deflate; " + "a" * (LONGEST - 20)) is None
    assert answer_offers("permessage-deflate" + " " * (LONGEST - 18)) == ANSWER
    assert answer_offers("permessage-deflate" + " " * (LONGEST - 17)) is None
    assert answer_offers("é" * (LONGEST + 1)) is None


WORDS = st.sampled_from(
    [
        *("permessage-deflate", "server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits"),
        *("server_max_window_bits", ";", "; ", "=", ",", ", ", '"', "\\", "15", "8", "x", " "),
    ]
)
OFFERS = st.lists(WORDS, max_size=12).map("".join) | st.text('ab;=,"\\ \t15', max_size=20)


@given(OFFERS.map(str.strip))
@example('a;b="\\1"')
@example('a;b="c d"')
def test_grammar_is_that_of_the_websockets_package(offers: str) -> None:
    """But that takes no white space around `=`, which RFC 6455 implies (RFC 2616 §2.1), and any quoted text."""
    try:
        theirs = parse_extension(re.sub(r"[ \t]*=[ \t]*", "=", offers))
    except InvalidHeader:
        if not offers.strip(" \t,"):
            return
        with pytest.raises(BadOffers):
            read_offers(offers)
        return
    try:
        ours = read_offers(offers)
    except BadOffers:
        assert '"' in offers
    else:
        assert [(name, list(parameters)) for name, parameters in ours] == theirs
