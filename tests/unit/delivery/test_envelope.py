"""Events on their way between servers: what goes in comes out, and what is damaged is found out and nothing else."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
import socketio.packet

from tradecast.delivery.envelope import (
    COUNTED,
    LATEST,
    VERSION,
    VOLATILE,
    Envelope,
    Head,
    Keep,
    Kind,
    Malformed,
    Origin,
    UnknownVersion,
    decode_envelope,
    encode_envelope,
    read_head,
    read_origin,
)
from tradecast.engine.ids import make_id
from tradecast.packets.codec import encode_event
from tradecast.packets.socketio_packet import Packet

ORIGIN = Origin("0a1b2c3d", b"00ff00ff00ff00ff", 7)


def same(one: Envelope, other: Envelope) -> bool:
    names = ("kind", "event", "packet", "ends_in_text", "key")
    lists = ("rooms", "attachments", "except_rooms", "skip")
    return all(getattr(one, name) == getattr(other, name) for name in names) and all(
        list(getattr(one, name)) == list(getattr(other, name)) for name in lists
    )


def on_the_wire(envelope: Envelope, event_id: int = 123, epoch: str = "abcd", origin: Origin = ORIGIN) -> bytes:
    """As Redis publishes it."""
    return VERSION + f"{epoch}.{event_id}".encode() + origin.encode() + envelope.encode()


@pytest.mark.parametrize("kind", [COUNTED, LATEST, VOLATILE])
@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([{"a": 1}], {}),
        ([], {}),
        (["a text"], {}),
        ([1, None, "Zoë ☃ \U0001f600 \n\t\x00"], {}),
        ([{"a": 1}], {"rooms": ["a", "b", "c"]}),
        ([{"a": 1}], {"rooms": ["räum\n\t\x00", 'b"\\']}),
        ([{"a": 1}], {"skip": ["sid1", "sid2"]}),
        ([{"a": 1}], {"except_rooms": ["x", "y"]}),
        ([{"file": b"\x00\n\t\xff" * 50}], {}),
        ([{"files": [b"", b"1", b"22"]}, "end"], {"rooms": ["a", "b"], "skip": ["s"], "except_rooms": ["x"]}),
    ],
)
def test_round_trip(kind: Kind, arguments: list[Any], options: dict[str, Any]) -> None:
    sent = encode_envelope("event", arguments, options.pop("rooms", ["room"]), kind, **options)
    data = on_the_wire(sent)
    head, start = read_head(data)
    assert head == Head("abcd", 123, ORIGIN)
    got = decode_envelope(data[start:], "room", head.id, head.origin)
    assert same(got, sent)
    assert (got.id, got.origin) == (123, ORIGIN)


def test_the_history_has_it_without_version_epoch_and_id() -> None:
    sent = encode_envelope("event", [1], ["room"], COUNTED)
    entry = ORIGIN.encode() + sent.encode()
    origin, start = read_origin(entry)
    assert origin == ORIGIN
    assert same(decode_envelope(entry[start:], "room", 5), sent)


@pytest.mark.parametrize("instance", ["", "0a1b2c3d"])
def test_an_origin_may_not_know_its_instance(instance: str) -> None:
    assert read_origin(Origin(instance, b"0f", 0).encode())[0] == Origin(instance, b"0f", 0)


@pytest.mark.parametrize("event", ["a\tb\nc", "\x00\x1f", "ünï ☃ \U0001f600", "\x7f\x85\u2028", "", " ", '"\\'])
def test_the_name_in_front_never_breaks_the_line_and_clients_get_the_true_one(event: str) -> None:
    sent = encode_envelope(event, [1], ["room"], COUNTED)
    got = decode_envelope(sent.encode(), "room", 1)
    assert got.event == "".join("?" if letter < " " else letter for letter in event)
    assert orjson.loads(str(got.message(None).parts[0])[1:]) == [event, 1]


def test_names_that_utf8_cannot_say_are_replaced_in_front() -> None:
    assert decode_envelope(Envelope(COUNTED, "a\ud800", ["room"], b"2[1").encode(), "room", 1).event == "a?"


def test_the_message_is_what_python_socketio_would_send_with_one_more_argument() -> None:
    arguments = [{"symbol": "AAPL", "quote": {"price": 1.5, "name": "é"}}]
    envelope = encode_envelope("quote", arguments, ["room"], COUNTED)
    assert envelope.message(None).parts == encode_event("quote", arguments).parts
    marked = Packet(encoded_packet=str(envelope.message("abcd.1f").parts[0]))
    assert marked.data == ["quote", *arguments, "abcd.1f"]
    empty = encode_envelope("quote", [], ["room"], COUNTED)
    assert Packet(encoded_packet=str(empty.message("abcd.1f").parts[0])).data == ["quote", None, "abcd.1f"]


def test_the_offset_of_a_binary_event_stands_before_its_attachments() -> None:
    envelope = encode_envelope("file", [{"content": b"\x01\x02"}], ["room"], COUNTED)
    text, attachment = decode_envelope(envelope.encode(), "room", 1).message("abcd.1f").parts
    assert attachment == b"\x01\x02"
    read = socketio.packet.Packet(encoded_packet=text)
    assert read.add_attachment(attachment)
    assert read.data == ["file", {"content": b"\x01\x02"}, "abcd.1f"]


@pytest.mark.parametrize(
    ("arguments", "ends_in_text"), [([], True), (["x"], True), ([1, "x"], True), (["x", 1], False), ([None], False)]
)
def test_what_a_standard_client_takes_for_an_offset_is_known(arguments: list[Any], ends_in_text: bool) -> None:
    assert encode_envelope("e", arguments, ["room"], VOLATILE).ends_in_text is ends_in_text


def test_a_single_room_is_known_by_the_channel() -> None:
    assert b"room" not in encode_envelope("e", [1], ["room"], COUNTED).encode()
    assert decode_envelope(encode_envelope("e", [1], ["room"], COUNTED).encode(), "room", 1).rooms == ("room",)


def test_the_next_version_beside_this_one_may_add_keys() -> None:
    head, _, packet = encode_envelope("e", [1], ["a", "b"], COUNTED, skip=["s"]).encode().partition(b"\n")
    kind, event, rare = head.split(b"\t")
    more = orjson.dumps({**orjson.loads(rare), "z": {"new": [1]}, "rr": 5})
    got = decode_envelope(b"\t".join((kind, event, more)) + b"\n" + packet, "a", 1)
    assert (got.rooms, got.skip, got.packet) == (("a", "b"), ("s",), b'2["e",1')


@pytest.mark.parametrize("version", [b"0", b"2", b"a", b"", b" ", b"\n"])
def test_another_version_is_told_apart(version: bytes) -> None:
    with pytest.raises(UnknownVersion):
        read_head(version + on_the_wire(encode_envelope("e", [1], ["room"], COUNTED))[1:] if version else b"")


@pytest.mark.parametrize(
    "data",
    [
        b"1",
        b"1abcd",
        b"1abcd.",
        b"1.5.i.p.1\n",
        b"1abcd.5",
        b"1abcd.5\n",
        b"1abcd.5.0a.0b.1",
        b"1ABCD.5.0a.0b.1\n",
        b"1abcd.-5.0a.0b.1\n",
        b"1abcd.5.xx.0b.1\n",
        b"1abcd.5.0a..1\n",
        b"1abcd.5.0a.0b.\n",
        b"1abcd.5.0a.0b.x\n",
        b"1abcd." + b"5" * 17 + b".0a.0b.1\n",
        b"1abcd.5.0a.0b." + b"1" * 17 + b"\n",
        b"1abcd.\xd9\xa1.0a.0b.1\n",
        b"1\xff.5.0a.0b.1\n",
    ],
)
def test_damaged_heads(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read_head(data)
    assert not isinstance(caught.value, UnknownVersion)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"\t\t\n",
        b"C",
        b"C\te\t",
        b"C\te\n2[",
        b"C\te\t\tx\n2[",
        b"X\te\t\n2[",
        b"c\te\t\n2[",
        b"CC\te\t\n2[",
        b"\xff\te\t\n2[",
        b"C\t\xff\t\n2[",
        b"C\te\t{\n2[",
        b"C\te\t\xff\n2[",
        b"C\te\t[]\n2[",
        b"C\te\tnull\n2[",
        b"C\te\t1\n2[",
        b'C\te\t"r"\n2[',
        b'C\te\t{"r":"a"}\n2[',
        b'C\te\t{"r":{"a":1}}\n2[',
        b'C\te\t{"r":[1]}\n2[',
        b'C\te\t{"r":[["a"]]}\n2[',
        b'C\te\t{"x":[null]}\n2[',
        b'C\te\t{"s":[{}]}\n2[',
        b'C\te\t{"s":5}\n2[',
        b'C\te\t{"a":[1]}\n2[',
        b'C\te\t{"a":[3]}\n2[',
        b'C\te\t{"a":[-1,3]}\n2[',
        b'C\te\t{"a":[2,0.0]}\n2[',
        b'C\te\t{"a":["2"]}\n2[',
        b'C\te\t{"a":[null]}\n2[',
        b'C\te\t{"a":[[2]]}\n2[',
        b'C\te\t{"a":[99999999999999999999]}\n2[',
        b"C\te\t" + b"[" * 100_000 + b"]" * 100_000 + b"\n2[",
    ],
)
def test_damaged_envelopes(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_envelope(body, "room", 1)


def read_all(data: bytes) -> bool:
    """Whether it is a message; anything but `Malformed` goes on up."""
    try:
        head, start = read_head(data)
        envelope = decode_envelope(data[start:], "room", head.id, head.origin)
    except Malformed:
        return False
    # what came through can be asked everything that a server asks
    assert envelope.rooms
    assert all(isinstance(one, str) for one in (*envelope.rooms, *envelope.skip, *envelope.except_rooms))
    assert isinstance(envelope.event, str)
    assert all(isinstance(one, bytes) for one in (envelope.packet, *envelope.attachments))
    envelope.message("abcd.1f").frames  # noqa: B018 it is worked out when it is asked for
    return True


def test_noise_is_malformed_and_nothing_else() -> None:
    chance = random.Random(5)
    assert not any(read_all(chance.randbytes(chance.randint(0, 200))) for _ in range(20_000))
    assert not any(read_all(VERSION + chance.randbytes(chance.randint(0, 200))) for _ in range(20_000))


def test_mutations_are_read_or_malformed_and_nothing_else() -> None:
    chance = random.Random(6)
    whole = [
        on_the_wire(encode_envelope("event", [{"a": "é"}], ["room"], COUNTED)),
        on_the_wire(encode_envelope("event", ["t"], ["a", "b"], LATEST, skip=["s"], except_rooms=["x"])),
        on_the_wire(encode_envelope("file", [{"f": b"\x00\xff", "g": b"12345"}], ["a", "b"], VOLATILE)),
    ]
    assert all(map(read_all, whole))
    read = damaged = 0
    for _ in range(40_000):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data))
            what = chance.randrange(5)
            if what == 0:
                data[place] = chance.randrange(256)
            elif what == 1:
                data[place] ^= 1 << chance.randrange(8)
            elif what == 2:
                del data[place : place + chance.randint(1, 10)]
            elif what == 3:
                data[place:place] = chance.choice([b"\n", b"\t", b".", b"0", b"]", b"\x00", b'"', b"null"])
            else:
                data[place:] = chance.choice(whole)[place:]
            data = data or bytearray(b"1")
        if read_all(bytes(data)):
            read += 1
        else:
            damaged += 1
    assert read > 1000
    assert damaged > 1000


def test_through_a_channel_of_many_rooms_it_says_which() -> None:
    sid = make_id()
    body = encode_envelope("event", [1], [sid], COUNTED).encode()
    assert decode_envelope(body, None, 5).rooms == (sid,)
    assert decode_envelope(body, sid, 5).rooms == (sid,)  # as the version before reads it from the room's history
    with pytest.raises(Malformed):
        decode_envelope(encode_envelope("event", [1], ["x"], COUNTED).encode(), None, 5)
    with pytest.raises(Malformed):
        decode_envelope(encode_envelope("event", [1], ["x"], COUNTED, skip=["s"]).encode(), None, 5)


def test_a_sid_that_is_left_out_as_a_room_is_left_out_as_a_client() -> None:
    """The version before knows it as a client only."""
    sid, other = make_id(), make_id()
    envelope = encode_envelope("event", [1], ["x"], COUNTED, except_rooms=["y", sid], skip=[other])
    assert [*envelope.skip] == [other, sid]
    assert [*envelope.except_rooms] == ["y", sid]


def test_a_latest_event_keeps_its_key_on_the_way_and_others_have_none() -> None:
    quote = encode_envelope("watchlist:quote", [{"symbol": "A"}], ["vip"], LATEST, keep=Keep("A"))
    assert decode_envelope(quote.encode(), "vip", 1).key == "A"
    assert quote.state_key == ("vip", "watchlist:quote", "A")
    assert encode_envelope("trade:executed", [{}], ["vip"], COUNTED, keep=Keep("A")).key == ""


def test_a_key_that_is_no_text_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode_envelope(b'L\tquote\t{"k":5}\n2["quote",{}', "room", 1)


def test_what_waits_for_a_client_may_be_replaced_by_the_newest_only_if_it_carries_no_offset() -> None:
    latest = encode_envelope("quote", [{}], ["room"], LATEST)
    assert latest.message(None).key == ("room", "quote", "")
    assert encode_envelope("quote", ["text"], ["room"], LATEST).message("0.1").key is None
    counted = encode_envelope("trade", [{}], ["room"], COUNTED).message("0.1")
    assert (counted.key, counted.is_volatile, list(counted.rooms)) == (None, False, ["room"])
    assert encode_envelope("tick", [{}], ["room"], VOLATILE).message(None).is_volatile
