r"""An event on its way between servers: the encoded packet, and what a server must know without decoding it.

On the wire, after the head `<version><epoch>.<id>\n` that the publishing script writes:

    <kind>\t<event>\t<JSON or nothing>\n<packet><attachment>…

The packet is a Socket.IO packet without its closing bracket, so that the receiving server can append an offset. The
JSON is there for what is rare: `r` all rooms of the event where there are several, `x` rooms left out, `s` sids left
out, `t` that the last argument is a text, `a` the sizes of packet and attachments of a binary event. Keys that a
server does not know it ignores, so servers of the next version can run beside it; a change that cannot be ignored
takes another version, which is skipped and counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from tradecast.engine import Message

VERSION: Final = b"1"
Kind = Literal["C", "L", "V"]
# Each counts: kept in the history, and delivered once and in order.
COUNTED: Final = "C"
# The latest wins: only the newest of a room and event is kept.
LATEST: Final = "L"
# Not kept at all.
VOLATILE: Final = "V"
_KINDS: dict[bytes, Kind] = {b"C": "C", b"L": "L", b"V": "V"}
_HEAD = re.compile(rb"([0-9a-z]{1,16})\.([0-9]{1,16})\n", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f]")


class Malformed(ValueError):
    """A message on our channels, or an entry of our streams, that is none of ours."""


class UnknownVersion(Malformed):
    """A message of a version that this server does not read."""


class Envelope:
    """One event for the members of some rooms.

    Attributes:
        id: Its id; 0 until it is published.
        kind: `COUNTED`, `LATEST` or `VOLATILE`.
        event: The event's name, for metrics and as the key of what is kept of `LATEST` ones.
        rooms: Where it goes.
        except_rooms: Members of these do not get it.
        skip: Clients (sids) that do not get it.
        packet: The encoded packet without its last bracket.
        attachments: Those of a binary event.
        ends_in_text: Whether a stock client would take the last argument for an offset.
    """

    __slots__ = ("attachments", "ends_in_text", "event", "except_rooms", "id", "kind", "packet", "rooms", "skip")

    def __init__(
        self,
        kind: Kind,
        event: str,
        rooms: Sequence[str],
        packet: bytes,
        *,
        attachments: Sequence[bytes] = (),
        except_rooms: Sequence[str] = (),
        skip: Sequence[str] = (),
        ends_in_text: bool = False,
        event_id: int = 0,
    ) -> None:
        self.id = event_id
        self.kind: Kind = kind
        self.event = event
        self.rooms = rooms
        self.packet = packet
        self.attachments = attachments
        self.except_rooms = except_rooms
        self.skip = skip
        self.ends_in_text = ends_in_text

    def message(self, offset: str | None) -> Message:
        """What clients get, with an offset as one more argument, or without."""
        end = b"]" if offset is None else b',"%b"]' % offset.encode()
        return Message.of_bytes(self.packet + end, self.attachments)

    def encode(self) -> bytes:
        """All but the head."""
        rare: dict[str, Any] = {}
        if len(self.rooms) > 1:
            rare["r"] = list(self.rooms)
        if self.except_rooms:
            rare["x"] = list(self.except_rooms)
        if self.skip:
            rare["s"] = list(self.skip)
        if self.ends_in_text:
            rare["t"] = 1
        body = self.packet
        if self.attachments:
            rare["a"] = [len(self.packet), *map(len, self.attachments)]
            body = b"".join((self.packet, *self.attachments))
        event = _CONTROL.sub("?", self.event).encode("utf-8", "replace")
        return b"%b\t%b\t%b\n%b" % (self.kind.encode(), event, orjson.dumps(rare) if rare else b"", body)


class Head(NamedTuple):
    """What the publishing script writes before an envelope."""

    epoch: str
    id: int


def decode(body: bytes, room: str, event_id: int) -> Envelope:
    """An envelope that came through a room's channel or stream.

    Raises:
        Malformed: It is none.
    """
    line, newline, rest = body.partition(b"\n")
    fields = line.split(b"\t")
    kind = _KINDS.get(fields[0])
    if not newline or kind is None or len(fields) != 3:
        raise Malformed("no envelope")
    try:
        event = fields[1].decode()
        if not fields[2]:
            return Envelope(kind, event, (room,), rest, event_id=event_id)
        rare = orjson.loads(fields[2])
        rooms, excluded, skip, sizes = (_list(rare, key) for key in "rxsa")
    except ValueError:
        raise Malformed("no envelope") from None
    if not all(isinstance(one, str) for one in (*rooms, *excluded, *skip)):
        raise Malformed("rooms and sids are texts")
    parts = _split(rest, sizes) if sizes else [rest]
    return Envelope(
        kind,
        event,
        tuple(rooms) or (room,),
        parts[0],
        attachments=tuple(parts[1:]),
        except_rooms=tuple(excluded),
        skip=tuple(skip),
        ends_in_text=bool(rare.get("t")),
        event_id=event_id,
    )


def decode_message(data: bytes, room: str) -> tuple[str, Envelope]:
    """A message as a subscriber gets it: the history's epoch, and the envelope with its id.

    Raises:
        UnknownVersion: It is of another version.
        Malformed: It is none of ours.
    """
    head, start = read_head(data)
    return head.epoch, decode(data[start:], room, head.id)


def read_head(data: bytes) -> tuple[Head, int]:
    """The head of a message, and where the rest begins. Raises as `decode_message`."""
    if data[:1] != VERSION:
        raise UnknownVersion("a message of another version")
    match = _HEAD.match(data, 1)
    if match is None:
        raise Malformed("no head")
    return Head(match[1].decode(), int(match[2])), match.end()


def _list(rare: Any, key: str) -> list[Any]:
    if not isinstance(rare, dict):
        raise Malformed("no envelope")
    found = rare.get(key) or []
    if not isinstance(found, list):
        raise Malformed("no envelope")
    return found


def _split(rest: bytes, sizes: list[Any]) -> list[bytes]:
    parts: list[bytes] = []
    start = 0
    for size in sizes:
        if not isinstance(size, int) or not 0 <= size <= len(rest) - start:
            raise Malformed("sizes that do not fit")
        parts.append(rest[start : start + size])
        start += size
    if start != len(rest):
        raise Malformed("sizes that do not fit")
    return parts
