from __future__ import annotations

import pytest
from socketio import packet

from tradecast.load import packets
from tradecast.load.packets import Packet, PacketError


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('0{"sid":"x","pingInterval":25000}', Packet("open", {"sid": "x", "pingInterval": 25000})),
        ("1", Packet("close")),
        ("2", Packet("ping")),
        ("2probe", Packet("ping")),
        ("6", Packet("noop")),
        ('40{"sid":"y"}', Packet("connect", {"sid": "y"})),
        ("41", Packet("disconnect")),
        ('42["a"]', Packet("event", ["a"])),
        ('42["a",{"b":[1]},"off"]', Packet("event", ["a", {"b": [1]}, "off"])),
        ('4217["a"]', Packet("event", ["a"], 17)),
        ('42/admin,17["a"]', Packet("event", ["a"], 17, "/admin")),
        ("431[]", Packet("ack", [], 1)),
        ('43/admin,1[{"ok":true}]', Packet("ack", [{"ok": True}], 1, "/admin")),
        ('44{"message":"no","data":{"code":"X"}}', Packet("connect_error", {"message": "no", "data": {"code": "X"}})),
        ('451-["a",{"_placeholder":true,"num":0}]', Packet("event", ["a", {"_placeholder": True, "num": 0}])),
        ('461-3[{"_placeholder":true,"num":0}]', Packet("ack", [{"_placeholder": True, "num": 0}], 3)),
    ],
)
def test_decode(frame: str, expected: Packet) -> None:
    assert packets.decode_packet(frame) == expected


@pytest.mark.parametrize(
    "frame", ["", "x", "9", "4", "47[]", "42", "42{", "42{}", "42[]", "42[1]", "43{}", "0{", "45[]", '42"a"', "42[NaN]"]
)
def test_what_is_no_packet_is_refused(frame: str) -> None:
    with pytest.raises(PacketError):
        packets.decode_packet(frame)


def test_encoded_packets_are_what_a_socket_io_server_reads() -> None:
    event = packet.Packet(encoded_packet=packets.encode_event("subscribe:watchlist", {"symbols": ["É"]}, ack_id=3)[1:])
    assert (event.packet_type, event.id, event.data) == (packet.EVENT, 3, ["subscribe:watchlist", {"symbols": ["É"]}])
    bare = packet.Packet(encoded_packet=packets.encode_event("a")[1:])
    assert (bare.id, bare.data) == (None, ["a"])
    connect = packet.Packet(encoded_packet=packets.encode_connect({"sessionID": "s"})[1:])
    assert (connect.packet_type, connect.data) == (packet.CONNECT, {"sessionID": "s"})


@pytest.mark.parametrize("kind", [packet.EVENT, packet.ACK])
def test_what_a_socket_io_server_writes_is_read(kind: int) -> None:
    written = packet.Packet(kind, data=["quote", {"p": 1.5}], namespace="/", id=12).encode()
    read = packets.decode_packet("4" + written)
    assert (read.data, read.id) == (["quote", {"p": 1.5}], 12)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/socket.io/?EIO=4&transport=websocket"),
        ("https://h/", "wss://h/socket.io/?EIO=4&transport=websocket"),
        ("ws://[::1]:1/base", "ws://[::1]:1/base/socket.io/?EIO=4&transport=websocket"),
    ],
)
def test_socket_url(base: str, url: str) -> None:
    assert packets.socket_url(base) == url


@pytest.mark.parametrize("path", ["/push/socket.io/", "push/socket.io"])
def test_socket_url_with_a_path(path: str) -> None:
    assert packets.socket_url("http://h/base/", path) == "ws://h/base/push/socket.io/?EIO=4&transport=websocket"


@pytest.mark.parametrize("base", ["127.0.0.1:8000", "ftp://h", "http://", ""])
def test_socket_url_refuses_what_is_none(base: str) -> None:
    with pytest.raises(ValueError, match="starts with http"):
        packets.socket_url(base)
