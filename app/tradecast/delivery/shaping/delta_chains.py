"""Deltas of latest-wins events: which event a client has, and so what can be sent in place of the next one.

A client that asked for them (`auth: {deltas: true}`) gets, of an event that is declared so (`EventKind.deltas`):

    watchlist:quote        {"symbol": "AAPL", "quote": {…}, "timestamp": "…", "number": 7}
    watchlist:quote:delta  {"symbol": "AAPL", "quote": {"price": 101.5}, "timestamp": "…", "number": 8}

The second is a merge patch (RFC 7396) with the key's field always in it. It is for the whole payload, or the state
made of it by the deltas since, of the number before its own, and for no other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from tradecast.delivery.clients.client import Client
from tradecast.delivery.envelope import LATEST, Envelope
from tradecast.delivery.event_kinds import EventKinds
from tradecast.delivery.shaping.deltas import make_patch
from tradecast.engine.message import Message

SUFFIX: Final = ":delta"
# Bytes of an event that is decoded to compare it; a larger one is sent whole.
MAX_SIZE: Final = 16_384
# Of how many rooms the last event is kept.
MAX_ROOMS: Final = 10_000
# Numbers begin anywhere, so that one of another server, or of before, is hardly ever taken for one's own.
_FIRST: Final = 1_000_000
# A whole number beyond 64 bits, which orjson reads as a float, and so not exactly. Texts of digits match as well: then
# the event is sent whole, and nothing else comes of it.
_TOO_LONG: Final = re.compile(rb"[0-9]{20}|-[0-9]{19}")


class Batch(NamedTuple):
    """A message for some of an event's recipients.

    Attributes:
        recipients: Their transports (eio_sids).
        message: What they get.
        is_delta: Whether it says only what has changed.
        replaced: Bytes of the whole event.
    """

    recipients: Sequence[str]
    message: Message
    is_delta: bool
    replaced: int


class _Chain:
    """The last event of a name in a room.

    Attributes:
        payload: Its payload, decoded.
        number: Its number; the next one's is one higher.
        holders: Who has it.
    """

    __slots__ = ("holders", "number", "payload")

    def __init__(self, payload: dict[str, Any], number: int, holders: set[Client]) -> None:
        self.payload = payload
        self.number = number
        self.holders = holders


class DeltaChains:
    """Numbers the events of each room for clients that want deltas, and knows which of them have the last one.

    An event is decoded only if somebody who wants deltas gets it, and encoded at most twice more for all of them.

    Args:
        kinds: Knows of which events there are deltas.

    Attributes:
        clients: Clients that want deltas, by transport (eio_sid).
    """

    def __init__(self, kinds: EventKinds) -> None:
        self._kinds = kinds
        self.clients: dict[str, Client] = {}
        self._chains: dict[str, dict[str, _Chain]] = {}

    def __len__(self) -> int:
        """The number of rooms of which an event is kept."""
        return len(self._chains)

    def add(self, client: Client) -> None:
        """Add a client that wants deltas."""
        self.clients[client.eio_sid] = client

    def remove(self, client: Client) -> None:
        """Remove a client that has left, if it wanted deltas."""
        if self.clients.get(client.eio_sid) is not client:
            return
        del self.clients[client.eio_sid]
        if not self.clients:
            self._chains.clear()

    def forget_base(self, client: Client, room: str) -> None:
        """Send a client the next event of a room whole: it has left the room, or has subscribed again to get it."""
        for chain in self._chains.get(room, {}).values():
            chain.holders.discard(client)

    def forget_room(self, room: str) -> None:
        """Forget a room that has no members on this server any more."""
        self._chains.pop(room, None)

    def divide(self, envelope: Envelope, recipients: Iterable[str]) -> tuple[Iterable[str], list[Batch]]:
        """Divide the recipients: those who get the event itself, and messages for those who get something else.

        Args:
            envelope: The event.
            recipients: The transports (eio_sids) that it goes to now.
        """
        declared = self._kinds.describe_event(envelope.event)
        if not declared.deltas or not _is_comparable(envelope):
            return recipients, []
        find = self.clients.get
        others, wanting = [], []
        for eio_sid in recipients:
            client = find(eio_sid)
            if client is None:
                others.append(eio_sid)
            else:
                wanting.append(client)
        payload = _decode_payload(envelope, declared.key) if wanting else None
        if payload is None or (len(self._chains) >= MAX_ROOMS and envelope.rooms[0] not in self._chains):
            self._forget_event(envelope)
            return (*others, *(client.eio_sid for client in wanting)), []
        return others, self._advance(envelope, payload, wanting, declared.key)

    def _advance(self, envelope: Envelope, payload: dict[str, Any], wanting: list[Client], key: str) -> list[Batch]:
        by_event = self._chains.setdefault(envelope.rooms[0], {})
        chain = by_event.get(envelope.event)
        if chain is None:
            chain = by_event[envelope.event] = _Chain(payload, random.randrange(_FIRST), set())  # noqa: S311 no secret
        before, holders = chain.payload, chain.holders
        chain.payload, chain.number, chain.holders = payload, chain.number + 1, set(wanting)
        whole = _make_message(envelope, b'%b,"number":%d}]' % (envelope.packet[:-1], chain.number))
        full = len(envelope.packet) + 1
        patch = make_patch(before, payload) if holders and not holders.isdisjoint(wanting) else None
        if patch is not None:
            delta = {key: payload[key], **patch, "number": chain.number}
            text = b"2" + orjson.dumps([envelope.event + SUFFIX, delta])
            if len(text) < full:
                changed = _make_message(envelope, text)
                changed.whole = whole
                with_base = [client.eio_sid for client in wanting if client in holders]
                without = [client.eio_sid for client in wanting if client not in holders]
                batches = [Batch(with_base, changed, True, full)]
                return [*batches, Batch(without, whole, False, full)] if without else batches
        return [Batch([client.eio_sid for client in wanting], whole, False, full)]

    def _forget_event(self, envelope: Envelope) -> None:
        by_event = self._chains.get(envelope.rooms[0])
        if by_event is not None and by_event.pop(envelope.event, None) is not None and not by_event:
            del self._chains[envelope.rooms[0]]


def _is_comparable(envelope: Envelope) -> bool:
    """Whether an event is for all members of a single room of the main namespace, and about that room's subject."""
    return (
        envelope.kind == LATEST
        and not envelope.key
        and not envelope.ends_in_text
        and len(envelope.rooms) == 1
        and not envelope.skip
        and not envelope.except_rooms
        and not envelope.attachments
        and len(envelope.packet) <= MAX_SIZE
        and envelope.packet.startswith(b"2[")
        and envelope.packet.endswith(b"}")
    )


def _decode_payload(envelope: Envelope, key: str) -> dict[str, Any] | None:
    """Decode an event's payload, if it is a single JSON object with the room's key, and decoding loses nothing."""
    if _TOO_LONG.search(envelope.packet) is not None:
        return None
    try:
        arguments = orjson.loads(envelope.packet[1:] + b"]")
    except orjson.JSONDecodeError:
        return None
    if len(arguments) != 2 or type(arguments[1]) is not dict:
        return None
    payload: dict[str, Any] = arguments[1]
    value = payload.get(key)
    if "number" in payload or not isinstance(value, str) or not envelope.rooms[0].endswith(f":{value}"):
        return None
    return payload


def _make_message(envelope: Envelope, text: bytes) -> Message:
    message = Message.of_bytes(text)
    message.key = envelope.state_key
    message.rooms = envelope.rooms
    return message
