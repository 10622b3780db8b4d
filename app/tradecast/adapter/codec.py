"""Socket.IO packets with orjson, and an event encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from socketio import packet

from tradecast.adapter.envelope import Envelope, Kind
from tradecast.engine import Message


class TooDeep(ValueError):
    """JSON that is nested deeper than orjson reads (1,024)."""


class _Json:
    """orjson with the functions that python-socketio calls."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if "depth" in error.msg or "recursion" in error.msg:  # the only sign that orjson gives
                raise TooDeep("nested too deeply") from None
            raise


class Packet(packet.Packet):
    """A Socket.IO v5 packet. A subclass of our own, because python-socketio's `json=` changes it for the process."""

    json = _Json


def encode(packet_type: int, data: Any, *, namespace: str = "/", ack_id: int | None = None) -> Message:
    """Encode a packet for any number of recipients.

    Raises:
        TypeError: The data cannot be said in JSON.
    """
    encoded = Packet(packet_type, data=data, namespace=namespace, id=ack_id).encode()
    return Message(encoded if isinstance(encoded, list) else [encoded])


def encode_event(event: str, arguments: list[Any], *, namespace: str = "/") -> Message:
    """Encode an event. Raises TypeError when the arguments cannot be said in JSON."""
    return encode(packet.EVENT, [event, *arguments], namespace=namespace)


def encode_envelope(
    event: str,
    arguments: Sequence[Any],
    rooms: Sequence[str],
    kind: Kind,
    *,
    except_rooms: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> Envelope:
    """Encode an event for the members of rooms on all servers. Raises TypeError when it cannot be said in JSON."""
    encoded = Packet(packet.EVENT, data=[event, *arguments], namespace="/").encode()
    text, *attachments = encoded if isinstance(encoded, list) else [encoded]
    return Envelope(
        kind,
        event,
        rooms,
        text[:-1].encode(),
        attachments=attachments,
        except_rooms=except_rooms,
        skip=skip,
        ends_in_text=not arguments or isinstance(arguments[-1], str),
    )
