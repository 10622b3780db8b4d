"""Pods whose admin port answers what it likes: each at an address of its own in 127.0.0.0/8, all at one port."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
DRAIN = {"active": False, "remaining": 0, "shedding": False, "connectionsPerSecond": 100.0, "timeoutSeconds": 60.0}
ADAPTER = {"mode": "single", "modes": ["single"], "other": None}
MEGABYTE = b" " * 1_000_000


def told(**changes: Any) -> dict[str, Any]:
    """What a server of 7 clients says, with changes: `drain_remaining=…` of what is in `drain`, and so on."""
    said: dict[str, Any] = {
        "websocket": {"totalConnections": 7},
        "drain": dict(DRAIN),
        "adapter": json.loads(json.dumps(ADAPTER)),
    }
    for name, value in changes.items():
        part, _, key = name.partition("_")
        if key:
            said[part][key] = value
        else:
            said[part] = value
    return said


def answering(body: Any, head: str = "", status: str = "200 OK", version: str = "1.1") -> Answer:
    """One whole answer; a text stands for itself."""
    text = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

    async def answer(writer: asyncio.StreamWriter) -> None:
        length = "" if "transfer-encoding" in head.lower() else f"Content-Length: {len(text)}\r\n"
        writer.write(f"HTTP/{version} {status}\r\n{length}{head}Connection: close\r\n\r\n".encode("latin-1") + text)
        await writer.drain()

    return answer


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte now and then: none of the time-outs of single reads ever ends it."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.5)


async def drip_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        writer.write(f"x-{number}: y\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.5)


async def say_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def flood(writer: asyncio.StreamWriter) -> None:
    """120 MB, as announced."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 120000000\r\n\r\n")
    for _ in range(120):
        writer.write(MEGABYTE)
        await writer.drain()


async def flood_unannounced(writer: asyncio.StreamWriter) -> None:
    """Chunks without end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"f4240\r\n" + MEGABYTE + b"\r\n")
        await writer.drain()


async def flood_old(writer: asyncio.StreamWriter) -> None:
    """HTTP/1.0: until the connection ends, which it does not."""
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        writer.write(MEGABYTE)
        await writer.drain()


async def flood_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        writer.write(f"x-{number}: ".encode() + b"y" * 10_000 + b"\r\n")
        await writer.drain()


async def promise(writer: asyncio.StreamWriter) -> None:
    """Informational answers without end."""
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def packed() -> Answer:
    """A small answer that is a large one unpacked."""
    return answering(gzip.compress(MEGABYTE * 200), "Content-Encoding: gzip\r\n")


def nested(depth: int = 200_000) -> str:
    return "[" * depth + "]" * depth


# What breaks the transport, or is no object of ours at all.
ANSWERS: Mapping[str, Answer] = {
    "drip": drip,
    "drips its head": drip_head,
    "silent": say_nothing,
    "120 MB": flood,
    "chunks without end": flood_unannounced,
    "HTTP/1.0 without end": flood_old,
    "a head without end": flood_head,
    "102 without end": promise,
    "hangs up": hang_up,
    "gzip bomb": packed(),
    "deep arrays": answering(nested()),
    "deep objects": answering('{"websocket":' * 100_000),
    "deep adapter": answering(json.dumps(told()).replace('"single", "modes"', nested(50_000) + ', "modes"')),
    "not UTF-8": answering(b'{"websocket": "\xff\xfe"}'),
    "UTF-16": answering(json.dumps(told()).encode("utf-16")),
    "no JSON": answering("<html>"),
    "empty": answering(""),
    "null": answering("null"),
    "a list": answering([told()]),
    "a text": answering('"x"'),
    "redirect": answering("", "Location: http://127.0.0.1:1/admin/stats\r\n", "307 Temporary Redirect"),
    "no status": answering("", status="abc"),
    "a negative length": answering("", "Transfer-Encoding: chunked\r\n"),
    "a number of a million digits": answering('{"websocket": {"totalConnections": ' + "9" * 1_000_000 + "}}"),
}

BAD_NUMBERS = (
    *("1e999", "-1e999", "NaN", "Infinity", "-1", "1.5", '"7"', "true", "null", "[]", "{}", "1e308", "9" * 400),
)
NO_TRUTHS = ('"yes"', "0", "1", "null", "[]", "{}", "1e999")
NO_TEXTS = ("[]", '["single"]', "{}", "7", "NaN", "true", '"none of these"')


def values() -> Iterator[tuple[str, str]]:
    """Where a wrong value stands in an answer, and the answer."""
    mark = "@@@"
    rates = tuple(one for one in BAD_NUMBERS if one not in ("null", "1.5", "1e308"))
    places: Mapping[str, tuple[str, ...]] = {
        "websocket_totalConnections": BAD_NUMBERS,
        "drain_remaining": BAD_NUMBERS,
        "drain_active": NO_TRUTHS,
        "drain_shedding": NO_TRUTHS,
        "drain_connectionsPerSecond": rates,
        "drain_timeoutSeconds": rates,
        "adapter_mode": NO_TEXTS,
        "adapter_modes": ("7", "{}", '[["single"]]', "[null]", "NaN"),
        "adapter_other": ("7", "[]", '{"up": 3}', '{"up": true, "published": {"failed": 1e999}}'),
        "adapter": ("7", "[]", '"x"', "NaN", "1e999"),
        "websocket": ("7", "[]", "null"),
        "drain": ("7", "[]", "null"),
    }
    for place, wrong in places.items():
        text = json.dumps(told(**{place: mark}))
        for value in wrong:
            yield f"{place} {value[:20]}", text.replace(f'"{mark}"', value)


class HostilePods:
    """The addresses, and what they answer.

    Attributes:
        port: Of all.
        heads: Every request's head, by address.
    """

    def __init__(self) -> None:
        self.port = 0
        self.heads: dict[str, list[str]] = {}
        self._answers: dict[str, Answer] = {}
        self._numbers = itertools.count(1)
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def add(self, answer: Answer) -> str:
        """The address of one more."""
        number = next(self._numbers)
        address = f"127.1.{number // 250}.{1 + number % 250}"
        self._answers[address] = answer
        self.heads[address] = []
        return address

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        address = writer.get_extra_info("sockname")[0]
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                self.heads[address].append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                await self._answers[address](writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.pop(task, None)

    async def close(self) -> None:
        tasks = dict(self._tasks)
        for task, writer in tasks.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def hostile_pods() -> AsyncIterator[HostilePods]:
    pods = HostilePods()
    server = await asyncio.start_server(pods.serve, "0.0.0.0", 0)
    pods.port = server.sockets[0].getsockname()[1]
    try:
        yield pods
    finally:
        server.close()
        await pods.close()
