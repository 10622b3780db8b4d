"""A packet as python-socketio's own code makes it."""

from __future__ import annotations

from typing import Any

import orjson
from socketio import packet

from tradecast.packets.codec import read_json


class _Json:
    """orjson with the functions that python-socketio calls."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return read_json(text if isinstance(text, str) else text.decode())


class Packet(packet.Packet):
    """A packet as python-socketio's own code makes it, for what is left to that.

    A subclass of our own, because python-socketio's `json=` changes the class for the whole process.
    """

    json = _Json
