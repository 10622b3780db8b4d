"""Socket.IO v5 packets (https://github.com/socketio/socket.io-protocol), read and written with orjson."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from tradecast.engine.message import Message
from tradecast.packets.exact import OPTIONS, may_have_lost, to_plain

CONNECT: Final = 0
DISCONNECT: Final = 1
EVENT: Final = 2
ACK: Final = 3
CONNECT_ERROR: Final = 4
BINARY_EVENT: Final = 5
BINARY_ACK: Final = 6

MAX_ATTACHMENTS: Final = 10
_BINARY: Final = {EVENT: BINARY_EVENT, ACK: BINARY_ACK}
_PLAIN: Final = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}
# Half of a surrogate pair without the other, as JSON writes it. It begins in one way only: so re finds it fast.
_LONE: Final = re.compile(
    r"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
# A backslash that is meant, and begins no escape; and what no JSON has, to stand for it meanwhile.
_BACKSLASH: Final = r"\\"
_NONE: Final = "\0"
# Type, attachments, namespace with its query, acknowledgement id; the rest is JSON.
_HEAD: Final = re.compile(r"([0-6])(?:([0-9]{1,10})-)?(?:(/[^,]*)(?:,|$))?([0-9]{0,100})", re.ASCII)


class BadPacket(ValueError):
    """Not a Socket.IO packet."""


class TooDeep(BadPacket):
    """JSON that is nested deeper than orjson reads (1,024)."""


class Incoming:
    """A packet that a client has sent.

    Attributes:
        kind: Its type; `EVENT` and `ACK` with attachments too.
        namespace: `/` where the client names none.
        ack_id: The acknowledgement that it asks for, or gives; None: none.
        data: What it carries, decoded; None: nothing.
        due: Attachments that are still to come.
    """

    __slots__ = ("_attachments", "ack_id", "data", "due", "kind", "namespace", "size")

    def __init__(self, kind: int, namespace: str, ack_id: int | None, data: Any, due: int = 0) -> None:
        self.kind = kind
        self.namespace = namespace
        self.ack_id = ack_id
        self.data = data
        self.due = due
        self.size = 0
        self._attachments: list[bytes] = []

    def attach(self, attachment: bytes) -> bool:
        """Add the next attachment; whether it was the last one, and the packet is complete.

        Raises:
            BadPacket: The data names attachments that it does not have.
            TooDeep: The data is nested too deeply.
        """
        self._attachments.append(attachment)
        self.size += len(attachment)
        self.due -= 1
        if self.due:
            return False
        try:
            self.data = _restore_attachments(self.data, self._attachments)
        except RecursionError:
            raise TooDeep("nested too deeply") from None
        return True


def decode_packet(text: str) -> Incoming:
    """Read a packet. One with attachments is complete when `Incoming.attach` says so.

    Raises:
        BadPacket: It is none.
        TooDeep: Its JSON is nested too deeply.
    """
    # Nearly every packet is an event of the main namespace.
    if text[:1] == "2":
        start = text.find("[")
        number = text[1:start]
        if start == 1:
            return Incoming(EVENT, "/", None, read_json(text[1:]))
        if start > 1 and len(number) <= 100 and number.isascii() and number.isdigit():
            return Incoming(EVENT, "/", int(number), read_json(text[start:]))
    head = _HEAD.match(text)
    if head is None:
        raise BadPacket("no packet")
    kind, count, namespace, number = head.groups()
    rest = text[head.end() :]
    if rest[:1].isdigit():
        raise BadPacket("the acknowledgement id is too long")
    kind, due = int(kind), 0
    if kind in _PLAIN:
        due = int(count or 0)
        if not 0 <= due <= MAX_ATTACHMENTS or count is None:
            raise BadPacket("too many attachments, or no number of them")
        kind = _PLAIN[kind]
    elif count is not None:
        raise BadPacket("attachments in a packet that has none")
    data = read_json(rest) if rest else None
    return Incoming(kind, (namespace or "/").partition("?")[0], int(number) if number else None, data, due)


def encode_text(
    kind: int, data: Any, *, namespace: str = "/", ack_id: int | None = None
) -> tuple[bytes, Sequence[bytes]]:
    """A packet's text and its attachments.

    Args:
        kind: Its type; for an event or acknowledgement with bytes in it the binary type is taken.
        data: What it carries; None: nothing.
        namespace: Where it goes.
        ack_id: The acknowledgement that it asks for, or gives.

    Raises:
        NotExact: The data cannot be said in JSON, or would not be read as it is. It is a TypeError.
    """
    head = b"" if namespace == "/" else namespace.encode() + b","
    if ack_id is not None:
        head += b"%d" % ack_id
    if data is None:
        return b"%d%b" % (kind, head), ()
    try:
        body = orjson.dumps(data, option=OPTIONS)
    except TypeError:
        plain = _to_plain(kind, data)
    else:
        if may_have_lost(data, body):
            _to_plain(kind, data)
        return b"%d%b%b" % (kind, head, body), ()
    attachments: list[bytes] = []
    if kind in _BINARY:
        plain = _take_out(plain, attachments)
    body = orjson.dumps(plain)
    if not attachments:
        return b"%d%b%b" % (kind, head, body), ()
    return b"%d%d-%b%b" % (_BINARY[kind], len(attachments), head, body), attachments


def _to_plain(kind: int, data: Any) -> Any:
    """As `exact.to_plain`; of an event with one argument, paths begin in that."""
    if kind != EVENT or not isinstance(data, list):
        return to_plain(data)
    name, *arguments = data
    alone = len(arguments) == 1
    return [to_plain(name), *(to_plain(one, () if alone else (number,)) for number, one in enumerate(arguments))]


def encode_packet(kind: int, data: Any, *, namespace: str = "/", ack_id: int | None = None) -> Message:
    """Encode a packet for any number of recipients. Arguments and errors as of `encode_text`."""
    return Message.of_bytes(*encode_text(kind, data, namespace=namespace, ack_id=ack_id))


def encode_event(event: str, arguments: Sequence[Any], *, namespace: str = "/") -> Message:
    """Encode an event. Raises NotExact, a TypeError, when the arguments cannot be said in JSON."""
    return encode_packet(EVENT, [event, *arguments], namespace=namespace)


def arguments_of(data: Any) -> list[Any]:
    """The arguments that stand for a value: none for None, several for a tuple, else the value."""
    return list(data) if isinstance(data, tuple) else [] if data is None else [data]


def read_json(text: str) -> Any:
    """Read JSON as clients write it.

    Raises:
        BadPacket: It is no JSON.
        TooDeep: It is nested deeper than orjson reads.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg or "recursion" in error.msg:  # the only sign that orjson gives
            raise TooDeep("nested too deeply") from None
        mended = _mend_surrogates(text)
        if mended == text:
            raise BadPacket("not JSON") from None
    return read_json(mended)


def _mend_surrogates(text: str) -> str:
    """JSON without lone surrogates: U+FFFD stands for each, as in what Node sends on.

    JavaScript's strings may hold them (an emoji cut in half), and JSON says them; no UTF-8 can.
    """
    if _NONE in text:
        return text
    return _LONE.sub(r"\\ufffd", text.replace(_BACKSLASH, _NONE)).replace(_NONE, _BACKSLASH)


def _restore_attachments(value: Any, attachments: Sequence[bytes]) -> Any:
    """Put attachments where placeholders stand."""
    if isinstance(value, list):
        return [_restore_attachments(one, attachments) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(attachments):
            raise BadPacket("a placeholder without its attachment")
        return attachments[number]
    return {key: _restore_attachments(one, attachments) for key, one in value.items()}


def _take_out(value: Any, attachments: list[bytes]) -> Any:
    """Put placeholders where bytes stand."""
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, list | tuple):
        return [_take_out(one, attachments) for one in value]
    if isinstance(value, dict):
        return {key: _take_out(one, attachments) for key, one in value.items()}
    return value
