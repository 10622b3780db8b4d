"""Values that servers pass on as JSON, bytes included.

Bytes become `{"$bytes": "<base64>"}`. An object that already has this form (a client may have made it) is wrapped
once more, so that it comes out as it was.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from tradecast.packets.exact import to_plain

BYTES = "$bytes"
OBJECT = "$object"


def pack_value(value: Any) -> bytes:
    """A value of this program as JSON.

    Raises:
        NotExact: It cannot be said in JSON, would not be read as it is, or is nested too deeply. It is a TypeError.
    """
    return pack_read(to_plain(value))


def pack_read(value: Any) -> bytes:
    """What a client's JSON was read as.

    Raises:
        TypeError: It is nested too deeply.
    """
    try:
        return orjson.dumps(_pack_part(value))
    except RecursionError:
        raise TypeError("nested too deeply") from None


def unpack_value(value: Any) -> Any:
    """What was packed, from its decoded JSON.

    Raises:
        ValueError: It was not packed by `pack_value`, or is nested too deeply.
    """
    try:
        return _unpack_part(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _pack_part(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {BYTES: base64.b64encode(value).decode()}
    if isinstance(value, dict):
        made = {key: _pack_part(one) for key, one in value.items()}
        return {OBJECT: made} if made.keys() & {BYTES, OBJECT} else made
    if isinstance(value, list | tuple):
        return [_pack_part(one) for one in value]
    return value


def _unpack_part(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack_part(one) for one in value]
    if not isinstance(value, dict):
        return value
    if BYTES in value:
        try:
            return base64.b64decode(value[BYTES], validate=True)
        except (TypeError, binascii.Error):
            raise ValueError("no bytes") from None
    if OBJECT in value:
        value = value[OBJECT]
        if not isinstance(value, dict):
            raise ValueError("no object")
    return {key: _unpack_part(one) for key, one in value.items()}
