"""What servers tell each other."""

from __future__ import annotations

import contextlib
import random

import orjson
import pytest

from tradecast.cluster_rpc.protocol import Heartbeat, Message, Request, Response, decode_message, encode_message
from tradecast.delivery.envelope import Malformed, UnknownVersion


@pytest.mark.parametrize(
    "message",
    [
        Heartbeat("a1", 0, 4.0),
        Heartbeat("a1", 12_000, 0.5, hello=True),
        Heartbeat("a1", 0, 4.0, leaving=True),
        Heartbeat("a1", 7, 4.0, boot="x-_1yZ234567"),
        Request("a1", 1, "fetch_sockets", {"r": None}),
        Request("a1", 2**53 - 1, "ünknown ☃", None, answer=False),
        Response("b-2_Z", 3, [[1], "x", None]),
        Response("b2", 3, ["x"], 1, 3),
        Response("b2", 3, [], error="it failed"),
    ],
)
def test_comes_out_as_it_was(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_what_a_newer_server_adds_is_ignored() -> None:
    said = {"t": "beat", "s": "a1", "c": 1, "l": 4, "new": {"x": [1]}}
    assert decode_message(b"1" + orjson.dumps(said)) == Heartbeat("a1", 1, 4.0)


@pytest.mark.parametrize("boot", ["", None, 7, "x" * 65, "a b", ["a"]])
def test_a_boot_id_that_is_none_is_as_good_as_untold(boot: object) -> None:
    said = {"t": "beat", "s": "a1", "c": 1, "l": 4, "f": boot}
    assert decode_message(b"1" + orjson.dumps(said)) == Heartbeat("a1", 1, 4.0)


@pytest.mark.parametrize("data", [b"", b"2{}", b"{}", b"\xff", b'1{"t":"new","s":"a1"}'])
def test_another_version_or_type(data: bytes) -> None:
    with pytest.raises(UnknownVersion):
        decode_message(data)


BAD = [
    b"1",
    b"1{",
    b"1[]",
    b"1\xff",
    b"1null",
    b'1{"t":1,"s":"a1"}',
    b'1{"t":"beat"}',
    b'1{"t":"beat","s":"a b","c":1,"l":4}',
    b'1{"t":"beat","s":"","c":1,"l":4}',
    b'1{"t":"beat","s":"a1","l":4}',
    b'1{"t":"beat","s":"a1","c":-1,"l":4}',
    b'1{"t":"beat","s":"a1","c":true,"l":4}',
    b'1{"t":"beat","s":"a1","c":1.5,"l":4}',
    b'1{"t":"beat","s":"a1","c":1,"l":0}',
    b'1{"t":"beat","s":"a1","c":1,"l":1e300}',
    b'1{"t":"beat","s":"a1","c":1,"l":"4"}',
    b'1{"t":"ask","s":"a1","k":"x"}',
    b'1{"t":"ask","s":"a1","n":1}',
    b'1{"t":"ask","s":"a1","n":1,"k":["x"]}',
    b'1{"t":"answer","s":"a1","n":1}',
    b'1{"t":"answer","s":"a1","n":1,"i":{}}',
    b'1{"t":"answer","s":"a1","n":1,"i":[],"p":1,"of":1}',
    b'1{"t":"answer","s":"a1","n":1,"i":[],"p":0,"of":100000000}',
    b'1{"t":"answer","s":"a1","n":1,"i":[],"e":5}',
]


@pytest.mark.parametrize("data", BAD)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_message(data)


def test_what_is_broken_on_the_way_is_never_another_error() -> None:
    chance = random.Random(5)
    good = [
        encode_message(Response("b2", 3, [["sid", {"a": 1}]], 1, 3)),
        encode_message(Heartbeat("a1", 12, 4.0, hello=True)),
    ]
    for _ in range(3_000):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(Malformed):
            decode_message(bytes(data))
