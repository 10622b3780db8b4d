"""Packets by python-socketio's own code."""

from __future__ import annotations

import pytest
import socketio.packet

from tradecast.packets.codec import (
    TooDeep,
)
from tradecast.packets.socketio_packet import Packet


def test_python_socketio_itself_is_left_as_it_was() -> None:
    assert socketio.packet.Packet.json is not Packet.json


def test_python_socketio_s_way_in_refuses_it_too() -> None:
    with pytest.raises(TooDeep):
        Packet(encoded_packet='2["x",' + "[" * 100_000 + "]" * 100_000 + "]")
