"""Negotiates permessage-deflate in a WebSocket's handshake (RFC 6455 §9.1, RFC 7692 §5 and §7.1). Pure.

A compressed message is made once for all clients, so it must be one that each of them can read:

- No message refers to an earlier one (`server_no_context_takeover`, which a server may add unasked, §7.1.1.1), so the
  server keeps no state per connection. `client_no_context_takeover` does the same for what clients send (§7.1.1.2).
- The window is the largest one. An offer with a smaller `server_max_window_bits` is declined, and one with 15 is
  accepted by saying it again (§7.1.2.1).
- `client_max_window_bits` is a hint; the answer leaves it out, as it may (§7.1.2.2): any window can be inflated here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Characters of all offers together. Browsers send 50; longer ones are declined unread.
LONGEST: Final = 2_048
HEADER: Final = b"sec-websocket-extensions"
EXTENSION: Final = "permessage-deflate"
ANSWER: Final = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_WINDOW: Final = b"; server_max_window_bits=15"

# Nothing in these patterns can be read in two ways, and `+`s are possessive: time is linear in the length.
_CHARACTER = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = rf"({_CHARACTER}++)"
_NAME = re.compile(_TOKEN)
_PARAMETER = re.compile(rf'[ \t]*+;[ \t]*+{_TOKEN}(?:[ \t]*+=[ \t]*+(?:{_TOKEN}|"((?:\\?{_CHARACTER})++)"))?+')
_END = re.compile(r"[ \t]*+(?:,|\Z)")
# A list may have empty elements (RFC 9110 §5.6.1.2).
_EMPTY = re.compile(r"[ \t,]*+")
_BITS = frozenset(map(str, range(8, 16)))

Parameters = Sequence[tuple[str, str | None]]
Offer = tuple[str, Parameters]


class BadOffers(ValueError):
    """The header breaks the grammar, for which RFC 6455 §9.1 demands that the connection fails."""


def answer_offers(offers: str) -> bytes | None:
    """The Sec-WebSocket-Extensions of the answer, for the first offer that can be accepted; None: there is none.

    Args:
        offers: What the client offers; the values of several headers joined by commas.

    Raises:
        BadOffers: That is no list of extensions.
    """
    if len(offers) > LONGEST:
        return None
    answers = (_accept_offer(parameters) for name, parameters in read_offers(offers) if name == EXTENSION)
    return next((answer for answer in answers if answer is not None), None)


def read_offers(offers: str) -> Sequence[Offer]:
    """The extensions in the order of preference, each with its parameters; quoted values without their quotes.

    Raises:
        BadOffers: That is no list of extensions.
    """
    found: list[Offer] = []
    at = _skip_spaces(offers, 0)
    while at < len(offers):
        name = _NAME.match(offers, at)
        if name is None:
            raise BadOffers("no extension where one is due")
        at = name.end()
        parameters: list[tuple[str, str | None]] = []
        while (parameter := _PARAMETER.match(offers, at)) is not None:
            key, value, quoted = parameter.groups()
            parameters.append((key, quoted.replace("\\", "") if quoted else value))
            at = parameter.end()
        end = _END.match(offers, at)
        if end is None:
            raise BadOffers("something behind an extension")
        found.append((name[1], parameters))
        at = _skip_spaces(offers, end.end())
    # None at all: clients that want no compression send an empty header where their library would else send its own.
    return found


def _skip_spaces(offers: str, at: int) -> int:
    found = _EMPTY.match(offers, at)
    return at if found is None else found.end()


def _accept_offer(parameters: Parameters) -> bytes | None:
    """The answer to an offer of permessage-deflate; None: it is declined (RFC 7692 §7.1)."""
    named = dict(parameters)
    if len(named) < len(parameters) or not all(_is_acceptable(name, value) for name, value in parameters):
        return None
    return ANSWER + _WINDOW if "server_max_window_bits" in named else ANSWER


def _is_acceptable(name: str, value: str | None) -> bool:
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name == "client_max_window_bits":
        return value is None or value in _BITS
    return name == "server_max_window_bits" and value == "15"
