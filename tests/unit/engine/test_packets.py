"""Engine.IO packets and payloads."""

from __future__ import annotations

import base64

import pytest

from tradecast.engine.packets import MAX_CONTROL, MAX_PACKETS, Malformed, check_packet, split_payload

SEPARATOR = b"\x1e"


@pytest.mark.parametrize("packet", ["0{}", "1", "2", "3", "2probe", "3probe", "4", "4text", "5", "6", "4" + "x" * 5000])
def test_packet_of_a_known_type_is_one(packet: str) -> None:
    assert check_packet(packet) == packet


@pytest.mark.parametrize("packet", ["", "7", "8", "9", "a", "b", " 4", "-4", "\x1e", "٤", "2" + "x" * MAX_CONTROL])
def test_what_has_no_known_type_or_is_a_long_control_packet_is_malformed(packet: str) -> None:
    with pytest.raises(Malformed):
        check_packet(packet)


def test_payload_is_split_in_order() -> None:
    body = SEPARATOR.join((b"4a", b"2", b"bAQI=", "4é".encode(), b"4"))
    assert split_payload(body) == ["4a", "2", b"\x01\x02", "4é", "4"]


def test_single_packet_is_a_payload() -> None:
    assert split_payload(b"40") == ["40"]


def test_separator_between_binary_packets_only_separates() -> None:
    parts = [b"\x1e\x1e", b"", bytes(range(256))]
    assert split_payload(SEPARATOR.join(b"b" + base64.b64encode(part) for part in parts)) == parts


@pytest.mark.parametrize(
    "body",
    [b"", b"x", SEPARATOR, b"4a" + SEPARATOR, SEPARATOR + b"4a", b"4a" + SEPARATOR * 2 + b"4b", b"\xff", b"4\xc3"],
)
def test_body_that_is_no_payload_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        split_payload(body)


@pytest.mark.parametrize("binary", [b"bAQID\nBAUG\n", b"bAQID\r\nBAUG\r\n", b"bAQIDBAUG", b"b\nAQIDBAUG"], ids=repr)
def test_base64_may_be_broken_into_lines_as_javas_client_does(binary: bytes) -> None:
    assert split_payload(binary) == [bytes(range(1, 7))]


@pytest.mark.parametrize(("binary", "data"), [(b"bAQI", b"\1\2"), (b"bAQ", b"\1"), (b"b", b"")])
def test_base64_may_lack_its_padding_as_in_node(binary: bytes, data: bytes) -> None:
    assert split_payload(binary) == [data]


@pytest.mark.parametrize("binary", [b"b=", b"bA", b"bAQI= ", b"bA QI=", b"b-_-_", b"b" + "é".encode()])
def test_binary_packet_that_is_not_base64_is_malformed(binary: bytes) -> None:
    with pytest.raises(Malformed):
        split_payload(b"4a" + SEPARATOR + binary)


def test_packets_of_a_payload_are_counted() -> None:
    assert len(split_payload(SEPARATOR.join([b"4"] * MAX_PACKETS))) == MAX_PACKETS
    with pytest.raises(Malformed):
        split_payload(SEPARATOR.join([b"4"] * (MAX_PACKETS + 1)))
