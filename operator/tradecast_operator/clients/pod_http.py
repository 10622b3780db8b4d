"""HTTP requests to pods that are not trusted: each on a connection of its own, with a bounded answer.

A general client would cost some twenty times the time of a CPU, which with thousands of pods is more than a round has.
It would also do what must not be done here: ask a proxy, follow redirects, keep cookies, unpack compressed answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, cast

import httptools

# Bytes of an answer; a server's statistics take some 20 kB.
LARGEST: Final = 512 * 1024
# Bytes of its head.
LARGEST_HEAD: Final = 32 * 1024
# Status codes from here on end an answer; those below only announce one.
FIRST_FINAL: Final = 200
NO_CONTENT: Final = (204, 304)
_AGENT: Final = b"accept: application/json\r\naccept-encoding: identity\r\nuser-agent: tradecast-operator\r\n"


class AnswerInvalid(Exception):
    """An answer is invalid or too large; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        status: Its status code.
        headers: By their names in lower case; of several with one name, the last one.
        body: All of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class PodClient:
    """Makes requests to pods, by IP address: no name is resolved."""

    async def request(
        self, method: str, address: str, port: int, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """Make a request. The caller bounds its time.

        Args:
            method: The method.
            address: The pod's IP address.
            port: The pod's port.
            path: The path, with the query.
            headers: Further headers, in one line each.
            body: The body; empty: none.

        Raises:
            AnswerInvalid: What came is no answer, is compressed or too large, or the address is none.
            OSError: There is no connection, or it ended before the answer did.
        """
        host = _format_host(address)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = f"content-length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n{lines}{length}"
        exchange = _Exchange(b"".join((head.encode(), _AGENT, b"\r\n", body)))
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: exchange, address, port)
        try:
            return await exchange.answer
        finally:
            transport.abort()


class _Exchange(asyncio.Protocol):
    """A request on a connection, and its answer as it arrives."""

    def __init__(self, request: bytes) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._left = LARGEST + LARGEST_HEAD
        self._headers: dict[str, str] = {}
        self._head = 0
        self._body = bytearray()
        self._is_until_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        self._left -= len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, AnswerInvalid) else AnswerInvalid("it is no HTTP"))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(AnswerInvalid("it is no HTTP"))
        if self._left < 0:
            self._fail(AnswerInvalid(f"it has more than {LARGEST} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._is_until_end:
            self.on_message_complete()
        self._fail(exc or ConnectionResetError("it ended before the answer did"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of an answer. Raises AnswerInvalid."""
        self._head += len(name) + len(value)
        if self._head > LARGEST_HEAD:
            raise AnswerInvalid(f"its head has more than {LARGEST_HEAD} bytes")
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is complete. Raises AnswerInvalid."""
        status = self._parser.get_status_code()
        if status < FIRST_FINAL:
            return
        if self._headers.get("content-encoding", "identity") != "identity":
            raise AnswerInvalid("it is compressed")  # a small body may be large when it is unpacked
        length = self._headers.get("content-length")
        if length is not None and (not length.isascii() or not length.isdigit() or int(length[:20]) > LARGEST):
            raise AnswerInvalid(f"it has more than {LARGEST} bytes")
        self._is_until_end = length is None and "transfer-encoding" not in self._headers and status not in NO_CONTENT

    def on_body(self, body: bytes) -> None:
        """A part of the body. Raises AnswerInvalid."""
        self._body += body
        if len(self._body) > LARGEST:
            raise AnswerInvalid(f"it has more than {LARGEST} bytes")

    def on_message_complete(self) -> None:
        """An answer is complete; an informational one (1xx) is ignored."""
        status = self._parser.get_status_code()
        if status < FIRST_FINAL:
            self._headers.clear()
        elif not self.answer.done():
            self.answer.set_result(Answer(status, self._headers, bytes(self._body)))

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def _format_host(address: str) -> str:
    """An address as in a URL. Raises AnswerInvalid."""
    try:
        found = ip_address(address)
    except ValueError:
        raise AnswerInvalid("its address is none") from None
    if "%" in address:
        raise AnswerInvalid("its address is of one machine only")
    return f"[{found}]" if found.version == 6 else str(found)
