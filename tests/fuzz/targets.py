"""What the fuzzer calls with bytes that it makes up, and what it begins with. Whatever is wrong, is an exception."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kit.parsing.checks import (
    check_cluster_message,
    check_envelope,
    check_payload,
    check_session,
    check_socketio_packet,
    check_words,
    read_frames,
)
from kit.parsing.raw_http import check_http
from tradecast.engine.compression.deflate import LEVEL, MEMORY, WINDOW, inflate_message
from tradecast.engine.compression.gzip import accepts_gzip
from tradecast.engine.compression.inflating_reader import InflatingFrameReader
from tradecast.engine.compression.offers import ANSWER, BadOffers, answer_offers
from tradecast.engine.frames import ProtocolError


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        check: Gets the bytes.
        seeds: What the fuzzer begins with.
        longest: Bytes of a case.
        words: What it may put in.
    """

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    longest: int = 512
    words: Sequence[bytes] = ()


def frames(data: bytes) -> None:
    """Frames of one client, at once and in pieces as the first byte says."""
    if not data:
        return
    step, data = data[0] % 16 + 1, data[1:]
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    assert read_frames(pieces, 200) == read_frames([data], 200)


def inflated(data: bytes) -> None:
    """The same of a client that may compress its messages."""
    if not data:
        return
    step, data = data[0] % 16 + 1, data[1:]
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    assert read_frames(pieces, 200, InflatingFrameReader) == read_frames([data], 200, InflatingFrameReader)


def compressed(data: bytes) -> None:
    """A compressed message: it is inflated, within its bound, or refused; and so is what is compressed here."""
    with contextlib.suppress(ProtocolError):
        assert len(inflate_message(data, 200)) <= 200
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW, MEMORY)
    again = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert inflate_message(again.removesuffix(b"\0\0\xff\xff"), 512) == data


def offers(data: bytes) -> None:
    """What a client offers in its handshake, and what it accepts."""
    text = data.decode("latin-1")
    accepts_gzip(text)
    with contextlib.suppress(BadOffers):
        assert answer_offers(text) in (None, ANSWER, ANSWER + b"; server_max_window_bits=15")


def packet(data: bytes) -> None:
    """A Socket.IO packet, and behind each null byte an attachment."""
    text, *attachments = data.split(b"\0")
    check_socketio_packet(text.decode("utf-8", "replace"), attachments)


def redis(data: bytes) -> None:
    """What comes from Redis: an event, or what another server tells."""
    check_envelope(data)
    check_cluster_message(data)


def words(data: bytes) -> None:
    """Texts of a client that were given to it, and a session that another application has written."""
    check_words(data.decode("utf-8", "surrogateescape"))
    check_session(data)


def head(data: bytes) -> None:
    """What comes on an HTTP connection, in pieces as the first byte says."""
    if not data:
        return
    step, data = data[0] + 1, data[1:]
    check_http([data[start : start + step] for start in range(0, len(data), step)])


_POLL = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n"
_OPEN = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-T: y\r\n\r\n"
TARGETS = {
    "frames": Target(
        frames,
        [
            b"\x00\x81\x83\x01\x02\x03\x04\x61\x60\x63",
            b"\x03\x01\x81\0\0\0\0a\x89\x80\0\0\0\0\x80\x81\0\0\0\0b\x88\x82\0\0\0\0\x03\xe8",
            b"\x07\x82\xfe\x00\x7e\0\0\0\0" + b"x" * 126,
            b"\x07\x82\xff\0\0\0\0\0\0\0\x02\0\0\0\0xy",
        ],
    ),
    "inflated": Target(
        inflated,
        [
            b"\x07\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x03\x41\x83\0\0\0\0\xf2\x48\xcd\x89\x80\0\0\0\0\x80\x84\0\0\0\0\xc9\xc9\x07\x00",
            b"\x0f\xc2\x88\0\0\0\0\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x81\x81\0\0\0\0a",
        ],
    ),
    "compressed": Target(
        compressed,
        [
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            zlib.compress(b"x" * 1_000, 9)[2:-4],
        ],
        words=[b"\x03\x00", b"\x00\x00\xff\xff", b"\x00\x00\x00\xff\xff"],
    ),
    "offers": Target(
        offers,
        [
            b"permessage-deflate; client_max_window_bits",
            b'foo; a="b\\c", permessage-deflate;server_max_window_bits=15',
            b"gzip;q=0.5, *;q=0",
        ],
        words=[b"permessage-deflate", b"server_max_window_bits=", b"client_no_context_takeover", b";q=", b'="', b"\\"],
    ),
    "payload": Target(
        check_payload,
        [b"4a\x1e2\x1ebAQI=\x1e4", b"2probe", b"bAQID\r\nBAUG", b"b", "4é".encode()],
        words=[b"\x1e", b"probe", b"==", b"\r\n"],
    ),
    "packet": Target(
        packet,
        [
            b'2["a",1,{"b":[null,true,1.5]}]',
            b'0/admin?x=1,{"token":"123"}',
            b'52-/n,7["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]\0one\0two',
            b"61-15[]\0x",
            b'2["\\ud800\\\\"]',
            b"3456[]",
        ],
        words=[b'{"_placeholder":true,"num":0}', b"\\ud83d", b"\\ude00", b"-", b"[[[[[[[[", b"1e309", b"/a,", b"\\\\"],
    ),
    "redis": Target(
        redis,
        [
            b'1abcd.123.0a1b.00ff.7\nC\tevent\t\n2["event",1',
            b'1a.1..0.0\nL\te\t{"r":["a","b"],"x":["c"],"s":["d"],"e":{"f":5},"t":1,"p":1,"a":[2,1]}\n2[x',
            b'1{"t":"beat","s":"a","c":1,"l":2.5,"h":1,"b":1}',
            b'1{"t":"ask","s":"a","n":1,"k":"count","b":{"$bytes":"AQ==","x":{"$object":{}}},"a":1}',
            b'1{"t":"answer","s":"a","n":1,"p":0,"of":2,"i":[1],"e":"why"}',
        ],
        words=[b'"a":[', b"\t", b"\n", b'"$bytes":', b'"$object":', b"1e999", b"null", b'"e":{', b"true"],
    ),
    "words": Target(
        words,
        [
            b"0a1b2c3d.1f",
            b"0a0b0c.fff.0.1.f",
            b"s:abc.G8ReS2HiYVtvMBGFvZUGp5RaCauWFLUTjnnTm/EQ2aE",
            b"s%3Aabc.G8",
            b"1 bootbootboot 1800000000 " + b"0f" * 32,
            b'{"cookie":{"originalMaxAge":1000,"expires":"2027-01-15T08:00:10.000Z"},"passport":{"user":{"id":"u"}}}',
            b'{"cookie":{},"createdAt":1799999999,"passport":{"user":17}}',
        ],
        words=[b"false", b'"createdAt":', b"+23:59", b"0001-01-01", b"9999-12-31T23:59:59", b"-W01-1", b"1e17", b"%3a"],
    ),
    "head": Target(
        head,
        [
            b"\xff" + _POLL,
            b"\x05" + _POLL + _CHUNKED + _POLL,
            b"\xff" + _OPEN + b"\x81\x81\0\0\0\0003",
            b"\x20POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc" + _POLL,
            b"\xffCONNECT a:1 HTTP/1.1\r\n\r\n",
            b"\xffGET http://a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ],
        longest=1_024,
        words=[
            b"\r\n",
            b"Transfer-Encoding: chunked",
            b"Content-Length: ",
            b"Upgrade: h2c",
            b"Connection: close",
            b"?",
        ],
    ),
}
