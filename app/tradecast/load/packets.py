"""Engine.IO v4 and Socket.IO v5 as a client over WebSocket speaks them: text to packets and back, no I/O.

https://github.com/socketio/engine.io-protocol and https://github.com/socketio/socket.io-protocol. Binary attachments
are not needed here: a binary event is decoded with its placeholders, and the frames of its attachments are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import orjson

Kind = Literal["open", "close", "ping", "pong", "noop", "connect", "disconnect", "event", "ack", "connect_error"]

PONG = "3"
DISCONNECT = "41"

_ENGINE: dict[str, Kind] = {"0": "open", "1": "close", "2": "ping", "3": "pong", "6": "noop"}
_SOCKET: dict[str, Kind] = {
    "0": "connect",
    "1": "disconnect",
    "2": "event",
    "3": "ack",
    "4": "connect_error",
    "5": "event",
    "6": "ack",
}
_HEAD = re.compile(r"4(?:[0-4]|[56]\d{1,3}-)(?:(/[^,]{0,200}),)?(\d{1,15})?", re.ASCII)


class PacketError(ValueError):
    """What came is not a packet of the protocol."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet.

    Attributes:
        kind: Engine.IO's and Socket.IO's packet types in one.
        data: An object for open, connect and connect_error; [name, argument, …] for event; arguments for ack.
        id: The acknowledgement's number, where there is one.
        namespace: `/` is the default one.
    """

    kind: Kind
    data: Any = None
    id: int | None = None
    namespace: str = "/"


def decode_packet(frame: str) -> Packet:
    """The packet in a text frame.

    Raises:
        PacketError: It is none.
    """
    if frame[:1] != "4":
        kind = _ENGINE.get(frame[:1])
        if kind is None:
            raise PacketError("unknown Engine.IO packet type")
        return Packet(kind, _parse_json(frame[1:]) if kind == "open" else None)
    head = _HEAD.match(frame)
    if head is None:
        raise PacketError("unknown Socket.IO packet type")
    kind = _SOCKET[frame[1]]
    data = _parse_json(frame[head.end() :])
    if kind == "event" and not (isinstance(data, list) and data and isinstance(data[0], str)):
        raise PacketError("an event is a list that begins with its name")
    if kind == "ack" and not isinstance(data, list):
        raise PacketError("an acknowledgement is a list")
    number = head.group(2)
    return Packet(kind, data, None if number is None else int(number), head.group(1) or "/")


def encode_connect(auth: Mapping[str, Any]) -> str:
    """CONNECT to the default namespace."""
    return "40" + orjson.dumps(auth).decode()


def encode_event(name: str, *args: Any, ack_id: int | None = None) -> str:
    """EVENT in the default namespace; with a number, an acknowledgement is asked for."""
    return f"42{'' if ack_id is None else ack_id}{orjson.dumps([name, *args]).decode()}"


def socket_url(base: str, path: str = "/socket.io/") -> str:
    """The WebSocket URL of a server given by its http(s) or ws(s) URL.

    Args:
        base: The server's URL; what it has of a path comes first.
        path: Socket.IO's, with or without slashes around it.

    Raises:
        ValueError: The scheme is another, or there is no host.
    """
    parts = urlsplit(base)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError("the URL starts with http://, https://, ws:// or wss:// and names a host")
    return urlunsplit(
        (scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path.strip('/')}/", "EIO=4&transport=websocket", "")
    )


def _parse_json(text: str) -> Any:
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise PacketError("not JSON") from None
