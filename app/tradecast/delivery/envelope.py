r"""An event on its way between servers: the encoded packet, and what a server must know without decoding it.

On the wire, after the head `<version><epoch>.<id>.<instance>.<producer>.<number>\n` (see `Head`; the history has it
without version, epoch and id):

    <kind>\t<event>\t<JSON or nothing>\n<packet><attachment>…

The packet is a Socket.IO packet without its closing bracket, so that the receiving server can append an offset. The
JSON is there for what is rare: `r` all rooms of the event where there are several, or it may be a client, `x` rooms
left out, `s` sids left out, `e` rooms in other partitions with the event's ids there, `t` that the last argument is a
text, `n` that there is no argument, `k` the key of a latest event whose room does not say what it is about, `p` that
it may have been published before, `a` the sizes of packet and attachments of a binary event. Keys that a server does
not know it ignores, so servers of the next version can run beside it; a change that cannot be ignored takes another
version, which is skipped and counted. The same holds for words on a server's own channel, and more behind known ones,
for fields behind the first of an entry in the history, and for fields of sessions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import orjson

from tradecast.engine.message import Message
from tradecast.packets.codec import EVENT, encode_text
from tradecast.packets.room_names import is_sid_room, sid_of

VERSION: Final = b"1"
Kind = Literal["C", "L", "V"]
# Each counts: kept in the history, and delivered once and in order.
COUNTED: Final = "C"
# The latest wins: only the newest of a room and event is kept.
LATEST: Final = "L"
# Not kept at all.
VOLATILE: Final = "V"
_KINDS: dict[bytes, Kind] = {b"C": "C", b"L": "L", b"V": "V"}
_HEAD = re.compile(rb"([0-9a-z]{1,16})\.([0-9]{1,16})", re.ASCII)
_ORIGIN = re.compile(rb"\.([0-9a-f]{0,16})\.([0-9a-f]{1,16})\.([0-9]{1,16})\n", re.ASCII)
_NOWHERE: Mapping[str, int] = MappingProxyType({})
_CONTROL = re.compile(r"[\x00-\x1f]")


class Malformed(ValueError):
    """A message on our channels, or an entry of our streams, that has not the form of an event."""


class UnknownVersion(Malformed):
    """A message of a version that this server does not read."""


class Keep(NamedTuple):
    """What a room keeps of an event, for clients that come later.

    Attributes:
        key: What a `LATEST` event is about, where its room does not say so: the newest of each key is kept.
        recent: How many of the newest events of its name are kept. It is not on the wire.
    """

    key: str = ""
    recent: int = 0


NOTHING: Final = Keep()


class Envelope:
    """One event for the members of some rooms.

    Attributes:
        id: Its id; 0 until it is published.
        kind: `COUNTED`, `LATEST` or `VOLATILE`.
        event: The event's name, for metrics, and for what is kept of `LATEST` ones.
        key: See `Keep`.
        recent: See `Keep`.
        rooms: Where it goes.
        except_rooms: Members of these do not get it.
        skip: Clients (sids) that do not get it.
        packet: The encoded packet without its last bracket.
        attachments: Those of a binary event.
        origin: Where it came from; None if it was not read from Redis.
        ends_in_text: Whether a standard Socket.IO client would take the last argument for an offset.
        bare: Whether there are no arguments: then a null stands before an offset, which is no handler's first argument.
        again: Whether another instance of Redis was given it before, and did not answer.
        elsewhere: Its rooms in partitions where it was published before, and its id there.
    """

    __slots__ = (
        *("again", "attachments", "bare", "elsewhere", "ends_in_text", "event", "except_rooms", "id", "key", "kind"),
        *("origin", "packet", "recent", "rooms", "skip"),
    )

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
        bare: bool = False,
        again: bool = False,
        elsewhere: Mapping[str, int] = _NOWHERE,
        event_id: int = 0,
        origin: Origin | None = None,
        keep: Keep = NOTHING,
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
        self.bare = bare
        self.again = again
        self.elsewhere = elsewhere
        self.origin = origin
        self.key = keep.key
        self.recent = keep.recent

    @property
    def size(self) -> int:
        """Bytes of what clients get, without an offset and what a transport adds."""
        return len(self.packet) + sum(map(len, self.attachments))

    def split(self, partition_of: Callable[[str], int]) -> list[tuple[int, list[str]]]:
        """Its rooms by partition, in the order in which it is published there."""
        found: dict[int, list[str]] = {}
        for room in self.rooms:
            found.setdefault(partition_of(room), []).append(room)
        return sorted(found.items())

    def part(self, rooms: Sequence[str], elsewhere: Mapping[str, int]) -> Envelope:
        """The same event for some of its rooms only, with what is known of the others."""
        return Envelope(
            *(self.kind, self.event, rooms, self.packet),
            attachments=self.attachments,
            except_rooms=self.except_rooms,
            skip=self.skip,
            ends_in_text=self.ends_in_text,
            bare=self.bare,
            again=self.again,
            elsewhere=dict(elsewhere),
            keep=Keep(self.key, self.recent),
        )

    @property
    def state_key(self) -> tuple[str, str, str] | None:
        """What it is the newest state of: room, event and key; None where it has to stay in order.

        One that ends in a text carries an offset, and so stays in order.
        """
        return (self.rooms[0], self.event, self.key) if self.kind == LATEST and not self.ends_in_text else None

    @property
    def followed_keys(self) -> Sequence[tuple[str, str, str]]:
        """Of one that stays in order, the `state_key`s of which nothing older may come behind it."""
        if self.state_key is not None:
            return ()
        return [(room, self.event, self.key) for room in self.rooms]

    def message(self, offset: str | None) -> Message:
        """What clients get, with an offset as one more argument, or without."""
        end = b"]" if offset is None else b'%b,"%b"]' % (b",null" if self.bare else b"", offset.encode())
        message = Message.of_bytes(self.packet + end, self.attachments)
        message.key = self.state_key
        message.follows = self.followed_keys
        message.is_volatile = self.kind == VOLATILE
        message.rooms = self.rooms
        return message

    def encode(self, *, again: bool = False) -> bytes:
        """Encode everything but the head; `again`: see the attribute."""
        rare: dict[str, Any] = {}
        if len(self.rooms) > 1 or is_sid_room(self.rooms[0]):  # that one's channel does not name it
            rare["r"] = list(self.rooms)
        if self.except_rooms:
            rare["x"] = list(self.except_rooms)
        if self.skip:
            rare["s"] = list(self.skip)
        if self.elsewhere:
            rare["e"] = self.elsewhere
        if self.ends_in_text:
            rare["t"] = 1
        if self.bare:
            rare["n"] = 1
        if again or self.again:
            rare["p"] = 1
        if self.key:
            rare["k"] = self.key
        body = self.packet
        if self.attachments:
            rare["a"] = [len(self.packet), *map(len, self.attachments)]
            body = b"".join((self.packet, *self.attachments))
        event = _CONTROL.sub("?", self.event).encode("utf-8", "replace")
        return b"%b\t%b\t%b\n%b" % (self.kind.encode(), event, orjson.dumps(rare) if rare else b"", body)


def encode_envelope(
    event: str,
    arguments: Sequence[Any],
    rooms: Sequence[str],
    kind: Kind,
    *,
    namespace: str = "/",
    except_rooms: Sequence[str] = (),
    skip: Sequence[str] = (),
    keep: Keep = NOTHING,
) -> Envelope:
    """Encode an event for the members of rooms on all servers. Raises TypeError if JSON cannot represent it.

    A sid among `except_rooms` is a room with that one client.
    """
    skip = (*skip, *(sid_of(room) for room in except_rooms if is_sid_room(room)))
    text, attachments = encode_text(EVENT, [event, *arguments], namespace=namespace)
    return Envelope(
        kind,
        event,
        rooms,
        text[:-1],
        attachments=attachments,
        except_rooms=except_rooms,
        skip=skip,
        ends_in_text=not arguments or isinstance(arguments[-1], str),
        bare=not arguments,
        keep=keep if kind == LATEST else keep._replace(key=""),
    )


class Origin(NamedTuple):
    """Where an event comes from. It stands between id and envelope, in messages and in the history.

    Attributes:
        instance: The instance of Redis that took it, "" if that is not known.
        producer: Who published it.
        number: Which of that producer's events it is. These rise, so one that comes a second time, since a Redis that
            lost it took it again, is found out. 0: none.
    """

    instance: str
    producer: bytes
    number: int

    def encode(self) -> bytes:
        return b".%b.%b.%d\n" % (self.instance.encode(), self.producer, self.number)


class Head(NamedTuple):
    """What stands before an envelope in a message.

    Attributes:
        epoch: Which history it is in.
        id: Its place there.
        origin: Where it comes from.
    """

    epoch: str
    id: int
    origin: Origin


def decode_envelope(body: bytes, room: str | None, event_id: int, origin: Origin | None = None) -> Envelope:
    """Decode an envelope from the channel or stream of a room; None: of many rooms, which the envelope names.

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
            if room is None:
                raise Malformed("no rooms")
            return Envelope(kind, event, (room,), rest, event_id=event_id, origin=origin)
        rare = orjson.loads(fields[2])
        rooms, excluded, skip, sizes = (_read_list(rare, key) for key in "rxsa")
    except ValueError:
        raise Malformed("no envelope") from None
    if not all(isinstance(one, str) for one in (*rooms, *excluded, *skip)):
        raise Malformed("rooms and sids must be strings")
    if not rooms:
        if room is None:
            raise Malformed("no rooms")
        rooms = [room]
    elsewhere = rare.get("e") or _NOWHERE
    if not isinstance(elsewhere, Mapping) or not all(type(one) is int and one >= 0 for one in elsewhere.values()):
        raise Malformed("rooms elsewhere have ids")
    key = rare.get("k") or ""
    if not isinstance(key, str):
        raise Malformed("a key must be a string")
    parts = _split_attachments(rest, sizes) if sizes else [rest]
    return Envelope(
        kind,
        event,
        tuple(rooms),
        parts[0],
        attachments=tuple(parts[1:]),
        except_rooms=tuple(excluded),
        skip=tuple(skip),
        ends_in_text=bool(rare.get("t")),
        bare=bool(rare.get("n")),
        again=bool(rare.get("p")),
        elsewhere=elsewhere,
        event_id=event_id,
        origin=origin,
        keep=Keep(key),
    )


def read_head(data: bytes) -> tuple[Head, int]:
    """Read the head of a message as a subscriber gets it. Returns the head, and where the rest begins.

    Raises:
        UnknownVersion: It is of another version.
        Malformed: It is none of ours.
    """
    if data[:1] != VERSION:
        raise UnknownVersion("a message of another version")
    match = _HEAD.match(data, 1)
    if match is None:
        raise Malformed("no head")
    origin, start = read_origin(data, match.end())
    return Head(match[1].decode(), int(match[2]), origin), start


def read_origin(data: bytes, start: int = 0) -> tuple[Origin, int]:
    """Read the origin of an event. Returns the origin, and where the rest begins. Raises Malformed."""
    match = _ORIGIN.match(data, start)
    if match is None:
        raise Malformed("no origin")
    return Origin(match[1].decode(), match[2], int(match[3])), match.end()


def _read_list(rare: Any, key: str) -> list[Any]:
    if not isinstance(rare, dict):
        raise Malformed("no envelope")
    found = rare.get(key) or []
    if not isinstance(found, list):
        raise Malformed("no envelope")
    return found


def _split_attachments(rest: bytes, sizes: list[Any]) -> list[bytes]:
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
