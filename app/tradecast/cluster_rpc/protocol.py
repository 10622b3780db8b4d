"""Messages between servers: heartbeats, requests, and answers. Pure encoding and decoding.

A version, then a JSON object: `t` is the type, `s` the server that sends it.

    1{"t":"beat","s":…,"c":<connections>,"l":<lease in seconds>,"h":<1: send me a heartbeat>,"b":<1: I leave>,
      "f":<boot id: I pass requests on to others, and take theirs>}
    1{"t":"ask","s":…,"n":<number>,"k":<kind>,"b":<what the kind needs>,"a":<1: an answer is expected>}
    1{"t":"answer","s":…,"n":<number>,"p":<part>,"of":<parts>,"i":[<items>],"e":<why it was not, or not wholly, done>}

Keys that are not known are ignored, and a kind that is not known is answered with an error, so a server of the next
version works beside this one. A type or a version that is not known is skipped and counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tradecast.delivery.envelope import Malformed, UnknownVersion

VERSION: Final = b"1"
MAX_COUNT: Final = 2**53 - 1
MAX_PARTS: Final = 10_000
MAX_LEASE: Final = 3_600
MAX_REASON: Final = 200
_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A server is there.

    Attributes:
        server: Its name.
        connections: How many clients it has.
        lease: For how many seconds that holds, unless it says so again.
        hello: Whether it asks the others for a heartbeat.
        leaving: Whether it goes, and has no clients any more.
        boot: Its boot id among `polling_relay.addresses`, if it relays requests; "" if it does not, or is
            of a version that does not send it.
    """

    server: str
    connections: int
    lease: float
    hello: bool = False
    leaving: bool = False
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A server asks for something.

    Attributes:
        server: Which; it gets the answer.
        number: Of its requests.
        kind: What it asks for.
        body: What more the kind needs: JSON.
        answer: Whether it waits for an answer.
    """

    server: str
    number: int
    kind: str
    body: Any
    answer: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """A part of a server's answer to a request.

    Attributes:
        server: Which answers.
        number: The request's.
        items: This part of the answer.
        part: Which part, from 0.
        parts: How many there are.
        error: Why the request was not, or not wholly, carried out; "" if it was.
    """

    server: str
    number: int
    items: Sequence[Any] = ()
    part: int = 0
    parts: int = 1
    error: str = ""


Message = Heartbeat | Request | Response


def encode_message(message: Message) -> bytes:
    """A message as the others get it. Items and bodies may hold `orjson.Fragment`s.

    Raises:
        TypeError: The body cannot be said in JSON.
    """
    said: dict[str, Any]
    if isinstance(message, Heartbeat):
        said = {"t": "beat", "s": message.server, "c": message.connections, "l": message.lease}
        said |= {"h": 1} if message.hello else {}
        said |= {"b": 1} if message.leaving else {}
        said |= {"f": message.boot} if message.boot else {}
    elif isinstance(message, Request):
        said = {"t": "ask", "s": message.server, "n": message.number, "k": message.kind, "b": message.body}
        said |= {"a": 1} if message.answer else {}
    else:
        said = {"t": "answer", "s": message.server, "n": message.number, "i": list(message.items)}
        said |= {"p": message.part, "of": message.parts} if message.parts > 1 else {}
        said |= {"e": message.error[:MAX_REASON]} if message.error else {}
    return VERSION + orjson.dumps(said)


def decode_message(data: bytes) -> Message:
    """A message of another server.

    Raises:
        UnknownVersion: It is of another version, or of a type that is not known.
        Malformed: It is no message.
    """
    if data[:1] != VERSION:
        raise UnknownVersion("a message of another version")
    try:
        said = orjson.loads(memoryview(data)[1:])
    except orjson.JSONDecodeError:
        raise Malformed("no JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("t"), str):
        raise Malformed("no message")
    server = said.get("s")
    if not isinstance(server, str) or not _NAME.fullmatch(server):
        raise Malformed("no server's name")
    match said["t"]:
        case "beat":
            lease = said.get("l")
            if not isinstance(lease, int | float) or isinstance(lease, bool) or not 0 < lease <= MAX_LEASE:
                raise Malformed("no lease")
            boot = said.get("f")
            return Heartbeat(
                server,
                _read_count(said, "c"),
                float(lease),
                bool(said.get("h")),
                bool(said.get("b")),
                boot if isinstance(boot, str) and _NAME.fullmatch(boot) else "",
            )
        case "ask":
            kind = said.get("k")
            if not isinstance(kind, str):
                raise Malformed("no kind")
            return Request(server, _read_count(said, "n"), kind, said.get("b"), bool(said.get("a")))
        case "answer":
            items, error = said.get("i"), said.get("e", "")
            part, parts = _read_count(said, "p", 0), _read_count(said, "of", 1)
            if not isinstance(items, list) or not isinstance(error, str) or not part < parts <= MAX_PARTS:
                raise Malformed("no answer")
            return Response(server, _read_count(said, "n"), items, part, parts, error[:MAX_REASON])
    raise UnknownVersion("a type that is not known")


def _read_count(said: dict[str, Any], key: str, default: int | None = None) -> int:
    value = said.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise Malformed("no number")
    return value
